"""Folders as datasets: both layouts, and every way in which metadata can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from morelli.errors import DatasetError, MissingImageError, ReservedNameError
from morelli.images.dataset import list_images, read_dataset
from morelli.testing.datasets import write_dataset


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")


def write_csv(root: Path, *lines: str, encoding: str = "utf-8") -> None:
    touch(root, "a.png", "b.png", "sub/c.png")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding=encoding)


# --- layouts


def test_folders(tmp_path: Path) -> None:
    touch(tmp_path, "m2/x.png", "m1/b.JPG", "m1/a.png", "m1/deep/er/c.webp", "loose.png", "m1/readme.txt", ".hid/x.png")
    touch(tmp_path, "m1/._a.png", "empty/x.txt")
    dataset = read_dataset(str(tmp_path))
    assert [(i.name, i.model) for i in dataset.items] == [
        ("m1/a.png", "m1"),
        ("m1/b.JPG", "m1"),
        ("m1/deep/er/c.webp", "m1"),
        ("m2/x.png", "m2"),
    ]
    assert all(i.family == i.model and i.prompt_id == i.prompt == "" and i.path.is_file() for i in dataset.items)
    notes = " ".join(dataset.notes)
    assert "1 images outside" in notes
    assert "1 images lie deeper" in notes


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "store/x.png")
    root = tmp_path / "data"
    root.mkdir()
    (root / "model").symlink_to(tmp_path / "store")
    (tmp_path / "store" / "loop").symlink_to(root)
    assert [i.name for i in read_dataset(root).items] == ["model/x.png"]


def test_csv(tmp_path: Path) -> None:
    write_csv(
        tmp_path,
        "file_name,model,family,prompt_id,prompt,seed,source,licence,other",
        'a.png,M 1,F,7,"a ""red"" cat, sitting",42,here,MIT,x',
        "./sub//c.png,M2,,,a dog,,,,",
        "",
        "b.png,M2,,3,,-1,,,",
        encoding="utf-8-sig",
    )
    dataset = read_dataset(tmp_path)
    first, second, third = dataset.items
    assert (first.model, first.family, first.prompt_id, first.prompt) == ("M 1", "F", "7", 'a "red" cat, sitting')
    assert (first.seed, first.source, first.licence, first.path) == (42, "here", "MIT", tmp_path / "a.png")
    assert (second.name, second.family, second.prompt_id, second.seed) == ("sub/c.png", "M2", "a dog", None)
    assert (third.prompt_id, third.prompt, third.seed) == ("3", "", -1)
    assert dataset.notes == ()


ROWS: list[dict[str, Any]] = [
    {"file_name": "a.png", "model": "A", "prompt_id": 3, "seed": 5, "prompt": None},
    {"file_name": "b.png", "model": "B", "prompt_id": 4, "seed": None, "prompt": "x"},
]


def write_parquet(root: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "metadata.parquet")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_jsonl_and_parquet(kind: str, tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    if kind == "jsonl":
        (tmp_path / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    else:
        write_parquet(tmp_path, ROWS)
    dataset = read_dataset(tmp_path)
    assert [(i.model, i.prompt_id, i.seed, i.prompt) for i in dataset.items] == [
        ("A", "3", 5, ""),
        ("B", "4", None, "x"),
    ]
    assert dataset.notes == (f"1 images in the folder are not in metadata.{kind} and were left out.",)


def test_tables_with_nan(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png")
    rows = [{**ROWS[0], "seed": 3.0, "prompt_id": 2.0}, {**ROWS[1], "seed": float("nan"), "prompt_id": float("nan")}]
    write_parquet(tmp_path, rows)
    assert [(i.seed, i.prompt_id) for i in read_dataset(tmp_path).items] == [(3, "2"), (None, "x")]


def test_torn_family_is_noted(tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model,family", "a.png,M,F", "b.png,M,G", "sub/c.png,N,F")
    assert "family is given for M." in read_dataset(tmp_path).notes[0]


@pytest.mark.parametrize("layout", ["metadata", "folders"])
def test_both_layouts_say_the_same(layout: Any, tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path, 3, 2, 2, 16, layout=layout))
    assert len(dataset.items) == 12
    assert {i.model for i in dataset.items} == {"model-00", "model-01", "model-02"}
    assert len({i.prompt_id for i in dataset.items}) == (2 if layout == "metadata" else 1)


# --- what is refused


def refused(root: Path, *words: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_dataset(root)
    for word in words:
        assert word in str(caught.value)


def test_no_dataset(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such folder")
    touch(tmp_path, "file")
    refused(tmp_path / "file", "not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no image", "metadata.csv")
    touch(tmp_path, "text/a/b.txt")
    refused(tmp_path / "text", "no image")
    touch(tmp_path, "loose/a.png", "loose/b.png")
    refused(tmp_path / "loose", "2 images lie in the folder itself")


def test_two_metadata_files(tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model", "a.png,M")
    touch(tmp_path, "metadata.jsonl")
    refused(tmp_path, "metadata.csv and metadata.jsonl", "Keep one")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file_name,family", "a.png,F"], ["metadata.csv", "'model'", "file_name, family"]),
        (["name,model", "a.png,M"], ["'file_name'"]),
        ([""], ["no column", "none"]),
        (["file_name,model"], ["no rows"]),
        (["file_name,model,model", "a.png,M,N"], ["model twice"]),
        (["file_name,model", "a.png,M", "no1.png,M", "no2.png,M"], ["2 of 3 files", "no1.png, no2.png"]),
        (["file_name,model", *[f"no{n}.png,M" for n in range(5)]], ["5 of 5", "no2.png and 2 more"]),
        (["file_name,model", "sub,M"], ["1 of 1 files"]),
        (["file_name,model", "a.png,M", "../a.png,M"], ["line 3", "'../a.png'", "outside"]),
        (["file_name,model", "sub/../../a.png,M"], ["line 2", "outside"]),
        (["file_name,model", "/etc/hostname,M"], ["outside"]),
        (["file_name,model", "C:\\a.png,M"], ["outside"]),
        (["file_name,model", "..\\a.png,M"], ["outside"]),
        (["file_name,model", ".,M"], ["no file name"]),
        (["file_name,model", "a.png,M", "./a.png,N"], ["a.png", "more than once"]),
        (["file_name,model", "a.png,M", "b.png"], ["line 3", "1 fields", "2"]),
        (["file_name,model,prompt", "a.png,M,one, two"], ["line 2", "4 fields", "quotes"]),
        (["file_name,model", "a.png,"], ["line 2", "no model"]),
        (["file_name,model", ",M"], ["line 2", "no file_name"]),
        (["file_name,model,seed", "a.png,M,1", "b.png,M,one"], ["line 3", "seed", "'one'"]),
        (["file_name,model,seed", "a.png,M,1.5"], ["line 2", "seed"]),
        (["file_name,model,seed", "a.png,M,inf"], ["line 2", "seed"]),
        (["file_name,model", 'a.png,"M'], ["malformed"]),
    ],
)
def test_bad_csv(lines: list[str], words: list[str], tmp_path: Path) -> None:
    write_csv(tmp_path, *lines)
    refused(tmp_path, *words)


def test_line_numbers_count_lines_inside_quotes(tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model,prompt,seed", 'a.png,M,"two\nlines",1', "b.png,M,,x")
    refused(tmp_path, "line 4")


def test_undecodable_csv(tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model", "a.png,é", encoding="latin-1")
    refused(tmp_path, "UTF-8")
    write_csv(tmp_path, "file_name,model", "a.png,M", encoding="utf-16")
    refused(tmp_path, "UTF-8")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"file_name": "a.png"}', ["'model'", "line 1"]),
        ('{"file_name": "a.png", "model": "M"}\n{"file_name": ', ["line 2", "JSON"]),
        ("[1]", ["line 1", "object"]),
        ('{"file_name": "a.png", "model": ["M"]}', ["line 1", "model must be text", "list"]),
        ('{"file_name": "a.png", "model": true}', ["model must be text"]),
        ('{"file_name": "a.png", "model": null}', ["no model"]),
        ('{"file_name": "a.png", "model": "M", "seed": {}}', ["seed"]),
        ('{"file_name": "a\\u0000.png", "model": "M"}', ["no file name"]),
        ("", ["no rows"]),
        ("[" * 100_000, ["line 1"]),
    ],
)
def test_bad_jsonl(text: str, words: list[str], tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").write_text(text, encoding="utf-8")
    refused(tmp_path, "metadata.jsonl", *words)


def test_bad_parquet(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "metadata.parquet")
    refused(tmp_path, "metadata.parquet", "Parquet")
    write_parquet(tmp_path, [{"file_name": "a.png"}])
    refused(tmp_path, "'model'")
    write_parquet(tmp_path, [{"file_name": "a.png", "model": [1, 2]}])
    refused(tmp_path, "row 1", "model must be text")


def test_metadata_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    write_csv(tmp_path, "file_name,model", "a.png,M")
    monkeypatch.setattr(Path, "open", refuse)
    refused(tmp_path, "metadata.csv", "cannot be read (Permission denied)")


# --- names that verdicts give to no model


def reserved(root: Path) -> ReservedNameError:
    with pytest.raises(ReservedNameError) as caught:
        read_dataset(root)
    return caught.value


@pytest.mark.parametrize("folder", ["none", "Unsure", "NONE"])
def test_a_folder_that_verdicts_could_not_name(folder: str, tmp_path: Path) -> None:
    touch(tmp_path, "m1/a.png", f"{folder}/b.png")
    error = reserved(tmp_path)
    assert error.argument == str(tmp_path / folder)
    assert repr(folder) in error.message
    assert error.fix


@pytest.mark.parametrize(
    ("row", "column"), [("b.png,None,", "model"), ("b.png,UNSURE,", "model"), ("b.png,N, none ", "base")]
)
def test_a_row_that_verdicts_could_not_name(row: str, column: str, tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model,base", "a.png,M,", row)
    error = reserved(tmp_path)
    assert error.argument == "metadata.csv, line 3"
    assert f"a {column} cannot be called" in error.message


def test_other_columns_may_say_none(tmp_path: Path) -> None:
    write_csv(tmp_path, "file_name,model,family,prompt,category", "a.png,M,none,unsure,None")
    assert read_dataset(tmp_path).items[0].family == "none"


# --- list_images


def test_list_images(tmp_path: Path) -> None:
    touch(tmp_path, "d/b.png", "d/a/z.jpg", "d/.x.png", "d/t.txt", "odd.bin")
    paths = list_images([tmp_path / "odd.bin", str(tmp_path / "d"), tmp_path / "d" / "b.png"])
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == ["odd.bin", "d/a/z.jpg", "d/b.png"]
    with pytest.raises(MissingImageError, match="none"):
        list_images([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image"):
        list_images([tmp_path / "empty"])
    assert list_images([]) == []


# --- real sets


@pytest.mark.parametrize(
    ("name", "images", "models", "prompts"), [("visor", 1680, 7, 60), ("sdnext", 602, 41, 14), ("photos", 283, 1, 283)]
)
def test_real_sets(name: str, images: int, models: int, prompts: int, data_dir: Path) -> None:
    dataset = read_dataset(data_dir / name)
    assert len(dataset.items) == images
    assert len({i.model for i in dataset.items}) == models
    assert len({i.prompt_id for i in dataset.items}) == prompts
    assert dataset.notes == ()
    assert len(list_images([data_dir / name])) == images
