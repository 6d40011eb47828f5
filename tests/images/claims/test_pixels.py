"""Marks in pixels: invisible-watermark's, beside a slow embedder and the package itself; and hidden records."""

from __future__ import annotations

import gzip
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from morelli.errors import InputError
from morelli.images.claims import marks
from morelli.images.claims.decoded import Decoded
from morelli.images.claims.read import read_claims
from morelli.images.claims.stealth import hidden_text
from morelli.images.claims.watermark import CHANCE, MARKS, block_votes, chance, matches, watermark_claims
from morelli.images.load import from_array, load_image
from tests.images.claims import files
from tests.images.claims.test_tools import NOVELAI

SDXL = "101100111110110010010000011110111011000110011110"


def smooth(side: int = 512, seed: int = 0) -> NDArray[np.uint8]:
    """A scene with soft slopes, dull colours and some noise: the mark keeps well in it (in strong blue it does not)."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(6.3 * (a * down + b * across) + c) for a, b, c in rng.uniform(-3, 3, (4, 3))]
    scene = 128 + 60 * waves[0][:, :, None] + 4 * np.stack(waves[1:], -1)
    return np.clip(scene + rng.normal(0, 3, (side, side, 3)), 0, 255).astype(np.uint8)


def embed(pixels: NDArray[np.uint8], bits: list[int]) -> NDArray[np.uint8]:
    """A slow embedder after the package's description: block by block, in floating point."""
    rgb = pixels.astype(float)
    grey = rgb @ [0.299, 0.587, 0.114]
    u, v = 0.492 * (rgb[:, :, 2] - grey) + 128, 0.877 * (rgb[:, :, 0] - grey) + 128
    count = 0
    for top in range(0, pixels.shape[0] // 8 * 8, 8):
        for left in range(0, pixels.shape[1] // 8 * 8, 8):
            block = u[top : top + 8, left : left + 8]
            approximation = block.reshape(4, 2, 4, 2).sum(axis=(1, 3)) / 2
            place = 1 + int(np.argmax(np.abs(approximation.ravel()[1:])))
            row, column = divmod(place, 4)
            old = approximation[row, column]
            new = (old // 36 + 0.25 + 0.5 * bits[count % len(bits)]) * 36
            block[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += (new - old) / 2
            count += 1
    blue, red = grey + (u - 128) / 0.492, grey + (v - 128) / 0.877
    green = (grey - 0.299 * red - 0.114 * blue) / 0.587
    return np.clip(np.rint(np.stack([red, green, blue], -1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.whose)
def test_each_mark_is_read_back_and_no_other(mark: Any) -> None:
    found = watermark_claims(embed(smooth(), list(mark.bits)))
    assert [claim.statement.split(" (")[0] for claim in found] == [f"the mark that scripts of {mark.whose} write"]
    assert not found[0].signed


def test_messages_are_those_of_the_scripts() -> None:
    by = {mark.whose: "".join(map(str, mark.bits)) for mark in MARKS}
    assert by["Stable Diffusion XL"] == SDXL
    assert by["FLUX"] == bin(0b001010101111111010000111100111001111010100101110)[2:]
    assert int(by["Stable Diffusion 2"], 2).to_bytes(4, "big") == b"SDV2"
    assert int(by["Stable Diffusion 1"], 2).to_bytes(17, "big") == b"StableDiffusionV1"


def test_votes_against_a_loop_in_plain_python() -> None:
    pixels = files.noise(40)[:37]
    expected = []
    for top in range(0, 32, 8):
        for left in range(0, 40, 8):
            best = 0
            for row in range(4):
                for column in range(4):
                    total = 0
                    for y in range(top + 2 * row, top + 2 * row + 2):
                        for x in range(left + 2 * column, left + 2 * column + 2):
                            r, g, b = (int(value) for value in pixels[y, x])
                            grey = (4899 * r + 9617 * g + 1868 * b + 8192) // 16384
                            total += (8061 * (b - grey) + 128 * 16384 + 8192) // 16384
                    if (row, column) != (0, 0):
                        best = max(best, total)
            expected.append((best / 2) % 36 > 18)
    assert block_votes(pixels).tolist() == expected


def test_chance_is_a_coin_s() -> None:
    from scipy.stats import binom

    for count in (32, 46, 48, 136, 224):
        for agree in (0, count // 2, count - 1, count):
            assert chance(agree, count) == pytest.approx(binom.sf(agree - 1, count, 0.5), rel=1e-6)
    assert chance(32, 32) < chance(31, 32) < CHANCE < chance(30, 32)


def test_small_flat_and_striped_pictures_have_no_mark() -> None:
    marked = embed(smooth(), [int(bit) for bit in SDXL])
    assert watermark_claims(marked[:200, :200]) == []
    assert matches(np.zeros(3, bool), (1, 0, 1, 0)) == 0
    for colour in range(0, 256, 15):
        assert watermark_claims(np.full((256, 256, 3), (colour, 40, 255 - colour), np.uint8)) == []
    stripes = np.zeros((512, 512, 3), np.uint8)
    for period in range(1, 60):
        stripes[:] = 0
        stripes[:, ::period, 2] = 255
        assert watermark_claims(stripes) == []


def test_a_mark_in_a_file_is_a_claim_that_anyone_could_write(tmp_path: Path) -> None:
    marked = embed(smooth(), [int(bit) for bit in SDXL])
    path = tmp_path / "marked.png"
    Image.fromarray(marked).save(path)
    for source in (path, path.read_bytes(), from_array(marked)):
        claims = read_claims(source).claims
        assert [claim.source for claim in claims] == ["invisible watermark (pixels)"]
        assert "48 of 48 bits" in claims[0].statement
        assert not claims[0].signed


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.whose)
@pytest.mark.parametrize(
    "scene", [smooth(), files.noise(512), smooth()[:, :, ::-1] // 2], ids=["dull", "noise", "dark"]
)
def test_marks_that_the_package_wrote(mark: Any, scene: NDArray[np.uint8]) -> None:
    """As many bits as the package itself reads back, give or take a borderline vote."""
    package = pytest.importorskip("imwatermark", reason="invisible-watermark is not installed")
    encoder, count = package.WatermarkEncoder(), len(mark.bits)
    encoder.set_watermark("bits", list(mark.bits))
    written = encoder.encode(np.ascontiguousarray(scene[:, :, ::-1]), "dwtDct")
    theirs = package.WatermarkDecoder("bits", count).decode(written, "dwtDct")
    agree = int((np.asarray(theirs) == np.array(mark.bits)).sum())
    assert abs(matches(block_votes(written[:, :, ::-1]), mark.bits) - agree) <= 1
    if chance(agree, count) < CHANCE / 1000:
        assert f"scripts of {mark.whose} write" in watermark_claims(written[:, :, ::-1])[0].statement


@pytest.mark.slow
def test_real_pictures_without_a_mark_are_far_from_one(data_dir: Path) -> None:
    paths = sorted((data_dir / "photos").rglob("*.png"))[::4]
    assert len(paths) > 50
    for path in paths:
        with Image.open(path) as image:
            votes = block_votes(np.asarray(image.convert("RGB")))
        for mark in MARKS:
            assert chance(matches(votes, mark.bits), len(mark.bits)) > 1e-5


def prepared(pixels: NDArray[np.uint8], kind: str, **options: Any) -> tuple[bytes, Decoded]:
    """A file, and its picture as a server decodes it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue(), Decoded(load_image(file.getvalue()), 0.1, time.monotonic() + 60)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {"quality": 100, "subsampling": 0}), ("WEBP", {"lossless": True}), ("BMP", {}),
     ("AVIF", {"quality": 100, "subsampling": "4:4:4"})],
)  # fmt: skip
def test_a_decoded_picture_is_not_decoded_again(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any]
) -> None:
    data, decoded = prepared(embed(smooth(), [int(bit) for bit in SDXL]), kind, **options)
    anew = read_claims(data)
    with monkeypatch.context() as patch:
        patch.setattr(marks, "_pixels", lambda *_: pytest.fail("decoded twice"))
        assert read_claims(data, decoded=decoded).to_json() == anew.to_json()
    assert [claim.source for claim in anew.claims] == ["invisible watermark (pixels)"]


def test_a_picture_that_was_turned_or_changed_is_decoded_anew() -> None:
    """What marks need is the pixels as they stand in the file: a turned picture has lost its mark."""
    marked, profile = embed(smooth(), [int(bit) for bit in SDXL]), ImageCms.createProfile("XYZ")
    turned = Image.Exif()
    turned[0x0112] = 3
    for options in ({"exif": turned.tobytes()}, {"icc_profile": ImageCms.ImageCmsProfile(profile).tobytes()}):
        data, decoded = prepared(marked, "PNG", **options)
        assert read_claims(data, decoded=decoded).claims == read_claims(data).claims != ()
    data, decoded = prepared(marked, "PNG")
    late = data[:-12] + files.chunk(b"eXIf", turned.tobytes()[6:]) + data[-12:]  # behind the pixels
    decoded = replace(decoded, picture=load_image(late))
    assert np.array_equal(decoded.picture.pixels, marked[::-1, ::-1])
    assert read_claims(late, decoded=decoded).claims == read_claims(late).claims != ()
    clear = np.dstack([marked, np.full(marked.shape[:2], 128, np.uint8)])
    data, decoded = prepared(clear, "PNG")
    assert read_claims(data, decoded=decoded).claims == read_claims(data).claims != ()


def test_no_time_to_decode_anew_is_said() -> None:
    clear = np.dstack([embed(smooth(), [int(bit) for bit in SDXL]), np.full((512, 512), 255, np.uint8)])
    data, decoded = prepared(clear, "PNG")
    late = replace(decoded, seconds=5.0, until=time.monotonic() + 1)
    assert read_claims(data, decoded=late).notes == (
        "No mark in the pixels was looked for: decoding the picture left no time.",
    )


# -- hidden records ---------------------------------------------------------------------------------------------------


def hide(text: bytes, letters: bytes, side: int = 128, length: int | None = None) -> NDArray[np.uint8]:
    """RGBA with a record in the lowest bits of opacity (or of colour), written bit by bit."""
    pixels = np.dstack([files.noise(side), np.full((side, side), 255, np.uint8)])
    size = 8 * len(text) if length is None else length
    bits = [byte >> shift & 1 for byte in letters + size.to_bytes(4, "big") + text for shift in range(7, -1, -1)]
    for number, bit in enumerate(bits):
        if letters.startswith(b"stealth_rgb"):
            pixel, channel = divmod(number, 3)
        else:
            pixel, channel = number, 3
        column, row = divmod(pixel, side)
        pixels[row, column, channel] = pixels[row, column, channel] & 0xFE | bit
    return pixels


def test_hidden_records_in_all_forms() -> None:
    record = files.INFOTEXT.encode()
    for letters, body in (
        (b"stealth_pnginfo", record),
        (b"stealth_pngcomp", gzip.compress(record)),
        (b"stealth_rgbinfo", record),
        (b"stealth_rgbcomp", gzip.compress(record)),
    ):
        pixels = hide(body, letters)
        assert hidden_text(pixels) == files.INFOTEXT
        if b"rgb" in letters:
            assert hidden_text(pixels[:, :, :3]) == files.INFOTEXT
    assert hidden_text(files.noise()) is None
    assert hidden_text(np.zeros((2, 2, 3), np.uint8)) is None


def test_novelai_hidden_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "novel.png"
    Image.fromarray(hide(gzip.compress(json.dumps(NOVELAI).encode()), b"stealth_pngcomp")).save(path)
    claims = read_claims(path).claims
    assert [claim.source for claim in claims] == ['parameters of NovelAI (hidden in pixels "parameters")']
    assert 'model "NovelAI Diffusion V4.5"' in claims[0].statement


@pytest.mark.parametrize(
    ("body", "letters", "length", "said"),
    [
        (b"", b"stealth_pnginfo", 2**31, "length"),
        (b"abc", b"stealth_pnginfo", 7, "length"),
        (b"no gzip", b"stealth_pngcomp", None, "decompressed"),
        (gzip.compress(bytes(64 * 2**20))[: 128 * 128 // 8 - 19], b"stealth_pngcomp", None, "."),
        (b"\xff\xfe\xff", b"stealth_pnginfo", None, "no text"),
    ],
    ids=["length", "bits", "stream", "bomb", "text"],
)
def test_hostile_hidden_records(body: bytes, letters: bytes, length: int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        hidden_text(hide(body, letters, length=length))


def test_a_hidden_bomb_stops_at_the_limit() -> None:
    with pytest.raises(InputError, match="more than"):
        hidden_text(hide(gzip.compress(bytes(16 * 2**20)), b"stealth_pngcomp", side=512))
