"""Where networks run."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from morelli.devices import _malloc_trim, choose_device, give_back_memory
from morelli.errors import InputError


@pytest.mark.parametrize(
    ("cuda", "mps", "auto", "expected"),
    [
        (True, True, ("cuda",), "cuda"),
        (False, True, ("cuda",), "cpu"),
        (False, True, ("cuda", "mps"), "mps"),
        (True, True, ("mps", "cuda"), "mps"),
        (False, False, ("cuda", "mps"), "cpu"),
    ],
)
def test_auto_takes_the_first_that_is_here(
    cuda: bool, mps: bool, auto: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto", auto=auto) == expected


def test_a_name_is_kept_and_tried() -> None:
    assert choose_device("cpu") == "cpu"
    for name in ("abacus", "cuda:77"):
        with pytest.raises(InputError, match=f"--device: there is no device '{name}' here"):
            choose_device(name, "--device")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
def test_freed_memory_is_given_back() -> None:
    """Holes between small blocks that live on are what a process is left with, and what must not stay its own."""

    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    if _malloc_trim() is None:
        assert not give_back_memory()
        pytest.skip("this C library cannot be asked")
    kept, freed = [], []
    for _ in range(3000):
        freed.append(ctypes.create_string_buffer(60_000))  # below what is mapped by itself
        kept.append(ctypes.create_string_buffer(600))
        ctypes.memset(freed[-1], 1, 60_000)
    before = resident()
    freed.clear()
    give_back_memory()
    assert resident() < before - 100_000  # of about 176,000 KiB
    assert len(kept) == 3000
