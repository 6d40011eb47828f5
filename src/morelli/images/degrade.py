"""What happens to pictures on their way: compression, blur, resizing, cropping, cutting, noise.

The one implementation, used for training, for evaluation and for a verdict's stability. Every function is pure and
deterministic: pixels in, new pixels out. The text form is ``name:strength``, chained with ``+``; between two strengths
each picture has one of its own, drawn evenly::

    degrade(pixels, "resize:0.5+jpeg:75")
    degrade(pixels, "crop:0.85~0.98")
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from morelli.errors import InputError, UnknownNameError
from morelli.images.pixels import check_pixels

Pixels = NDArray[np.uint8]
Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

RESAMPLERS: Mapping[str, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, slots=True)
class Range:
    """Allowed strengths of one degradation, both ends included; ``words`` says what they mean."""

    low: float
    high: float
    whole: bool
    words: str

    def check(self, name: str, value: Any) -> float:
        """The value, or InputError that says the range."""
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high or (self.whole and value != int(value)):
            kind = "a whole number" if self.whole else "a number"
            raise InputError(
                f"{self.words} must be {kind} from {self.low:g} to {self.high:g}; got {value!r}.", argument=name
            )
        return float(value)


RANGES: Mapping[str, Range] = {
    "jpeg": Range(1, 100, True, "the quality"),
    "webp": Range(1, 100, True, "the quality"),
    "blur": Range(0.1, 50, False, "the Gaussian's sigma in pixels"),
    "resize": Range(0.05, 8, False, "the scale of the sides"),
    "crop": Range(0.05, 1, False, "the fraction of the sides that is kept"),
    "cut": Range(0.05, 1, False, "the fraction of the sides that is cut out"),
    "noise": Range(0, 255, False, "the noise's sigma in levels of 0–255"),
}


#: Between two strengths of which each picture has one of its own.
BETWEEN = "~"

# Sides that codecs can write, pixels, less what is no whole block of theirs.
_LONGEST = {"JPEG": 65_488, "WEBP": 16_368}


def jpeg(pixels: Pixels, quality: float, subsampling: Subsampling = "4:2:0") -> Pixels:
    """Compress as JPEG (quality 1–100, libjpeg's scale) and decode again."""
    level = int(RANGES["jpeg"].check("jpeg", quality))
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise UnknownNameError("subsampling", str(subsampling), ["4:4:4", "4:2:2", "4:2:0"])
    return _through_codec(pixels, "JPEG", quality=level, subsampling=subsampling)


def webp(pixels: Pixels, quality: float) -> Pixels:
    """Compress as lossy WebP (quality 1–100) and decode again."""
    return _through_codec(pixels, "WEBP", quality=int(RANGES["webp"].check("webp", quality)))


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """Convolve with a Gaussian, cut at 4 sigma; edges are mirrored.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    sigma : float
        Standard deviation, pixels, 0.1–50.
    """
    from scipy.ndimage import gaussian_filter1d

    sigma = RANGES["blur"].check("blur", sigma)
    values = check_pixels(pixels).astype(np.float32)
    for axis in (0, 1):
        values = gaussian_filter1d(values, sigma, axis=axis, mode="reflect", truncate=4.0)
    return _round(values)


def resize(pixels: Pixels, scale: float, resample: str = "bicubic") -> Pixels:
    """Scale both sides by ``scale`` (0.05–8), rounded to whole pixels, at least one; the size changes."""
    scale = RANGES["resize"].check("resize", scale)
    height, width, _ = check_pixels(pixels).shape
    return _resample(pixels, max(1, round(width * scale)), max(1, round(height * scale)), resample)


def crop_resize(
    pixels: Pixels, fraction: float, centre: tuple[float, float] = (0.5, 0.5), resample: str = "bicubic"
) -> Pixels:
    """Cut out a part of the picture and bring it back to the picture's size.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    fraction : float
        Of each side that is kept, 0.05–1.
    centre : (float, float)
        Where the part lies, down and across, 0–1 each: (0, 0) touches the upper left corner, (1, 1) the lower right.
    resample : str
        A key of `RESAMPLERS`.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
    """
    fraction = RANGES["crop"].check("crop", fraction)
    down, across = (Range(0, 1, False, "each part").check("centre", part) for part in centre)
    height, width, _ = check_pixels(pixels).shape
    rows, columns = max(1, round(height * fraction)), max(1, round(width * fraction))
    top, left = round((height - rows) * down), round((width - columns) * across)
    return _resample(pixels[top : top + rows, left : left + columns], width, height, resample)


def cut(pixels: Pixels, fraction: float, seed: int | None = None) -> Pixels:
    """Cut out a part of the picture somewhere, and leave it at its scale: the result is smaller.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    fraction : float
        Of each side that is kept, 0.05–1.
    seed : int, optional
        Decides where. By default the pixels do, so that a picture is always cut alike, and others elsewhere.

    Returns
    -------
    ndarray, shape (round(height · fraction), round(width · fraction), 3), uint8
        At least one pixel a side.

    Raises
    ------
    InputError
        The fraction is out of its range.
    """
    return pixels[cut_box(pixels, fraction, seed)].copy()


def cut_box(pixels: Pixels, fraction: float, seed: int | None = None) -> tuple[slice, slice]:
    """Rows and columns that `cut` keeps; arguments and errors are its own."""
    fraction = RANGES["cut"].check("cut", fraction)
    height, width, _ = check_pixels(pixels).shape
    rows, columns = max(1, round(height * fraction)), max(1, round(width * fraction))
    rng = np.random.default_rng(_own_seed("cut", fraction, pixels) if seed is None else seed)
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    return slice(top, top + rows), slice(left, left + columns)


def noise(pixels: Pixels, sigma: float, seed: int | None = None) -> Pixels:
    """Add independent Gaussian noise of ``sigma`` levels (0–255) to every sample.

    Parameters
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
    sigma : float
    seed : int, optional
        Decides which. By default the pixels and the strength do: a picture always gets the same noise, and no two
        pictures, and no two strengths, share theirs. One field for all would be a pattern that can be learnt.
    """
    sigma = RANGES["noise"].check("noise", sigma)
    check_pixels(pixels)
    if seed is None:
        seed = _own_seed("", sigma, pixels)
    draws = np.random.default_rng(seed).standard_normal(pixels.shape, dtype=np.float32)
    return _round(pixels + np.float32(sigma) * draws)


def _own_seed(name: str, strength: float, pixels: Pixels) -> int:
    """A picture's own, at each strength another."""
    return int.from_bytes(hashlib.sha256(f"{name}{strength:g} {pixels.shape} ".encode() + pixels.tobytes()).digest())


@dataclass(frozen=True, slots=True)
class Degradation:
    """One degradation, or a chain, with its strength fixed; call it with pixels.

    Attributes
    ----------
    name : str
        The canonical text: "jpeg:75", "crop:0.85~0.98", "resize:0.5+jpeg:75".
    strength : float or None
        None for a chain, and where each picture has its own.
    function : callable
        Pixels to pixels.
    """

    name: str
    strength: float | None
    function: Callable[[Pixels], Pixels] = field(repr=False, compare=False)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Degraded copy of ``pixels``, shape (height, width, 3), uint8."""
        return self.function(pixels)


_FUNCTIONS: Mapping[str, Callable[..., Pixels]] = {
    "jpeg": jpeg,
    "webp": webp,
    "blur": blur,
    "resize": resize,
    "crop": crop_resize,
    "cut": cut,
    "noise": noise,
}


def parse(text: str, *, seed: int | None = None) -> Degradation:
    """Read the text form: "jpeg:Q", "webp:Q", "blur:S", "resize:F", "crop:F", "cut:F", "noise:S", chains.

    A chain has "+" between its steps: "resize:0.5+jpeg:75". In place of a strength may stand two, the lower first:
    "crop:0.85~0.98" draws each picture's own between them.

    Parameters
    ----------
    text : str
        As above; spaces do not matter.
    seed : int, optional
        For noise, cuts and strengths that are drawn; by default each picture has its own, see `noise`.

    Raises
    ------
    UnknownNameError
        No degradation of that name.
    InputError
        No strength, one outside its range, or two of which the first is not the lower; the message says the range.

    Examples
    --------
    >>> parse("resize:0.50 + jpeg:75").name
    'resize:0.5+jpeg:75'
    >>> parse("crop: 0.850~0.98").name
    'crop:0.85~0.98'
    """
    steps = [_parse_step(part, seed) for part in text.split("+")]
    if len(steps) == 1:
        return steps[0]
    return Degradation("+".join(step.name for step in steps), None, partial(_chain, tuple(steps)))


def degrade(pixels: Pixels, text: str, *, seed: int | None = None) -> Pixels:
    """``parse(text, seed=seed)`` applied to pixels, shape (height, width, 3), uint8."""
    return parse(text, seed=seed)(pixels)


def _parse_step(part: str, seed: int | None) -> Degradation:
    name, _, value = (piece.strip() for piece in part.partition(":"))
    if name not in _FUNCTIONS:
        raise UnknownNameError("degradation", name, _FUNCTIONS)
    numbers = [_number(value)]
    if math.isnan(numbers[0]) and value.count(BETWEEN) == 1:
        numbers = [_number(piece) for piece in value.split(BETWEEN)]
    if any(math.isnan(number) for number in numbers):
        raise InputError(
            f"{part.strip()!r} needs a number after the colon.",
            argument=name,
            fix=f"Write {name}:{RANGES[name].high:g}.",
        )
    strengths = [RANGES[name].check(name, number) for number in numbers]
    if len(strengths) == 1:
        return Degradation(f"{name}:{strengths[0]:g}", strengths[0], partial(_apply, name, strengths[0], seed))
    low, high = strengths
    if not low < high:
        raise InputError(f"{part.strip()!r}: the lower strength comes first.", argument=name)
    return Degradation(f"{name}:{low:g}{BETWEEN}{high:g}", None, partial(_apply_between, name, low, high, seed))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _apply(name: str, strength: float, seed: int | None, pixels: Pixels) -> Pixels:
    extra = {"seed": seed} if name in ("cut", "noise") else {}
    return _FUNCTIONS[name](pixels, strength, **extra)


def _apply_between(name: str, low: float, high: float, seed: int | None, pixels: Pixels) -> Pixels:
    """At a strength that is the picture's own."""
    check_pixels(pixels)
    rng = np.random.default_rng(_own_seed(f"{name} to {high:g} from ", low, pixels) if seed is None else seed)
    drawn = rng.integers(int(low), int(high), endpoint=True) if RANGES[name].whole else rng.uniform(low, high)
    return _apply(name, float(drawn), seed, pixels)


def _chain(steps: tuple[Degradation, ...], pixels: Pixels) -> Pixels:
    for step in steps:
        pixels = step(pixels)
    return pixels


def _through_codec(pixels: Pixels, kind: str, **options: Any) -> Pixels:
    """What a codec makes of a picture; one with longer sides than the codec knows is cut, on its blocks' borders."""
    check_pixels(pixels)
    longest = max(pixels.shape[:2])
    if longest > _LONGEST[kind]:
        axis = int(pixels.shape[1] >= pixels.shape[0])
        cuts = np.arange(_LONGEST[kind], longest, _LONGEST[kind])
        return np.concatenate([_through_codec(part, kind, **options) for part in np.split(pixels, cuts, axis)], axis)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    with Image.open(file, formats=[kind]) as image:
        return np.array(image.convert("RGB"))


def _resample(pixels: Pixels, width: int, height: int, resample: str) -> Pixels:
    if resample not in RESAMPLERS:
        raise UnknownNameError("resampler", resample, RESAMPLERS)
    return np.array(Image.fromarray(pixels).resize((width, height), RESAMPLERS[resample]))


def _round(values: NDArray[Any]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
