"""The folder of images: a dataset at every moment, whole after a crash, and never the same image twice."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import DatasetError, InputError, StorageError
from morelli.generators.produce import produce
from morelli.generators.store import COLUMNS, ImageStore, folder_name, image_key, whole_rows
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image

from .fakes import FakeGenerator, noise


def rows(folder: Path) -> list[list[str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.reader(file))


def fill(folder: Path, generator: FakeGenerator, count: int = 3) -> None:
    with ImageStore(folder) as store:
        list(produce(generator, "a cat", count, 5, store=store, prompt_id="c1"))


def test_it_writes_a_dataset(tmp_path: Path) -> None:
    generator = FakeGenerator("org/m:1", steps=3)
    generator.base = "org/m"
    fill(tmp_path, generator)
    found = read_dataset(tmp_path)
    assert found.notes == ()
    assert [item.seed for item in found.items] == [5, 6, 7]
    first = found.items[0]
    assert (first.model, first.family, first.base) == ("org/m:1", "fakes", "org/m")
    assert (first.prompt_id, first.prompt) == ("c1", "a cat")
    assert first.source == "test:org/m:1"
    assert first.name == f"org--m_1/{image_key(generator, 'a cat', 5)}.png"
    np.testing.assert_array_equal(load_image(first.path).pixels, noise("org/m:1", "a cat", 5))
    header, row, *_ = rows(tmp_path)
    assert tuple(header) == COLUMNS
    assert row[-2:] == ["r1", '{"steps": 3}']


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    fill(tmp_path, FakeGenerator())
    again = FakeGenerator()
    fill(tmp_path, again, count=5)
    assert again.calls == [("a cat", 1, 8), ("a cat", 1, 9)]
    assert len(rows(tmp_path)) == 6
    other = FakeGenerator()
    other.revision = "r2"
    fill(tmp_path, other, count=1)
    assert other.made == 1  # other weights are another image
    slower = FakeGenerator(steps=50)
    fill(tmp_path, slower, count=1)
    assert slower.made == 1


def test_a_table_that_has_a_header_alone(tmp_path: Path) -> None:
    ImageStore(tmp_path).close()
    assert not (tmp_path / "metadata.csv").exists()  # a folder without images is no dataset
    (tmp_path / "metadata.csv").write_text(",".join(COLUMNS) + "\n" + "fake/12")
    fill(tmp_path, FakeGenerator(), count=1)
    assert len(read_dataset(tmp_path).items) == 1


def test_a_table_that_another_program_saved(tmp_path: Path) -> None:
    fill(tmp_path, FakeGenerator(), count=2)
    table = tmp_path / "metadata.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    again = FakeGenerator()
    fill(tmp_path, again, count=3)
    assert (again.made, len(read_dataset(tmp_path).items)) == (1, 3)


@pytest.mark.parametrize("cut", ["row", "half a row", "image and row", "damaged image"])
def test_a_crash_between_two_steps_is_mended(cut: str, tmp_path: Path) -> None:
    fill(tmp_path, FakeGenerator())
    table = tmp_path / "metadata.csv"
    lines = table.read_bytes().splitlines(keepends=True)
    last = tmp_path / rows(tmp_path)[-1][0]
    if cut == "half a row":
        table.write_bytes(b"".join(lines)[:-9])
    elif cut == "damaged image":
        last.write_bytes(last.read_bytes()[:100])
    else:
        table.write_bytes(b"".join(lines[:-1]))
    if cut == "image and row":
        last.unlink()
        (last.parent / f".{last.name}.{'0f' * 16}.tmp").write_bytes(b"half")
    again = FakeGenerator()
    fill(tmp_path, again)
    assert again.made == (1 if "image" in cut else 0)
    assert table.read_bytes().splitlines(keepends=True) == lines
    assert len(read_dataset(tmp_path).items) == 3
    assert [path for path in tmp_path.rglob(".*") if path.suffix == ".tmp"] == []
    np.testing.assert_array_equal(load_image(last).pixels, noise("fake", "a cat", 7))


def test_a_full_disk_keeps_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, FakeGenerator(), count=2)
    before = (tmp_path / "metadata.csv").read_bytes()
    for number in (1, 2):  # the image's file, then its row

        def full(_: int, left: list[int] = [number]) -> None:  # noqa: B006 - counts the calls
            left[0] -= 1
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch, pytest.raises(StorageError, match=r"No space left.*is kept") as caught:
            patch.setattr(os, "fsync", full)
            fill(tmp_path, FakeGenerator(), count=3)
        assert str(tmp_path) in str(caught.value.argument)
        assert (tmp_path / "metadata.csv").read_bytes() == before
        assert len(read_dataset(tmp_path).items) == 2
        assert not list(tmp_path.rglob("*.tmp"))
    again = FakeGenerator()
    fill(tmp_path, again, count=3)
    assert again.made == 0  # the third image itself had come through
    assert len(read_dataset(tmp_path).items) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError):
        ImageStore(tmp_path / "locked" / "out")


def test_a_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be written"):
        ImageStore(tmp_path / "file")


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with ImageStore(tmp_path), pytest.raises(InputError, match="another process"):
        ImageStore(tmp_path)
    ImageStore(tmp_path).close()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.csv", "file_name,model\na.png,m\n", "other columns"),
        ("metadata.csv", ",".join(COLUMNS) + "\na,b\n", "other columns"),
        ("metadata.csv", "file_name,model\na.png,m", "other columns"),
        ("metadata.csv", 'file_name,model\na.png,a 5" disc\nb.png,m\nc.png,m\n', "other columns"),
        ("metadata.csv", "file_name,model\ra.png,m\r", "other columns"),
        ("metadata.csv", ",".join(COLUMNS) + '\na 5" disc\n' + f"a/{24 * 'a'}.png,\n" * 2, "more than one row"),
        ("metadata.jsonl", "{}\n", "there is a metadata.jsonl"),
    ],
)
def test_a_folder_of_somebody_else_is_left_alone(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    theirs = tmp_path / "sub" / ".mine.tmp"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    with pytest.raises(DatasetError, match=said):
        ImageStore(tmp_path)
    assert (tmp_path / name).read_bytes() == text.encode()
    assert {each.name for each in tmp_path.iterdir()} == {name, "sub"}
    (tmp_path / name).unlink()
    ImageStore(tmp_path).close()  # and the lock is free
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("model", "folder"),
    [("a/b", "a--b"), ("..", "_"), ("con", "_con"), ("x" * 200, "x" * 80), ("a\\b:c?", "a_b_c_"), ("größe", "größe")],
)
def test_folder_names_are_safe(model: str, folder: str) -> None:
    assert folder_name(model) == folder


@given(st.lists(st.lists(st.text("ab\",\n\r'", max_size=5), min_size=2, max_size=3), max_size=4), st.data())
@settings(deadline=None)
def test_whole_rows_ends_where_a_csv_reader_sees_a_row_end(table: list[list[str]], data: st.DataObject) -> None:
    import io

    ends, text = [0], io.StringIO(newline="")
    for row in table:
        csv.writer(text, lineterminator="\n").writerow(row)
        ends.append(text.tell())
    whole = text.getvalue().encode()
    cut = data.draw(st.integers(0, len(whole)))
    assert whole_rows(whole[:cut]) == max(end for end in ends if end <= cut)
