"""Degradations against slow or independent references, and the text form."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from morelli.errors import ArrayError, InputError, UnknownNameError
from morelli.images import degrade as d
from morelli.testing.hostile import scene


def noisy(height: int = 40, width: int = 56, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


TEXTS = ["jpeg:75", "webp:60", "blur:1.5", "resize:0.5", "crop:0.8", "noise:6", "resize:0.5+jpeg:75", "crop:1"]


@pytest.mark.parametrize("text", TEXTS)
def test_pure_and_deterministic(text: str) -> None:
    pixels = noisy()
    kept = pixels.copy()
    pixels.flags.writeable = False
    first, second = d.degrade(pixels, text), d.degrade(pixels, text)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(pixels, kept)
    assert first.dtype == np.uint8
    assert first.flags.writeable
    assert not np.shares_memory(first, pixels)
    assert first.shape == ((20, 28, 3) if "resize" in text else pixels.shape)


def test_jpeg_is_pillows_at_that_quality_and_subsampling() -> None:
    pixels = scene()
    for quality, subsampling, code in ((30, "4:2:0", 2), (75, "4:2:2", 1), (95, "4:4:4", 0)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=code)
        np.testing.assert_array_equal(d.jpeg(pixels, quality, subsampling), np.asarray(Image.open(file)))  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", [d.jpeg, d.webp])
def test_lower_quality_errs_more(codec: Callable[[d.Pixels, float], d.Pixels]) -> None:
    pixels = noisy()
    errors = [np.abs(codec(pixels, q).astype(int) - pixels).mean() for q in (95, 60, 10)]
    assert errors[0] < errors[1] < errors[2]
    assert np.abs(codec(scene(), 95).astype(int) - scene()).mean() < 10, "colours in order"


def test_blur_is_a_gaussian_convolution() -> None:
    sigma, radius = 1.3, 5  # int(4 · 1.3 + 0.5)
    steps = np.arange(-radius, radius + 1)
    kernel = np.exp(-(steps**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    pixels = noisy(12, 14)
    padded = np.pad(pixels.astype(float), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    expected = np.zeros(pixels.shape)
    for y in range(12):
        for x in range(14):
            window = padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1]
            expected[y, x] = np.einsum("i,j,ijc->c", kernel, kernel, window)
    assert np.abs(d.blur(pixels, sigma) - expected).max() <= 0.51


def test_blur_keeps_a_flat_picture_and_the_channels_apart() -> None:
    flat = np.full((20, 30, 3), (10, 100, 200), np.uint8)
    np.testing.assert_array_equal(d.blur(flat, 3), flat)


def test_resize() -> None:
    pixels = noisy(40, 56)
    assert d.resize(pixels, 1.5).shape == (60, 84, 3)
    assert d.resize(noisy(3, 3), 0.05).shape == (1, 1, 3)
    blocks = np.rint(pixels.reshape(20, 2, 28, 2, 3).mean(axis=(1, 3)))
    assert np.abs(d.resize(pixels, 0.5, "box") - blocks).max() <= 1
    np.testing.assert_array_equal(d.resize(pixels, 2, "nearest"), pixels.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(d.resize(pixels, 1), pixels)


def test_crop_resize() -> None:
    pixels = noisy(40, 60)
    np.testing.assert_array_equal(d.crop_resize(pixels, 1), pixels)
    middle = pixels[10:30, 15:45].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(d.crop_resize(pixels, 0.5, resample="nearest"), middle)
    corner = pixels[20:, :30].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(d.crop_resize(pixels, 0.5, (1, 0), "nearest"), corner)
    with pytest.raises(InputError, match="0 to 1"):
        d.crop_resize(pixels, 0.5, (1.5, 0))


def test_cut_keeps_a_part_at_its_scale_somewhere() -> None:
    pixels = noisy(40, 60)
    part = d.cut(pixels, 0.5)
    assert part.shape == (20, 30, 3)
    places = [(i, j) for i in range(21) for j in range(31) if np.array_equal(pixels[i : i + 20, j : j + 30], part)]
    assert len(places) == 1
    np.testing.assert_array_equal(d.degrade(pixels, "cut:0.5"), part)
    np.testing.assert_array_equal(d.cut(pixels, 1), pixels)
    assert d.cut(noisy(3, 3), 0.05).shape == (1, 1, 3)
    # Another picture, strength or seed is cut elsewhere; one seed gives one place.
    boxes = {str(d.cut_box(np.roll(pixels, shift, axis=0), 0.5)) for shift in range(12)}
    assert len(boxes) > 6
    np.testing.assert_array_equal(d.degrade(pixels, "cut:0.5", seed=3), d.cut(pixels, 0.5, seed=3))
    assert len({str(d.cut_box(pixels, 0.5, seed=seed)) for seed in range(12)}) > 6


def test_noise() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    difference = d.noise(grey, 10).astype(float) - 128
    assert abs(difference.std() - 10) < 0.1  # 120,000 samples: the standard error is 0.02
    assert abs(difference.mean()) < 0.15
    assert abs(np.corrcoef(difference[:, :, 0].ravel(), difference[:, :, 1].ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(d.noise(grey, 0), grey)
    assert (d.noise(grey, 10, seed=1) != d.noise(grey, 10, seed=2)).any()
    np.testing.assert_array_equal(d.degrade(grey, "noise:10", seed=5), d.noise(grey, 10, seed=5))
    assert set(np.unique(d.noise(np.full((50, 50, 3), 255, np.uint8), 50))) >= {255}, "clipped, not wrapped"
    assert d.noise(np.full((50, 50, 3), 250, np.uint8), 3).min() > 200


def test_parse() -> None:
    one = d.parse(" jpeg : 75.0 ")
    assert (one.name, one.strength) == ("jpeg:75", 75.0)
    chain = d.parse("resize:0.50 + jpeg:75")
    assert (chain.name, chain.strength) == ("resize:0.5+jpeg:75", None)
    pixels = noisy()
    np.testing.assert_array_equal(chain(pixels), d.jpeg(d.resize(pixels, 0.5), 75))
    assert (d.degrade(pixels, "jpeg:75+resize:0.5") != chain(pixels)).any(), "the order counts"
    assert d.parse(one.name) == one


def test_between_two_strengths_each_picture_has_its_own():
    between = d.parse(" resize : 0.50 ~ 0.95 ")
    assert (between.name, between.strength) == ("resize:0.5~0.95", None)
    assert d.parse(between.name).name == between.name
    pictures = [np.roll(noisy(100, 100), shift, axis=0) for shift in range(40)]
    sides = [between(pixels).shape[0] for pixels in pictures]
    assert sides == [between(pixels).shape[0] for pixels in pictures], "a picture is always treated alike"
    assert 50 <= min(sides) < 60 and 85 < max(sides) <= 95 and 65 < np.mean(sides) < 80, "evenly, ends included"
    assert len({d.degrade(pixels, "resize:0.5~0.95", seed=3).shape for pixels in pictures}) == 1
    chain = d.parse("resize:0.5~0.95+jpeg:60~90")
    np.testing.assert_array_equal(chain(pictures[0]), d.degrade(between(pictures[0]), "jpeg:60~90"))
    possible = [d.jpeg(pictures[0], quality) for quality in (80, 81)]
    assert any((d.degrade(pictures[0], "jpeg:80~81") == pixels).all() for pixels in possible), (
        "whole where they must be"
    )


def test_a_drawn_cut_is_the_same_each_time():
    pictures = [np.roll(noisy(100, 100), shift, axis=0) for shift in range(3)]
    made = [d.degrade(pixels, "cut:0.3~0.6") for pixels in pictures]
    assert len({pixels.shape for pixels in made}) > 1
    np.testing.assert_array_equal(made[0], d.degrade(pictures[0], "cut:0.3~0.6"))


@given(st.sampled_from(sorted(d.RANGES)), st.floats(0, 1))
def test_names_read_back(name: str, share: float) -> None:
    limits = d.RANGES[name]
    strength = limits.low + share * (limits.high - limits.low)
    text = f"{name}:{round(strength) if limits.whole else strength:.6g}"
    again = d.parse(d.parse(text).name)
    assert again.name == d.parse(text).name
    assert again.strength == pytest.approx(float(text.split(":")[1]), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 24), st.integers(1, 24), st.sampled_from(TEXTS))
def test_any_size(height: int, width: int, text: str) -> None:
    assert d.degrade(noisy(height, width), text).ndim == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jpeg:0", "from 1 to 100"),
        ("jpeg:101", "from 1 to 100"),
        ("jpeg:75.5", "whole number"),
        ("webp:-3", "from 1 to 100"),
        ("blur:0", "from 0.1 to 50"),
        ("resize:0", "from 0.05 to 8"),
        ("resize:inf", "from 0.05 to 8"),
        ("crop:1.2", "from 0.05 to 1"),
        ("noise:-1", "from 0 to 255"),
        ("noise:nan", "needs a number"),
        ("jpeg", "needs a number"),
        ("jpeg:", "needs a number"),
        ("jpeg:good", "needs a number"),
        ("blur:1+jpeg:500", "from 1 to 100"),
        ("crop:0.98~0.85", "the lower strength comes first"),
        ("crop:0.9~0.9", "the lower strength comes first"),
        ("jpeg:60.5~90", "whole number"),
        ("jpeg:60~101", "from 1 to 100"),
        ("crop:0.9~", "needs a number"),
        ("crop:~", "needs a number"),
        ("resize:0.5~0.6~0.7", "needs a number"),
        ("blur:nan~2", "needs a number"),
    ],
)
def test_bad_strengths(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        d.parse(text)


def test_bad_names() -> None:
    with pytest.raises(UnknownNameError, match="jpeg"):
        d.parse("jpg:75")
    for text in ("", "+", "jpeg:75+", ":3"):
        with pytest.raises(UnknownNameError):
            d.parse(text)
    with pytest.raises(UnknownNameError, match="bicubic"):
        d.resize(noisy(), 0.5, "cubic")
    with pytest.raises(UnknownNameError):
        d.jpeg(noisy(), 75, "4:1:1")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", TEXTS)
def test_bad_pixels(text: str) -> None:
    for bad in (np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), [[1]]):
        with pytest.raises(ArrayError):
            d.degrade(bad, text)  # type: ignore[arg-type]


def test_every_picture_and_strength_has_noise_of_its_own_and_always_the_same():
    """One field for all would be a pattern: a mean over noisy pictures would hold it."""
    first, second = (np.full((32, 32, 3), level, np.uint8) for level in (100, 101))
    added = [d.degrade(each, "noise:8").astype(float) - each for each in (first, second, first)]
    np.testing.assert_array_equal(added[0], added[2])
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1
    weaker = d.degrade(first, "noise:4").astype(float) - first
    assert abs(np.corrcoef(added[0].ravel(), weaker.ravel())[0, 1]) < 0.1
    assert added[0].std() == pytest.approx(8, rel=0.05)


@pytest.mark.parametrize(("text", "side"), [("webp:80", 16_400), ("jpeg:80", 65_520)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_picture_longer_than_a_codec_can_write_is_cut(text: str, side: int, turned: bool):
    pixels = np.repeat(noisy(16, 16)[:, :1], side, axis=1)
    pixels = pixels.transpose(1, 0, 2).copy() if turned else pixels
    made = d.degrade(pixels, text)
    assert made.shape == pixels.shape
    start = pixels[:16_368] if turned else pixels[:, :16_368]
    ours = made[:16_368] if turned else made[:, :16_368]
    np.testing.assert_array_equal(ours, d.degrade(start, text))
