"""What the kinds of pipelines share: text states, noise by seed, guidance, pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SIZE = 64
FOLD = 4
"""Pixels along a side that a pixel model folds into the channels of one position."""


def token_ids(tokenizer: Any, prompts: Sequence[str]) -> Tensor:
    """Ids of the prompts, shape (n, length), int64, padded to the tokenizer's full length."""
    full = tokenizer.model_max_length
    return tokenizer(list(prompts), padding="max_length", max_length=full, return_tensors="pt").input_ids


def text_states(tokenizer: Any, text_encoder: Any, prompts: Sequence[str]) -> Tensor:
    """Last hidden states of the text tower, shape (n, length, width), float32."""
    return text_encoder(token_ids(tokenizer, prompts)).last_hidden_state


def guided_states(tokenizer: Any, text_encoder: Any, prompts: Sequence[str]) -> Tensor:
    """States of the empty text for every prompt, then those of the prompts, shape (2 n, length, width)."""
    return text_states(tokenizer, text_encoder, [""] * len(prompts) + list(prompts))


def chances(seeds: Sequence[int]) -> list[torch.Generator]:
    """A generator of random numbers for each seed: what it gives depends on that seed alone."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def noise(shape: Sequence[int], chance: Sequence[torch.Generator]) -> Tensor:
    """Standard normal numbers, shape (n, *shape), the next ones of each of n generators."""
    return torch.stack([torch.randn(tuple(shape), generator=each) for each in chance])


def guide(both: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6) of predictions without and with the prompt, stacked."""
    without, with_prompt = both.chunk(2)
    return without + scale * (with_prompt - without)


def to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """Pictures of shape (n, 3, h, w), -1 to 1, as (n, h, w, 3) uint8."""
    scaled = ((x.float().clamp(-1, 1) + 1) * 127.5).round()
    return scaled.permute(0, 2, 3, 1).contiguous().numpy().astype(np.uint8)
