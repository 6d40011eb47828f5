"""Files that a service should survive: mutations of sound ones, bombs, absurd metadata, and what is no image at all."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from PIL import Image

from morelli.testing.hostile import png_header

#: Name and bytes of a file, as a client would send them.
HostileFile = tuple[str, bytes]

_SUFFIXES = ("png", "jpg", "webp", "gif", "bmp", "tiff", "ppm", "avif", "heic", "txt", "svg", "")


def hostile_files(sound: Sequence[bytes], count: int, seed: int = 0) -> Iterator[HostileFile]:
    """Yield hostile files: every bomb and every file that is no image once, mutations of sound files for the rest.

    Parameters
    ----------
    sound : sequence of bytes
        Image files to start from.
    count : int
        Files in all.
    seed : int
        The same seed gives the same files.
    """
    fixed = _fixed()
    yield from fixed[:count]
    rng = random.Random(seed)  # noqa: S311 - no secret
    for number in range(max(count - len(fixed), 0)):
        data = rng.choice(sound)
        for _ in range(rng.choice((1, 1, 2, 3))):
            data = rng.choice(MUTATIONS)(data, rng, sound)
        yield f"mutation {number}.{rng.choice(_SUFFIXES)}", data


@cache
def _fixed() -> tuple[HostileFile, ...]:
    return (*bombs(), *impostors(), *metadata_bombs())


def _flip(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 4, 16, 256))):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _spoil_head(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    """Where sizes and lengths stand: a few bytes become extreme ones."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 8)):
        if len(out) > 8:
            out[rng.randrange(4, min(len(out), 256))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(out)


def _cut(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 7, 100, 5000)) :]


def _insert(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.randbytes(rng.choice((1, 7, 100, 5000))) + data[place:]


def _repeat(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((16, 256, 4096))]
    return data[:start] + part * rng.randrange(2, 20) + data[start:]


def _splice(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    other = rng.choice(sound)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _append(data: bytes, rng: random.Random, sound: Sequence[bytes]) -> bytes:
    script = b"<script>alert(1)</script>"
    # The second is a box that signatures of AVIF and HEIF leave out.
    return data + rng.choice((b"PK\x03\x04" + bytes(200), box(b"free", script), script, rng.choice(sound)))


MUTATIONS: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (
    _flip,
    _spoil_head,
    _cut,
    _remove,
    _insert,
    _repeat,
    _splice,
    _append,
)


def box(kind: bytes, body: bytes) -> bytes:
    """A box of AVIF and HEIF, which may stand behind the image."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def impostors() -> list[HostileFile]:
    """Files that are no image, whatever their names say."""
    rng = random.Random(1)  # noqa: S311
    return [
        ("empty.png", b""),
        ("nul.jpg", bytes(10_000)),
        ("noise.webp", rng.randbytes(10_000)),
        ("page.png", b"<html><img src=http://example.org/x.png></html>"),
        (
            "drawing.svg",
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd" width="64" height="64"/></svg>',
        ),
        ("document.pdf", b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF"),
        ("archive.jpg", b"PK\x03\x04" + bytes(500)),
        ("program.gif", b"\x7fELF" + bytes(500)),
        ("postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n"),
        ("pickle.png", b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."),
        ("half a signature.png", b"\x89PN"),
        ("only a head.jpg", b"\xff\xd8\xff\xe0"),
    ]


def bombs() -> list[HostileFile]:
    """Small files that ask for much memory or much time."""
    return [
        ("header bomb.png", png_header(60_000, 60_000) + _png_chunk(b"IEND", b"")),
        ("largest size.png", png_header(2**31 - 1, 2**31 - 1) + _png_chunk(b"IEND", b"")),
        ("flat bomb.png", flat_png(12_000, 12_000)),
        ("wide.png", flat_png(1_000_000, 16)),
        ("scans.jpg", scan_bomb(3000, 1000)),
        ("screen.gif", b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02L\x01\x00;"),
        ("frames.gif", _frames()),
        ("canvas.webp", b"RIFF\x1a\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x10\x00\x00\x00\xff\xff\xff\xff\xff\xff"),
        ("size.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6)),
        ("size.ppm", b"P6 100000 100000 255\n" + bytes(100)),
        ("numbers.ppm", b"P6 " + b"9" * 5000 + b" 5 255\n"),
        (
            "circle.tiff",
            b"II*\x00\x08\x00\x00\x00\x01\x00\x00\x01\x04\x00\x01\x00\x00\x00\x40\x00\x00\x00\x08\x00\x00\x00",
        ),
        ("tags.tiff", b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x00\x01\x04\x00\xff\xff\xff\x7f\x08\x00\x00\x00" * 5000),
    ]


def metadata_bombs() -> list[HostileFile]:
    """Sound pixels under metadata that are absurd."""
    deep = b"[" * 100_000 + b"]" * 100_000
    wide = json.dumps({"nodes": [{"id": n, "type": "KSampler", "inputs": {}} for n in range(20_000)]}).encode()
    packed = zlib.compress(bytes(80 * 2**20))
    xml = (
        b"<?xml version='1.0'?><!DOCTYPE x ["
        + b"".join(b"<!ENTITY e%d '%s'>" % (n, b"&e%d;" % (n - 1) * 10 if n else b"a" * 10) for n in range(12))
        + b"]><x:xmpmeta xmlns:x='adobe:ns:meta/'>&e11;</x:xmpmeta>"
    )
    chunks = {
        "deep.png": [(b"tEXt", b"workflow\0" + deep)],
        "wide.png": [(b"tEXt", b"prompt\0" + wide)],
        "text bomb.png": [(b"zTXt", b"parameters\0\0" + packed)],
        "profile bomb.png": [(b"iCCP", b"p\0\0" + packed)],
        "entities.png": [(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xml)],
        "chunks.png": [(b"tEXt", b"a\0b")] * 50_000,
        "credentials.png": [(b"caBX", b"\0\0\0\x20jumb\0\0\0\x18jumdc2pa" + bytes(5000))],
        "control.png": [(b"tEXt", b"parameters\0\x1b[2J\x07\xe2\x80\xae Steps: 1, Seed: " + b"9" * 5000)],
    }
    head, rest = _scene_png()
    made = [(name, head + b"".join(_png_chunk(*each) for each in parts) + rest) for name, parts in chunks.items()]
    exif = b"Exif\0\0II*\x00\x08\x00\x00\x00\xff\xff" + bytes(60_000)
    made.append(("exif.jpg", b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif) * 20 + _jpeg()[2:]))
    return made


def flat_png(width: int, height: int) -> bytes:
    """A sound PNG of one grey: a thousandth of its pixels in bytes."""
    packer = zlib.compressobj()
    row = bytes(1 + width)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height, colour=0) + _png_chunk(b"IDAT", body) + _png_chunk(b"IEND", b"")


def scan_bomb(side: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan stands there many times: each is a walk over all its coefficients."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 150)).save(file, "JPEG", progressive=True, quality=30)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def _scene_png() -> tuple[bytes, bytes]:
    """A sound PNG in two parts: signature and header, and what follows."""
    file = io.BytesIO()
    down, across = np.mgrid[0:64, 0:64]
    pixels = np.stack([across * 4, down * 4, (across * down) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()[:33], file.getvalue()[33:]


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).astype(np.uint8).reshape(64, 64)).save(file, "JPEG")
    return file.getvalue()


def _frames() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("P", (64, 64), number % 256) for number in range(300)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
