"""Bytes that follow the image, in every format: they are counted, never read, and never signed."""

from __future__ import annotations

import io
import struct
import time
from typing import Any

import pytest
from PIL import Image

from morelli.images.claims.bmff import image_end, uncovered
from morelli.images.claims.ends import ENDS, bmp_end, gif_end, netpbm_end
from morelli.images.claims.read import read_claims
from morelli.images.claims.tiff import tiff_end
from morelli.testing.mutations import box
from tests.images.claims import files


def saved(kind: str, **options: Any) -> bytes:
    """HEIF is an AVIF under another name: only its boxes count here."""
    if kind != "HEIF":
        return files.saved(kind, **options)
    data = files.saved("AVIF", **options)
    return data[:8] + data[8:32].replace(b"avif", b"heic") + data[32:]


KINDS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "HEIF")
CREDENTIALS = b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"payload" * 9
PAYLOADS = {"bytes": b"PK\x03\x04 a payload", "box": box(b"free", b"a payload"), "image": files.png()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_bytes_behind_the_image_are_counted(kind: str, payload: bytes) -> None:
    plain = saved(kind)
    assert not [note for note in read_claims(plain).notes if "bytes follow" in note]
    said = [note for note in read_claims(plain + payload).notes if "bytes follow" in note]
    assert len(said) == 1
    assert said[0].startswith(f"{len(payload)} bytes follow the ")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("BMP", "PPM")])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_nothing_is_signed_that_has_bytes_behind_it(kind: str, payload: bytes) -> None:
    signing = pytest.importorskip("tests.images.claims.signing")
    me = signing.identity()
    data = signing.sign(saved(kind), f"image/{kind.lower()}", me)
    honest = read_claims(data, roots=me.root.decode())
    assert honest.claims
    assert all(claim.signed for claim in honest.claims)
    assert not [note for note in honest.notes if "bytes follow" in note]
    found = read_claims(data + payload, roots=me.root.decode())
    assert found.claims
    assert not any(claim.signed for claim in found.claims)
    assert [note for note in found.notes if note.startswith(f"{len(payload)} bytes follow the ")]


# -- AVIF, HEIF -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("name", [b"free", b"skip"])
def test_a_box_that_the_hash_leaves_out_is_told(kind: str, name: bytes) -> None:
    """The hash of C2PA leaves these boxes out: to its reader the file is as it was signed."""
    signing = pytest.importorskip("tests.images.claims.signing")
    from morelli.images.claims.credentials_worker import report

    me = signing.identity("Test Works")
    root = me.root.decode()
    data = signing.sign(saved(kind), f"image/{kind.lower()}", me)
    late = box(name, b"a payload")
    assert report(data + late, f"image/{kind.lower()}", root)["report"]["validation_state"] == "Trusted"
    first, *rest = read_claims(data + late, roots=root).claims
    assert first.source == "Content Credentials (not of all bytes)"
    assert 'signed by "Test Works", and unchanged since, but for 17 bytes that the signature does not cover' in (
        first.statement
    )
    assert rest
    assert not any(claim.signed for claim in (first, *rest))
    unknown = read_claims(data + late).claims[0]
    assert unknown.source == "Content Credentials (no known root)"
    assert "but for 17 bytes that the signature does not cover" in unknown.statement
    # Room that is kept free, and says nothing, takes nothing away.
    assert all(claim.signed for claim in read_claims(data + box(name, bytes(50)), roots=root).claims)


@pytest.mark.parametrize(
    ("late", "count"),
    [
        (b"", 0),
        (box(b"free", b""), 0),
        (box(b"free", bytes(100)), 0),
        (box(b"free", bytes(99) + b"x"), 108),
        (box(b"skip", b"x"), 9),
        (box(b"mfra", b"x" * 20), 28),
        (struct.pack(">I4s", 0, b"free") + b"to the end", 18),
        (struct.pack(">I4sQ", 1, b"free", 16 + 5) + b"large", 21),
        (struct.pack(">I4s", 1000, b"free") + b"a lie", 13),
        (b"\0\0\0\3", 4),
        (b"not a box at all", 16),
        (box(*CREDENTIALS), 0),
        (box(*CREDENTIALS) * 2, 87),
        (box(b"free", b"x") + box(b"mdat", b"hashed") + box(b"skip", b"y"), 18),
    ],
)
def test_bytes_that_no_hash_covers(late: bytes, count: int) -> None:
    assert uncovered(files.saved("AVIF") + late) == count


def test_a_list_of_brands_that_is_none() -> None:
    plain = files.saved("AVIF")
    size = int.from_bytes(plain[:4], "big")
    long = box(b"ftyp", plain[8:size] + b"payload!" * 20)
    assert uncovered(long + plain[size:]) == len(long)


def test_a_million_boxes_take_no_time() -> None:
    start = time.process_time()
    data = files.saved("AVIF") + box(b"free", b"") * 1_000_000
    assert uncovered(data) > 0  # what is not walked counts as not covered
    assert image_end(data) == len(files.saved("AVIF"))
    assert time.process_time() - start < 1.0


# -- where each format ends -------------------------------------------------------------------------------------------


def pillow(kind: str, mode: str, size: tuple[int, int] = (37, 19), **options: object) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp(mode: str) -> None:
    data = pillow("BMP", mode)
    assert bmp_end(data) == len(data)
    # The size that the header states is the writer's word.
    grown = data[:2] + struct.pack("<I", len(data) + 9) + data[6:] + b"a payload"
    assert "9 bytes follow the end of the image; they were not read." in read_claims(grown).notes
    assert not read_claims(data + bytes(2)).notes  # zeros that some programs add
    assert read_claims(data + bytes(16)).notes


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I"])
def test_netpbm(mode: str) -> None:
    data = pillow("PPM", mode)
    assert netpbm_end(data) == len(data)
    head, size, rest = data.split(b"\n", 2)
    assert netpbm_end(head + b"\n# a comment\n" + size + b"\n" + rest) == len(data) + 12
    assert netpbm_end(b"P3 1 1 255 0 0 0") == 16


def test_gif_of_several_frames() -> None:
    frames = [Image.effect_noise((40, 30), 50 + 20 * number).convert("P") for number in range(3)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], comment=b"hello", loop=0)
    data = file.getvalue()
    assert gif_end(data) == gif_end(data + b";more") == len(data)
    assert gif_end(data[:-1]) is None
    assert gif_end(data[:20]) is None
    start = time.process_time()
    assert gif_end(data[:-1] + b"!\xfe" + b"\1x" * 10_000_000) is None
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"big_tiff": True},
        {"compression": "tiff_lzw"},
        {"compression": "jpeg"},
        {"tiffinfo": {270: "x" * 1000, 700: b"<x/>" * 400}},
        {"exif": files.comment_exif("a comment" * 50)},
        {"save_all": True, "append_images": [Image.effect_noise((300, 200), 90).convert("RGB")]},
    ],
    ids=["plain", "big", "lzw", "jpeg", "texts", "exif", "pages"],
)
def test_tiff(options: dict[str, object]) -> None:
    data = pillow("TIFF", "RGB", (300, 200), **options)
    end = tiff_end(data)
    assert end is not None
    assert not any(data[end:])
    assert len(data) - end <= 15
    assert not [note for note in read_claims(data).notes if "bytes follow" in note]
    assert tiff_end(data + b"a payload") == end


def test_a_big_endian_tiff_made_by_hand() -> None:
    """Two strips, the second one first: the last byte is that of the first strip."""
    entries = [
        (256, 3, 1, 16 << 16),
        (273, 4, 2, 100),
        (279, 3, 2, 5 << 16 | 7),
        (305, 2, 30, 120),
    ]
    table = struct.pack(">H", len(entries)) + b"".join(struct.pack(">HHII", *each) for each in entries) + bytes(4)
    data = b"MM\0*" + struct.pack(">I", 8) + table
    data = data.ljust(100, b"\0") + struct.pack(">II", 200, 190) + bytes(200)
    assert tiff_end(data) == 205
    assert tiff_end(data[:104]) == 150  # the strips' offsets are not there: the last tag's value is the furthest


def test_hostile_tiffs_take_no_time() -> None:
    loop = struct.pack("<4sIH", b"II*\0", 8, 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    assert tiff_end(loop) == len(loop)
    assert tiff_end(b"II\x2b\0\x08\0\0\0" + b"\xff" * 8 + bytes(50)) is None
    start = time.process_time()
    inner = struct.pack("<4sIH", b"II*\0", 8, 1) + struct.pack("<HHII", 330, 4, 2_000_000, 30) + bytes(8)
    assert tiff_end(inner + b"\x08\0\0\0" * 2_000_000) == len(inner) + 8_000_000
    entry = struct.pack("<HHII", 273, 4, 2**20, 8)
    many = struct.pack("<4sIH", b"II*\0", 8, 65535) + entry * 65535 + bytes(2**22)
    assert tiff_end(many) == 8 + 2**22  # a tag counts once
    chain = b"".join(struct.pack("<H", 1) + entry + struct.pack("<I", 8 + 18 * number) for number in range(1, 900))
    assert tiff_end(struct.pack("<4sI", b"II*\0", 8) + chain + bytes(2**22)) is None
    assert time.process_time() - start < 2.0


def test_an_end_that_is_not_found_is_said() -> None:
    note = "Where the image ends in the file was not found: bytes that follow it cannot be told."
    assert note in read_claims(files.saved("GIF")[:-1]).notes
    assert note not in read_claims(files.saved("GIF")).notes


@pytest.mark.parametrize("kind", ENDS)
def test_ends_of_anything(kind: str) -> None:
    plain = saved(kind)
    for data in (b"", plain[:9], plain[:40], plain[: len(plain) // 2], plain[:4] + b"\xff" * 500, b"\xff" * 500):
        end = ENDS[kind](data)
        assert end is None or end >= 0
