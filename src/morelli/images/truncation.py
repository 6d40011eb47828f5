"""Does a file's own structure say that more bytes should follow? Asked only after decoding has failed."""

from __future__ import annotations

import struct


def ends_early(data: bytes, kind: str) -> bool:
    """True where the container announces more than the file holds.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : str
        "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF" or "HEIF"; of other formats nothing is known.
    """
    check = _CHECKS.get(kind)
    try:
        return check is not None and check(data)
    except (struct.error, IndexError):  # the header itself is cut
        return True


def _png(data: bytes) -> bool:
    place = 8
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        place += 12 + length
        if kind == b"IEND" or not kind.isalpha():
            return False
    return True


def _jpeg(data: bytes) -> bool:
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:  # start of scan: from here on the only sure sign is the end marker
            return b"\xff\xd9" not in data[place:]
        standalone = marker in (0x01, 0xFF) or 0xD0 <= marker <= 0xD8
        place += 2 if standalone else 2 + struct.unpack_from(">H", data, place + 2)[0]
    return False


def _riff(data: bytes) -> bool:
    return struct.unpack_from("<I", data, 4)[0] + 8 > len(data)


def _gif(data: bytes) -> bool:
    return data[-1] != 0x3B


def _bmp(data: bytes) -> bool:
    return struct.unpack_from("<I", data, 2)[0] > len(data)


def _boxes(data: bytes) -> bool:
    place = 0
    while place < len(data):
        length = struct.unpack_from(">I", data, place)[0]
        if length == 1:
            length = struct.unpack_from(">Q", data, place + 8)[0]
        if length < 8:  # 0: the last box, as long as the file
            return False
        place += length
    return place > len(data)


def _tiff(data: bytes) -> bool:
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] != 42:
        return struct.unpack_from(order + "Q", data, 8)[0] + 8 > len(data)
    place = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, place)[0]
    values: dict[int, tuple[int, ...]] = {}
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        tag, form, items, pointer = struct.unpack_from(order + "HHII", data, entry)
        size = items * _TIFF_SIZES.get(form, 1)
        if size > 4 and pointer + size > len(data):
            return True
        if tag in _TIFF_STRIPS and form in (3, 4):
            code = "H" if form == 3 else "I"
            values[tag] = struct.unpack_from(f"{order}{items}{code}", data, entry + 8 if size <= 4 else pointer)
    for offsets, lengths in ((273, 279), (324, 325)):
        pairs = zip(values.get(offsets, ()), values.get(lengths, ()), strict=False)
        if any(offset + length > len(data) for offset, length in pairs):
            return True
    return False


_TIFF_STRIPS = (273, 279, 324, 325)  # offsets and lengths of strips, and of tiles
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of each field type
_CHECKS = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _riff,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "AVIF": _boxes,
    "HEIF": _boxes,
}
