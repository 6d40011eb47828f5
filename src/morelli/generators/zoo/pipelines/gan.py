"""A conditional GAN: one pass from noise and text to an autoencoder's latents, whose decoder makes the pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from torch import Tensor, nn

from morelli.generators.zoo.pipelines.common import chances, noise, text_states, to_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StyledBlock(nn.Module):
    """Residual block of two convolutions whose normalised inputs are scaled and shifted by the style."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(8, width, affine=False) for _ in range(2)])
        self.styles = nn.ModuleList([nn.Linear(style, 2 * width) for _ in range(2)])
        self.convs = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(2)])

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Feature maps (n, width, h, w) and styles (n, style) to feature maps."""
        y = x
        for norm, change, conv in zip(self.norms, self.styles, self.convs, strict=True):
            scale, shift = change(style)[:, :, None, None].chunk(2, dim=1)
            y = conv(F.silu(norm(y) * (1 + scale) + shift))
        return x + y


class Reading(nn.Module):
    """Positions look at each other and at the words, then think: one transformer layer over a feature map."""

    def __init__(self, width: int, text: int, heads: int = 4) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.among = nn.MultiheadAttention(width, heads, batch_first=True)
        self.words = nn.MultiheadAttention(width, heads, kdim=text, vdim=text, batch_first=True)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, states: Tensor) -> Tensor:
        """Feature maps (n, width, h, w) and text states (n, words, text) to feature maps."""
        rows = x.flatten(2).transpose(1, 2)
        y = self.norms[0](rows)
        rows = rows + self.among(y, y, y, need_weights=False)[0]
        rows = rows + self.words(self.norms[1](rows), states, states, need_weights=False)[0]
        rows = rows + self.think(self.norms[2](rows))
        return rows.transpose(1, 2).reshape(x.shape)


class GanGenerator(ModelMixin, ConfigMixin):
    """Noise and text states to latents.

    Parameters
    ----------
    noise_channels : int
        Of the noise map, as many positions as the latents'.
    width : int
        Of the feature maps.
    depth : int
        Pairs of a layer that reads and a block of convolutions.
    text_width, style_width : int
        Of the text states and of the style vector.
    latent_channels, side : int
        Of the latents.
    """

    @register_to_config
    def __init__(
        self,
        noise_channels: int = 16,
        width: int = 96,
        depth: int = 3,
        text_width: int = 128,
        style_width: int = 64,
        latent_channels: int = 16,
        side: int = 8,
    ) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, width, side, side))
        self.enter = nn.Conv2d(noise_channels, width, 3, padding=1)
        self.style = nn.Sequential(
            nn.Linear(noise_channels * side + text_width, style_width),
            nn.SiLU(),
            nn.Linear(style_width, style_width),
        )
        self.plan = nn.ModuleList([Reading(width, text_width) for _ in range(depth)])
        self.firm = nn.ModuleList([StyledBlock(width, style_width) for _ in range(depth)])
        self.leave = nn.Conv2d(width, latent_channels, 3, padding=1)

    def forward(self, z: Tensor, states: Tensor) -> Tensor:
        """Noise (n, noise_channels, 8, 8) and states (n, words, text_width) to latents (n, channels, 8, 8)."""
        # The last token has read the whole prompt; one row of the noise sets what is global.
        style = self.style(torch.cat([z[:, :, 0].flatten(1), states[:, -1]], dim=1))
        x = self.enter(z) + self.places
        for plan, firm in zip(self.plan, self.firm, strict=True):
            x = firm(plan(x, states), style)
        return self.leave(F.silu(x))


class GanPipeline(DiffusionPipeline):
    """Text to latents in one pass, latents to pixels with an autoencoder's decoder.

    Parameters
    ----------
    network, vae, text_encoder, tokenizer
        A `GanGenerator`, an autoencoder and the parts of transformers.
    """

    def __init__(self, network: Any, vae: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(network=network, vae=vae, text_encoder=text_encoder, tokenizer=tokenizer)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        states = text_states(self.tokenizer, self.text_encoder, prompts)
        side = self.network.config.side
        z = noise((self.network.config.noise_channels, side, side), chances(seeds))
        latents = self.network(z, states) / self.vae.config.scaling_factor
        return to_pixels(self.vae.decode(latents).sample)


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels; there is nothing to set."""
    return GanPipeline(**parts)
