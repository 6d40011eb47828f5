"""Outputs are planned before the work, and sheets show what was done."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.defence.files import plan_outputs, png_bytes, write_file
from morelli.defence.sheet import difference, side_by_side
from morelli.errors import ArrayError, InputError, StorageError

from .toys import scene


def test_a_png_for_every_source(tmp_path: Path) -> None:
    assert plan_outputs([Path("x/a.jpg"), Path("b.png")], tmp_path / "new") == [
        tmp_path / "new/a.png",
        tmp_path / "new/b.png",
    ]
    assert not (tmp_path / "new").exists()


def test_what_would_be_lost_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        plan_outputs([Path("x/a.jpg")], tmp_path)
    assert plan_outputs([Path("x/a.jpg")], tmp_path, overwrite=True) == [tmp_path / "a.png"]
    with pytest.raises(InputError, match="would both be written"):
        plan_outputs([Path("x/c.jpg"), Path("y/c.png")], tmp_path, overwrite=True)
    # Even then an original stays.
    with pytest.raises(InputError, match="one of the images itself"):
        plan_outputs([tmp_path / "a.png"], tmp_path, overwrite=True)
    with pytest.raises(InputError, match="is no folder"):
        plan_outputs([Path("b.png")], tmp_path / "a.png")


def test_lossless_and_without_metadata() -> None:
    pixels = scene()
    with Image.open(io.BytesIO(png_bytes(pixels))) as read:
        assert (read.format, read.info) == ("PNG", {})
        np.testing.assert_array_equal(np.asarray(read), pixels)


def test_write_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.png"
    write_file(path, b"one")
    with pytest.raises(InputError, match="exists already"):
        write_file(path, b"two")
    assert path.read_bytes() == b"one"
    write_file(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(StorageError):
        write_file(path / "under a file.png", b"three")


def test_difference() -> None:
    before = np.full((2, 3, 3), 100, np.uint8)
    after = before.copy()
    after[0, 0], after[0, 1], after[0, 2] = 101, 98, 200
    assert difference(before, after)[0, :, 0].tolist() == [144, 96, 255]
    assert (difference(before, after)[1] == 128).all()
    with pytest.raises(ArrayError, match="one size"):
        difference(before, after[:1])


def test_sheet() -> None:
    small, large = scene(0, 20, 24), scene(1, 30, 40)
    sheet = side_by_side([(small, small), (large, 255 - large)])
    assert sheet.shape == (20 + 8 + 30, 3 * 40 + 2 * 8, 3)
    np.testing.assert_array_equal(sheet[:20, :24], small)
    np.testing.assert_array_equal(sheet[:20, 48:72], small)
    assert (sheet[:20, 96:120] == 128).all()
    np.testing.assert_array_equal(sheet[28:, 48:88], 255 - large)
    with pytest.raises(ArrayError, match="nothing to show"):
        side_by_side([])
