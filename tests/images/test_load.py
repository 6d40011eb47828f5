"""The loader: every way a file can hold a picture, and every way it can fail to."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, features

from morelli.errors import (
    ArrayError,
    ImageTooLargeError,
    ImageTooSmallError,
    InputError,
    MissingImageError,
    TruncatedImageError,
    UnreadableImageError,
)
from morelli.images.header import sniff
from morelli.images.load import Limits, content_hash, from_array, load_image
from morelli.images.probe import probe
from morelli.testing.hostile import (
    BROKEN,
    SRGB_PRIMARIES,
    icc_bytes,
    png_bytes,
    png_header,
    rgb_profile,
    scene,
    write_hostile,
)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (24, 40, channels), dtype=np.uint8)


def over_white(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    share = alpha.astype(np.float64)[..., None] / 255
    return colour * share + 255 * (1 - share)


# --- what comes back


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_give_the_pixels_back(kind: str, tmp_path: Path) -> None:
    pixels = picture()
    data = saved(Image.fromarray(pixels), kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "wrong_suffix.jpg"
    path.write_bytes(data)
    loaded = load_image(path)
    np.testing.assert_array_equal(loaded.pixels, pixels)
    assert loaded.pixels.dtype == np.uint8
    assert not loaded.pixels.flags.writeable
    assert loaded.format == kind
    assert loaded.name == str(path)
    assert loaded.sha256 == hashlib.sha256(data).hexdigest()
    assert loaded.content == content_hash(pixels)
    assert load_image(str(path)).content == load_image(data, name="x").content


def test_content_is_the_pictures_not_the_files() -> None:
    pixels = picture()
    png, bmp = load_image(saved(Image.fromarray(pixels))), load_image(saved(Image.fromarray(pixels), "BMP"))
    assert png.content == bmp.content
    assert png.sha256 != bmp.sha256
    assert content_hash(pixels) != content_hash(picture(seed=1))
    assert content_hash(pixels) != content_hash(pixels.reshape(40, 24, 3)), "shape is part of the content"
    assert content_hash(np.asfortranarray(pixels)) == content_hash(pixels)


@pytest.mark.parametrize("subject", ["jpeg", "avif"])
def test_lossy_formats_are_near(subject: str) -> None:
    if not features.check(subject if subject == "avif" else "jpg"):
        pytest.skip(f"this Pillow has no {subject}")
    pixels = scene()
    assert (
        np.abs(load_image(saved(Image.fromarray(pixels), subject, quality=95)).pixels.astype(int) - pixels).mean() < 8
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation: int, kind: str) -> None:
    upright = picture()
    # What a camera stores so that the tag's turn brings it upright: the inverse of each turn, by hand.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    np.testing.assert_array_equal(load_image(data).pixels, upright)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_header_tells_the_upright_size(orientation: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{kind.lower()}"
    file.write_bytes(saved(Image.fromarray(picture()), kind, exif=exif))
    height, width = load_image(file).pixels.shape[:2]
    assert (probe(file).width, probe(file).height) == (width, height)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_ignored() -> None:
    pixels = picture()
    data = saved(Image.fromarray(pixels), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff no table here")
    np.testing.assert_array_equal(load_image(data).pixels, pixels)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_over_white(mode: str) -> None:
    samples = picture(len(mode))
    expected = over_white(samples[:, :, :-1], samples[:, :, -1])
    loaded = load_image(png_bytes(samples)).pixels
    assert np.abs(loaded - expected).max() <= 1


def test_transparency_without_an_alpha_channel() -> None:
    rgb = np.full((20, 20, 3), 30, np.uint8)
    rgb[5:] = 200
    for samples, clear in ((rgb, struct.pack(">HHH", 30, 30, 30)), (rgb[:, :, :1], struct.pack(">H", 30))):
        loaded = load_image(png_bytes(samples, chunks=((b"tRNS", clear),))).pixels
        assert (loaded[:5] == 255).all()
        assert (loaded[5:] == 200).all()


def plain_png(depth: int, colour: int, rows: list[bytes], clear: bytes) -> bytes:
    """A PNG of 20 pixels a row, chunk by chunk."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20, len(rows), depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (b"IHDR", header), (b"tRNS", clear), (b"IDAT", packed), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_a_clear_value_of_samples_that_are_brought_to_eight_bits() -> None:
    """The first ten rows are of the clear value, which is white then; the others are not."""
    deep = [np.full((20, 3), level, ">u2").tobytes() for level in [0x1234] * 10 + [0x5678] * 10]
    two = [bytes([byte] * 5) for byte in [0b01010101] * 10 + [0b10101010] * 10]
    four = [bytes([byte] * 10) for byte in [0x33] * 10 + [0x77] * 10]
    for data, other in (
        (plain_png(16, 2, deep, struct.pack(">HHH", 0x1234, 0x1234, 0x1234)), 0x56),
        (plain_png(2, 0, two, struct.pack(">H", 1)), 2 * 85),
        (plain_png(4, 0, four, struct.pack(">H", 3)), 7 * 17),
    ):
        pixels = load_image(data).pixels
        assert (pixels[:10] == 255).all()
        assert (pixels[10:] == other).all()


def test_palette_with_graded_transparency() -> None:
    indices = np.tile(np.arange(20, dtype=np.uint8) % 3, (20, 1))
    image = Image.fromarray(indices).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    loaded = load_image(saved(image, transparency=bytes([0, 128, 255]))).pixels
    np.testing.assert_array_equal(loaded[0, :3], [[255, 255, 255], [127, 255, 127], [0, 0, 255]])


def test_one_bit_and_palette_without_transparency() -> None:
    pattern = np.indices((20, 20)).sum(0) % 2
    loaded = load_image(saved(Image.fromarray(pattern.astype(bool)))).pixels
    np.testing.assert_array_equal(loaded[:, :, 1], pattern * 255)
    colours = Image.fromarray(picture()).quantize(16)
    np.testing.assert_array_equal(load_image(saved(colours)).pixels, np.asarray(colours.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bit_grey_is_scaled(kind: str) -> None:
    wide = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    loaded = load_image(saved(Image.fromarray(wide), kind)).pixels
    np.testing.assert_array_equal(loaded, np.repeat(np.rint(wide / 257)[:, :, None], 3, axis=2))


def test_sixteen_bit_grey_with_a_clear_value_and_with_white_at_zero() -> None:
    wide = np.full((20, 20, 1), 3000, np.uint16)
    wide[5:] = 60000
    loaded = load_image(png_bytes(wide, chunks=((b"tRNS", struct.pack(">H", 3000)),))).pixels
    assert (loaded[:5] == 255).all()
    assert (loaded[5:] == round(60000 / 257)).all()
    inverted = load_image(saved(Image.fromarray(wide[:, :, 0]), "TIFF", tiffinfo={262: 0})).pixels
    assert (inverted[5:] == round((65535 - 60000) / 257)).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bit_colour_is_scaled(channels: int) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (20, 30, channels)).astype(np.uint16)
    loaded = load_image(png_bytes(wide)).pixels
    eight = wide / 257
    expected = eight if channels == 3 else over_white(eight[:, :, :-1], eight[:, :, -1])
    assert np.abs(loaded - expected).max() <= 2, "two roundings: depth and opacity"


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_samples_without_a_white_are_refused(dtype: type) -> None:
    with pytest.raises(UnreadableImageError, match=r"bytes: samples of 32 bits.*8 or 16 bits"):
        load_image(saved(Image.fromarray(np.ones((20, 20), dtype)), "TIFF"))


def test_hostile_but_sound_files(tmp_path: Path) -> None:
    files = write_hostile(tmp_path)
    loaded = {name: load_image(path).pixels for name, path in files.items() if name not in BROKEN}
    for name in ("animated_gif", "animated_webp", "animated_png"):
        assert (loaded[name] == [255, 0, 0]).all(), f"{name}: not the first frame"
    assert (loaded["cmyk"] == [0, 255, 255]).all()
    np.testing.assert_array_equal(loaded["rgb16"], scene())
    np.testing.assert_array_equal(loaded["broken_icc"], scene())
    assert (loaded["palette_alpha"][:, :24] == 255).all()
    assert (loaded["palette_alpha"][:, 24:] == [255, 0, 0]).all()
    turned = np.rot90(scene(), -1).astype(int)
    assert loaded["rotated"].shape == turned.shape
    assert np.abs(loaded["rotated"] - turned).mean() < 12


# --- colour profiles


def srgb_curve(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)


def test_a_profile_is_applied() -> None:
    # Adobe-RGB-like: wider green. Reference: plain linear algebra with the same numbers.
    wide = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
    pixels = picture()
    linear = (pixels / 255) ** 2.2
    xyz = linear @ np.array(wide)
    expected = 255 * srgb_curve(np.clip(xyz @ np.linalg.inv(np.array(SRGB_PRIMARIES)), 0, 1))
    loaded = load_image(saved(Image.fromarray(pixels), icc_profile=rgb_profile(wide))).pixels
    assert np.abs(loaded - expected).max() <= 3
    assert np.abs(loaded - pixels.astype(int)).max() > 30, "the profile did nothing"


def test_the_profile_goes_before_the_alpha() -> None:
    samples = picture(4)
    samples[:, :, 3] = 0
    loaded = load_image(saved(Image.fromarray(samples), icc_profile=rgb_profile(gamma=1.2))).pixels
    assert (loaded == 255).all()


def test_an_srgb_profile_leaves_every_pixel() -> None:
    pixels = picture()
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    red, green, blue = SRGB_PRIMARIES
    rounded = ((red[0] + 0.0003, red[1], red[2]), (green[0] - 0.0003, green[1], green[2]), blue)
    other = rgb_profile(rounded, gamma=None)  # sRGB as another program rounds it
    turned = ImageCms.profileToProfile(Image.fromarray(pixels), ImageCms.ImageCmsProfile(io.BytesIO(other)), same)
    assert (np.asarray(turned) != pixels).any(), "the transform would have altered pixels"
    for profile in (same.tobytes(), other):
        np.testing.assert_array_equal(load_image(saved(Image.fromarray(pixels), icc_profile=profile)).pixels, pixels)


def grey_profile(gamma: float) -> bytes:
    curve = struct.pack(">4s4xIHxx", b"curv", 1, round(gamma * 256))
    white = struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in (0.9642, 1, 0.8249)))
    return icc_bytes({b"wtpt": white, b"kTRC": curve}, b"mntr", b"GRAY", b"XYZ ")


def test_grey_profile() -> None:
    ramp = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (20, 1))
    expected = 255 * srgb_curve((ramp / 255.0) ** 1.0)
    loaded = load_image(saved(Image.fromarray(ramp), icc_profile=grey_profile(1.0))).pixels
    assert np.abs(loaded - expected[:, :, None]).max() <= 2
    colour = picture()
    np.testing.assert_array_equal(
        load_image(saved(Image.fromarray(colour), icc_profile=grey_profile(1.0))).pixels, colour
    )


def cmyk_profile(lab_of_corner: NDArray[np.uint8]) -> bytes:
    """Lookup table of 2×2×2×2 corners (axes C, M, Y, K) to 8-bit Lab."""
    identity = np.arange(256, dtype=np.uint8).tobytes()
    head = struct.pack(">4s4xBBBx9i", b"mft1", 4, 3, 2, *(round(65536 * v) for v in np.eye(3).ravel()))
    table = head + identity * 4 + lab_of_corner.astype(np.uint8).tobytes() + identity * 3
    white = struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in (0.9642, 1, 0.8249)))
    return icc_bytes({b"wtpt": white, b"A2B0": table + bytes(-len(table) % 4)}, b"prtr", b"CMYK", b"Lab ")


def test_cmyk_profile() -> None:
    # A made-up press: neutral, and its lightness falls with black ink alone; colour inks leave no trace.
    corners = np.zeros((2, 2, 2, 2, 3), np.uint8)
    corners[...] = (255, 128, 128)
    corners[..., 1, 0] = 0
    profile = cmyk_profile(corners)
    for ink, expected in (((255, 255, 255, 0), 255), ((0, 0, 0, 255), 0), ((255, 0, 0, 128), 118)):
        data = saved(Image.new("CMYK", (20, 20), ink), "TIFF", icc_profile=profile)
        pixels = load_image(data).pixels.astype(int)
        assert np.ptp(pixels, axis=2).max() <= 2
        assert abs(pixels.mean() - expected) <= 3  # L* = 49.8 is sRGB 118


# --- what is refused


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("truncated_png", TruncatedImageError),
        ("truncated_jpeg", TruncatedImageError),
        ("truncated_webp", TruncatedImageError),
        ("zero_bytes", UnreadableImageError),
        ("bomb", ImageTooLargeError),
        ("text", UnreadableImageError),
        ("vector", UnreadableImageError),
        ("one_pixel", ImageTooSmallError),
    ],
)
def test_broken_files(name: str, error: type[Exception], tmp_path: Path) -> None:
    path = write_hostile(tmp_path)[name]
    with pytest.raises(error) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


def test_every_broken_kind_is_listed() -> None:
    marks = test_broken_files.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {name for name, _ in marks} == BROKEN


def test_missing_folder_device_and_odd_paths(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path / "a\0b.png", tmp_path / "none" / "x.png"):
        with pytest.raises(MissingImageError):
            load_image(path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(MissingImageError):
        load_image(tmp_path / "file" / "x.png")
    with pytest.raises(UnreadableImageError, match="folder"):
        load_image(tmp_path)
    with pytest.raises(UnreadableImageError):
        load_image(tmp_path / ("x" * 5000))
    with pytest.raises(UnreadableImageError, match="regular"):
        load_image(os.devnull)
    with pytest.raises(InputError, match="not int"):
        load_image(3)  # type: ignore[arg-type]


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "closed.png"
    path.write_bytes(saved(Image.fromarray(picture())))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableImageError, match=r"closed\.png: the file cannot be read \(Permission denied\)"):
        load_image(path)


@pytest.mark.skipif(importlib.util.find_spec("pi_heif") is not None, reason="the HEIF reader is installed")
def test_heif_without_its_reader_names_the_extra() -> None:
    with pytest.raises(UnreadableImageError, match=r"morelli\[heif\]"):
        load_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41avc1", None),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"P6\n32 32\n255\n", "PPM"),
        (b"PK\x03\x04", None),
        (b"P6", None),
        (b"%PDF-1.7", None),
        (b"<svg xmlns=", None),
        (b"", None),
    ],
)
def test_sniff(head: bytes, kind: str | None) -> None:
    assert sniff(head) == kind


def test_limits_are_decided_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    data = {
        kind: saved(Image.fromarray(picture()), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
    }
    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for kind, content in data.items():
        with pytest.raises(ImageTooLargeError, match="40×24"):
            load_image(content, limits=Limits(max_pixels=24 * 40 - 1))
        with pytest.raises(ImageTooSmallError, match="at least 25"):
            load_image(content, limits=Limits(min_side=25))
        path = tmp_path / kind
        path.write_bytes(content)
        with pytest.raises(ImageTooLargeError, match="bytes"):
            load_image(path, limits=Limits(max_bytes=len(content) - 1))
        with pytest.raises(ImageTooLargeError, match="bytes"):
            load_image(content, limits=Limits(max_bytes=len(content) - 1))


def test_a_bomb_is_known_by_its_first_bytes() -> None:
    side = (50_000 - 1).to_bytes(3, "little")
    webp = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + side + side + bytes(40)
    for data in (png_header(50_000, 50_000), webp):
        with pytest.raises(ImageTooLargeError, match="50000×50000"):
            load_image(data)


def test_limits_themselves_are_allowed() -> None:
    data = saved(Image.fromarray(picture()))
    assert load_image(data, limits=Limits(max_bytes=len(data), max_pixels=24 * 40, min_side=24)).pixels.shape[0] == 24


def test_a_large_picture_costs_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow warns above its own limit and refuses above twice that; only ours may count.
    data = saved(Image.fromarray(picture()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(data).pixels.shape == (24, 40, 3)


def test_threads_agree_and_leave_pillow_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    files = [saved(Image.fromarray(picture(seed=n)), k) for n in range(8) for k in ("PNG", "TIFF", "BMP")]
    expected = [load_image(file).content for file in files]
    results: dict[int, list[str]] = {}

    def work(number: int) -> None:
        results[number] = [load_image(file).content for file in files]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[number] for number in range(4)] == [expected] * 4
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


# --- arrays


def test_arrays() -> None:
    pixels = picture()
    loaded = from_array(pixels)
    np.testing.assert_array_equal(loaded.pixels, pixels)
    assert loaded.content == loaded.sha256 == content_hash(pixels)
    assert loaded.format == "ARRAY"
    assert not loaded.pixels.flags.writeable
    assert pixels.flags.writeable, "the caller's array stays the caller's"
    pixels[0, 0] += 1
    assert loaded.content == content_hash(loaded.pixels), "a copy"
    for dtype in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(from_array((loaded.pixels / 255).astype(dtype)).pixels, loaded.pixels)
    grey = loaded.pixels[:, :, 0]
    np.testing.assert_array_equal(from_array(grey).pixels, np.repeat(grey[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(from_array(grey[:, :, None]).pixels, from_array(grey).pixels)
    rgba = picture(4)
    assert np.abs(from_array(rgba).pixels - over_white(rgba[:, :, :3], rgba[:, :, 3])).max() <= 0.5
    assert from_array(np.ones((20, 20)).tolist()).pixels.min() == 255


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((20, 20, 3), np.nan), "not finite"),
        (np.full((20, 20, 3), np.inf), "not finite"),
        (np.full((20, 20, 3), 1.01), "0–1"),
        (np.full((20, 20, 3), -0.01), "0–1"),
        (np.zeros((20, 20, 2), np.uint8), "shape"),
        (np.zeros((20, 20, 5), np.uint8), "shape"),
        (np.zeros((1, 20, 20, 3), np.uint8), "shape"),
        (np.zeros(20, np.uint8), "shape"),
        (np.zeros((20, 20, 3), np.int64), "int64"),
        (np.zeros((20, 20, 3), bool), "bool"),
        (np.zeros((20, 20, 3), object), "object"),
        (np.zeros((20, 20, 3), complex), "complex"),
        ([[1, 2], [3]], "array"),
    ],
)
def test_bad_arrays(array: Any, words: str) -> None:
    with pytest.raises(ArrayError, match=words):
        from_array(array, name="mine")


def test_array_limits() -> None:
    with pytest.raises(ImageTooSmallError):
        from_array(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ImageTooSmallError):
        from_array(np.zeros((0, 0, 3), np.uint8))
    with pytest.raises(ImageTooLargeError):
        from_array(np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)))


def test_content_hash_refuses_what_are_no_pixels() -> None:
    for bad in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), "x"):
        with pytest.raises(ArrayError):
            content_hash(bad)  # type: ignore[arg-type]
