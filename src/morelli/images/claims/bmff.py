"""AVIF and HEIF as boxes: where the image ends, and which bytes a C2PA signature leaves out.

ISO/IEC 14496-12, §4.2 (boxes), §8.1.2 (free space); C2PA Technical Specification 2.x, §18.7 (BMFF-based hash): boxes
"free", "skip", "mfra", "ftyp" and that of the credentials themselves are not hashed, so that anyone may change them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from morelli.images.claims.limits import MAX_BLOCKS

KINDS = ("AVIF", "HEIF")
#: Boxes that hold the image or say where it lies.
_IMAGE = (b"meta", b"moov", b"moof", b"mdat")
_UNHASHED = (b"free", b"skip", b"mfra")
_CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
#: Bytes of a plausible "ftyp": a list of brands, of four letters each; phones write 40.
_FTYP = 128


def image_end(data: bytes) -> int | None:
    """Where the last box of the image ends, bytes; None where there is no such box."""
    end = None
    for kind, _, _, stop in _boxes(data):
        if kind in _IMAGE:
            end = min(stop, len(data))
    return end


def uncovered(data: bytes) -> int:
    """Bytes of top-level boxes that a valid signature says nothing of; boxes of nothing but zeros are not counted."""
    count, reached, credentials = 0, 0, 0
    for kind, start, body, stop in _boxes(data):
        reached = end = min(stop, len(data))
        if kind in _UNHASHED:
            loose = data.count(0, body, end) < end - body
        elif kind == b"ftyp":
            loose = end - start > _FTYP
        elif kind == b"uuid" and data[body : body + 16] == _CREDENTIALS:
            credentials += 1
            loose = credentials > 1
        else:
            loose = stop > len(data)
        count += (end - start) * loose
    return count + len(data) - reached


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Kind, start, content's start and end of each top-level box; the last one's end may lie beyond the file's."""
    place = 0
    for _ in range(MAX_BLOCKS):
        if place + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, place)
        body = place + 8
        if size == 1 and place + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        end = place + size if size else len(data)  # 0: as long as the file
        if end < body:
            return
        yield kind, place, body, end
        if end > len(data):
            return
        place = end
