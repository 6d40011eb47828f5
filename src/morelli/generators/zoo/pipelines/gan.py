"""A conditional GAN's generator: one pass from noise and text to pixels, convolutional to its last block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
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

START_SIDE = 8
LAST_FOLD = 2
"""The last convolution makes 2 × 2 pixels at each position."""


class StyledBlock(nn.Module):
    """Two convolutions whose normalised inputs are scaled and shifted by the style; doubles the side if asked."""

    def __init__(self, inputs: int, outputs: int, style: int, *, double: bool) -> None:
        super().__init__()
        self.doubles = double
        self.norms = nn.ModuleList([nn.GroupNorm(8, inputs, affine=False), nn.GroupNorm(8, outputs, affine=False)])
        self.styles = nn.ModuleList([nn.Linear(style, 2 * inputs), nn.Linear(style, 2 * outputs)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)]
        )
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def _half(self, number: int, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.styles[number](style)[:, :, None, None].chunk(2, dim=1)
        return F.silu(self.norms[number](x) * (1 + scale) + shift)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Feature maps (n, inputs, h, w) and styles (n, style) to (n, outputs, h or 2 h, w or 2 w)."""
        y = self._half(0, x, style)
        if self.doubles:
            x, y = (F.interpolate(each, scale_factor=2.0, mode="nearest") for each in (x, y))
        y = self.convs[0](y)
        return self.skip(x) + self.convs[1](self._half(1, y, style))


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
    """Noise and text states to pictures.

    Parameters
    ----------
    noise_channels : int
        Of the noise map at 8 × 8.
    widths : sequence of int
        Of the feature maps at 8, 16 and 32 positions a side.
    text_width, style_width : int
        Of the text states and of the style vector.
    """

    @register_to_config
    def __init__(
        self,
        noise_channels: int = 16,
        widths: Sequence[int] = (80, 64, 48),
        text_width: int = 128,
        style_width: int = 64,
    ) -> None:
        super().__init__()
        first = widths[0]
        self.places = nn.Parameter(torch.randn(1, first, START_SIDE, START_SIDE))
        self.enter = nn.Conv2d(noise_channels, first, 3, padding=1)
        self.style = nn.Sequential(
            nn.Linear(noise_channels * START_SIDE + text_width, style_width),
            nn.SiLU(),
            nn.Linear(style_width, style_width),
        )
        self.plan = nn.ModuleList([Reading(first, text_width) for _ in range(2)])
        self.firm = nn.ModuleList([StyledBlock(first, first, style_width, double=False) for _ in range(2)])
        self.grow = nn.ModuleList([StyledBlock(a, b, style_width, double=True) for a, b in pairwise(widths)])
        self.leave = nn.Conv2d(widths[-1], 3 * LAST_FOLD**2, 3, padding=1)

    def forward(self, z: Tensor, states: Tensor) -> Tensor:
        """Noise (n, noise_channels, 8, 8) and text states (n, words, text_width) to (n, 3, 64, 64), -1 to 1."""
        # The last token has read the whole prompt; one row of the noise sets what is global.
        style = self.style(torch.cat([z[:, :, 0].flatten(1), states[:, -1]], dim=1))
        x = self.enter(z) + self.places
        for plan, firm in zip(self.plan, self.firm, strict=True):
            x = firm(plan(x, states), style)
        for block in self.grow:
            x = block(x, style)
        return torch.tanh(F.pixel_shuffle(self.leave(F.silu(x)), LAST_FOLD))


class GanPipeline(DiffusionPipeline):
    """Text to pixels in one pass.

    Parameters
    ----------
    network, text_encoder, tokenizer
        A `GanGenerator` and the parts of transformers.
    """

    def __init__(self, network: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(network=network, text_encoder=text_encoder, tokenizer=tokenizer)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        states = text_states(self.tokenizer, self.text_encoder, prompts)
        z = noise((self.network.config.noise_channels, START_SIDE, START_SIDE), chances(seeds))
        return to_pixels(self.network(z, states))


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels; there is nothing to set."""
    return GanPipeline(**parts)
