"""The few EXIF tags that tools write their parameters into. A TIFF file is read the same way, being one long EXIF.

CIPA DC-008 (EXIF 3.0), §4.6; TIFF 6.0, §2. Every offset and count is checked against the bytes that are there; each
tag is read once, so that a thousand entries that point at the same megabytes cost no more than one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from morelli.images.claims.carried import Carried
from morelli.images.claims.limits import MAX_TEXT, decode_text

EXIF_HEAD = b"Exif\0\0"
MAX_ENTRIES = 512
_TAGS = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0131: "Software",
    0x013B: "Artist",
    0x9286: "UserComment",
    0x9C9C: "XPComment",
}
_XMP, _EXIF_POINTER = 0x02BC, 0x8769
_BYTE, _ASCII, _LONG, _UNDEFINED = 1, 2, 4, 7


def read_exif(data: bytes, out: Carried, where: str = "EXIF") -> None:
    """Collect the texts of an EXIF block or a TIFF file.

    Parameters
    ----------
    data : bytes
        With or without the head "Exif\\0\\0".
    out : Carried
    where : str
        What the texts' carrier is called.
    """
    if data.startswith(EXIF_HEAD):
        data = data[len(EXIF_HEAD) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        out.note(f"The {where} block is no TIFF structure and was not read.")
        return
    (first,) = struct.unpack_from(order + "I", data, 4)
    directories, seen = [first], set()
    for directory in directories:  # the main one, and the one that it points to: two at most
        for tag, kind, count, place in _entries(data, order, directory, where, out):
            if tag in seen:
                continue
            seen.add(tag)
            if tag == _EXIF_POINTER and kind == _LONG and directory == first:
                directories.append(struct.unpack_from(order + "I", data, place)[0])
            elif kind in (_BYTE, _ASCII, _UNDEFINED):
                _keep(tag, data[place : place + count], order, where, out)


def _entries(data: bytes, order: str, directory: int, where: str, out: Carried) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and place of the value, of entries that are of interest and lie within the data."""
    if not 8 <= directory <= len(data) - 2:
        out.note(f"The {where} block points outside of itself; that part was not read.")
        return
    (count,) = struct.unpack_from(order + "H", data, directory)
    if count > MAX_ENTRIES:
        out.note(f"The {where} block claims {count} entries; only {MAX_ENTRIES} were read.")
        count = MAX_ENTRIES
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if entry + 12 > len(data):
            out.note(f"The {where} block is cut off.")
            return
        tag, kind, size, offset = struct.unpack_from(order + "HHII", data, entry)
        if tag not in _TAGS and tag not in (_XMP, _EXIF_POINTER):
            continue
        if kind == _LONG:
            yield tag, kind, 1, entry + 8
            continue
        place = entry + 8 if size <= 4 else offset
        if size > MAX_TEXT or place + size > len(data):
            out.note(f"The {where} block's {_TAGS.get(tag, 'XMP')} is larger than what there is and was not read.")
            continue
        yield tag, kind, size, place


def _keep(tag: int, value: bytes, order: str, where: str, out: Carried) -> None:
    if tag == _XMP:
        out.packet(where, value)
    elif tag in _TAGS:
        if tag == 0x9286:
            text = _user_comment(value, order)
        elif tag == 0x9C9C:
            text = value.decode("utf-16-le", "replace")
        else:
            text = decode_text(value)
        out.text(where, _TAGS[tag], text.strip("\0 \r\n\t"))


def _user_comment(value: bytes, order: str) -> str:
    """EXIF 3.0, §4.6.6.9: eight bytes name the character code. Tools disagree on the byte order of "UNICODE"."""
    code, body = value[:8], value[8:]
    if code == b"UNICODE\0":
        big, little = body.decode("utf-16-be", "replace"), body.decode("utf-16-le", "replace")
        # The wrong order turns Latin letters into rare ideographs.
        plain = [sum(each < "\u0250" for each in text[:2000]) for text in (big, little)]
        if plain[0] == plain[1]:
            return big if order == ">" else little
        return big if plain[0] > plain[1] else little
    if code in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        return decode_text(body)
    return decode_text(value)  # no code at all: some tools leave it out
