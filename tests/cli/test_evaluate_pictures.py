"""``morelli evaluate`` with pairs, sweeps and bases: tables, pictures, and what is refused before the work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.testing.datasets import write_dataset

from ..evaluation.samples import TextureEncoder


@pytest.fixture(autouse=True)
def texture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "240")
    catalogue.REGISTRY.add("texture", TextureEncoder)
    yield
    del catalogue.REGISTRY._loaded["texture"]


@pytest.fixture
def morelli(tmp_path, capsys):
    """Evaluate a small dataset: exit status, stdout, stderr."""
    folder = write_dataset(tmp_path / "d", models=5, prompts=3, seeds=2, size=32)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["evaluate", str(folder), "--encoder", "texture", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_verification(morelli, tmp_path):
    picture = tmp_path / "cases.png"
    status, out, err = morelli("--protocol", "verification", "--pairs", 40, "--figure", picture)
    assert status == 0
    title, heading, *rows, _ = out.splitlines()
    assert title.endswith(": verification, 5 models, 3 prompts, encoder texture")
    assert "(optimistic)" in heading
    kinds = [tuple(row.split()[:2]) for row in rows]
    assert kinds == [(m, kind) for m in ("cosine", "plda") for kind in ("all", "cross-family", "same-prompt")]
    assert "There are no same-family pairs" in err
    assert min(Image.open(picture).size) > 100


def test_identification(morelli):
    status, out, _ = morelli("--protocol", "identification", "--k", 2, "--method", "cosine")
    assert status == 0
    assert "k = 2, 20 queries" in out
    assert "macro-F1 %" in out
    status, out, _ = morelli("--protocol", "identification", "--method", "cosine", "--json")
    assert json.loads(out)["k"] == 10


def test_a_sweep_and_its_curves(morelli, tmp_path):
    picture = tmp_path / "curves.svg"
    sweep = ("--degrade", "jpeg:50-100:50", "--method", "euclid", "--figure", picture)
    status, out, err = morelli("--protocol", "robustness", *sweep, "--json")
    assert status == 0
    assert [row["degradation"] for row in json.loads(out)["rows"]] == ["none", "jpeg:50", "jpeg:100"]
    assert f"wrote {picture}" in err
    assert "JPEG quality" in picture.read_text()


def test_a_map(morelli, tmp_path):
    picture = tmp_path / "map.png"
    status, _, err = morelli("--protocol", "any-prompt", "--method", "euclid", "--map", picture)
    assert status == 0
    assert f"wrote {picture}" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--protocol", "verification", "--confusion", "c.png"), "no one confusion matrix"),
        (("--protocol", "any-prompt", "--figure", "c.png"), "--figure"),
        (("--protocol", "verification", "--figure", "c.jpg"), "c.jpg"),
        (("--protocol", "verification", "--method", "lda"), "no method of the protocol verification"),
        (("--level", "base"), "column base"),
        (("--protocol", "verification", "--level", "base"), "any-prompt"),
        (("--protocol", "robustness", "--degrade", "jpeg:100-50"), "must rise"),
    ],
)
def test_refusals(morelli, arguments, said):
    status, out, err = morelli(*arguments)
    assert (status, out) == (1, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
