"""The one way in: a file, bytes or an array becomes sRGB pixels, or a named error."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import ArrayError, InputError, UnreadableImageError
from morelli.images.colour import eight_bit_key, to_srgb
from morelli.images.header import Limits, check_bytes, check_size, explain, open_file, open_header
from morelli.images.pixels import content_hash

__all__ = ["Limits", "Picture", "content_hash", "from_array", "load_image"]


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded picture.

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        sRGB, upright, opaque; read-only.
    name : str
        Where it came from, for messages.
    sha256 : str
        SHA-256 of the file's bytes; of an array, its content hash.
    content : str
        `content_hash` of the pixels: equal for the same picture in another lossless file.
    format : str
        "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF", or "ARRAY".
    """

    pixels: NDArray[np.uint8]
    name: str
    sha256: str
    content: str
    format: str


def load_image(source: str | Path | bytes, *, name: str | None = None, limits: Limits = Limits()) -> Picture:
    """Decode one picture safely.

    EXIF orientation is applied, an embedded colour profile is converted to sRGB (a broken one is ignored),
    transparency is laid over white, the first frame of an animation is taken, 16 bits become 8 by scaling.
    Safe to call from several threads: nothing process-wide is changed.

    Parameters
    ----------
    source : str, Path or bytes
        A path, or a file's bytes.
    name : str, optional
        What messages and `Picture.name` call it; the path, or "bytes", by default.
    limits : Limits
        Largest and smallest picture.

    Raises
    ------
    MissingImageError
        Nothing at that path.
    UnreadableImageError
        A folder, an empty file, not an image of a known format, a broken file, 32-bit samples.
    TruncatedImageError
        The file ends before its picture does.
    ImageTooLargeError, ImageTooSmallError
        The header breaks ``limits``; decided before anything is decoded.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("LA", (32, 20), (0, 0)).save(file, "PNG")
    >>> picture = load_image(file.getvalue())
    >>> picture.pixels.shape, int(picture.pixels.min()), picture.format
    ((20, 32, 3), 255, 'PNG')
    """
    data, name = _read(source, name, limits)
    stream = io.BytesIO(data)
    image = open_header(stream, name, limits)
    kind = image.format or ""
    try:
        key = eight_bit_key(image)
        image.load()
        if key is not None:
            image.info["transparency"] = key
        pixels = to_srgb(image)
    except UnreadableImageError as error:
        raise UnreadableImageError(error.message, argument=name, fix=error.fix) from error
    # A decoder fed with a hostile file may raise anything; whatever it is, the file is at fault and is named.
    except Exception as error:
        raise explain(error, stream, kind, name) from error
    check_size(pixels.shape[1], pixels.shape[0], name, limits)
    pixels.flags.writeable = False
    return Picture(pixels, name, hashlib.sha256(data).hexdigest(), content_hash(pixels), kind)


def _read(source: str | Path | bytes, name: str | None, limits: Limits) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        name = name or "bytes"
        check_bytes(len(source), name, limits)
        return source, name
    if not isinstance(source, (str, Path)):
        raise InputError(f"must be a path or bytes, not {type(source).__name__}.", argument="source")
    name = name or str(source)
    with open_file(Path(source), name, limits) as file:
        try:
            data = file.read(limits.max_bytes + 1)  # the file may have grown since its size was asked
        except OSError as error:
            raise UnreadableImageError(
                f"the file cannot be read ({error.strerror or error}).", argument=name
            ) from error
    check_bytes(len(data), name, limits)
    return data, name


def from_array(pixels: Any, name: str = "array", limits: Limits = Limits()) -> Picture:
    """A picture from an array.

    Parameters
    ----------
    pixels : array_like, shape (height, width), (height, width, 1), (height, width, 3) or (height, width, 4)
        uint8 in 0–255 or floating point in 0–1; sRGB; the fourth channel is opacity and is laid over white.
    name : str
        What messages and `Picture.name` call it.
    limits : Limits
        Largest and smallest picture.

    Raises
    ------
    ArrayError
        Another shape or dtype, values that are not finite, or floats outside 0–1.
    ImageTooLargeError, ImageTooSmallError
        The shape breaks ``limits``.
    """
    try:
        array = np.asarray(pixels)
    except ValueError as error:
        raise ArrayError(f"cannot be read as an array ({error}).", argument=name) from error
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ArrayError(f"must have shape (height, width[, 1, 3 or 4]); got {np.shape(pixels)}.", argument=name)
    check_size(array.shape[1], array.shape[0], name, limits)
    if np.issubdtype(array.dtype, np.floating):
        array = _from_float(array, name)
    elif array.dtype != np.uint8:
        raise ArrayError(f"must be uint8, or floating point in 0–1; got {array.dtype}.", argument=name)
    if array.shape[2] == 4:
        colour, alpha = array[:, :, :3].astype(np.uint32), array[:, :, 3:].astype(np.uint32)
        array = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    rgb = np.array(np.broadcast_to(array, (*array.shape[:2], 3)))
    rgb.flags.writeable = False
    content = content_hash(rgb)
    return Picture(rgb, name, content, content, "ARRAY")


def _from_float(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if not np.isfinite(array).all():
        raise ArrayError("holds values that are not finite (NaN or infinity).", argument=name)
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ArrayError(
            f"floating-point pixels must lie in 0–1; got {low:g} to {high:g}.",
            argument=name,
            fix="Divide by 255, or pass uint8.",
        )
    return np.rint(array.astype(np.float64) * 255).astype(np.uint8)
