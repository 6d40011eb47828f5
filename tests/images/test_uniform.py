"""The leak test's inputs and the common form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from morelli.errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    InputError,
    MissingImageError,
    TruncatedImageError,
    UnreadableImageError,
)
from morelli.images.header import Limits
from morelli.images.load import load_image
from morelli.images.probe import FileInfo, probe
from morelli.images.uniform import Uniform, plan_uniform
from morelli.testing.hostile import BROKEN, scene, write_hostile


def info(format: str = "PNG", width: int = 64, height: int = 64, quantisation: str = "") -> FileInfo:
    return FileInfo(width, height, format, "RGB", 100, quantisation)


def test_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {}
    for name, options in {"a.png": {}, "b.jpg": {"quality": 75}, "c.jpg": {"quality": 90}, "d.webp": {}}.items():
        paths[name] = tmp_path / name
        Image.fromarray(scene()).save(paths[name], **options)
    Image.fromarray(scene()[::-1]).save(tmp_path / "e.jpg", quality=75)

    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    for plugin in ("PngImagePlugin.PngImageFile", "ImageFile.ImageFile", "WebPImagePlugin.WebPImageFile"):
        monkeypatch.setattr(f"PIL.{plugin}.load", fail)
    infos = {name: probe(path) for name, path in paths.items()}
    assert infos["a.png"] == FileInfo(48, 32, "PNG", "RGB", paths["a.png"].stat().st_size, "")
    assert infos["d.webp"].format == "WEBP"
    tables = infos["b.jpg"].quantisation
    assert tables
    assert tables != infos["c.jpg"].quantisation, "another quality"
    assert tables == probe(str(tmp_path / "e.jpg")).quantisation, "another picture, the same tables"
    for coarse in (0, 2):
        Image.fromarray(scene()).save(tmp_path / f"{coarse}.jpg", quality=75, subsampling=coarse)
    fine, halved = (probe(tmp_path / f"{coarse}.jpg").quantisation for coarse in (0, 2))
    assert halved == tables
    assert fine != tables, "the same tables, colours at full size"


def test_probe_sees_the_loaders_size(tmp_path: Path) -> None:
    files = write_hostile(tmp_path)
    assert probe(files["rotated"]).width == 32
    for name in files.keys() - BROKEN:
        seen = probe(files[name])
        assert (seen.height, seen.width) == load_image(files[name]).pixels.shape[:2], name


def test_probe_names_what_the_header_shows(tmp_path: Path) -> None:
    files = write_hostile(tmp_path)
    for name, error in (
        ("bomb", ImageTooLargeError),
        ("one_pixel", ImageTooSmallError),
        ("text", UnreadableImageError),
    ):
        with pytest.raises(error):
            probe(files[name])
    with pytest.raises(MissingImageError):
        probe(tmp_path / "none.png")
    with pytest.raises(ImageTooLargeError):
        probe(files["rgb16"], limits=Limits(max_bytes=10))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(files["cmyk"].read_bytes()[:30])
    with pytest.raises(TruncatedImageError):
        probe(cut)


def test_plan() -> None:
    assert plan_uniform([info()] * 3) is None
    assert plan_uniform([info("JPEG", quantisation="a"), info("JPEG", quantisation="b")]) is None
    assert plan_uniform([info(), info("JPEG")]) == Uniform(64)
    assert plan_uniform([info(), info(width=80)]) == Uniform(64)
    assert plan_uniform([info(width=200, height=90), info(width=100, height=300)]) == Uniform(90)
    with pytest.raises(InputError):
        plan_uniform([])
    assert "90×90" in str(Uniform(90))


def test_apply_crops_the_centre() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 33, 3), dtype=np.uint8)
    out = Uniform(20).apply(pixels)
    np.testing.assert_array_equal(out, pixels[:, 6:26])
    assert not np.shares_memory(out, pixels)
    np.testing.assert_array_equal(Uniform(20).apply(pixels.transpose(1, 0, 2)), pixels.transpose(1, 0, 2)[6:26])


def test_apply_averages_areas() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    blocks = pixels.reshape(8, 3, 8, 3, 3).mean(axis=(1, 3))
    assert np.abs(Uniform(8).apply(pixels) - blocks).max() <= 0.5 + 1e-9
    # 3 → 2 by hand: each of the two takes one sample and half of the middle one.
    row = np.array([0, 90, 240], np.uint8)
    square = np.repeat(np.tile(row, (3, 1))[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(Uniform(2).apply(square)[0, :, 0], [30, 190])


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_apply_is_the_exact_area_mean(size: int, side: int, seed: int) -> None:
    side = min(side, size)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    # Independent: enlarge by whole steps until both grids meet, then average whole blocks.
    fine = pixels.astype(float).repeat(side, 0).repeat(side, 1)
    expected = fine.reshape(side, size, side, size, 3).mean(axis=(1, 3))
    assert np.abs(Uniform(side).apply(pixels) - expected).max() <= 0.5 + 1e-6


def test_nothing_is_enlarged() -> None:
    with pytest.raises(InputError, match="40×30"):
        Uniform(31).apply(np.zeros((30, 40, 3), np.uint8))


def test_cut_takes_the_middle_at_its_own_scale() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    assert np.array_equal(Uniform(5).cut(pixels), pixels[2:7, 4:9])
    assert np.array_equal(Uniform(9).cut(pixels), pixels[:, 2:11])
    with pytest.raises(InputError, match="none is enlarged"):
        Uniform(10).cut(pixels)
