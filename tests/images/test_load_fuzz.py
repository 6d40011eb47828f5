"""Whatever the bytes, the loader gives a picture or a named error; a cut file never gives another picture."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from morelli.errors import ImageError, TruncatedImageError, UnreadableImageError
from morelli.images.header import sniff
from morelli.images.load import Limits, Picture, load_image
from morelli.testing.hostile import png_bytes, rgb_profile, scene

LIMITS = Limits(max_pixels=1_000_000)


def _files() -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(-20, 20, scene().shape)
    image = Image.fromarray(np.clip(scene() + noise, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6

    def save(kind: str, picture: Image.Image = image, **options: Any) -> bytes:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    return {
        "png": save("PNG", exif=exif, icc_profile=rgb_profile()),
        "png palette": save("PNG", image.quantize(16)),
        "png 16": png_bytes(np.asarray(image).astype(np.uint16) * 257),
        "jpeg": save("JPEG", exif=exif, icc_profile=rgb_profile()),
        "jpeg progressive": save("JPEG", progressive=True),
        "jpeg cmyk": save("JPEG", image.convert("CMYK")),
        "webp": save("WEBP", exif=exif),
        "webp lossless": save("WEBP", image.convert("RGBA"), lossless=True),
        "gif": save("GIF"),
        "bmp": save("BMP"),
        "tiff": save("TIFF"),
        "tiff lzw": save("TIFF", compression="tiff_lzw"),
        "tiff jpeg": save("TIFF", compression="jpeg"),
        "ppm": save("PPM"),
    }


FILES = _files()
NAMES = st.sampled_from(sorted(FILES))


def attempt(data: bytes) -> Picture | None:
    """The picture, or None for an `ImageError`; anything else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = load_image(data, limits=LIMITS)
        except ImageError as error:
            assert error.argument == "bytes"
            return None
    assert loaded.pixels.dtype == np.uint8
    assert loaded.pixels.ndim == 3
    return loaded


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_random_bytes(data: bytes) -> None:
    assert attempt(data) is None


@given(NAMES, st.binary(max_size=300))
@settings(max_examples=200)
def test_random_bytes_behind_a_real_beginning(name: str, data: bytes) -> None:
    attempt(FILES[name][:40] + data)


@given(NAMES, st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=8))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_bit_flips(name: str, flips: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for place, bit in flips:
        data[int(place * place * len(data))] ^= 1 << bit  # squared: headers are hit more often
    attempt(bytes(data))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
@pytest.mark.parametrize("name", sorted(FILES))
def test_truncations(name: str) -> None:
    data = FILES[name]
    whole = load_image(data).content
    for cut in range(0, len(data), max(1, len(data) // 60)):
        try:
            loaded = load_image(data[:cut])
        except TruncatedImageError:
            continue
        except UnreadableImageError:
            # Nothing can be said of a file that was cut before its format shows.
            assert sniff(data[: min(cut, 64)]) is None, f"cut at {cut} of {len(data)}: not called truncated"
            continue
        assert loaded.content == whole, f"cut at {cut} of {len(data)}: another picture came back"
