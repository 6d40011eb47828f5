"""What the encoder is shown: medians, residuals, and where patches lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import median_filter

from morelli.encoders.embedded import DEFAULT_VIEWS
from morelli.encoders.views import MIN_SIDE, View, group_by_shape, median3, residual, shrink
from morelli.errors import ImageTooSmallError, InputError

RESIDUAL, NATIVE, WHOLE = DEFAULT_VIEWS


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """Pixels that say where they are: row and column, each in units of 8 with the rest in the third channel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y // 8, x // 8, (y % 8) * 8 + x % 8], axis=2).astype(np.uint8)


def corner(patch: NDArray[np.uint8]) -> tuple[int, int]:
    """Row and column of the first pixel of a patch of `coordinates`."""
    y, x, rest = (int(v) for v in patch[0, 0])
    return 8 * y + rest // 8, 8 * x + rest % 8


def filtered(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([median_filter(pixels[..., c], size=3, mode="nearest") for c in range(3)], axis=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 999), st.sampled_from([2, 16, 256]))
def test_median_is_scipy_s(height: int, width: int, seed: int, levels: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, levels, (height, width, 3)).astype(np.uint8)
    before = pixels.copy()
    assert np.array_equal(median3(pixels), filtered(pixels))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("gain", [1, 8])
def test_residual_by_formula(gain: int) -> None:
    pixels = noise(40, 56)
    expected = np.clip((pixels.astype(float) - filtered(pixels)) * gain + 127, 0, 255)
    assert residual(pixels, gain).dtype == np.uint8
    assert np.array_equal(residual(pixels, gain), expected.astype(np.uint8))


def test_residual_of_a_flat_image_is_its_middle() -> None:
    assert np.unique(residual(np.full((20, 20, 3), 200, np.uint8), 8)).tolist() == [127]
    # One bright pixel on black is what the median removes.
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[4, 4] = 10
    found = residual(pixels, 8)
    assert found[4, 4].tolist() == [207, 207, 207]
    assert (found != 127).sum() == 3


@pytest.mark.parametrize(
    ("view", "size", "patches", "side", "zoom"),
    [
        (RESIDUAL, (16, 16), 1, 16, 24),
        (RESIDUAL, (128, 128), 1, 128, 3),
        (RESIDUAL, (200, 640), 5, 192, 2),
        (RESIDUAL, (1024, 1024), 5, 192, 2),
        (NATIVE, (16, 16), 1, 16, 24),
        (NATIVE, (128, 128), 1, 128, 3),
        (NATIVE, (200, 640), 4, 200, 1),
        (NATIVE, (640, 200), 4, 200, 1),
        (NATIVE, (1024, 1024), 4, 320, 1),
        (NATIVE, (335, 335), 1, 320, 1),
        (NATIVE, (336, 336), 4, 320, 1),
        (WHOLE, (16, 16), 1, 256, 1),
        (WHOLE, (128, 128), 1, 256, 1),
        (WHOLE, (200, 640), 1, 256, 1),
        (WHOLE, (1024, 1024), 1, 256, 1),
    ],
)
def test_patches_of_the_default_views(view: View, size: tuple[int, int], patches: int, side: int, zoom: int) -> None:
    found = view.patches(noise(*size))
    assert found.shape == (patches, side, side, 3)
    assert found.dtype == np.uint8
    assert view.zoom(side) == zoom
    assert side * zoom <= max(view.input, side)


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((128, 128), [(0, 0)]),
        # 200 × 640 leaves 440 columns to move in: the middle, and 15 % and 85 % of them; rows leave none.
        ((200, 640), [(0, 220), (0, 66), (0, 374), (0, 374)]),
        ((1024, 1024), [(352, 352), (105, 105), (598, 598), (105, 598)]),
    ],
)
def test_where_patches_lie(size: tuple[int, int], corners: list[tuple[int, int]]) -> None:
    pixels = coordinates(*size)
    found = NATIVE.patches(pixels)
    assert [corner(patch) for patch in found] == corners
    side = found.shape[1]
    for patch, (top, left) in zip(found, corners, strict=True):
        assert np.array_equal(patch, pixels[top : top + side, left : left + side])


def test_a_residual_patch_is_that_of_the_patch() -> None:
    pixels = noise(1024, 1024)
    places = View("p", "pixels", side=192, count=5).patches(pixels)
    assert np.array_equal(RESIDUAL.patches(pixels), np.stack([residual(patch, 8) for patch in places]))


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 700), st.integers(16, 700), st.integers(16, 400), st.integers(1, 5))
def test_patches_lie_inside_the_image(height: int, width: int, side: int, count: int) -> None:
    pixels = np.broadcast_to(np.uint8(9), (height, width, 3))
    found = View("v", "pixels", side=side, count=count).patches(pixels)
    assert found.shape[1:] == (min(side, height, width),) * 2 + (3,)
    assert len(found) in (1, count)


@pytest.mark.parametrize("size", [(15, 100), (100, 15), (1, 1)])
@pytest.mark.parametrize("view", DEFAULT_VIEWS)
def test_too_small_is_named(view: View, size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooSmallError, match=f"{size[1]} × {size[0]}"):
        view.patches(noise(*size))
    assert MIN_SIDE == 16


def test_shrink() -> None:
    pixels = noise(300, 500)
    down = Image.fromarray(pixels).resize((256, 256), Image.Resampling.LANCZOS)
    assert np.array_equal(shrink(pixels, 256), np.asarray(down))
    small = noise(100, 500)
    up = Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC)
    assert np.array_equal(shrink(small, 256), np.asarray(up))
    same = noise(256, 256)
    assert np.array_equal(shrink(same, 256), same)


@pytest.mark.parametrize("bad", [{"count": 0}, {"count": 6}, {"side": 15}, {"kind": "rseidual"}])
def test_a_view_that_cannot_be(bad: dict) -> None:
    with pytest.raises(InputError, match="a view shows"):
        View(**{"name": "v", "kind": "pixels", "side": 64, **bad})


def test_the_description_holds_whatever_changes_what_is_seen() -> None:
    plain = View("v", "residual", side=64, count=2)
    others = [
        View("v", "pixels", side=64, count=2),
        View("v", "residual", side=65, count=2),
        View("v", "residual", side=64, count=3),
        View("v", "residual", side=64, count=2, input=128),
        View("v", "residual", side=64, count=2, gain=4),
    ]
    assert all(other.describe() != plain.describe() for other in others)
    assert len(plain.describe()["positions"]) == 2


def test_group_by_shape() -> None:
    arrays = [np.zeros((n, side, side, 3), np.uint8) for n, side in ((1, 8), (4, 9), (2, 8))]
    assert group_by_shape(arrays) == {(8, 8, 3): [0, 2], (9, 9, 3): [1]}
