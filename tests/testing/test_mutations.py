"""Hostile files: as many as asked for, the same each time, and hostile indeed."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from PIL import Image

from morelli.errors import ImageError, ImageTooLargeError
from morelli.images.load import Limits, load_image
from morelli.testing.mutations import flat_png, hostile_files, impostors, scan_bomb


@pytest.fixture(scope="module")
def sound() -> list[bytes]:
    out = []
    for kind in ("PNG", "JPEG", "WEBP"):
        file = io.BytesIO()
        Image.effect_noise((48, 40), 60).convert("RGB").save(file, kind)
        out.append(file.getvalue())
    return out


def test_count_and_repetition(sound: list[bytes]) -> None:
    first, again, other = (list(hostile_files(sound, 60, seed)) for seed in (3, 3, 4))
    assert len(first) == 60
    assert first == again
    assert first[:30] == other[:30]  # what is not made from sound files is always there
    assert first[40:] != other[40:]


def test_few_are_few(sound: list[bytes]) -> None:
    assert len(list(itertools.islice(hostile_files(sound, 5), 9))) == 5


def test_impostors_are_no_images() -> None:
    for _, data in impostors():
        with pytest.raises(ImageError):
            load_image(data)


def test_a_flat_image_is_sound_and_large() -> None:
    data = flat_png(2000, 1000)
    assert len(data) < 2000 * 1000 / 100
    assert load_image(data).pixels.shape == (1000, 2000, 3)
    with pytest.raises(ImageTooLargeError):
        load_image(data, limits=Limits(max_pixels=1_999_999))


def test_a_scan_bomb_is_an_image_that_takes_long(tmp_path: Path) -> None:
    few, many = scan_bomb(256, 1), scan_bomb(256, 50)
    assert load_image(few).content == load_image(many).content
    assert many.count(b"\xff\xda") == few.count(b"\xff\xda") + 49
