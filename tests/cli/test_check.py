"""``morelli check`` through the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Item

from ..test_identify import STAMP, Texture
from .test_identify import gallery_of, objects


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=8, seeds=3, size=64)).items


@pytest.fixture(scope="module")
def query(items: tuple[Item, ...]) -> Path:
    return next(i.path for i in items if (i.model, i.prompt_id, i.seed) == ("model-01", "007", 2))


@pytest.fixture(scope="module")
def gallery(items: tuple[Item, ...], query: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery_of(tmp_path_factory.mktemp("g") / "g", [i for i in items if i.path != query])


@pytest.fixture(autouse=True)
def toys(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path_factory.getbasetemp() / "check-cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    catalogue.REGISTRY.add("texture", lambda: Texture(STAMP))
    yield
    del catalogue.REGISTRY._loaded["texture"]


@pytest.fixture
def run(gallery: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``morelli check``: exit status, stdout, stderr."""

    def run(*arguments: object, of: Path = gallery) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["check", *map(str, arguments), "--gallery", str(of)])
        return status, *capsys.readouterr()

    return run


def test_json(run, query: Path) -> None:
    status, out, _ = run(query, "--model", "model-01", "--prompt", "007", "--json")
    (answer,) = objects(out)
    assert status == 0
    assert answer["schema"] == "morelli.check/1"
    assert answer["image"] == str(query)
    assert answer["decision"] in ("yes", "no", "unsure")
    assert set(answer["case_1"]) == {
        *("accepted", "first", "top_model", "probability", "p_value", "known_p_value", "calibrated")
    }
    assert set(answer["case_2"]) == {"references", "published", "conformal"}
    assert answer["case_2"]["references"] == 2


def test_for_people(run, query: Path) -> None:
    status, out, _ = run(query, "--model", "model-01", "--alpha", "0.75")
    (told,) = objects(run(query, "--model", "model-01", "--alpha", "0.75", "--json")[1])
    assert status == 0
    assert out.splitlines()[0] == f"{query}: {told['decision']} (is it model-01?)"
    assert f"probability {told['case_1']['probability']:.3f}" in out
    assert f"p = {told['case_2']['conformal']['p_value']:.3f} (23 references, α = 0.75)" in out
    word = "accepted" if told["case_2"]["published"]["accepted"] else "refused"
    assert f"as published    {word}" in out


def test_few_references_are_said_to_be_too_few(run, query: Path) -> None:
    _, out, _ = run(query, "--model", "model-01", "--prompt", "007", "--case", "2")
    assert f"{query}: unsure" in out
    assert "its own alone   too few references to refuse anything" in out
    assert "2 references cannot refuse anything at α = 0.9: at least 9 are needed" in out
    assert "against all" not in out


def test_a_method_plays_no_part_in_case_2(run, query: Path) -> None:
    status, _, err = run(query, "--model", "model-01", "--case", "2", "--method", "lda")
    assert (status, "plays no part in Case 2" in err) == (2, True)


def test_a_bad_picture_beside_a_good_one(run, query: Path, tmp_path: Path) -> None:
    status, out, err = run(query, tmp_path / "absent.png", "--model", "model-01", "--json")
    assert status == 1
    assert [answer["schema"] for answer in objects(out)] == ["morelli.check/1", "morelli.error/1"]
    assert "absent.png: no file at that path" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "model-1"], "no model is called 'model-1'. Did you mean 'model-01'"),
        (["--model", "model-01", "--alpha", "1"], "alpha: must lie between 0 and 1"),
        (["--model", "model-01", "--case", "3"], "no case is called '3'"),
        (["--model", "model-01", "--prompt", "xyz"], "no prompt is called 'xyz'"),
        (["--model", "model-01", "--method", "euclide"], "Did you mean 'euclid'"),
    ],
)
def test_a_question_that_cannot_be_answered(run, query: Path, options: list[str], said: str) -> None:
    status, out, err = run(query, *options)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_one_model_is_enough_for_its_own_references(run, items: tuple[Item, ...], query: Path, tmp_path: Path) -> None:
    own = [replace(i, family="one") for i in items if i.model == "model-01" and i.path != query]
    alone = gallery_of(tmp_path / "alone", own)
    status, out, _ = run(query, "--model", "model-01", "--json", of=alone)
    assert status == 0
    (answer,) = objects(out)
    assert answer["case_1"] is None
    assert answer["case_2"]["references"] == 23
    single = gallery_of(tmp_path / "single", own[:1])
    status, _, err = run(query, "--model", "model-01", of=single)
    assert status == 1
    assert "1 references of model-01 are too few" in err


def test_no_gallery_and_no_model(query: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(query), "--model", "model-01"]) == 1
    assert "no gallery was named" in capsys.readouterr().err
    assert main(["check", str(query)]) == 2
