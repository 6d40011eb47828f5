"""Image files that a loader must survive: broken ones, and sound ones that are easy to misread."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# XYZ of sRGB's red, green and blue, adapted to D50 (IEC 61966-2-1), as an ICC profile states them.
SRGB_PRIMARIES = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_SIDE = 48


def png_bytes(samples: NDArray[Any], *, chunks: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG of 8 or 16 bits a channel (Pillow writes no 16-bit colour).

    Parameters
    ----------
    samples : ndarray, shape (height, width, channels), uint8 or uint16
        One (grey), two (grey and opacity), three or four channels.
    chunks : tuple of (name, data)
        Put between the header and the pixels.
    """
    height, width, channels = samples.shape
    depth = 8 * samples.dtype.itemsize
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = samples.astype(">u2" if depth == 16 else np.uint8).reshape(height, -1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return png_header(width, height, depth, colour) + b"".join(
        _chunk(name, data) for name, data in (*chunks, (b"IDAT", packed), (b"IEND", b""))
    )


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """Signature and header chunk of a PNG, whatever size they claim."""
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def rgb_profile(primaries: tuple[tuple[float, float, float], ...] = SRGB_PRIMARIES, gamma: float | None = 2.2) -> bytes:
    """A minimal ICC display profile (version 2, three primaries and a gamma).

    Parameters
    ----------
    primaries : three triples
        XYZ of red, green and blue relative to D50; they should add up to (0.9642, 1, 0.8249).
    gamma : float or None
        Exponent of all three channels; None for sRGB's own curve, as a table.
    """

    def xyz(triple: tuple[float, float, float]) -> bytes:
        return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in triple))

    if gamma is None:
        steps = np.linspace(0, 1, 1024)
        linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
        curve = struct.pack(">4s4xI", b"curv", 1024) + np.rint(65535 * linear).astype(">u2").tobytes()
    else:
        curve = struct.pack(">4s4xIHxx", b"curv", 1, round(gamma * 256))
    text = struct.pack(">4s4xI", b"desc", 5) + b"test\0" + bytes(78)
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": xyz((0.9642, 1, 0.8249)),
    }
    for letter, triple in zip("rgb", primaries, strict=True):
        tags[f"{letter}XYZ".encode()] = xyz(triple)
        tags[f"{letter}TRC".encode()] = curve
    return icc_bytes(tags, b"mntr", b"RGB ", b"XYZ ")


def icc_bytes(tags: dict[bytes, bytes], kind: bytes, space: bytes, connection: bytes) -> bytes:
    """An ICC profile, version 2, from its tags (lengths divisible by four)."""
    place = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(data))
        body += data
    head = struct.pack(">I4xI4s4s4s12x4s28x", place + len(body), 0x02100000, kind, space, connection, b"acsp")
    white = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1, 0.8249)))
    return (head + white).ljust(128, b"\0") + table + body


def scene() -> NDArray[np.uint8]:
    """The picture that the files show, shape (32, 48, 3): no two corners, rows or channels alike."""
    down, across = np.mgrid[0:32, 0:_SIDE]
    return np.stack([across * 5, down * 7, (across + down) * 3], axis=-1).astype(np.uint8)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _half(kind: str) -> bytes:
    """The first half of a sound file; noise, so that no format makes it so small that half of it is header."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = _saved(Image.fromarray(noise), kind)
    return data[: len(data) // 2]


def _rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn a quarter clockwise to see it upright
    return _saved(Image.fromarray(scene()), "JPEG", quality=95, exif=exif)


def _palette() -> bytes:
    indices = np.zeros((32, _SIDE), np.uint8)
    indices[:, _SIDE // 2 :] = 1
    image = Image.fromarray(indices).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    return _saved(image, "PNG", transparency=bytes([0, 255]))


def _animated(kind: str, **options: Any) -> bytes:
    frames = [Image.new("RGB", (_SIDE, 32), colour) for colour in ("red", "lime", "blue")]
    return _saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)


def _cmyk() -> bytes:
    ink = np.zeros((32, _SIDE, 4), np.uint8)
    ink[:, :, 0] = 255
    return _saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=95)


def _grey16() -> bytes:
    ramp = np.linspace(0, 65535, _SIDE).astype(np.uint16)
    return png_bytes(np.broadcast_to(ramp[None, :, None], (32, _SIDE, 1)))


def _swapped_profile() -> bytes:
    red, green, blue = SRGB_PRIMARIES
    return _saved(Image.fromarray(scene()), "PNG", icc_profile=rgb_profile((green, red, blue)))


_FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "truncated_png": ("truncated.png", lambda: _half("PNG")),
    "truncated_jpeg": ("truncated.jpg", lambda: _half("JPEG")),
    "truncated_webp": (
        "truncated.webp",
        lambda: _half("WEBP"),
    ),
    "zero_bytes": ("zero.png", lambda: b""),
    "bomb": ("bomb.png", lambda: png_header(60_000, 60_000) + _chunk(b"IEND", b"")),
    "text": ("text.png", lambda: b"This is no picture, whatever its name says.\n"),
    "vector": ("vector.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"),
    "one_pixel": ("one.png", lambda: _saved(Image.new("RGB", (1, 1)), "PNG")),
    "cmyk": ("cmyk.jpg", _cmyk),
    "grey16": ("grey16.png", _grey16),
    "rgb16": ("rgb16.png", lambda: png_bytes(scene().astype(np.uint16) * 257)),
    "palette_alpha": ("palette.png", _palette),
    "rotated": ("rotated.jpg", _rotated),
    "animated_gif": ("animated.gif", lambda: _animated("GIF")),
    "animated_webp": ("animated.webp", lambda: _animated("WEBP", lossless=True)),
    "animated_png": ("animated.png", lambda: _animated("PNG")),
    "icc": ("icc.png", _swapped_profile),
    "broken_icc": ("broken_icc.png", lambda: _saved(Image.fromarray(scene()), "PNG", icc_profile=b"no profile" * 20)),
}

BROKEN = frozenset(
    ["truncated_png", "truncated_jpeg", "truncated_webp", "zero_bytes", "bomb", "text", "vector", "one_pixel"]
)


def write_hostile(folder: str | Path) -> dict[str, Path]:
    """Write every hostile file and say where each is.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist.

    Returns
    -------
    dict of str to Path
        Broken (`BROKEN`): truncated_png, truncated_jpeg, truncated_webp, zero_bytes, bomb (a header of 60,000 × 60,000
        pixels and nothing else), text, vector (PostScript), one_pixel.
        Sound: cmyk (cyan), grey16 (a ramp), rgb16, palette_alpha (left half clear, right half red), rotated (EXIF
        orientation 6), animated_gif, animated_webp, animated_png (red first), icc (red and green swapped by the
        profile), broken_icc. Those without another word show `scene`.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for name, (file_name, make) in _FILES.items():
        paths[name] = root / file_name
        paths[name].write_bytes(make())
    return paths
