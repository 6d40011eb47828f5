"""Where a network runs. torch is loaded by the call, not by the import."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

from morelli.errors import InputError


def choose_device(name: str, argument: str = "device", auto: Sequence[str] = ("cuda",)) -> str:
    """A device of torch that is here.

    Parameters
    ----------
    name : str
        torch's name of it, or "auto".
    argument : str
        Names the option in messages.
    auto : sequence of {"cuda", "mps"}
        What "auto" takes, the first that is here; "cpu" where none is.

    Raises
    ------
    InputError
        torch has no such device, or this machine has not.
    """
    import torch

    if name == "auto":
        here = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
        return next((kind for kind in auto if here[kind]()), "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"there is no device {name!r} here.", argument=argument, fix="Take auto, or cpu.") from error
    return name


def wants_bfloat16(precision: str, device: str) -> bool:
    """Whether convolutions are to be computed in bfloat16: asked for, or "auto" and the device has it.

    A processor that only emulates it would be slower than in float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
    device : str
        torch's name of it.
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Not public: a torch without it counts as a processor without it.
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.device(device).type == "cpu" and bool(capability and capability())


def give_back_memory() -> bool:
    """Give memory that was freed back to the system, where the C library keeps it; False where it cannot be asked to.

    glibc keeps what large tensors leave behind for later use. Where their sizes differ from call to call it hardly
    finds a use, and after thousands of calls a process holds gigabytes that nothing lives in.
    """
    trim = _malloc_trim()
    return False if trim is None else bool(trim(0))


@cache
def _malloc_trim() -> Any:
    try:
        return ctypes.CDLL("libc.so.6").malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
