"""Texts of a WebP: its EXIF and XMP chunks, within the size that the container states (RFC 9649, §2.7)."""

from __future__ import annotations

import struct

from morelli.images.claims.carried import Carried
from morelli.images.claims.exif import read_exif
from morelli.images.claims.limits import MAX_BLOCKS, MAX_TEXT


def read_webp(data: bytes, out: Carried) -> int | None:
    """Collect the texts; where the image ends, or None. As `read_png`."""
    stop = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 12 else len(data) + 1
    if stop > len(data):
        out.note("The WebP announces more bytes than the file has.")
    place = 12
    for _ in range(MAX_BLOCKS):
        if place + 8 > min(stop, len(data)):
            return stop if stop <= len(data) else None
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length
        if end > min(stop, len(data)):
            out.note("A WebP chunk announces more bytes than the file has; what follows was not read.")
            return None
        if kind in (b"EXIF", b"XMP "):
            _chunk(kind, data, place + 8, end, out)
        place = end + length % 2
    out.note(f"The WebP has more than {MAX_BLOCKS} chunks; the rest was not read.")
    return None


def _chunk(kind: bytes, data: bytes, start: int, end: int, out: Carried) -> None:
    if end - start > MAX_TEXT:
        out.note(f"A WebP {kind.decode().strip()} chunk is larger than {MAX_TEXT} bytes and was not read.")
    elif kind == b"EXIF":
        read_exif(data[start:end], out)
    else:
        out.packet("WebP XMP", data[start:end])
