"""Photographs: any size, no copies, broken files counted, too few refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from morelli.errors import DatasetError, MissingImageError, NotEnoughPhotosError
from morelli.synthesis.photos import LEAST, read_photos

from .samples import picture, write_photos


def test_photographs_of_any_size_are_read(tmp_path: Path) -> None:
    write_photos(tmp_path, 17)
    Image.fromarray(picture(90, 400, 200)).save(tmp_path / "deep.png")
    photos = read_photos(tmp_path, 16, shorter=100)
    assert len(photos.pixels) == 18 and photos.notes == ()
    assert sorted({each.shape[:2] for each in photos.pixels}) == [(24, 28), (200, 100)]


def test_names_do_not_matter_and_pictures_do(tmp_path: Path) -> None:
    one = read_photos(write_photos(tmp_path / "a"), 16)
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "c")
    (tmp_path / "b" / "c" / "000.png").rename(tmp_path / "b" / "zzz.png")
    other = read_photos(tmp_path / "b", 16)
    assert one.digest == other.digest
    assert all((x == y).all() for x, y in zip(one.pixels, other.pixels, strict=True))
    Image.fromarray(picture(77)).save(tmp_path / "b" / "zzz.png")
    assert read_photos(tmp_path / "b", 16).digest != one.digest


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    write_photos(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    shutil.copy(tmp_path / "003.png", tmp_path / "copy.png")
    Image.fromarray(picture(91, 40, 17)).save(tmp_path / "narrow.png")
    photos = read_photos(tmp_path, 20)
    assert len(photos.pixels) == 18
    assert len(photos.notes) == 3 and all(note.startswith("1 photographs") for note in photos.notes)


def test_too_few_are_refused_with_the_least_number_and_why(tmp_path: Path) -> None:
    write_photos(tmp_path, LEAST - 1)
    shutil.copy(tmp_path / "003.png", tmp_path / "copy.png")  # a copy is no other photograph
    with pytest.raises(NotEnoughPhotosError) as caught:
        read_photos(tmp_path, 16)
    assert f"{LEAST - 1} usable" in str(caught.value) and f"{LEAST} are the least" in str(caught.value)
    assert "batch of 8" in str(caught.value) and "copies" in str(caught.value) and caught.value.fix
    Image.fromarray(picture(92)).save(tmp_path / "one-more.png")
    assert len(read_photos(tmp_path, 16).pixels) == LEAST


def test_memory_is_bounded_by_a_draw_that_repeats(tmp_path: Path) -> None:
    write_photos(tmp_path, 40)
    one = read_photos(tmp_path, 16, budget=20 * 24 * 28 * 3)
    assert 20 <= len(one.pixels) <= 21 and "passed over" in one.notes[0]
    assert read_photos(tmp_path, 16, budget=20 * 24 * 28 * 3).digest == one.digest
    assert read_photos(tmp_path, 16, budget=20 * 24 * 28 * 3, seed=1).digest != one.digest


def test_no_folder_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(MissingImageError):
        read_photos(tmp_path / "absent")
    with pytest.raises(DatasetError):
        read_photos(tmp_path)


def test_real_photographs(data_dir: Path) -> None:
    photos = read_photos(data_dir / "photos", budget=20 << 20)
    assert len(photos.pixels) > 50 and all(min(each.shape[:2]) >= 64 for each in photos.pixels)
