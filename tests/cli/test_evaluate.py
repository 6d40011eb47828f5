"""``morelli evaluate`` through the command line: the table, the JSON, the picture, and one line for bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile

from ..evaluation.samples import TextureEncoder, relabel

BASE = ("--encoder", "texture")


@pytest.fixture(autouse=True)
def texture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    catalogue.REGISTRY.add("texture", TextureEncoder)
    yield
    del catalogue.REGISTRY._loaded["texture"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", models=4, prompts=5, seeds=3, size=32, families=["x", "x", "y", "z"])


@pytest.fixture
def morelli(capsys: pytest.CaptureFixture[str]):
    """Run the command: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["evaluate", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def test_table(morelli, pictures):
    status, out, err = morelli(pictures, *BASE, "--method", "euclid,plda", "--k", 2)
    assert (status, err) == (0, "")
    title, heading, *rows, leak = out.splitlines()
    assert title == f"{pictures}: same-prompt, k = 2, 60 queries, 4 models, 5 prompts, encoder texture"
    assert heading.split()[:2] == ["method", "background"]
    assert [row.split()[0] for row in rows] == ["euclid", "plda", "euclid", "plda"]
    assert ["without candidates" in row for row in rows] == [False, False, True, True]
    assert leak == "leak test: size, format and tables alone name 25.0 % (chance 25.0 %); leaking: none"


def test_json(morelli, pictures):
    status, out, err = morelli(pictures, *BASE, "--method", "euclid, cosine", "--json", "--seed", 3, "--epsilon", 0.2)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    result = json.loads(line)
    assert result["schema"] == "morelli.evaluation/1"
    assert (result["seed"], result["epsilon"], result["k"], result["protocol"]) == (3, 0.2, None, "same-prompt")
    assert [row["method"] for row in result["rows"]] == ["euclid", "cosine"]
    assert all(0 <= row["top1_low"] <= row["top1"] <= row["top1_high"] <= 1 for row in result["rows"])
    assert result["leaks"]["leaking"] is False


def test_what_was_left_out_is_told_on_stderr_or_in_the_json(morelli, pictures):
    arguments = (pictures, *BASE, "--method", "euclid", "--k", 7)
    status, out, err = morelli(*arguments)
    assert status == 0
    assert "had fewer than 7 references" in err
    assert all(line.startswith("note: ") for line in err.splitlines())
    status, out, err = morelli(*arguments, "--json")
    assert (status, err) == (0, "")
    assert any("had fewer than 7 references" in note for note in json.loads(out)["notes"])


def test_no_ablation(morelli, pictures):
    status, out, _ = morelli(pictures, *BASE, "--method", "euclid,lda", "--no-ablation", "--json")
    assert status == 0
    assert {row["background"] for row in json.loads(out)["rows"]} == {"all"}


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_confusion_picture_is_of_the_last_method(morelli, pictures, tmp_path, ending):
    picture = tmp_path / "figures" / f"confusion.{ending}"
    status, out, err = morelli(pictures, *BASE, "--method", "cosine,euclid", "--json", "--confusion", picture)
    assert status == 0
    assert json.loads(out)["rows"]
    assert f"wrote {picture}" in err
    if ending == "png":
        assert min(Image.open(picture).size) > 100
    else:
        text = picture.read_text()
        assert all(f"model-{j:02}" in text for j in range(4))
        assert "euclid" in text
        assert "cosine" not in text


def test_a_picture_that_cannot_be_written_costs_no_figures(morelli, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = morelli(
        pictures, *BASE, "--method", "euclid", "--json", "--confusion", tmp_path / "file" / "x.png"
    )
    assert status == 1
    assert json.loads(out.splitlines()[0])["rows"]
    assert "cannot write the figure" in err


def test_a_picture_of_an_unknown_kind_is_refused_before_the_work(morelli, pictures, tmp_path):
    status, out, err = morelli(pictures, *BASE, "--method", "euclid", "--confusion", tmp_path / "x.gif")
    assert (status, out) == (1, "")
    assert "End it in .png, .svg or .pdf." in err
    assert not (tmp_path / "cache").exists()


def test_references(morelli, pictures, tmp_path):
    other = write_dataset(tmp_path / "e", models=5, prompts=5, seeds=1, size=32, seed=0)
    status, out, _ = morelli(other, *BASE, "--references", pictures, "--method", "euclid", "--json")
    assert status == 0
    result = json.loads(out)
    assert (result["dataset"], result["references"]) == (str(other), str(pictures))
    (row,) = result["rows"]
    assert row["n_unknown"] == 5
    assert row["auroc"] is not None


def test_broken_files_are_left_out_and_named(morelli, pictures):
    write_hostile(pictures / "hostile")
    relabel(
        pictures,
        lambda rows: [*rows, *({**rows[0], "file_name": path.relative_to(pictures).as_posix(), "prompt_id": "h"}
                               for path in sorted((pictures / "hostile").iterdir()))],
    )  # fmt: skip
    status, out, err = morelli(pictures, *BASE, "--method", "euclid")
    assert status == 0
    assert f"{len(BROKEN)} images could not be read and were left out" in err
    assert "Traceback" not in err
    assert "top-1" in out


def _one_model(folder: Path) -> None:
    relabel(folder, lambda rows: [{**row, "model": "only", "family": "only"} for row in rows])


def _all_broken(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")


def _one_prompt_one_image(folder: Path) -> None:
    relabel(folder, lambda rows: [row for row in rows if row["file_name"].endswith("000_0.png")])


@pytest.mark.parametrize(
    ("change", "arguments", "text"),
    [
        (None, ["--method", "fuzed"], "Did you mean 'fused'"),
        (None, ["--protocol", "sameprompt"], "Did you mean 'same-prompt'"),
        (None, ["--encoder", "textures"], "Did you mean 'texture'"),
        (None, ["--epsilon", "1.5"], "--epsilon: must lie between 0 and 1"),
        (None, ["--references", "nowhere"], "there is no such folder"),
        (None, ["--protocol", "any-prompt", "--method", "plda"], "the prompt is not known"),
        (_one_model, [], "needs 2 models"),
        (_all_broken, [], "none of its 60 images could be read"),
        (_one_prompt_one_image, [], "cannot come from different prompts"),
    ],
)
def test_bad_input_is_one_line_and_exit_one(morelli, pictures, change, arguments, text):
    if change is not None:
        change(pictures)
    given = arguments if "--encoder" in arguments else [*BASE, *arguments]
    status, out, err = morelli(pictures, *given)
    assert (status, out) == (1, "")
    assert text in err
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    status, out, _ = morelli(pictures, *given, "--json")
    assert status == 1
    assert json.loads(out)["schema"] == "morelli.error/1"


def test_a_missing_folder_is_named(morelli, tmp_path):
    status, out, err = morelli(tmp_path / "absent", *BASE)
    assert (status, out) == (1, "")
    assert err == f"error: {tmp_path / 'absent'}: there is no such folder. Name a folder of pictures.\n"


@pytest.mark.parametrize("arguments", [["--k", "0"], ["--k", "three"], ["--method", ", "], ["--nonsense"]])
def test_wrong_usage_is_exit_two(morelli, pictures, arguments):
    status, out, err = morelli(pictures, *BASE, *arguments)
    assert (status, out) == (2, "")
    assert err


def test_help_names_the_protocols(morelli):
    status, out, _ = morelli("--help")
    assert status == 0
    assert "any-prompt" in out
    assert "--references" in out


def test_the_default_encoder(morelli, tmp_path):
    """The embedded network on made-up pictures whose models differ by a fine texture."""
    folder = write_dataset(tmp_path / "e", models=3, prompts=6, seeds=3, size=64)
    status, out, _ = morelli(folder, "--method", "euclid,fused", "--no-ablation", "--json")
    assert status == 0
    result = json.loads(out)
    assert result["encoder"]["id"] == "efficientnet-lite0"
    euclid, fused = result["rows"]
    # A third is chance.
    assert fused["top1"] > 0.9
    assert euclid["top1"] > 0.6
