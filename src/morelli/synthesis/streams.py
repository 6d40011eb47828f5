"""Where a model's randomness comes from: its key alone, so that it is the same in any company."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from morelli.synthesis.architectures import ModelKey

if TYPE_CHECKING:
    import torch


def stream_seed(key: ModelKey, what: str) -> int:
    """A seed from 0 to 2⁶³ − 1 for one use ("weights", "crops") of one model."""
    digest = hashlib.sha256(f"{what}:{key.architecture_id}:{key.seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(key: ModelKey, what: str) -> torch.Generator:
    """The generator of that seed, on the CPU: a run on another device draws the same."""
    import torch

    return torch.Generator().manual_seed(stream_seed(key, what))
