"""Which encoder is taken where nobody names one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.encoders.usual import WITH_LATTICE, encoder_of_comparison, encoder_of_gallery
from morelli.images.dataset import Dataset, read_dataset

LITE0, JOINED = "efficientnet-lite0", "efficientnet-lite0+residual-lattice"
LARGE, SMALL = (WITH_LATTICE, WITH_LATTICE), (64, 64)


def dataset(folder: Path, sizes: list[tuple[int, int]], suffix: str = ".png") -> Dataset:
    (folder / "model").mkdir(parents=True)
    for number, (width, height) in enumerate(sizes):
        pixels = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(folder / "model" / f"{number:03}{suffix}")
    return read_dataset(folder)


@pytest.mark.parametrize(
    ("sizes", "gallery", "comparison"),
    [
        ([(128, 128)] * 3, LITE0, LITE0),
        ([LARGE] * 3, JOINED, JOINED),
        ([(1024, 768)] * 2, JOINED, JOINED),
        ([(WITH_LATTICE - 8, 2048)] * 3, LITE0, LITE0),
        # An evaluation brings pictures of several sizes to the smallest of all, and the lattice is gone.
        ([(512, 768), (1024, 1024), SMALL], JOINED, LITE0),
        ([(512, 768), (1024, 1024)], JOINED, LITE0),
        ([(512, 768), SMALL, SMALL], LITE0, LITE0),
    ],
)
def test_it_goes_by_the_shorter_side(
    tmp_path: Path, sizes: list[tuple[int, int]], gallery: str, comparison: str
) -> None:
    read = dataset(tmp_path / "d", sizes)
    assert encoder_of_gallery(read) == gallery
    assert encoder_of_comparison([read]) == comparison


def test_both_sets_of_a_comparison_count(tmp_path: Path) -> None:
    large, more = dataset(tmp_path / "a", [LARGE] * 2), dataset(tmp_path / "b", [LARGE])
    small, jpeg = dataset(tmp_path / "c", [SMALL]), dataset(tmp_path / "d", [LARGE], ".jpg")
    assert encoder_of_comparison([large, more]) == JOINED
    assert encoder_of_comparison([large, small]) == LITE0
    assert encoder_of_comparison([large, jpeg]) == LITE0  # formats differ: all are resampled


def test_files_that_cannot_be_read_count_for_nothing(tmp_path: Path) -> None:
    read = dataset(tmp_path / "d", [LARGE])
    for number in range(1, 4):
        (tmp_path / "d" / "model" / f"{number:03}.png").write_bytes(b"no picture")
    read = read_dataset(tmp_path / "d")
    assert encoder_of_gallery(read) == encoder_of_comparison([read]) == JOINED
    (tmp_path / "d" / "model" / "000.png").unlink()
    read = read_dataset(tmp_path / "d")
    assert encoder_of_gallery(read) == encoder_of_comparison([read]) == LITE0
    assert encoder_of_gallery(None) == encoder_of_comparison([]) == LITE0


def test_of_a_gallery_s_many_files_some_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import morelli.encoders.usual as module

    read = dataset(tmp_path / "d", [(8, 8)] * 200)
    seen = []
    real = module.probe
    monkeypatch.setattr(module, "probe", lambda path: seen.append(path) or real(path))
    encoder_of_gallery(read)
    assert 64 <= len(seen) <= 128
