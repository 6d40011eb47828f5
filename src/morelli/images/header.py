"""Open an image file as far as its header: which format, how many pixels, and no further.

Pillow's plug-ins are called one by one instead of ``Image.open``: only raster formats from a closed list are tried,
the size limit is ours, and no process-wide setting or warning filter is touched, so that threads may share this.
"""

from __future__ import annotations

import importlib
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile

from morelli.errors import (
    ImageError,
    ImageTooLargeError,
    ImageTooSmallError,
    MissingImageError,
    MorelliError,
    TruncatedImageError,
    UnreadableImageError,
)
from morelli.images.jpeg_markers import check_markers
from morelli.images.truncation import ends_early

# JPEG's own class, not Pillow's factory: of a multi-picture file (phones) the first picture is the picture.
FORMATS: Mapping[str, str] = {
    "PNG": "PIL.PngImagePlugin:PngImageFile",
    "JPEG": "PIL.JpegImagePlugin:JpegImageFile",
    "WEBP": "PIL.WebPImagePlugin:WebPImageFile",
    "GIF": "PIL.GifImagePlugin:GifImageFile",
    "BMP": "PIL.BmpImagePlugin:BmpImageFile",
    "TIFF": "PIL.TiffImagePlugin:TiffImageFile",
    "PPM": "PIL.PpmImagePlugin:PpmImageFile",
    "AVIF": "PIL.AvifImagePlugin:AvifImageFile",
    "HEIF": "pi_heif.as_plugin:HeifImageFile",
}
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff"),
        *("pbm", "pgm", "ppm", "pnm", "avif", "heic", "heif"),
    )
)
_MAGIC: Mapping[bytes, str] = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II\x2a\x00": "TIFF",
    b"MM\x00\x2a": "TIFF",
    b"II\x2b\x00": "TIFF",
    b"MM\x00\x2b": "TIFF",
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too much or too little.

    Attributes
    ----------
    max_bytes : int
        Largest file, bytes.
    max_pixels : int
        Largest width × height, pixels; decided from the header, before anything is decoded.
    min_side : int
        Smallest width and height, pixels.
    """

    max_bytes: int = 256 * 2**20
    max_pixels: int = 100_000_000
    min_side: int = 16


def check_size(width: int, height: int, name: str, limits: Limits) -> None:
    """Raise ImageTooLargeError or ImageTooSmallError where width × height (pixels) breaks the limits."""
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"{width}×{height} pixels are more than the limit of {limits.max_pixels}.",
            argument=name,
            fix="Shrink the picture, or raise the limit if you trust its source.",
        )
    if min(width, height) < limits.min_side:
        raise ImageTooSmallError(
            f"{width}×{height} pixels are too few to say anything about: each side needs at least {limits.min_side}.",
            argument=name,
            fix="Use the picture in its original size.",
        )


def check_bytes(count: int, name: str, limits: Limits) -> None:
    """Raise ImageTooLargeError where a file of that many bytes breaks the limits."""
    if count > limits.max_bytes:
        raise ImageTooLargeError(
            f"the file is larger than the limit of {limits.max_bytes} bytes.",
            argument=name,
            fix="Shrink the picture, or raise the limit if you trust its source.",
        )


def open_file(path: Path, name: str, limits: Limits) -> BinaryIO:
    """Open a regular file for reading.

    Raises
    ------
    MissingImageError
        Nothing at that path.
    UnreadableImageError
        A folder, a device, or the system refuses.
    ImageTooLargeError
        More bytes than the limit.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImageError("this is a folder, not an image file.", argument=name, fix="Name a file.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError(
                "this is no regular file.", argument=name, fix="Save the picture to a file first."
            )
        check_bytes(status.st_size, name, limits)
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        # ImageError is a ValueError too; the plain one is a NUL byte in the path.
        if isinstance(error, ImageError):
            raise
        raise MissingImageError("no file at that path.", argument=name, fix="Check the spelling.") from error
    except OSError as error:
        raise UnreadableImageError(f"the file cannot be read ({error.strerror or error}).", argument=name) from error


def sniff(head: bytes) -> str | None:
    """Name of the format, a key of `FORMATS`, from the file's first bytes (32 are enough); None where not known."""
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n#" and len(head) > 2:
        return "PPM"
    if head[4:8] == b"ftyp":
        brands = {head[i : i + 4] for i in range(8, len(head) - 3, 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def _declared_size(head: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height where the plug-in itself would allocate or give up before it tells them."""
    if kind == "PNG" and len(head) >= 24:
        width, height = struct.unpack(">II", head[16:24])
        return width, height
    if kind == "WEBP" and len(head) >= 30:
        if head[12:16] == b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        if head[12:16] == b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _factory(kind: str, name: str) -> type[ImageFile.ImageFile]:
    module, _, attribute = FORMATS[kind].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        fix = 'Install the reader: pip install "morelli[heif]".' if kind == "HEIF" else "Upgrade Pillow."
        raise UnreadableImageError(f"{kind} files need an optional part.", argument=name, fix=fix) from error


def explain(error: Exception, stream: BinaryIO, kind: str, name: str) -> MorelliError:
    """The error of ours that says what a decoder's error means."""
    if isinstance(error, MorelliError):
        return error
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return ImageTooLargeError(f"decoding would take too much memory ({error}).", argument=name)
    stream.seek(0)
    if "truncat" in str(error).lower() or ends_early(stream.read(), kind):
        return TruncatedImageError(
            f"the {kind} file ends before its picture does.", argument=name, fix="Copy or download it again."
        )
    return UnreadableImageError(
        f"the {kind} file is broken ({error}).", argument=name, fix="Copy or download it again."
    )


def open_header(stream: BinaryIO, name: str, limits: Limits) -> ImageFile.ImageFile:
    """A Pillow image whose header is read and whose pixels are not.

    Parameters
    ----------
    stream : binary file
        Seekable, at its start; must stay open until the pixels are loaded.
    name : str
        What messages call it.

    Raises
    ------
    ImageError
        The subclass that says what is wrong: unreadable, truncated, too large or too small.
    """
    head = stream.read(64)
    if not head:
        raise UnreadableImageError("the file is empty (zero bytes).", argument=name, fix="Copy or download it again.")
    kind = sniff(head)
    if kind is None:
        known = ", ".join(FORMATS)
        raise UnreadableImageError("not an image of a format that is read.", argument=name, fix=f"Use one of {known}.")
    if declared := _declared_size(head, kind):
        check_size(*declared, name, limits)
    factory = _factory(kind, name)
    if kind == "JPEG":
        check_markers(stream, name)
    stream.seek(0)
    try:
        image = factory(stream, "")
    # A plug-in fed with a hostile file may raise anything; whatever it is, the file is at fault and is named.
    except Exception as error:
        raise explain(error, stream, kind, name) from error
    check_size(*image.size, name, limits)
    return image
