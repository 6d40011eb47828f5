"""A JPEG whose header is nothing but filling: refused before Pillow walks through it byte by byte."""

from __future__ import annotations

import struct
from typing import BinaryIO

from morelli.errors import UnreadableImageError

#: Steps from marker to marker, filled bytes counted one by one, before the picture's data; cameras need some dozens.
MOST_STEPS = 20_000
_START_OF_SCAN, _FILL = 0xDA, 0xFF


def check_markers(stream: BinaryIO, name: str) -> None:
    """Walk the markers of a JPEG up to the picture's data, without its texts.

    A hundred megabytes of fill bytes (ITU-T T.81, B.1.1.2, allows any number) take Pillow half a minute.

    Parameters
    ----------
    stream : binary file
        Seekable; read from its third byte on, and left anywhere.
    name : str
        What messages call it.

    Raises
    ------
    UnreadableImageError
        More than `MOST_STEPS` steps. Any other fault is the decoder's to name.
    """
    stream.seek(2)
    byte = stream.read(1)
    for _ in range(MOST_STEPS):
        if not byte:
            return
        if byte[0] != _FILL:  # no marker: decoders look for the next one
            byte = stream.read(1)
            continue
        marker = stream.read(1)
        if not marker or marker[0] == _START_OF_SCAN:
            return
        if marker[0] in (0, _FILL):
            byte = b"\xff"
            continue
        if marker[0] != 0x01 and not 0xD0 <= marker[0] <= 0xD9:  # all others have a length
            length = stream.read(2)
            if len(length) < 2:
                return
            stream.seek(max(0, struct.unpack(">H", length)[0] - 2), 1)
        byte = stream.read(1)
    raise UnreadableImageError(
        f"the JPEG has more than {MOST_STEPS} markers or fill bytes before its picture.",
        argument=name,
        fix="Save it anew with another program.",
    )
