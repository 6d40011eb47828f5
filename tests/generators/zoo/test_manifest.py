"""The manifest: what it refuses, and what a revision depends on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from morelli.errors import UnknownNameError, WeightsError
from morelli.generators.zoo.manifest import SCHEMA, Manifest, list_files, read_manifest


def manifest_of(folder: Path) -> Manifest:
    return read_manifest.__wrapped__(folder)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two models that share a part; their files hold text."""
    for name in ("shared/a.json", "one/b.bin", "two/c.bin"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    model = {"kind": "gan", "family": "x", "base": "x", "architecture": "", "parameters": 1}
    models = {each: {**model, "components": {"network": each, "text_encoder": "shared"}} for each in ("one", "two")}
    text = json.dumps({"schema": SCHEMA, "models": models, "files": list_files(tmp_path)})
    (tmp_path / "manifest.json").write_text(text)
    return tmp_path


def test_whole_folders_pass(small: Path) -> None:
    manifest = manifest_of(small)
    manifest.check("shared", "one", "two")
    assert list(manifest.models) == ["one", "two"]
    assert manifest.files["shared/a.json"][0] == len("shared/a.json")


@pytest.mark.parametrize("change", ["another byte", "cut", "gone"])
def test_a_changed_file_is_refused_by_name(small: Path, change: str) -> None:
    path = small / "one" / "b.bin"
    if change == "gone":
        path.unlink()
    else:
        path.write_text("one/b.bim" if change == "another byte" else "one")
    manifest = manifest_of(small)
    manifest.check("shared", "two")  # models that do not use the file still work
    with pytest.raises(WeightsError, match=r"one/b\.bin"):
        manifest.check("shared", "one")


def test_a_folder_that_is_not_listed_is_refused(small: Path) -> None:
    with pytest.raises(WeightsError, match="'three'"):
        manifest_of(small).check("three")


def test_a_folder_name_that_begins_another_is_not_it(small: Path) -> None:
    (small / "one-b").mkdir()
    (small / "one-b" / "d.bin").write_text("d")
    listed = {name: (each["bytes"], each["sha256"]) for name, each in list_files(small).items()}
    assert Manifest(small, {}, listed).files_of("one") == ["one/b.bin"]


def test_a_revision_follows_the_files_of_its_own_model(small: Path) -> None:
    before = manifest_of(small)
    assert before.revision("one") != before.revision("two")
    assert len(before.revision("one")) == 12
    (small / "one" / "b.bin").write_text("other")
    raw = json.loads((small / "manifest.json").read_text())
    raw["files"] = list_files(small)
    (small / "manifest.json").write_text(json.dumps(raw))
    after = manifest_of(small)
    assert after.revision("one") != before.revision("one")
    assert after.revision("two") == before.revision("two")


def test_an_unknown_model_is_suggested(small: Path) -> None:
    with pytest.raises(UnknownNameError, match="'one'"):
        manifest_of(small).entry("onne")


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "morelli.zoo/9"}', '{"schema": "morelli.zoo/1", "models": {}}'])
def test_other_files_are_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match="manifest"):
        manifest_of(tmp_path)


def test_a_folder_without_manifest_has_no_models(tmp_path: Path) -> None:
    assert manifest_of(tmp_path).models == {}


def test_moving_a_folder_changes_no_revision(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("moved") / "weights"
    shutil.copytree(small, other)
    assert manifest_of(other).revision("one") == manifest_of(small).revision("one")
