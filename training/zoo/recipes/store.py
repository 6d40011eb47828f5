"""Writing networks in the layout of their own libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def save_half(net: Any, folder: Path) -> None:
    """``save_pretrained`` of a diffusers or transformers network with fp16 weights."""
    folder.mkdir(parents=True, exist_ok=True)
    net.to(torch.float16).save_pretrained(folder, safe_serialization=True)
