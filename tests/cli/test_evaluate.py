"""``morelli evaluate`` through the command line: the table, the JSON, the picture, and one line for bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
from PIL import Image

from morelli.baselines.yu import Yu
from morelli.cli import main
from morelli.encoders import catalogue
from morelli.exposure.confusion import read_confusion
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile

from ..evaluation.samples import TextureEncoder, relabel
from ..evaluation.test_compared_encoders import Colour

BASE = ("--encoder", "texture")


@pytest.fixture(autouse=True)
def texture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    catalogue.REGISTRY.add("texture", TextureEncoder)
    catalogue.REGISTRY.add("colour", Colour)
    yield
    for name in ("texture", "colour"):
        del catalogue.REGISTRY._loaded[name]


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


def test_without_calibration_ranks_are_the_same_and_nothing_is_calibrated(morelli, pictures, monkeypatch):
    from morelli.evaluation import protocols

    asked, calibrate_attributor = [], protocols.calibrate_attributor
    monkeypatch.setattr(
        protocols, "calibrate_attributor", lambda *given: asked.append(given) or calibrate_attributor(*given)
    )
    given = [pictures, *BASE, "--method", "euclid,lda", "--no-ablation", "--json"]
    whole = json.loads(morelli(*given)[1])["rows"]
    assert asked
    asked.clear()
    plain = json.loads(morelli(*given, "--no-calibrate")[1])["rows"]
    assert not asked
    for one, other in zip(whole, plain, strict=True):
        assert all(one[name] == other[name] for name in ("method", "n_queries", "top1", "top1_low", "f1"))
        assert other.get("ece") is None and other.get("coverage") is None


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


def test_the_confusion_matrix_as_a_table_that_votes_are_simulated_from(morelli, pictures, tmp_path):
    file = tmp_path / "tables" / "confusion.csv"
    status, out, err = morelli(pictures, *BASE, "--method", "euclid", "--json", "--confusion", file)
    assert (status, f"wrote {file}" in err) == (0, True)
    (row,) = json.loads(out)["rows"]
    found = read_confusion(file)
    assert found.models == tuple(f"model-{j:02}" for j in range(4))
    assert found.images is not None and found.images.sum() == row["n_queries"]
    assert found.images @ np.diagonal(found.rates) == pytest.approx(row["top1"] * row["n_queries"])
    (tmp_path / "file").write_text("")
    absent = tmp_path / "file" / "x.csv"
    status, out, err = morelli(pictures, *BASE, "--method", "euclid", "--json", "--confusion", absent)
    assert (status, "cannot be written" in err) == (1, True)
    assert json.loads(out.splitlines()[0])["rows"]


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


PLAIN = ("--protocol", "any-prompt", "--method", "euclid,cosine")


def test_encoders_are_compared_in_one_table(morelli, pictures):
    status, out, _ = morelli(pictures, "--encoder", "texture, texture+colour", "--against", "texture", *PLAIN)
    assert status == 0
    title, heading, *rows, _ = out.splitlines()
    assert title.endswith("5 prompts, encoders texture, texture+colour")
    assert heading.split()[:3] == ["method", "encoder", "background"]
    assert "lift over texture" in heading
    assert [row.split()[:2] for row in rows] == [
        [method, encoder] for encoder in ("texture", "texture+colour") for method in ("euclid", "cosine")
    ]
    assert [" to " in row for row in rows] == [False, False, True, True]


def test_the_reference_row_in_the_json(morelli, pictures):
    arguments = ("--encoder", "texture,colour", "--against", "colour:cosine", *PLAIN, "--json")
    status, out, err = morelli(pictures, *arguments)
    assert (status, err) == (0, "")
    result = json.loads(out)
    assert [encoder["id"] for encoder in result["encoders"]] == ["texture", "colour"]
    assert result["against"] == {"encoder": "colour", "method": "cosine"}
    over = result["rows"][-1]
    assert (over["encoder"], over["method"], over["lift"]) == ("colour", "cosine", None)
    for row in result["rows"][:-1]:
        assert row["lift"] == pytest.approx(row["top1"] - over["top1"])
    assert json.loads(morelli(pictures, *BASE, *PLAIN, "--json")[1])["against"] == {"encoder": None, "method": "euclid"}


def test_verification_of_several_encoders(morelli, pictures):
    arguments = ("--encoder", "texture,colour", "--protocol", "verification", "--pairs", 60)
    status, out, _ = morelli(pictures, *arguments, "--method", "cosine", "--against", "texture")
    assert status == 0
    assert "AUC lift over texture" in out.splitlines()[1]
    status, out, _ = morelli(pictures, *BASE, "--protocol", "verification", "--pairs", 60, "--method", "cosine,plda")
    assert status == 0
    assert "AUC lift over cosine" in out.splitlines()[1]


@pytest.fixture
def table(tmp_path):
    """Facts of the four models: two share a decoder and a base, of one nothing is known."""
    path = tmp_path / "models.csv"
    path.write_text("model,base,decoder\nmodel-00,root,one\nmodel-01,root,one\nmodel-02,other,two\nmodel-03,,\n")
    return path


def test_decoders_of_a_table_split_pairs(morelli, pictures, table):
    arguments = (pictures, *BASE, "--protocol", "verification", "--method", "cosine", "--json")
    plain = json.loads(morelli(*arguments)[1])
    assert [row["pairs"] for row in plain["rows"]] == ["all", "same-family", "cross-family", "same-prompt"]
    status, out, err = morelli(*arguments, "--models", table)
    assert (status, err) == (0, "")
    result = json.loads(out)
    # 15 images a model: of two models with one decoder, and of these two with the third.
    assert {row["pairs"]: row["n_different"] for row in result["rows"]} == {
        "all": 6 * 225,
        "same-decoder": 225,
        "cross-decoder": 2 * 225,
        "same-prompt": 5 * 6 * 9,
    }
    assert "15 images of unknown decoder are in no same-decoder or cross-decoder pair." in result["notes"]


def test_bases_of_a_table(morelli, pictures, table):
    arguments = (pictures, *BASE, "--level", "base", "--method", "euclid", "--json")
    assert morelli(*arguments)[0] == 1
    status, out, _ = morelli(*arguments, "--models", table)
    assert status == 0
    first, left_out = json.loads(out)["rows"]
    assert (first["n_candidates"], first["n_queries"]) == (3, 60)
    assert (left_out["background"], left_out["n_queries"]) == ("without the model", 30)


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
        (None, ["--encoder", "texture,"], "names no encoder before or after a comma"),
        (None, ["--encoder", "texture+texture"], "joins two or more different encoders"),
        (None, ["--encoder", "texture+colours"], "Did you mean 'colour'"),
        (None, ["--against", "textures"], "Did you mean 'texture'"),
        (None, ["--against", "colour"], "no encoder or method of this evaluation is called 'colour'"),
        (None, ["--against", "texture:euclids"], "Did you mean 'euclid'"),
        (None, ["--protocol", "verification", "--against", "euclid"], "no method of the protocol verification"),
        (None, ["--models", "absent.csv"], "absent.csv: cannot be read"),
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


def test_trainings_that_are_kept_are_not_repeated(morelli, pictures, tmp_path, monkeypatch):
    made: list[int] = []
    once = Yu._batch
    monkeypatch.setattr(Yu, "_batch", lambda self, *a: made.append(1) or once(self, *a))
    asked = (pictures, *BASE, "--protocol", "any-prompt", "--method", "yu@steps=2+side=8+batch=4", "--json")
    plain, kept = morelli(*asked), morelli(*asked, "--keep", tmp_path / "kept")
    folds = len(made) // 4
    assert folds > 1
    assert len(list((tmp_path / "kept").iterdir())) == folds
    again = morelli(*asked, "--keep", tmp_path / "kept")
    assert len(made) == 4 * folds
    rows = [json.loads(out)["rows"] for _, out, _ in (plain, kept, again)]
    assert rows[0] == rows[1] == rows[2]
    # Of an interrupted one the folds that are missing alone.
    rmtree(next((tmp_path / "kept").iterdir()))
    assert json.loads(morelli(*asked, "--keep", tmp_path / "kept")[1])["rows"] == rows[0]
    assert len(made) == 4 * folds + 2
