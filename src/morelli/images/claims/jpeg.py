"""Texts of a JPEG: EXIF and XMP in APP1, and comments. Only segments before the picture's data are read.

ITU-T T.81, annex B; Adobe, XMP Specification Part 3, §1.1.3 (an extended packet, in pieces, is not put together).
"""

from __future__ import annotations

import re
import struct

from morelli.images.claims.carried import Carried
from morelli.images.claims.exif import EXIF_HEAD, read_exif
from morelli.images.claims.limits import MAX_BLOCKS, decode_text

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_START_OF_SCAN, _END, _APP1, _COMMENT = 0xDA, 0xD9, 0xE1, 0xFE
# In the picture's data 0xFF is followed by zero, by a restart mark or by another 0xFF; anything else is a marker.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
# Fill bytes are allowed without number; megabytes of them keep decoders busy for a minute.
_FILLED = re.compile(rb"\xff{1,4096}[\x01-\xfe]")


def read_jpeg(data: bytes, out: Carried) -> int | None:
    """Collect the texts; where the image ends, or None. As `read_png`."""
    place, scanning = 2, False
    for _ in range(MAX_BLOCKS):
        found = _MARKER.search(data, place) if scanning else _marker_at(data, place)
        if found is None:
            break
        marker, place = data[found.end() - 1], found.end()
        if marker == _END:
            return place
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if place + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, place)
        if length < 2 or place + length > len(data):
            out.note("A JPEG segment announces more bytes than the file has; what follows was not read.")
            return None
        if not scanning:
            _segment(marker, data[place + 2 : place + length], out)
        scanning = scanning or marker == _START_OF_SCAN
        place += length
    out.note("The JPEG has no end marker where one should be; what follows was not read.")
    return None


def _marker_at(data: bytes, place: int) -> re.Match[bytes] | None:
    """The marker that must stand here, after fill bytes if there are any."""
    return _FILLED.match(data, place)


def _segment(marker: int, body: bytes, out: Carried) -> None:
    if marker == _APP1 and body.startswith(EXIF_HEAD):
        read_exif(body, out)
    elif marker == _APP1 and body.startswith(_XMP):
        out.packet("JPEG APP1", body[len(_XMP) :])
    elif marker == _APP1 and body.startswith(_EXTENDED):
        out.note("The file has an extended XMP packet, which is not read.")
    elif marker == _COMMENT:
        out.text("JPEG comment", "comment", decode_text(body).rstrip("\0"))
