"""``morelli gallery`` through the command line: answers, exit status, streams and bad input."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.gallery.store import Gallery
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile

from ..encoders.toys import STAMP, ToyEncoder, flat
from ..test_light_import import loaded_by

NAMES = ("toy", "toy-two")


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    for name in NAMES:
        stamp = replace(STAMP, encoder=name)
        catalogue.REGISTRY.add(name, lambda stamp=stamp: ToyEncoder(stamp))
    yield
    for name in NAMES:
        del catalogue.REGISTRY._loaded[name]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", models=3, prompts=2, seeds=2, size=32, families=["x", "x", "y"])


@pytest.fixture
def made(tmp_path: Path, pictures: Path) -> Path:
    """A gallery of three models, two prompts and twelve pictures."""
    path = tmp_path / "g"
    assert main(["gallery", "add", str(path), str(pictures), "--encoder", "toy"]) == 0
    return path


@pytest.fixture
def morelli(made: Path, capsys: pytest.CaptureFixture[str]):
    """Run a command: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["gallery", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def a_reference(path: Path, i: int = 0):
    return Gallery.open(path).references()[i]


def test_add_says_what_it_did(morelli, made: Path, pictures: Path, tmp_path: Path) -> None:
    status, out, err = morelli("add", tmp_path / "new", pictures, "--encoder", "toy")
    assert (status, err) == (0, "")
    assert out == f"{tmp_path}/new: 12 added, 0 updated, 0 unchanged, 0 duplicates; 12 references, version 2\n"
    status, out, _ = morelli("add", made, pictures, "--json")
    (answer,) = objects(out)
    assert status == 0
    assert answer == {
        "schema": "morelli.gallery-add/1",
        "gallery": str(made),
        "version": 2,
        "references": 12,
        "added": 0,
        "updated": 0,
        "unchanged": 12,
        "duplicates": 0,
        "encoder": "toy",
        "encoder_revision": "1",
        "skipped": 0,
        "failed": 0,
        "conflicts": [],
        "notes": [],
    }


def test_add_takes_the_gallery_s_own_encoder_unless_told(morelli, made: Path, pictures: Path) -> None:
    assert "12 unchanged" in morelli("add", made, pictures)[1]
    assert "12 updated" in morelli("add", made, pictures, "--encoder", "toy-two")[1]
    assert objects(morelli("add", made, pictures, "--json")[1])[0]["encoder"] == "toy"


def test_add_tells_the_dataset_s_notes(morelli, made: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "f", models=1, prompts=1, seeds=1, size=32, seed=5, layout="folders")
    status, out, err = morelli("add", made, folder, "--json")
    assert status == 0
    assert objects(out)[0]["notes"] == ["No prompts are known: there is no metadata file."]
    assert err == "note: No prompts are known: there is no metadata file.\n"


def test_add_reports_bad_files_and_adds_the_others(morelli, made: Path, tmp_path: Path) -> None:
    paths = write_hostile(tmp_path / "h" / "m")
    status, out, err = morelli("add", made, tmp_path / "h", "--json")
    assert status == 1
    *failed, answer = objects(out)
    names = {f"m/{paths[name].name}" for name in BROKEN}
    assert {entry["image"] for entry in failed} == names
    assert {entry["schema"] for entry in failed} == {"morelli.error/1"}
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert sorted(line.split(": ")[1] for line in lines) == sorted(names)
    assert "Traceback" not in err
    assert answer["failed"] == len(BROKEN)
    good = len(paths) - len(BROKEN)
    assert (answer["added"] + answer["duplicates"], answer["references"]) == (good, 12 + answer["added"])
    assert morelli("check", made)[0] == 0
    assert f"{len(BROKEN)} failed" in morelli("add", made, tmp_path / "h")[1]


def test_add_refuses_one_picture_under_two_models_or_leaves_it_out(morelli, made: Path, tmp_path: Path) -> None:
    for name, grey in (("a/black", 0), ("a/own", 1), ("b/black", 0)):
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(flat(grey)).save(tmp_path / "b" / f"{name}.png")
    status, out, err = morelli("add", made, tmp_path / "b")
    assert (status, out) == (1, "")
    assert "b/black.png (model b) is a/black.png (model a)" in err
    assert "--skip-conflicts" in err
    assert len(Gallery.open(made)) == 12
    status, out, err = morelli("add", made, tmp_path / "b", "--skip-conflicts", "--json")
    assert status == 0
    (answer,) = objects(out)
    assert (answer["added"], answer["skipped"]) == (1, 2)
    (conflict,) = answer["conflicts"]
    assert (conflict["given"]["model"], conflict["known"]["model"]) == ("b", "a")
    assert "left out: b/black.png" in err


def _no_folder(tmp_path: Path) -> list[object]:
    return [tmp_path / "g", tmp_path / "absent"]


def _empty_folder(tmp_path: Path) -> list[object]:
    (tmp_path / "empty").mkdir()
    return [tmp_path / "g", tmp_path / "empty"]


def _missing_file(tmp_path: Path) -> list[object]:
    next((tmp_path / "d").rglob("*.png")).unlink()
    return [tmp_path / "g", tmp_path / "d"]


def _no_model(tmp_path: Path) -> list[object]:
    table = tmp_path / "d" / "metadata.csv"
    table.write_text(table.read_text().replace("model,", "maker,", 1))
    return [tmp_path / "g", tmp_path / "d"]


def _called_none(tmp_path: Path) -> list[object]:
    write_dataset(tmp_path / "called", models=1, prompts=1, seeds=1, size=32, layout="folders")
    (tmp_path / "called" / "model-00").rename(tmp_path / "called" / "None")
    return [tmp_path / "g", tmp_path / "called"]


def _only_broken(tmp_path: Path) -> list[object]:
    paths = write_hostile(tmp_path / "h" / "m")
    for name in set(paths) - BROKEN:
        paths[name].unlink()
    return [tmp_path / "g", tmp_path / "h"]


def _unknown_encoder(tmp_path: Path) -> list[object]:
    return [tmp_path / "g", tmp_path / "d", "--encoder", "toy-too"]


def _other_revision(tmp_path: Path) -> list[object]:
    catalogue.REGISTRY._loaded["toy"] = lambda: ToyEncoder(replace(STAMP, revision="2"))
    return [tmp_path / "g", tmp_path / "d"]


def _gallery_is_a_file(tmp_path: Path) -> list[object]:
    (tmp_path / "file").write_text("x")
    return [tmp_path / "file", tmp_path / "d", "--encoder", "toy"]


def _gallery_is_a_stranger(tmp_path: Path) -> list[object]:
    return [tmp_path / "d", tmp_path / "d", "--encoder", "toy"]


@pytest.mark.parametrize(
    ("arrange", "said"),
    [
        (_no_folder, "no such folder"),
        (_empty_folder, "no image in this folder"),
        (_missing_file, "1 of 12 files that it names do not exist"),
        (_no_model, "no column 'model'"),
        (_called_none, "a model cannot be called 'None'"),
        (_only_broken, f"none of its {len(BROKEN)} pictures can be used"),
        (_unknown_encoder, "Did you mean 'toy-two'"),
        (_other_revision, "revision 1 there and 2 here"),
        (_gallery_is_a_file, "a gallery is a folder"),
        (_gallery_is_a_stranger, "holds other files"),
    ],
)
def test_bad_input_to_add_is_named_and_nothing_is_lost(arrange, said, morelli, made: Path, tmp_path: Path) -> None:
    before = Gallery.open(made).references()
    status, out, err = morelli("add", *arrange(tmp_path), "--json")
    assert status == 1
    (error,) = objects(out)
    assert error["schema"] == "morelli.error/1"
    assert said in f"{error['message']} {error['fix']}"
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert Gallery.open(made).references() == before
    assert Gallery.open(made).version == 2


@pytest.mark.parametrize("extra", [["--encoder", "nothing-like-it"], ["--encoder", "hf:"]])
def test_a_refused_add_makes_no_gallery(extra: list[str], morelli, pictures: Path, tmp_path: Path) -> None:
    assert morelli("add", tmp_path / "new", pictures, *extra)[0] == 1
    assert not (tmp_path / "new").exists()


def test_list_as_a_table_and_as_json(morelli, made: Path) -> None:
    status, out, err = morelli("list", made)
    assert (status, err) == (0, "")
    assert "12 references, 3 models, 2 families, 2 prompts" in out
    assert "toy (weights 1, preprocessing plain): 12 embeddings of 5 numbers in 2 vectors" in out
    table = [line.split() for line in out.splitlines()[-4:]]
    assert table == [
        ["model", "family", "references", "prompts"],
        ["model-00", "x", "4", "2"],
        ["model-01", "x", "4", "2"],
        ["model-02", "y", "4", "2"],
    ]
    (answer,) = objects(morelli("list", made, "--json")[1])
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    assert answer == {
        "schema": "morelli.gallery/1",
        "gallery": str(made),
        "version": 2,
        "references": 12,
        "prompts": 2,
        "size_bytes": size,
        "models": [{"model": f"model-0{i}", "family": "xxy"[i], "references": 4, "prompts": 2} for i in range(3)],
        "encoders": [
            {
                "encoder": "toy",
                "revision": "1",
                "preprocessing": "plain",
                "dims": {"mean": 3, "shape": 2},
                "references": 12,
            }
        ],
    }


def test_list_references_one_a_line(morelli, made: Path, pictures: Path) -> None:
    out = morelli("list", made, "--references")[1]
    assert [line.split()[0] for line in out.splitlines()] == [r.content[:12] for r in Gallery.open(made).references()]
    out = morelli("list", made, "--references", "--model", "model-01", "--prompt", "001", "--json")[1]
    expected = {i.name for i in read_dataset(pictures).items if i.model == "model-01" and i.prompt_id == "001"}
    assert {entry["name"] for entry in objects(out)} == expected
    assert {entry["schema"] for entry in objects(out)} == {"morelli.reference/1"}
    status, out, err = morelli("list", made, "--references", "--model", "model-1")
    assert (status, out) == (1, "")
    assert "Did you mean" in err
    assert morelli("list", made, "--model", "model-01")[0] == 2


def test_list_of_an_empty_gallery(morelli, tmp_path: Path) -> None:
    Gallery.create(tmp_path / "e")
    status, out, _ = morelli("list", tmp_path / "e")
    assert status == 0
    assert "0 references, 0 models" in out


def test_show_one_reference(morelli, made: Path) -> None:
    known = a_reference(made)
    status, out, _ = morelli("show", made, known.content[:8])
    assert status == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (lines["content"], lines["model"], lines["prompt"]) == (known.content, known.model, known.prompt)
    assert lines["encoders"] == "toy"
    (answer,) = objects(morelli("show", made, known.content, "--json")[1])
    thumbnail = Gallery.open(made).thumbnail(known.content) or b""
    assert answer["schema"] == "morelli.reference/1"
    assert {name: answer[name] for name in ("content", "sha256", "model", "family", "seed", "width")} == {
        name: getattr(known, name) for name in ("content", "sha256", "model", "family", "seed", "width")
    }
    assert (answer["encoders"], answer["thumbnail_bytes"]) == (["toy"], len(thumbnail))


def test_show_writes_the_thumbnail_and_replaces_no_file_unasked(morelli, made: Path, tmp_path: Path) -> None:
    content = a_reference(made).content
    file = tmp_path / "t.webp"
    assert morelli("show", made, content, "--thumbnail", file)[0] == 0
    assert Image.open(io.BytesIO(file.read_bytes())).size == (32, 32)
    file.write_bytes(b"mine")
    status, out, err = morelli("show", made, content, "--thumbnail", file)
    assert (status, out) == (1, "")
    assert "exists already" in err
    assert file.read_bytes() == b"mine"
    assert morelli("show", made, content, "--thumbnail", file, "--force")[0] == 0
    assert file.read_bytes()[:4] == b"RIFF"
    status, _, err = morelli("show", made, content, "--thumbnail", tmp_path / "nowhere" / "t.webp")
    assert status == 1
    assert "cannot be written" in err


@pytest.mark.parametrize(("prefix", "said"), [("zz", "no reference begins so"), ("", "no reference begins so")])
def test_show_an_unknown_reference(prefix: str, said: str, morelli, made: Path) -> None:
    status, out, err = morelli("show", made, prefix)
    assert (status, out) == (1, "")
    assert said in err


def test_remove_says_what_went(morelli, made: Path) -> None:
    before = Gallery.open(made).references()
    status, out, err = morelli("remove", made, "--model", "model-01", "--prompt", "000", "--json")
    assert status == 0
    (answer,) = objects(out)
    gone = [r for r in before if r.model == "model-01" and r.prompt_id == "000"]
    assert answer["schema"] == "morelli.gallery-remove/1"
    assert {entry["content"] for entry in answer["references"]} == {r.content for r in gone}
    assert (answer["removed"], answer["version"], answer["freed_bytes"]) == (2, 3, None)
    known = a_reference(made)
    status, out, err = morelli("remove", made, "--reference", known.content[:10], "--model", known.model)
    assert status == 0
    assert out.startswith(f"removed  {known.content[:12]}  {known.name}  (")
    assert "1 references removed, 9 left; version 4" in err
    status, out, _ = morelli("remove", made, "--model", "model-00", "--model", "model-02", "--model", "model-01")
    assert len(out.splitlines()) == 9
    assert len(Gallery.open(made)) == 0


def test_remove_prunes_earlier_versions_when_asked(morelli, made: Path) -> None:
    content, data = a_reference(made).content.encode(), made / "references.lance" / "data"
    morelli("remove", made, "--model", a_reference(made).model)
    assert any(content in file.read_bytes() for file in data.iterdir())
    status, out, err = morelli("remove", made, "--prune")
    assert (status, out) == (0, "")
    assert err.endswith(" MB of earlier versions deleted\n")
    assert len(err.splitlines()) == 1
    assert not any(content in file.read_bytes() for file in data.iterdir())
    assert len(Gallery.open(made)) == 8


def test_remove_without_a_condition_is_wrong_usage(morelli, made: Path) -> None:
    status, out, err = morelli("remove", made)
    assert (status, out) == (2, "")
    assert "--model, --prompt or --reference" in err
    assert len(Gallery.open(made)) == 12


@pytest.mark.parametrize(
    ("option", "value"), [("--model", "model-9"), ("--prompt", "00"), ("--reference", "zz"), ("--reference", "")]
)
def test_remove_of_something_unknown_removes_nothing(option: str, value: str, morelli, made: Path) -> None:
    status, out, err = morelli("remove", made, "--model", "model-00", option, value)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert len(Gallery.open(made)) == 12


def test_check_of_a_sound_gallery(morelli, made: Path) -> None:
    assert morelli("check", made) == (0, f"{made}: sound; 12 references, version 2\n", "")
    (answer,) = objects(morelli("check", made, "--json")[1])
    assert answer == {
        "schema": "morelli.gallery-check/1",
        "gallery": str(made),
        "ok": True,
        "problems": [],
        "references": 12,
        "version": 2,
    }


def test_check_lists_problems(morelli, made: Path) -> None:
    gallery = Gallery.open(made)
    odd = replace(a_reference(made), content="5" * 64, family="z", model="model-00")
    gallery.add([odd], [b"no picture"], {"mean": np.zeros((1, 3)), "shape": np.zeros((1, 2))}, gallery.stamp("toy"))
    status, out, err = morelli("check", made)
    assert status == 1
    assert len(out.splitlines()) == 2
    assert "a thumbnail that is no picture" in out
    assert "a model with several families: model-00" in out
    assert err == f"error: {made}: not sound; 13 references read, version 3.\n"
    status, out, _ = morelli("check", made, "--json")
    assert status == 1
    assert len(objects(out)[0]["problems"]) == 2


def test_check_of_a_damaged_file(morelli, made: Path) -> None:
    (data,) = (made / "references.lance" / "data").glob("*.lance")
    data.write_bytes(data.read_bytes()[:100])
    status, out, err = morelli("check", made)
    assert status == 1
    assert out.startswith("unreadable: ")
    assert "Traceback" not in err


def test_export_and_import_move_references_without_pixels(morelli, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    status, out, err = morelli("export", made, file)
    assert (status, out) == (0, "")
    assert "12 references without pixels" in err
    assert b"WEBP" not in file.read_bytes()
    status, out, _ = morelli("import", tmp_path / "copy", file, "--json")
    assert status == 0
    assert (objects(out)[0]["added"], objects(out)[0]["references"]) == (12, 12)
    copy, gallery = Gallery.open(tmp_path / "copy"), Gallery.open(made)
    assert copy.references() == gallery.references()
    for name, values in gallery.embeddings("toy")[1].vectors.items():
        np.testing.assert_array_equal(copy.embeddings("toy")[1].vectors[name], values)
    assert copy.thumbnail(copy.references()[0].content) is None
    assert "12 unchanged" in morelli("import", tmp_path / "copy", file)[1]
    status, _, err = morelli("show", tmp_path / "copy", a_reference(made).content, "--thumbnail", tmp_path / "t.webp")
    assert status == 1
    assert "came without pixels" in err


def test_export_with_thumbnails(morelli, made: Path, tmp_path: Path) -> None:
    assert "with thumbnails" in morelli("export", made, tmp_path / "r.parquet", "--thumbnails")[2]
    morelli("import", tmp_path / "copy", tmp_path / "r.parquet")
    content = a_reference(made).content
    assert Gallery.open(tmp_path / "copy").thumbnail(content) == Gallery.open(made).thumbnail(content)


def test_export_replaces_no_file_unasked(morelli, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    file.write_bytes(b"mine")
    status, _, err = morelli("export", made, file)
    assert status == 1
    assert "--force" in err
    assert file.read_bytes() == b"mine"
    assert morelli("export", made, file, "--force")[0] == 0
    assert file.read_bytes()[:4] == b"PAR1"
    for bad in (tmp_path, tmp_path / "nowhere" / "r.parquet"):
        status, _, err = morelli("export", made, bad, "--force")
        assert status == 1
        assert len(err.splitlines()) == 1


def test_export_of_an_empty_gallery(morelli, tmp_path: Path) -> None:
    Gallery.create(tmp_path / "e")
    status, _, err = morelli("export", tmp_path / "e", tmp_path / "r.parquet")
    assert status == 1
    assert "holds no reference" in err
    assert not (tmp_path / "r.parquet").exists()


@pytest.mark.parametrize("content", [None, b"", b"no export", b"PAR1 no more PAR1"])
def test_import_of_a_bad_file_is_named_and_makes_no_gallery(content: bytes | None, morelli, tmp_path: Path) -> None:
    file = tmp_path / "r.parquet"
    if content is not None:
        file.write_bytes(content)
    status, out, err = morelli("import", tmp_path / "new", file)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "morelli gallery export" in err
    assert not (tmp_path / "new").exists()


def test_import_with_another_label_changes_nothing(morelli, made: Path, tmp_path: Path) -> None:
    other = Gallery.create(tmp_path / "o")
    known = replace(a_reference(made), model="someone else")
    other.add([known], [None], {"mean": np.zeros((1, 3)), "shape": np.zeros((1, 2))}, Gallery.open(made).stamp("toy"))
    other.export(tmp_path / "r.parquet")
    status, _, err = morelli("import", made, tmp_path / "r.parquet")
    assert status == 1
    assert "two labels" in err
    assert Gallery.open(made).version == 2


@pytest.mark.parametrize("command", ["list", "show", "remove", "check", "export"])
def test_no_gallery_there(command: str, morelli, tmp_path: Path) -> None:
    more = {"show": ["0"], "remove": ["--model", "m"], "export": [tmp_path / "r.parquet"]}.get(command, [])
    status, out, err = morelli(command, tmp_path / "absent", *more)
    assert (status, out) == (1, "")
    assert "is no gallery. Make one: morelli gallery add" in err
    assert not (tmp_path / "absent").exists()


def test_wrong_usage_is_2(morelli, made: Path) -> None:
    for wrong in (["lst", made], ["add", made], ["list", made, "--jsom"], ["show", made]):
        status, out, err = morelli(*wrong)
        assert (status, out) == (2, "")
        assert err


def test_help_of_every_command_is_light() -> None:
    names = ["add", "list", "show", "remove", "check", "export", "import"]
    code = f"from morelli.cli import main\nfor n in {names}: assert main(['gallery', n, '--help']) == 0"
    assert loaded_by(code) == []


def test_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ``$ morelli gallery …`` of docs/gallery.md, in order; a reference's hash is put in place of the page's."""
    page = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in re.findall(r"^\$ (morelli gallery .*)$", page, re.MULTILINE)]
    assert {command[1] for command in commands} == {"add", "list", "show", "remove", "check", "export", "import"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "DEFAULT_ENCODER", "toy")
    write_dataset("pictures", models=3, prompts=4, seeds=3, size=32, families=["one", "one", "two"])
    for command in commands:
        words = [a_reference(Path(command[2])).content[:8] if re.fullmatch("[0-9a-f]{8,}", w) else w for w in command]
        assert main(words) == 0, (words, capsys.readouterr().err)


@pytest.mark.slow
def test_real_pictures_with_the_default_encoder(data_dir: Path, morelli, tmp_path: Path) -> None:
    chosen = [i for i in read_dataset(data_dir / "visor").items if i.seed == 0][:14]
    counts = Counter(i.model for i in chosen)
    for item in chosen:
        link = tmp_path / "real" / item.model / item.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(item.path)
    status, out, _ = morelli("add", tmp_path / "v", tmp_path / "real", "--json")
    assert status == 0
    assert objects(out)[0]["added"] == len(chosen)
    (answer,) = objects(morelli("list", tmp_path / "v", "--json")[1])
    assert {m["model"]: m["references"] for m in answer["models"]} == counts
    assert answer["encoders"][0]["encoder"] == catalogue.DEFAULT_ENCODER
    assert morelli("check", tmp_path / "v")[0] == 0
