"""The mean residual by place: patterns come back, move with the picture, and vanish where there are none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d, uniform_filter

from morelli.encoders.catalogue import encoder_names, load_encoder
from morelli.errors import ArrayError, FlatImageError, ImageTooSmallError
from morelli.fingerprint.highpass import MARGIN, SIGMA, highpass_residual
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
    found = encoder.encode([encoder.prepare(pixels)])
    return np.concatenate([each[0] for each in found.values()]).reshape(3, PERIOD, PERIOD)


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_it_is_registered_and_keeps_the_contract() -> None:
    assert "residual-lattice" in encoder_names()
    encoder = load_encoder("residual-lattice")
    check_encoder(encoder)
    assert encoder.stamp.dims == {"lattice-brightness/mean": 256, "lattice-colour/mean": 512}


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
    residual = torch.from_numpy(np.random.default_rng(0).normal(0, 6, (3, 32, 48))).float()
    wanted = np.zeros((3, PERIOD, PERIOD))
    for channel, rows in enumerate(residual.numpy()):
        for i in range(32):
            for j in range(48):
                wanted[channel, i % PERIOD, j % PERIOD] += min(max(rows[i, j], -MOST), MOST)
    sums, blocks = folded_sums(residual)
    assert np.allclose(sums.numpy(), wanted, atol=1e-3)
    assert blocks == 2 * 3


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
        # A ramp has a corner where it is mirrored; a wrapped edge made 0.3 of a level of the first and last places.
        assert places.max() < 0.03
        assert places[[0, -1]].max() < 2 * places[1:-1].max()


@pytest.mark.parametrize("side", [32, 33, 47, 48])
def test_small_pictures(side: int) -> None:
    assert vector(with_pattern(side, side + 3, pattern(1))).shape == (3, PERIOD, PERIOD)


@pytest.mark.parametrize(
    "wrong", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3))]
)
def test_what_is_no_picture(wrong: np.ndarray) -> None:
    with pytest.raises(ArrayError, match="uint8"):
        ResidualLattice().prepare(wrong)


@pytest.mark.parametrize("shape", [(300, 530), (288, 1040), (33, 90)])
def test_means_by_hand(shape: tuple[int, int]) -> None:
    """Filter, weights and means by scipy, of the whole picture at once: parts leave no seams."""
    pixels = with_pattern(*shape, pattern(3))
    height, width = (extent - extent % PERIOD for extent in shape)
    levels = pixels[:height, :width].astype(np.float64) * 256 / 255
    taps = np.array([1, 4, 6, 4, 1]) / 16
    turned = (levels.mean(axis=2), levels[..., 0] - levels[..., 1], levels[..., 2] - levels[..., 1])
    wide = np.zeros(9)
    wide[::2] = taps
    for channel, found in zip(turned, vector(pixels), strict=True):
        # numpy's "reflect" is scipy's "mirror".
        around = np.pad(channel, MARGIN, mode="reflect")
        once = convolve1d(convolve1d(around, taps, axis=0), taps, axis=1)
        twice = convolve1d(convolve1d(once, wide, axis=0), wide, axis=1)
        weighed = np.zeros_like(around)
        for detail in (around - once, once - twice):
            weighed += detail * SIGMA**2 / (SIGMA**2 + uniform_filter(detail**2, 3))
        inner = weighed[MARGIN:-MARGIN, MARGIN:-MARGIN]
        blocks = inner.clip(-MOST, MOST).reshape(height // PERIOD, PERIOD, width // PERIOD, PERIOD)
        assert np.allclose(blocks.mean(axis=(0, 2)), found, atol=1e-4)


def test_an_edge_counts_little_and_grain_for_what_it_is() -> None:
    grain = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (1, 64, 64)))
    edge = torch.zeros(1, 64, 64, dtype=torch.float64)
    edge[..., 32:] = 80.0
    plain = highpass_residual(grain, sigma=1e9)  # no weights
    assert highpass_residual(grain).std() > 0.95 * plain.std()
    # Where each band deviates by σ, half of it is left.
    rough = grain * 1e3
    spread = float((rough - 0).std())
    half = highpass_residual(rough, sigma=spread).std() / highpass_residual(rough, sigma=1e9).std()
    assert 0.4 < half < 0.7
    assert highpass_residual(edge, sigma=1e9).abs().max() > 20
    assert highpass_residual(edge).abs().max() < 1
    assert tuple(plain.shape) == (1, 50, 50)
