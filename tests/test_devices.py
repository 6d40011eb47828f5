"""Where networks run."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from morelli.devices import _of_glibc, choose_device, give_back_memory, share_heaps
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

    if _of_glibc("malloc_trim") is None:
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


_HEAPS = """
import ctypes, threading
from morelli.devices import share_heaps

if SHARED:
    share_heaps(2)
libc = ctypes.CDLL("libc.so.6")
libc.malloc.restype = ctypes.c_void_p
all_here = threading.Barrier(6)

def work():
    all_here.wait()  # at the same time, so that no heap is free for another
    libc.free(ctypes.c_void_p(libc.malloc(10_000)))
    all_here.wait()

threads = [threading.Thread(target=work) for _ in range(6)]
[each.start() for each in threads]
[each.join() for each in threads]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_threads_share_few_heaps() -> None:
    if _of_glibc("mallopt") is None:
        assert not share_heaps()
        pytest.skip("this C library cannot be asked")

    def heaps(shared: bool) -> int:
        program = _HEAPS.replace("SHARED", str(shared))
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        return said.count("<heap nr=")

    assert heaps(True) <= 2
    assert heaps(False) > 2
