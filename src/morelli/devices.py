"""Where a network runs. torch is loaded by the call, not by the import."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

from morelli.errors import InputError

#: Number of glibc's option for the most heaps, from malloc.h.
_M_ARENA_MAX = -8


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
    trim = _of_glibc("malloc_trim")
    return False if trim is None else bool(trim(0))


def share_heaps(count: int | None = None) -> bool:
    """Let all threads take memory from so many heaps, where the C library is glibc; False where it is not.

    glibc gives every new thread a heap, up to eight for each processor, and each keeps what its threads freed: with a
    thread for each request a server comes to hold several times what it uses. Call it before threads begin.

    Parameters
    ----------
    count : int, optional
        As many as there are processors, at least two, where none is named.
    """
    set_option = _of_glibc("mallopt")
    wanted = max(2, os.cpu_count() or 1) if count is None else count
    return False if set_option is None else bool(set_option(_M_ARENA_MAX, wanted))


@cache
def _of_glibc(name: str) -> Any:
    try:
        library = ctypes.CDLL("libc.so.6")
        library.gnu_get_libc_version  # noqa: B018 - another C library under this name has none
        return getattr(library, name)
    except (OSError, AttributeError):
        return None
