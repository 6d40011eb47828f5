"""``morelli gallery add`` stopped half-way, or on a disk that is full: real processes, and nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from morelli.encoders.cache import EmbeddingCache
from morelli.enrol import enrol
from morelli.gallery.store import Gallery
from morelli.images.dataset import read_dataset

from ..encoders.toys import STAMP, ToyEncoder, flat
from ..processes import heed_interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
ROOT = Path(__file__).resolve().parents[2]

# A process of its own, whose encoder takes its time and makes long vectors.
SLOW = """
import resource, signal, sys, time
from dataclasses import replace
from morelli.cli import main
from morelli.encoders import catalogue
from tests.encoders.toys import STAMP, ToyEncoder
import numpy as np

class Slow(ToyEncoder):
    def encode(self, prepared):
        out = super().encode(prepared)
        time.sleep(float(sys.argv[1]))
        return {**out, "long": np.repeat(out["mean"][:, :1], 500, axis=1)}

stamp = replace(STAMP, encoder="slow", dims={**STAMP.dims, "long": 500})
slow = Slow(stamp)
catalogue.REGISTRY.add("slow", lambda: slow)
if limit := int(sys.argv[2]):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
status = main(sys.argv[3:])
print("encoded", sum(slow.batches), file=sys.stderr)
sys.exit(status)
"""
SLOW_STAMP = replace(STAMP, encoder="slow", dims={**STAMP.dims, "long": 500})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingCache:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    return EmbeddingCache()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A gallery of twelve pictures."""
    rows = greys(tmp_path / "first", range(100, 112))
    enrol(Gallery.create(tmp_path / "g"), read_dataset(rows), ToyEncoder())
    return tmp_path / "g"


def start(seconds: float, *arguments: object, limit: int = 0) -> subprocess.Popen[str]:
    """A batch takes so many seconds; no file may grow beyond ``limit`` bytes, which is what a full disk does."""
    command = [sys.executable, "-c", SLOW, str(seconds), str(limit), "gallery", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts)


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process that must succeed says on stdout and stderr."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def greys(root: Path, values: Iterable[int]) -> Path:
    (root / "m").mkdir(parents=True)
    for i in values:
        Image.fromarray(flat(i)).save(root / "m" / f"{i:03}.png")
    return root


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_add_that_is_stopped_while_it_embeds_goes_on_later(
    how: int, made: Path, cache: EmbeddingCache, tmp_path: Path
) -> None:
    folder = greys(tmp_path / "grey", range(64))
    contents = [r.content for r in _expected(tmp_path, folder)]
    running = start(0.3, "add", made, folder, "--encoder", "slow", "--copies", "0")
    end = time.monotonic() + 60
    while not (kept := len(cache.get(SLOW_STAMP, contents))) and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(how)
    out, err = running.communicate(timeout=60)
    assert 0 < kept < 64
    assert out == ""
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "the same command goes on from there" in err
        assert "Traceback" not in err
    gallery = Gallery.open(made)
    assert (gallery.version, len(gallery), gallery.check().ok) == (2, 12, True)
    kept = len(cache.get(SLOW_STAMP, contents))
    out, err = finish(start(0, "add", made, folder, "--encoder", "slow", "--copies", "0", "--json"))
    assert json.loads(out)["added"] == 64
    assert err.endswith(f"12 of 76 references in the gallery have no embeddings of slow.\nencoded {64 - kept}\n")
    gallery = Gallery.open(made)
    assert sorted(gallery.embeddings("slow")[1].vectors["long"][:, 7].tolist()) == list(range(64))


def _expected(tmp_path: Path, folder: Path) -> tuple[Any, ...]:
    gallery = Gallery.create(tmp_path / "expected")
    enrol(gallery, read_dataset(folder), ToyEncoder())
    return gallery.references()


def test_a_disk_that_is_full_during_add(made: Path, tmp_path: Path) -> None:
    folder = greys(tmp_path / "grey", range(40))
    running = start(0, "add", made, folder, "--encoder", "slow", "--json", limit=20_000)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Free some space" in json.loads(out)["fix"]
    assert "Traceback" not in err
    gallery = Gallery.open(made)
    assert (gallery.version, len(gallery), gallery.check().ok) == (2, 12, True)
    finish(start(0, "add", made, folder, "--encoder", "slow"))
    assert len(Gallery.open(made)) == 52


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    pictures = greys(tmp_path / "grey", range(12))
    running = start(0, "add", tmp_path / "new", pictures, "--encoder", "slow", limit=10)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (1, "")
    assert "Traceback" not in err
    finish(start(0, "add", tmp_path / "new", pictures, "--encoder", "slow"))
    assert len(Gallery.open(tmp_path / "new")) == 12
