"""Where synthetic models are trained."""

from __future__ import annotations

import torch

from morelli.errors import InputError


def choose_device(name: str) -> torch.device:
    """``auto`` takes CUDA where torch has it, else the CPU; any other name is torch's.

    Raises
    ------
    InputError
        torch has no such device, or this machine has not.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"no torch device is called {name!r}.", argument="device") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device here.", argument="device", fix="Choose cpu, or auto.")
    return device
