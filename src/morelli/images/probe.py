"""What a file's header gives away about how it was saved, for the leak test. Nothing is decoded."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from morelli.images.colour import orientation
from morelli.images.header import Limits, open_file, open_header


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Outer properties of an image file.

    Attributes
    ----------
    width, height : int
        Pixels, after orientation: those of the picture that ``load_image`` gives.
    format : str
        "PNG", "JPEG", …
    mode : str
        Pillow's name of the channels: "RGB", "P", "CMYK", …
    bytes : int
        Size of the file.
    quantisation : str
        Short hash of a JPEG's quantisation tables (its quality and its encoder) and of how coarsely it samples each
        channel; "" for other formats.
    """

    width: int
    height: int
    format: str
    mode: str
    bytes: int
    quantisation: str


def probe(path: str | Path, *, limits: Limits = Limits()) -> FileInfo:
    """Read a file's header.

    Raises
    ------
    ImageError
        As ``load_image``, for whatever shows in the header.
    """
    name = str(path)
    with open_file(Path(path), name, limits) as stream:
        size = os.fstat(stream.fileno()).st_size
        image = open_header(stream, name, limits)
        # Of a TIFF Pillow tells the turned size already.
        turned = orientation(image) >= 5 and image.format != "TIFF"
        width, height = image.size[::-1] if turned else image.size
        tables: dict[int, list[int]] = getattr(image, "quantization", {})
        # A channel's number, its horizontal and vertical sampling, and the number of its table.
        layers: list[tuple[int, int, int, int]] = getattr(image, "layer", [])
        return FileInfo(width, height, image.format or "", image.mode, size, _short_hash(tables, layers))


def _short_hash(tables: dict[int, list[int]], layers: list[tuple[int, int, int, int]]) -> str:
    if not tables:
        return ""
    text = repr([sorted((number, list(values)) for number, values in tables.items()), layers])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
