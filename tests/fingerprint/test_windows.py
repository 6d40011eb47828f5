"""Nine windows: the published positions, and the sizes at which the published loop fails."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import ArrayError, ImageTooSmallError, InputError
from morelli.fingerprint.windows import ACROSS, BLOCK, SIDE, enlarge, grid_windows, nine_windows, positions


def numbered(height: int, width: int) -> np.ndarray:
    """Every pixel says where it is."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y % 251, x % 251, y // 251 * 16 + x // 251], axis=2).astype(np.uint8)


def test_published_positions() -> None:
    assert positions(1024) == (0, 448, 896)
    pixels = numbered(512, 1024)
    found = nine_windows(pixels)
    assert found.shape == (9, 128, 128, 3)
    expected = [pixels[a : a + 128, b : b + 128] for a in (0, 192, 384) for b in (0, 448, 896)]
    assert np.array_equal(found, expected)


@given(st.integers(SIDE, 3000))
def test_windows_lie_in_the_image_and_are_three(extent: int) -> None:
    first, middle, last = positions(extent)
    assert first == 0
    assert middle - first == last - middle
    assert extent - SIDE - 1 <= last <= extent - SIDE


@pytest.mark.parametrize(("side", "count"), [(128, 1), (129, 1), (130, 9), (131, 9)])
def test_sizes_at_which_the_published_loop_fails(side: int, count: int) -> None:
    assert nine_windows(numbered(side, side)).shape == (count, 128, 128, 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(16, 160), st.integers(16, 160), st.sampled_from(["resize", "crop"]))
def test_any_size_gives_windows(height: int, width: int, small: str) -> None:
    found = nine_windows(numbered(height, width), small=small)  # pyright: ignore[reportArgumentType]
    assert found.shape[1:] == (128, 128, 3)
    assert found.dtype == np.uint8
    assert len(found) in (1, 3, 9)


def test_grid_windows_lie_side_by_side_and_reach_the_edges() -> None:
    pixels = numbered(300, 400)
    expected = [pixels[a : a + 128, b : b + 128] for a in (0, 128, 168) for b in (0, 128, 256, 272)]
    assert np.array_equal(grid_windows(pixels), expected)


@given(st.integers(16, 2600), st.integers(16, 400))
@settings(max_examples=30, deadline=None)
def test_a_grid_covers_the_image_by_windows_on_whole_blocks(height: int, width: int) -> None:
    found = grid_windows(numbered(height, width))
    if min(height, width) < SIDE:
        return
    first = found[:, 0, 0].astype(int)
    tops, lefts = first[:, 2] // 16 * 251 + first[:, 0], first[:, 2] % 16 * 251 + first[:, 1]
    assert len(set(zip(tops, lefts, strict=True))) == len(found)
    for starts, extent in ((np.unique(tops), height), (np.unique(lefts), width)):
        assert (starts % BLOCK == 0).all()
        assert len(starts) <= ACROSS
        assert starts[0] == 0
        # What is not seen at the end is less than a block, and nothing between windows where there is room for all.
        assert extent - (starts[-1] + SIDE) < BLOCK
        assert extent > ACROSS * SIDE or (np.diff(starts) <= SIDE).all()
        assert extent % SIDE or extent > ACROSS * SIDE or (np.diff(starts) == SIDE).all()
    assert len(found) == len(np.unique(tops)) * len(np.unique(lefts))


def test_a_grid_frames_a_small_image_where_asked_and_knows_no_other_way() -> None:
    pixels = numbered(60, 200)
    assert np.array_equal(grid_windows(pixels, small="crop"), nine_windows(pixels, small="crop")[:1])
    with pytest.raises(InputError, match="resize or crop"):
        grid_windows(pixels, small="pad")  # pyright: ignore[reportArgumentType]


def test_a_small_image_is_enlarged_or_framed() -> None:
    pixels = np.full((64, 64, 3), 200, np.uint8)
    assert (nine_windows(pixels) == 200).all()
    framed = nine_windows(pixels, small="crop")
    assert framed.shape == (1, 128, 128, 3)
    assert (framed[0, 32:96, 32:96] == 200).all()
    assert framed.sum() == 64 * 64 * 3 * 200


def test_a_narrow_image_is_cropped_along_its_long_side_as_published() -> None:
    pixels = numbered(100, 300)
    framed = nine_windows(pixels, small="crop")
    assert np.array_equal(framed[0, 14:114], pixels[:, 86:214])


def test_a_strip_is_not_enlarged_without_bound() -> None:
    strip = np.zeros((16, 40_000, 3), np.uint8)
    assert enlarge(strip, SIDE).shape == (SIDE, 64 * SIDE, 3)
    assert len(nine_windows(strip)) == 3
    assert enlarge(np.zeros((16, 32, 3), np.uint8), SIDE).shape == (SIDE, 2 * SIDE, 3)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ImageTooSmallError, match="16"):
        nine_windows(numbered(15, 400))
    with pytest.raises(InputError, match="crop"):
        nine_windows(numbered(64, 64), small="pad")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArrayError):
        nine_windows(np.zeros((128, 128), np.uint8))
