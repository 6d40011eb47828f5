"""The mean residual by place: patterns come back, move with the picture, and vanish where there are none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from morelli.encoders.catalogue import encoder_names, load_encoder
from morelli.errors import ArrayError, FlatImageError, ImageTooSmallError, InputError
from morelli.fingerprint.lattice import MOST, PERIOD, ResidualLattice, folded_sums, part_edges
from morelli.testing.encoders import check_encoder


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth ground with a little grain."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:height, :width]
    ground = 120 + 40 * np.sin(down / 37 + seed) + 40 * np.cos(across / 53)
    return ground[..., None] + rng.normal(0, 2, (height, width, 3))


def with_pattern(height: int, width: int, pattern: np.ndarray, seed: int = 0) -> np.ndarray:
    tiled = np.tile(pattern, (-(-height // PERIOD), -(-width // PERIOD), 1))[:height, :width]
    return (scene(height, width, seed) + tiled).round().clip(0, 255).astype(np.uint8)


def pattern(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (PERIOD, PERIOD, 3))


def vector(pixels: np.ndarray) -> np.ndarray:
    encoder = ResidualLattice()
    return encoder.encode([encoder.prepare(pixels)])["lattice/mean"][0].reshape(3, PERIOD, PERIOD)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_it_is_registered_and_keeps_the_contract() -> None:
    assert "residual-lattice" in encoder_names()
    encoder = load_encoder("residual-lattice")
    check_encoder(encoder)
    assert encoder.stamp.dims == {"lattice/mean": 768}


def test_a_pattern_comes_back_and_another_does_not() -> None:
    one, two = pattern(1), pattern(2)
    found = vector(with_pattern(320, 256, one))
    # Red against green: the difference of the pattern's channels, less what the filter takes for picture.
    assert alike(found[1], one[..., 0] - one[..., 1]) > 0.8
    assert alike(found, vector(with_pattern(256, 288, one, seed=3))) > 0.8
    assert abs(alike(found, vector(with_pattern(320, 256, two)))) < 0.3
    nothing = vector(scene(320, 256).round().astype(np.uint8))
    assert np.abs(nothing).mean() < 0.2 * np.abs(found).mean()


def test_it_moves_with_the_picture_and_a_whole_block_does_not_matter() -> None:
    pixels = with_pattern(336, 336, pattern(1))
    found = vector(pixels)
    moved = vector(pixels[5:, 3:])
    assert alike(np.roll(found, (-5, -3), axis=(1, 2)), moved) > 0.9
    assert abs(alike(found, moved)) < 0.4
    assert alike(found, vector(pixels[16:, 32:])) > 0.9


def test_sums_by_a_loop() -> None:
    residuals = torch.from_numpy(np.random.default_rng(0).normal(0, 6, (2, 3, 32, 48))).float()
    wanted = np.zeros((3, PERIOD, PERIOD))
    for image in residuals.numpy():
        for i in range(32):
            for j in range(48):
                r, g, b = image[:, i, j]
                for channel, value in enumerate(((r + g + b) / 3, r - g, b - g)):
                    wanted[channel, i % PERIOD, j % PERIOD] += min(max(value, -MOST), MOST)
    sums, blocks = folded_sums(residuals)
    assert np.allclose(sums.numpy(), wanted, atol=1e-3)
    assert blocks == len(residuals) * (residuals.shape[-2] // PERIOD) * (residuals.shape[-1] // PERIOD)


@pytest.mark.parametrize("extent", [32, 48, 256, 272, 288, 512, 528, 1024, 1040])
def test_parts_cover_the_picture_and_keep_the_lattice(extent: int) -> None:
    cuts = part_edges(extent)
    assert [cuts[0][0], cuts[-1][1]] == [0, extent]
    assert all(a[1] == b[0] for a, b in pairwise(cuts))
    assert all(start % PERIOD == 0 and end - start >= 32 for start, end in cuts)


def test_what_cannot_be_looked_at() -> None:
    encoder = ResidualLattice()
    with pytest.raises(ImageTooSmallError, match="32"):
        encoder.prepare(np.zeros((31, 200, 3), np.uint8))
    with pytest.raises(FlatImageError):
        encoder.encode([encoder.prepare(np.full((64, 64, 3), 7, np.uint8))])
    # Where only a part is flat, the others count.
    half = with_pattern(256, 512, pattern(1))
    half[:, 256:] = 9
    assert alike(vector(half), vector(half[:, :256])) > 0.99


@pytest.mark.parametrize("shape", [(512, 512), (300, 530)])
def test_no_place_stands_out_for_what_lies_at_the_borders(shape: tuple[int, int]) -> None:
    """Ground that is dark on the left and bright on the right, as a transform that wraps round makes an edge of it."""
    height, width = shape
    grain = np.random.default_rng(0).normal(0, 1, (height, width, 3))
    ramp = np.linspace(40, 200, width)[None, :, None] + np.linspace(-30, 30, height)[:, None, None]
    found = vector((ramp + grain).round().clip(0, 255).astype(np.uint8))[0]
    for axis in (0, 1):
        places = np.abs(found.mean(axis=axis))
        assert places[[0, -1]].max() < 1.5 * places[1:-1].max()
        assert places.max() < 0.05


@pytest.mark.parametrize("side", [32, 33, 47, 48])
def test_small_pictures(side: int) -> None:
    assert vector(with_pattern(side, side + 3, pattern(1))).shape == (3, PERIOD, PERIOD)


@pytest.mark.parametrize(
    "wrong", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3))]
)
def test_what_is_no_picture(wrong: np.ndarray) -> None:
    with pytest.raises(ArrayError, match="uint8"):
        ResidualLattice().prepare(wrong)


def test_a_residual_that_loses_its_margin_is_refused() -> None:
    with pytest.raises(InputError, match="pixels a side"):
        ResidualLattice("denoiser")
