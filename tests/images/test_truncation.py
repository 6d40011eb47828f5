"""Structures made by hand: whole, and one byte short."""

from __future__ import annotations

import struct

import pytest

from morelli.images.truncation import ends_early


def tiff(order: str, form: int, strips: int = 1) -> bytes:
    """Header, a directory that comes first, then ``strips`` strips of 50 bytes."""
    code, start = ("H", 100) if form == 3 else ("I", 100)
    entries = b""
    if strips == 1:
        for tag, value in ((273, start), (279, 50)):
            entries += struct.pack(order + "HHI", tag, form, 1) + struct.pack(order + code, value).ljust(4, b"\0")
        tables = b""
    else:
        entries += struct.pack(order + "HHII", 273, form, strips, 60)
        entries += struct.pack(order + "HHII", 279, form, strips, 80)
        tables = struct.pack(f"{order}{strips}{code}", *(start + 50 * n for n in range(strips))).ljust(20, b"\0")
        tables += struct.pack(f"{order}{strips}{code}", *[50] * strips)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 2) + entries
    return (head.ljust(60, b"\0") + tables).ljust(100, b"\0") + bytes(50 * strips)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", [3, 4])
@pytest.mark.parametrize("strips", [1, 3])
def test_tiff(order: str, form: int, strips: int) -> None:
    data = tiff(order, form, strips)
    assert not ends_early(data, "TIFF")
    for cut in (len(data) - 1, 101, 70 if strips > 1 else 20, 12, 5):
        assert ends_early(data[:cut], "TIFF"), cut


WHOLE = {
    "PNG": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x02IDATxx0000" + b"\0\0\0\0IEND0000",
    "JPEG": b"\xff\xd8\xff\xe0\0\x06\xff\xd9xx\xff\xda\0\x02pixels\xff\xd9",
    "WEBP": b"RIFF\x0c\0\0\0WEBPpixelsxx",
    "GIF": b"GIF89a;",
    "BMP": b"BM\x0a\0\0\0pixe",
    "AVIF": b"\0\0\0\x0cftypavif" + b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x14long",
}


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_others(kind: str) -> None:
    data = WHOLE[kind]
    assert not ends_early(data, kind)
    assert ends_early(data[:-1], kind)
    assert ends_early(data[:3], kind)


def test_nothing_is_known_of_other_formats() -> None:
    assert not ends_early(b"", "PPM")


def test_a_last_box_may_be_open() -> None:
    assert not ends_early(b"\0\0\0\x0cftypavif\0\0\0\0mdat whatever", "HEIF")
