"""A header that is nothing but filling is refused soon, and one with a little of it is read."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.errors import ImageError, UnreadableImageError
from morelli.images.jpeg_markers import MOST_STEPS
from morelli.images.load import load_image


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xd0", b"\xff\x00", b"\xff\xfe\x00\x02", b"\x07"])
def test_megabytes_of_filling_are_refused_soon(filling: bytes) -> None:
    whole = jpeg()
    hostile = whole[:2] + b"\xff\xfe\x00\x02" + filling * (40_000_000 // len(filling)) + whole[2:]
    began = time.process_time()
    with pytest.raises(UnreadableImageError, match="fill bytes"):
        load_image(hostile)
    assert time.process_time() - began < 2


def test_a_little_filling_is_allowed(tmp_path: Path) -> None:
    whole = jpeg()
    padded = whole[:2] + b"\xff" * 500 + whole[2:]
    assert np.array_equal(load_image(padded).pixels, load_image(whole).pixels)
    file = tmp_path / "padded.jpg"
    file.write_bytes(padded)
    assert load_image(file).pixels.shape == (32, 48, 3)


@pytest.mark.parametrize("end", [2, 3, 4, 5, 20])
def test_a_cut_header_is_the_decoders_to_name(end: int) -> None:
    with pytest.raises(ImageError):
        load_image(jpeg()[:end] + b"\xff" * (4 - min(end, 4)))


def test_the_limit_is_far_from_what_cameras_write() -> None:
    whole = jpeg()
    comments = b"\xff\xfe\x00\x03a" * (MOST_STEPS // 2)
    assert load_image(whole[:2] + comments + whole[2:]).pixels.shape == (32, 48, 3)
