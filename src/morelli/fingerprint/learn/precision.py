"""In which precision convolutions are computed."""

from __future__ import annotations

import torch


def wants_bfloat16(precision: str, device: str) -> bool:
    """Whether convolutions are to be computed in bfloat16: asked for, or "auto" and the device has it.

    A processor that only emulates it would be slower than in float32.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not public: a torch without it counts as a processor without it.
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.device(device).type == "cpu" and bool(capability and capability())
