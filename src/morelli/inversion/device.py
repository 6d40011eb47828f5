"""Where a network runs."""

from __future__ import annotations

import torch

from morelli.errors import InputError


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where torch has it, else the CPU; any other name is torch's.

    Raises
    ------
    InputError
        torch has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError(f"no torch device is called {name!r}.", argument="device") from error
