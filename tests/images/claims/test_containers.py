"""PNG, JPEG, WebP, TIFF and EXIF: what is read, where reading ends, and what each hostile form costs."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from morelli.errors import ImageTooLargeError, MissingImageError, UnreadableImageError
from morelli.images.claims.carried import Carried
from morelli.images.claims.exif import MAX_ENTRIES, read_exif
from morelli.images.claims.jpeg import read_jpeg
from morelli.images.claims.limits import MAX_ALL, MAX_BLOCKS, MAX_TEXT, MAX_TEXTS, clean, inflate, quoted
from morelli.images.claims.png import read_png
from morelli.images.claims.read import read_claims
from morelli.images.claims.webp import read_webp
from morelli.images.header import Limits
from tests.images.claims import files


def texts(carried: Carried) -> list[tuple[str, str, str]]:
    return [(each.where, each.key, each.value) for each in carried.texts]


def of_png(data: bytes) -> tuple[Carried, int | None]:
    out = Carried()
    return out, read_png(data, out)


# -- PNG --------------------------------------------------------------------------------------------------------------


def test_png_texts_of_all_kinds_agree_with_pillow() -> None:
    data = files.png(
        files.text("one", "1"), files.ztext("two", b"22"), files.itext("three", "drei é".encode()),
        files.itext("four", b"4444", packed=True),
    )  # fmt: skip
    carried, end = of_png(data)
    assert [(key, value) for _, key, value in texts(carried)] == [
        ("one", "1"),
        ("two", "22"),
        ("three", "drei é"),
        ("four", "4444"),
    ]
    assert end == len(data)
    assert carried.notes == []
    image = Image.open(io.BytesIO(data))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    assert {key: str(value) for key, value in image.text.items()} == {key: value for _, key, value in texts(carried)}


def test_latin_1_and_utf_8_in_a_text_chunk() -> None:
    latin = files.chunk(b"tEXt", b"a\0caf\xe9")
    carried, _ = of_png(files.png(latin, files.text("b", "café")))
    assert [value for _, _, value in texts(carried)] == ["café", "café"]


def test_what_follows_the_end_chunk_is_not_read() -> None:
    data = files.png() + files.text("parameters", files.INFOTEXT)
    carried, end = of_png(data)
    assert carried.texts == []
    assert end == len(files.png())
    found = read_claims(data)
    assert found.claims == ()
    assert f"{len(data) - len(files.png())} bytes follow the end of the image" in found.notes[0]


def test_a_forged_checksum_is_not_read() -> None:
    good = files.text("parameters", files.INFOTEXT)
    carried, _ = of_png(files.png(good[:-1] + bytes([good[-1] ^ 1]), files.text("b", "kept")))
    assert [key for _, key, _ in texts(carried)] == ["b"]
    assert "wrong checksum" in carried.notes[0]


def test_a_chunk_longer_than_the_file_ends_the_reading() -> None:
    data = files.png(files.text("a", "kept"))
    broken = data[:33] + files.text("a", "kept") + struct.pack(">I", 2**31) + b"tEXt" + b"x" * 50
    carried, end = of_png(broken)
    assert [key for _, key, _ in texts(carried)] == ["a"]
    assert end is None
    assert "announces more bytes" in carried.notes[0]


@pytest.mark.parametrize("make", [files.ztext, lambda key, value: files.itext(key, value, packed=True)])
def test_a_decompression_bomb_stops_at_the_limit(make: object) -> None:
    bomb = make("parameters", bytes(200 * 2**20))  # type: ignore[operator]
    data = files.png(bomb, files.text("b", "kept"))
    assert len(bomb) < 2**20
    start = time.process_time()
    carried, _ = of_png(data)
    assert time.process_time() - start < 0.5
    assert [key for _, key, _ in texts(carried)] == ["b"]
    assert f"more than {MAX_TEXT} bytes when decompressed" in carried.notes[0]


def test_absurd_sizes_and_numbers_are_left_out() -> None:
    carried, _ = of_png(files.png(files.text("a", "x" * (MAX_TEXT + 1)), files.text("b", "kept")))
    assert [key for _, key, _ in texts(carried)] == ["b"]
    carried, _ = of_png(files.png(*(files.text(f"k{i}", "v") for i in range(MAX_TEXTS + 50))))
    assert len(carried.texts) == MAX_TEXTS
    carried, _ = of_png(files.png(*(files.text(f"k{i}", "v" * (MAX_ALL // 3)) for i in range(6))))
    assert len(carried.texts) == 3
    assert "more texts than are read" in carried.notes[0]


def test_a_million_chunks_take_no_time() -> None:
    plain = files.png()
    many = plain[:33] + files.chunk(b"teSt", b"") * (MAX_BLOCKS * 5) + files.text("a", "b") + plain[33:]
    start = time.process_time()
    carried, end = of_png(many)
    assert time.process_time() - start < 1.0
    assert (carried.texts, end) == ([], None)


def test_malformed_text_chunks_are_named() -> None:
    for body in (b"", b"no zero", b"k\0\1notdeflate", b"k\0\0notdeflate", b"k\0\0"):
        carried, _ = of_png(files.png(files.chunk(b"zTXt", body), files.chunk(b"iTXt", body)))
        assert carried.texts == []
        assert len(carried.notes) == 2
    cut = zlib.compress(b"a" * 1000)[:-6]
    assert "cut off" in of_png(files.png(files.chunk(b"zTXt", b"k\0\0" + cut)))[0].notes[0]


# -- JPEG, WebP -------------------------------------------------------------------------------------------------------


def of_jpeg(data: bytes) -> tuple[Carried, int | None]:
    out = Carried()
    return out, read_jpeg(data, out)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 98, "side": 200}])
def test_jpeg_segments_and_end(options: dict[str, object]) -> None:
    data = files.jpeg(
        files.segment(0xE1, b"Exif\0\0" + files.comment_exif("hello")),
        files.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + files.xmp()),
        files.segment(0xFE, b"a comment"),
        **options,
    )
    carried, end = of_jpeg(data)
    assert texts(carried) == [("EXIF", "UserComment", "hello"), ("JPEG comment", "comment", "a comment")]
    assert carried.packets == [files.xmp()]
    assert end == len(data)
    assert of_jpeg(data + b"\xff\xd9 more")[1] == len(data)


def test_segments_behind_the_picture_are_not_read() -> None:
    for place in ("behind", "between"):
        data, late = files.jpeg(), files.segment(0xFE, b"late")
        data = data + late if place == "behind" else data[:-2] + late + data[-2:]
        carried, _ = of_jpeg(data)
        assert carried.texts == []


def test_a_jpeg_segment_longer_than_the_file() -> None:
    broken = b"\xff\xd8" + files.segment(0xFE, b"kept") + b"\xff\xe1\xff\xf0Exif\0\0"
    carried, end = of_jpeg(broken)
    assert [value for _, _, value in texts(carried)] == ["kept"]
    assert end is None
    assert "announces more bytes" in carried.notes[0]


def test_megabytes_of_fill_bytes_are_no_jpeg() -> None:
    plain = files.saved("JPEG")
    assert of_jpeg(plain[:2] + b"\xff" * 100 + plain[2:])[1] == len(plain) + 100
    start = time.process_time()
    found = read_claims(plain[:2] + b"\xff" * 20_000_000 + plain[2:])
    assert time.process_time() - start < 1.0
    assert "No mark in the pixels was looked for: the file is broken." in found.notes


def test_webp_chunks_stay_within_the_stated_size() -> None:
    packet = files.xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{files.SOURCE_TYPE}"')
    data = files.saved("WEBP", exif=files.comment_exif("hello"), xmp=packet)
    out = Carried()
    assert read_webp(data, out) == len(data)
    assert texts(out) == [("EXIF", "UserComment", "hello")]
    assert out.packets == [packet]
    plain, out = files.saved("WEBP"), Carried()
    late = b"XMP " + struct.pack("<I", len(packet)) + packet
    assert read_webp(plain + late, out) == len(plain)
    assert out.packets == []
    assert read_claims(plain + late).claims == ()


def test_a_webp_chunk_longer_than_the_file() -> None:
    plain, out = files.saved("WEBP"), Carried()
    assert read_webp(plain[:12] + b"EXIF\xff\xff\xff\x7f" + plain[20:], out) is None
    assert "announces more bytes" in out.notes[0]


# -- EXIF, TIFF -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_user_comment_in_either_byte_order(order: str, encoding: str) -> None:
    out = Carried()
    read_exif(files.comment_exif("Steps: 20, a café", encoding, order), out)
    assert texts(out) == [("EXIF", "UserComment", "Steps: 20, a café")]


def test_exif_agrees_with_pillow() -> None:
    made = Image.Exif()
    made[0x010E], made[0x0131] = "a picture", "a program"
    out = Carried()
    read_exif(made.tobytes(), out)
    assert {(key, value) for _, key, value in texts(out)} == {
        ("ImageDescription", "a picture"),
        ("Software", "a program"),
    }


def test_hostile_exif() -> None:
    huge = struct.pack("<4sIH", b"II*\0", 8, 65535) + struct.pack("<HHII", 0x0131, 2, 0xFFFFFFFF, 8) * 600
    loop = struct.pack("<4sIH", b"II*\0", 8, 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4)
    for data, said in (
        (huge, f"only {MAX_ENTRIES} were read"),
        (b"II*\0\xff\xff\xff\xff", "points outside"),
        (b"II*\0\x08\0\0\0\x05\0", "cut off"),
        (b"nonsense", "no TIFF structure"),
        (b"", "no TIFF structure"),
    ):
        out = Carried()
        read_exif(data, out)
        assert out.texts == []
        assert any(said in note for note in out.notes), (data[:20], out.notes)
    out = Carried()
    read_exif(loop, out)  # a directory that points to itself
    assert out.texts == []


def test_a_thousand_entries_of_one_value_are_read_once() -> None:
    entry = struct.pack("<HHII", 0x0131, 2, 2**21, 8)
    out = Carried()
    read_exif(struct.pack("<4sIH", b"II*\0", 8, 500) + entry * 500 + b"x" * 2**21, out)
    assert len(out.texts) == 1


def test_tiff_and_other_formats() -> None:
    file = io.BytesIO()
    packet = files.xmp(attributes='xmp:CreatorTool="Painter"')
    Image.fromarray(files.noise()).save(file, "TIFF", tiffinfo={270: files.INFOTEXT, 305: "a program", 700: packet})
    found = read_claims(file.getvalue())
    assert 'model "dreamshaper_8"' in found.claims[0].statement
    assert {claim.statement for claim in found.claims[1:]} == {'"a program"', '"Painter"'}
    for kind in ("AVIF", "GIF"):
        options = {"exif": files.comment_exif(files.INFOTEXT)} if kind == "AVIF" else {"comment": files.INFOTEXT}
        assert 'model "dreamshaper_8"' in read_claims(files.saved(kind, **options)).claims[0].statement


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_wrong_extension_changes_nothing(tmp_path: Path) -> None:
    right, wrong = tmp_path / "a.png", tmp_path / "a.jpg"
    for path in (right, wrong):
        path.write_bytes(files.png(files.text("parameters", files.INFOTEXT)))
    assert read_claims(wrong).claims == read_claims(right).claims
    assert read_claims(right).claims


def test_files_that_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(MissingImageError):
        read_claims(tmp_path / "absent.png")
    for data in (b"", b"text", files.text("parameters", files.INFOTEXT)):
        with pytest.raises(UnreadableImageError):
            read_claims(data)
    with pytest.raises(ImageTooLargeError):
        read_claims(files.png(), limits=Limits(max_bytes=100))


def test_texts_of_a_picture_that_cannot_be_decoded_are_still_told() -> None:
    data = files.png(files.text("parameters", files.INFOTEXT))
    found = read_claims(data[: len(data) // 2])
    assert 'model "dreamshaper_8"' in found.claims[0].statement
    assert any("No mark in the pixels" in note for note in found.notes)


def test_cleaning() -> None:
    assert clean("a\x1b[31mred\x00\n\tb\u202eevil\u2028\ud800") == "a [31mred b evil"
    assert clean("x" * 500, 10) == "x" * 10 + "…"
    assert clean(" " * 100 + "x", 10) == "…"  # never walks a megabyte to find the first letter
    assert quoted('say "signed by OpenAI"') == "\"say 'signed by OpenAI'\""
    assert inflate(zlib.compress(b"abc")) == b"abc"
