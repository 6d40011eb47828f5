"""Where the image ends in a file of the formats whose texts others read: what follows was put there by somebody else.

GIF89a, §27 (trailer); TIFF 6.0, §2, and BigTIFF; Microsoft, Bitmap Storage; Netpbm, PBM, PGM and PPM.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from morelli.images.claims.bmff import image_end
from morelli.images.claims.carried import Carried
from morelli.images.claims.limits import MAX_BLOCKS
from morelli.images.claims.tiff import tiff_end

#: Zeros that programs add to bring a file to a round length: Pillow, to a multiple of 16 bytes.
_PADDING = 15
_NETPBM = re.compile(rb"P([1-6])" + rb"(?:\s|#[^\r\n]{0,10000}[\r\n]){1,1000}(\d{1,9})" * 2)
_MAXIMUM = re.compile(rb"(?:\s|#[^\r\n]{0,10000}[\r\n]){1,1000}(\d{1,9})")


def note_tail(data: bytes, kind: str, end: int | None, out: Carried) -> None:
    """Say how many bytes follow the image.

    Parameters
    ----------
    data : bytes
    kind : str
        Its format.
    end : int or None
        From `ENDS`, or from a reader of texts; None: not known.
    out : Carried
        Its notes grow.
    """
    if end is None:
        out.note("Where the image ends in the file was not found: bytes that follow it cannot be told.")
        return
    if end >= len(data):
        return
    count = len(data) - end
    if kind in ("BMP", "TIFF") and count <= _PADDING and not any(data[end:]):
        return
    # Any place of a TIFF may be in use by a tag of one maker's own: no more is said than is known.
    last = "the last part that the TIFF's directories name" if kind == "TIFF" else "the end of the image"
    out.note(f"{count} bytes follow {last}; they were not read.")


def gif_end(data: bytes) -> int | None:
    """Behind the trailer; None where none is found."""
    try:
        place, inside = 13 + _table(data[10]), False
        for _ in range(10 * MAX_BLOCKS):
            mark = data[place]
            if inside:  # a run of blocks, each with its length before it; one of no length ends it
                place, inside = place + 1 + mark, mark > 0
            elif mark == 0x3B:
                return place + 1
            elif mark == 0x2C:  # an image: its description, its table, the width of its codes
                place, inside = place + 11 + _table(data[place + 9]), True
            elif mark == 0x21:
                place, inside = place + 2, True
            else:
                return None
    except IndexError:
        return None
    return None


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def bmp_end(data: bytes) -> int | None:
    """Behind the pixels, or the profile where that comes later; the size that the file states is its writer's word."""
    if len(data) < 54:
        return None
    start, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packing = size = 0
    else:
        width, height, _, bits, packing, size = struct.unpack_from("<iiHHII", data, 18)
    if packing in (0, 3, 6):  # no compression
        size = (abs(width) * bits + 31) // 32 * 4 * abs(height)
    if not size:
        return None
    ends = [start + size]
    if header >= 124 and len(data) >= 138:
        profile, length = struct.unpack_from("<II", data, 126)
        ends.append(14 + profile + length if length else 0)
    return max(ends)


def netpbm_end(data: bytes) -> int | None:
    """Behind the first picture's samples; the plain forms are text to the file's end."""
    head = _NETPBM.match(data)
    if head is None:
        return None
    if head[1] in b"123":
        return len(data)
    width, height, place = int(head[2]), int(head[3]), head.end()
    if head[1] == b"4":
        return place + 1 + (width + 7) // 8 * height
    top = _MAXIMUM.match(data, place)
    if top is None:
        return None
    samples = width * height * (3 if head[1] == b"6" else 1)
    return top.end() + 1 + samples * (2 if int(top[1]) > 255 else 1)


#: Format → where its image ends, or None.
ENDS: Mapping[str, Callable[[bytes], int | None]] = {
    "GIF": gif_end,
    "BMP": bmp_end,
    "TIFF": tiff_end,
    "PPM": netpbm_end,
    "AVIF": image_end,
    "HEIF": image_end,
}
