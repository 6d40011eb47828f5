from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from morelli.errors import ArrayError
from morelli.gallery.thumbnail import MEDIA_TYPE, make_thumbnail


def decode(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.get_format_mimetype() == MEDIA_TYPE
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((256, 512), (64, 128)),
        ((512, 256), (128, 64)),
        ((300, 300), (128, 128)),
        ((5, 9), (5, 9)),
        ((1, 4000), (1, 128)),
    ],
)
def test_aspect_is_kept_and_nothing_is_enlarged(shape, expected):
    assert decode(make_thumbnail(np.zeros((*shape, 3), dtype=np.uint8))).shape == (*expected, 3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 150))
def test_the_longer_side_is_bounded(height, width, side):
    found = decode(make_thumbnail(np.zeros((height, width, 3), dtype=np.uint8), side)).shape
    assert max(found[:2]) == min(side, max(height, width))


def test_colours_and_places_are_kept():
    pixels = np.zeros((200, 400, 3), dtype=np.uint8)
    pixels[:, :200] = (250, 10, 10)
    pixels[:, 200:] = (10, 10, 250)
    small = decode(make_thumbnail(pixels)).astype(int)
    assert np.abs(small[:, :50].reshape(-1, 3).mean(0) - (250, 10, 10)).max() < 12
    assert np.abs(small[:, -50:].reshape(-1, 3).mean(0) - (10, 10, 250)).max() < 12


def test_a_view_that_is_not_contiguous_is_accepted():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    assert make_thumbnail(pixels[::-1, ::2]) == make_thumbnail(pixels[::-1, ::2].copy())


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 3), dtype=np.float32),
        np.zeros((4, 4), dtype=np.uint8),
        np.zeros((4, 4, 4), dtype=np.uint8),
        np.zeros((0, 4, 3), dtype=np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(pixels):
    with pytest.raises(ArrayError, match="shape"):
        make_thumbnail(pixels)


def test_a_side_below_one_is_refused():
    with pytest.raises(ArrayError, match="side"):
        make_thumbnail(np.zeros((4, 4, 3), dtype=np.uint8), 0)
