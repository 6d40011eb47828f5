"""Which encoder is taken where nobody names one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.encoders.usual import WITH_LATTICE, usual_encoder
from morelli.images.dataset import Dataset, read_dataset

LITE0, JOINED = "efficientnet-lite0", "efficientnet-lite0+residual-lattice"


def dataset(folder: Path, sizes: list[tuple[int, int]]) -> Dataset:
    (folder / "model").mkdir(parents=True)
    for number, (width, height) in enumerate(sizes):
        pixels = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(folder / "model" / f"{number:03}.png")
    return read_dataset(folder)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(128, 128)] * 3, LITE0),
        ([(WITH_LATTICE, WITH_LATTICE)] * 3, JOINED),
        ([(WITH_LATTICE - 8, 2048)] * 3, LITE0),
        ([(512, 768), (1024, 1024), (64, 64)], JOINED),
        ([(512, 768), (64, 64), (64, 64)], LITE0),
    ],
)
def test_it_goes_by_the_shorter_side_of_most(tmp_path: Path, sizes: list[tuple[int, int]], expected: str) -> None:
    assert usual_encoder([dataset(tmp_path / "d", sizes)]) == expected


def test_files_that_cannot_be_read_count_for_nothing(tmp_path: Path) -> None:
    read = dataset(tmp_path / "d", [(512, 512)])
    for number in range(1, 4):
        (tmp_path / "d" / "model" / f"{number:03}.png").write_bytes(b"no picture")
    assert usual_encoder([read_dataset(tmp_path / "d")]) == JOINED
    (tmp_path / "d" / "model" / "000.png").unlink()
    assert usual_encoder([read_dataset(tmp_path / "d")]) == LITE0
    assert usual_encoder([]) == LITE0
    assert usual_encoder([read, dataset(tmp_path / "small", [(64, 64)] * 2)]) == LITE0


def test_of_many_files_some_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import morelli.encoders.usual as module

    read = dataset(tmp_path / "d", [(8, 8)] * 200)
    seen = []
    real = module.probe
    monkeypatch.setattr(module, "probe", lambda path: seen.append(path) or real(path))
    usual_encoder([read])
    assert 64 <= len(seen) <= 128
