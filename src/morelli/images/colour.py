"""A decoded Pillow image of any mode becomes sRGB pixels: depth, transparency, colour profile, orientation."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from morelli.errors import UnreadableImageError

if TYPE_CHECKING:
    from PIL import ImageCms

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # TIFF tags


def orientation(image: Image.Image) -> int:
    """EXIF (or XMP) orientation, 1–8; 1 where there is none or where the metadata are broken.

    Of an image that is not loaded, only the metadata before the pixels are seen.
    """
    try:
        # The base class's method: PNG's own would decode the pixels to look for metadata behind them.
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    # Broken metadata raise anything from SyntaxError to struct.error; they say nothing about the pixels.
    except Exception:  # noqa: BLE001
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def eight_bit_key(image: Image.Image) -> int | tuple[int, ...] | None:
    """The clear value of a PNG whose samples Pillow brings to 8 bits, brought to 8 bits as they are.

    None where there is none, or where Pillow leaves samples and value as they are. Of 16 bits the upper 8 decide.

    Parameters
    ----------
    image : PIL.Image.Image
        Not loaded: afterwards nothing tells how many bits the samples had.
    """
    clear, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    raw = tiles[0].args if image.format == "PNG" and tiles else ""
    if image.mode == "RGB" and raw == "RGB;16B" and isinstance(clear, tuple):
        return tuple(value >> 8 for value in clear)
    step = {"L;2": 85, "L;4": 17}.get(raw) if image.mode == "L" else None
    return clear * step if step is not None and isinstance(clear, int) else None


def to_srgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels of a loaded image.

    Sixteen bits a channel become eight by scaling full range to full range. Transparency is laid over white.
    An embedded profile is applied; where it is broken or does not fit the image's channels, it is ignored.

    Parameters
    ----------
    image : PIL.Image.Image
        Loaded, any mode.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8
        sRGB, upright.

    Raises
    ------
    UnreadableImageError
        32-bit samples, whose white is not defined.
    """
    turn = _TURNS.get(orientation(image))
    profile = image.info.get("icc_profile")
    opaque, alpha = _split_alpha(_eight_bits(image))
    rgb = _apply_profile(opaque, profile)
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    if turn is not None:
        rgb = rgb.transpose(turn)
    return np.array(rgb, dtype=np.uint8)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The image itself, or its 8-bit form where Pillow holds wide grey samples (``convert`` would clip them)."""
    portable = image.mode == "I" and image.format == "PPM"  # Pillow has brought these to 0–65535
    if image.mode in ("I", "F") and not portable:
        raise UnreadableImageError(
            "samples of 32 bits, or signed ones, do not say what white is.", fix="Save it with 8 or 16 bits a channel."
        )
    if not (portable or image.mode.startswith("I;16")):
        return image
    tags = getattr(image, "tag_v2", {})
    top = 4095 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535
    wide = np.asarray(image).astype(np.uint32)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero; Pillow inverts 8 bits but not 16
        wide = top - wide
    grey = Image.fromarray(((wide * 255 + top // 2) // top).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
    return grey


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colour without transparency, and the opacity (mode "L") or None."""
    if image.mode in ("RGBa", "La"):  # premultiplied
        image = image.convert(image.mode.upper())
    elif "transparency" in image.info and image.mode in ("1", "L", "P", "RGB"):
        image = image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    if image.mode in ("LA", "PA", "RGBA"):
        return image.convert("L" if image.mode == "LA" else "RGB"), image.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image.convert("RGB") if image.mode in ("P", "RGBX") else image), None


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB, mode "RGB"."""
    if not profile and image.mode != "LAB":
        return image.convert("RGB")
    from PIL import ImageCms

    # Bytes 16–19 of a profile's header name the colour space of its device side.
    space = "Lab" if image.mode == "LAB" else (profile or b"")[16:20].decode("latin-1").strip()
    fitting = {"GRAY": ("L",), "RGB": ("RGB", "L", "YCbCr"), "CMYK": ("CMYK",), "Lab": ("LAB",)}
    if image.mode not in fitting.get(space, ()):
        return image.convert("RGB")
    if space == "RGB":
        image = image.convert("RGB")
    try:
        if space == "Lab":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif image.mode != "CMYK" and _is_srgb(profile or b"", image.mode):
            return image.convert("RGB")
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        converted = ImageCms.applyTransform(image, _transform(source, image.mode))
    except (OSError, ImageCms.PyCMSError):  # a broken profile: browsers show the picture without it, and so do we
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def _transform(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    # Unoptimised for grey: the table that is made otherwise is ten levels off in the darks of a linear profile.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    return ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)


@lru_cache(maxsize=32)
def _is_srgb(profile: bytes, mode: str) -> bool:
    """True for sRGB itself under any name: rounding in the transform would alter pixels that carry the traces.

    Remembered, because the same few profiles come with thousands of files and building a transform takes milliseconds.
    """
    from PIL import ImageCms

    transform = _transform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), mode)
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        probe = Image.fromarray(steps[None, :])
    else:
        lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
        probe = Image.fromarray(lattice.reshape(27, 27, 3))
    after = ImageCms.applyTransform(probe, transform)
    difference = np.asarray(after).astype(int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(difference).max() <= 1)
