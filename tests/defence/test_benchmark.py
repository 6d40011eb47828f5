"""The defence table's benchmark: who has which images, that it resumes, and what its table says."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import defence
from morelli.encoders import catalogue
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset

from .toys import STAMP, GrainEncoder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=6, seeds=3, size=32)


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    catalogue.REGISTRY.add("grain", GrainEncoder)
    yield
    del catalogue.REGISTRY._loaded["grain"]


def test_nobody_has_the_other_s_images(dataset: Path) -> None:
    items = read_dataset(dataset).items
    parts = defence.split(items, images=4, prompts=2, background=3)
    assert [(q.model, q.prompt_id) for q in parts.queries] == [
        ("model-00", "000"), ("model-01", "001"), ("model-02", "000"), ("model-00", "001"),
    ]  # fmt: skip
    theirs, attackers = {i.name for i in parts.leaderboard}, {i.name for i in (*parts.references, *parts.background)}
    assert {q.name for q in parts.queries} <= theirs
    assert not theirs & attackers
    assert {i.prompt_id for i in parts.references} == {"000", "001"}
    assert {i.prompt_id for i in parts.background} == {"002", "003", "004"}
    assert len(parts.references) == 2 * 3 * 2
    with pytest.raises(SystemExit, match="too few"):
        defence.split(items, 4, 7, 1)


def test_random_signs_differ_from_picture_to_picture(dataset: Path, tmp_path: Path) -> None:
    """With one pattern for all, queries and references would have the noise in common."""
    items = read_dataset(dataset).items
    parts = defence.split(items, images=3, prompts=2, background=3)
    bench = defence.Bench(parts, tmp_path, Namespace())
    flat = np.full((32, 32, 3), 100, dtype=np.uint8)
    one, two, again = (bench.protect(parts.queries[i], flat, "noise", 4) for i in (0, 1, 0))
    np.testing.assert_array_equal(one, again)
    assert 0.3 < (one != two).mean() < 0.7


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["defence", *map(str, arguments)])
    capsys.readouterr()
    defence.main()
    return capsys.readouterr().out


def test_it_resumes_and_its_table_holds_every_cell(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.jsonl"
    asked = (dataset, "--out", file, "--images", 6, "--prompts", 2, "--background", 4, "--steps", 2, "--epsilons", 2)
    asked = (*asked, "--surrogates", "grain", "--encoders", "grain")
    monkeypatch.setattr(defence, "METHODS", ("euclid", "cosine"))
    text = run(monkeypatch, capsys, *asked)
    header, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert header["steps"] == 2
    cells = [(r["defence"], r["epsilon"], r["attacker"], r["method"]) for r in rows]
    assert len(cells) == len(set(cells))
    assert {r["defence"] for r in rows} == {"none", "canonical", "noise", "pgd", "eot"}
    # Who retrains needs protected images of his own: cheap for the common form and noise alone.
    assert {r["defence"] for r in rows if r["attacker"] == "retrain"} == {"canonical", "noise"}
    for row in rows:
        assert sum(map(sum, row["confusion"]["matrix"])) == row["n"] == 6
        right = sum(row["confusion"]["matrix"][i][i] for i in range(3))
        assert row["top1"] == pytest.approx(right / 6)
        assert (row["psnr"] is None) == (row["defence"] == "none")
    assert rows[0]["references"] == 2
    lines = text.splitlines()
    assert lines[0].endswith("| euclid | cosine |")
    assert "0.90 at ε = 0, 0.75 at ε = 2, 0.46 at ε = 8" in text
    assert sum("(net " in line for line in lines) > 0
    assert "| defence | ε | recognised |" in text
    # Cut in the middle, it does what is missing and no more, and comes to the same.
    kept = file.read_text().splitlines(keepends=True)
    file.write_text("".join(kept[:-2]))
    assert run(monkeypatch, capsys, *asked) == text
    assert file.read_text().splitlines() == [line.rstrip("\n") for line in kept]
    with pytest.raises(SystemExit, match="of another run"):
        run(monkeypatch, capsys, *asked, "--steps", 3)


def test_the_drop_is_net_of_noise() -> None:
    def row(of: str, top1: float) -> dict[str, object]:
        return {"defence": of, "epsilon": 2.0, "attacker": "plain", "encoder": "e", "method": "euclid", "top1": top1}

    cells = [row("noise", 0.75), row("pgd", 0.5)]
    found = {(r["defence"], r["epsilon"], r["attacker"], r["encoder"], r["method"]): r for r in cells}
    assert defence._figure(found, "pgd", 2.0, "plain", "e", "euclid") == "0.50 (net -0.25)"
    assert defence._figure(found, "noise", 2.0, "plain", "e", "euclid") == "0.75"
    assert defence._figure(found, "eot", 2.0, "plain", "e", "euclid") == "–"


def test_the_toy_is_the_toy() -> None:
    assert catalogue.load_encoder("grain").stamp == STAMP
