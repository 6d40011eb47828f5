"""Texts that name several encoders."""

from __future__ import annotations

from pathlib import Path

import pytest

from morelli.encoders.specs import split_joined, split_list
from morelli.errors import InputError

KNOWN = {"one", "two", "print"}.__contains__


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one", ["one"]),
        ("one, two ,one", ["one", "two"]),
        ("one,one+two,two", ["one", "one+two", "two"]),
        ("hf:a/b@block4/mean,pooled", ["hf:a/b@block4/mean,pooled"]),
        ("hf:a/b@block4/mean, pooled,one", ["hf:a/b@block4/mean,pooled", "one"]),
        ("hf:a/b@block4,hf:a/c@pooled", ["hf:a/b@block4", "hf:a/c@pooled"]),
        ("hf:a/b@block4,/a/folder,./another", ["hf:a/b@block4", "/a/folder", "./another"]),
        ("one+hf:a/b@block4,pooled,two+one", ["one+hf:a/b@block4,pooled", "two+one"]),
        # What follows the @ of a registered name is a file, and no list.
        ("print@w.safetensors,onne", ["print@w.safetensors", "onne"]),
        ("one,onne", ["one", "onne"]),
    ],
)
def test_commas(text: str, found: list[str]) -> None:
    assert split_list(text, KNOWN) == found


@pytest.mark.parametrize("text", ["", " ", "one,", ",one", "one,,two"])
def test_nothing_between_commas_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no encoder"):
        split_list(text, KNOWN)


def test_a_folder_after_layers_is_an_encoder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_list("hf:a/b@block4,net", KNOWN) == ["hf:a/b@block4,net"]
    (tmp_path / "net").mkdir()
    assert split_list("hf:a/b@block4,net", KNOWN) == ["hf:a/b@block4", "net"]


def test_plus() -> None:
    assert split_joined("one") == ["one"]
    assert split_joined("one + two+hf:a/b@pooled") == ["one", "two", "hf:a/b@pooled"]
    assert split_joined("one+") == ["one", ""]


def test_a_plus_in_a_path_is_no_separator(tmp_path: Path) -> None:
    folder, file = tmp_path / "a+b", tmp_path / "w+1+2.safetensors"
    spec = f"one+{folder}@pooled+print@{file}+two"
    assert len(split_joined(spec)) == 7
    folder.mkdir()
    file.write_bytes(b"")
    assert split_joined(spec) == ["one", f"{folder}@pooled", f"print@{file}", "two"]
