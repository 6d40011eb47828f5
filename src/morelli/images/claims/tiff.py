"""How far the parts of a TIFF reach: its directories, their values, and the pixels that they point to.

TIFF 6.0, §2, and Adobe's supplement 1 (sub-directories); BigTIFF. What only a maker's own tag points to is not found.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Directories of one file, entries of all of them, and offsets and lengths that these hold.
MAX_DIRECTORIES, MAX_ENTRIES, MAX_NUMBERS = 1000, 100_000, 4_000_000
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
# Offsets and lengths: strips, tiles, free space, a JPEG thumbnail.
_PAIRS = ((273, 279), (324, 325), (288, 289), (513, 514))
_DIRECTORIES = (330, 34665, 34853, 40965)  # sub-directories; EXIF, GPS, interoperability
_KEPT = {*(tag for pair in _PAIRS for tag in pair), *_DIRECTORIES}


@dataclass(frozen=True, slots=True)
class _Form:
    """Byte order and widths of TIFF or BigTIFF, as `struct` writes them: a count of entries, an entry, an offset."""

    order: str
    count: str
    entry: str
    offset: str

    def read(self, code: str, data: bytes, place: int) -> tuple[int, ...]:
        if place > len(data):  # of 64 bits it may be more than `struct` itself takes
            raise struct.error
        return struct.unpack_from(self.order + code, data, place)

    def size(self, code: str) -> int:
        return struct.calcsize(self.order + code)


class _Walk:
    """Follows the directories, and fails with `struct.error` where there are too many, or bytes are missing."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        order = "<" if data[:2] == b"II" else ">"
        self.form = _Form(order, "H", "HHII", "I")
        self.end, place = 8, 4
        if data[2:4] in (b"\x2b\0", b"\0\x2b"):
            self.form = _Form(order, "Q", "HHQQ", "Q")
            self.end, place = 16, 8
        self._todo = [*self.form.read(self.form.offset, data, place)]
        self._seen = {0}
        self._entries = self._numbers = 0

    def run(self) -> None:
        while self._todo:
            place = self._todo.pop()
            if place not in self._seen:
                self._seen.add(place)
                self._directory(place)

    def _directory(self, place: int) -> None:
        form, data = self.form, self.data
        step, room = form.size(form.entry), form.size(form.offset)
        (count,) = form.read(form.count, data, place)
        self._entries += count
        if len(self._seen) > MAX_DIRECTORIES or self._entries > MAX_ENTRIES:
            raise struct.error
        first = place + form.size(form.count)
        stop = first + count * step
        self._todo += form.read(form.offset, data, stop)
        self._reach(stop + room)
        values: dict[int, NDArray[np.uint64]] = {}
        for entry in range(first, stop, step):
            tag, kind, items, pointer = form.read(form.entry, data, entry)
            size = items * _SIZES.get(kind, 1)
            at = pointer if size > room else entry + step - room
            self._reach(at + size)
            if tag in _KEPT and tag not in values and kind in _NUMBERS and at + size <= len(data):
                values[tag] = self._array(kind, items, at)
        for offsets, lengths in _PAIRS:
            if offsets in values and lengths in values:
                self._reach(_furthest(values[offsets], values[lengths]))
        for tag in _DIRECTORIES:
            self._todo += [int(each) for each in values.get(tag, ())[: MAX_DIRECTORIES + 1]]

    def _array(self, kind: int, items: int, at: int) -> NDArray[np.uint64]:
        self._numbers += items
        if self._numbers > MAX_NUMBERS:
            raise struct.error
        return np.frombuffer(self.data, f"{self.form.order}{_NUMBERS[kind]}", items, at).astype(np.uint64)

    def _reach(self, end: int) -> None:
        self.end = max(self.end, end)


def tiff_end(data: bytes) -> int | None:
    """Where the last part ends that a directory names, bytes; None where the file is broken, or made to take long."""
    try:
        walk = _Walk(data)
        walk.run()
    except struct.error:
        return None
    return walk.end


def _furthest(offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> int:
    count = min(len(offsets), len(lengths))
    return int((offsets[:count] + lengths[:count]).max(initial=0))
