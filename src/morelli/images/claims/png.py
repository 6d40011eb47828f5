"""Texts of a PNG: tEXt, zTXt, iTXt, eXIf. Nothing behind the end of the image is read.

W3C, Portable Network Graphics (third edition), §11.3.3; eXIf: §11.3.5.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping

from morelli.errors import InputError
from morelli.images.claims.carried import Carried
from morelli.images.claims.exif import read_exif
from morelli.images.claims.limits import MAX_BLOCKS, MAX_TEXT, decode_text, inflate

_XMP = "XML:com.adobe.xmp"


def read_png(data: bytes, out: Carried) -> int | None:
    """Collect the texts.

    Parameters
    ----------
    data : bytes
        The whole file.
    out : Carried
        Filled.

    Returns
    -------
    int or None
        Where the image ends in the file, bytes; None where the file breaks off before that.
    """
    place = 8
    for _ in range(MAX_BLOCKS):
        if place + 12 > len(data):
            out.note("The PNG ends before its end chunk.")
            return None
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            out.note("A PNG chunk announces more bytes than the file has; what follows was not read.")
            return None
        if kind == b"IEND":
            return end
        if kind in _CHUNKS:
            _chunk(data, place, end, kind, out)
        place = end
    out.note(f"The PNG has more than {MAX_BLOCKS} chunks; the rest was not read.")
    return None


def _chunk(data: bytes, place: int, end: int, kind: bytes, out: Carried) -> None:
    name = f"PNG {kind.decode('ascii')}"
    if end - place - 12 > MAX_TEXT:
        out.note(f"A {name} chunk is larger than {MAX_TEXT} bytes and was not read.")
        return
    (checksum,) = struct.unpack_from(">I", data, end - 4)
    # The checksum is no protection against a forger; it tells a chunk that was damaged, or cut and pasted badly.
    if zlib.crc32(data[place + 4 : end - 4]) != checksum:
        out.note(f"A {name} chunk has a wrong checksum and was not read.")
        return
    try:
        _CHUNKS[kind](data[place + 8 : end - 4], out)
    except InputError as error:
        out.note(f"A {name} chunk was not read: it {error.message}")


def _text(body: bytes, out: Carried) -> None:
    key, zero, value = body.partition(b"\0")
    if not zero:
        raise InputError("has no keyword.")
    out.text("PNG tEXt", decode_text(key), decode_text(value))


def _compressed(body: bytes, out: Carried) -> None:
    key, zero, rest = body.partition(b"\0")
    if not zero or rest[:1] != b"\0":
        raise InputError("has no keyword or an unknown compression.")
    out.text("PNG zTXt", decode_text(key), decode_text(inflate(rest[1:])))


def _international(body: bytes, out: Carried) -> None:
    key, zero, rest = body.partition(b"\0")
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if not zero or len(parts) != 3:
        raise InputError("is malformed.")
    value = inflate(parts[2]) if rest[0] == 1 else parts[2]
    name = decode_text(key)
    if name == _XMP:
        out.packet("PNG iTXt", value)
    else:
        out.text("PNG iTXt", name, decode_text(value))


_CHUNKS: Mapping[bytes, Callable[[bytes, Carried], None]] = {
    b"tEXt": _text,
    b"zTXt": _compressed,
    b"iTXt": _international,
    b"eXIf": read_exif,
}
