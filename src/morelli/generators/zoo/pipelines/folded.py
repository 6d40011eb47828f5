"""Autoencoders of diffusers that work on folded pixels: 4 × 4 pixels are the channels of one position.

The costly convolutions at the full size fall away, and a core trains them three times as fast. Everything outside
sees pictures of three channels.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.autoencoders.vq_model import VQModel
from torch import Tensor

from morelli.generators.zoo.pipelines.common import FOLD


class FoldedAutoencoderKL(AutoencoderKL):
    """`diffusers.AutoencoderKL` between folded pictures and latents."""

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Pictures (n, 3, h, w), -1 to 1, to the latents' distribution."""
        return super().encode(F.pixel_unshuffle(x, FOLD), return_dict)  # type: ignore[arg-type]

    def decode(self, z: Tensor, return_dict: bool = True, generator: Any = None) -> Any:  # type: ignore[override]
        """Latents to pictures (n, 3, h, w)."""
        (made,) = super().decode(z, return_dict=False)  # type: ignore[arg-type]
        picture: Any = F.pixel_shuffle(made, FOLD)
        return DecoderOutput(sample=picture) if return_dict else (picture,)


class FoldedVQModel(VQModel):
    """`diffusers.VQModel` between folded pictures and codes."""

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Pictures (n, 3, h, w), -1 to 1, to vectors before quantisation."""
        return super().encode(F.pixel_unshuffle(x, FOLD), return_dict)  # type: ignore[arg-type]

    def decode(  # type: ignore[override]
        self, h: Tensor, force_not_quantize: bool = False, return_dict: bool = True, shape: Any = None
    ) -> Any:
        """Vectors to pictures (n, 3, h, w)."""
        made, loss = super().decode(h, force_not_quantize, return_dict=False, shape=shape)  # type: ignore[arg-type]
        picture: Any = F.pixel_shuffle(made, FOLD)
        lost: Any = loss
        if not return_dict:
            return picture, lost
        return DecoderOutput(sample=picture, commit_loss=lost)


class _DecoderAlone:
    """Without the encoder's half of an autoencoder."""

    encoder: Any
    quant_conv: Any

    def _leave_out_encoder(self) -> None:
        del self.encoder, self.quant_conv

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """Not here.

        Raises
        ------
        AttributeError
            Always.
        """
        raise AttributeError("A decoder alone encodes nothing; the encoder is not among the zoo's weights.")


class FoldedKLDecoder(_DecoderAlone, FoldedAutoencoderKL):
    """What making pictures needs of a `FoldedAutoencoderKL`: all but the encoder, half of the weights."""

    @wraps(AutoencoderKL.__init__)  # diffusers reads the signature to know what a config may hold
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._leave_out_encoder()


class FoldedVQDecoder(_DecoderAlone, FoldedVQModel):
    """What making pictures needs of a `FoldedVQModel`: the codes and the decoder."""

    @wraps(VQModel.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._leave_out_encoder()
