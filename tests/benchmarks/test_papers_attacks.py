"""Table 001 on painters: what methods and the plug-in's weight learn from, and whose ranks the table shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.papers import __main__ as papers
from benchmarks.papers import methods, regeneration, sources, work
from benchmarks.papers.attack_table import COLUMNS, attack_rows
from benchmarks.papers.attacks import MEASURES, Attacks, attack_jobs, fused_ranks, small_plan
from benchmarks.papers.plan import Plan
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import run
from benchmarks.papers.tables import reasons
from benchmarks.zoo.likeness import read_background, similarities
from benchmarks.zoo.plan import ATTACKS
from benchmarks.zoo.variants import Lineup

from morelli.images.dataset import read_dataset

from ..regeneration.painters import Grain, Painter
from .test_zoo_regeneration import PLAN, TRAINING
from .test_zoo_regeneration import bench as painters

PAPERS = Plan(tables=("001",), methods=("fused", "dzanic", "probe"))


def attacks_of(out: Path) -> Attacks:
    made, encoder = painters(out), Grain()
    made.make()
    background = read_background(made.lineup.generators, TRAINING, PLAN.background_images, encoder, out)
    measures = similarities(encoder, encoder, background, out)
    made.prepare(background, encoder, {name: measures[name] for name in MEASURES})
    return Attacks(made, str(out))


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Attacks:
    return attacks_of(tmp_path_factory.mktemp("attacks"))


def test_the_weight_is_learnt_from_prompts_that_methods_have_not_seen(attacks: Attacks) -> None:
    learnt, weighed = ({each.prompt for each in part} for part in (attacks.training, attacks.weighing))
    assert learnt and weighed
    assert not learnt & weighed
    assert learnt | weighed == set(TRAINING)
    assert len(attacks.weighing) == 3 * len(weighed)
    assert len(attacks.training) == sum(each.prompt in learnt for each in attacks.bench.background.references)
    assert len(attacks.truth(None)) == len(attacks.weighing)


def test_rows_alone_and_with_the_plug_in(attacks: Attacks, tmp_path: Path) -> None:
    jobs = [job for job in attack_jobs(PAPERS, attacks.bench) if job.words.get("method") != "probe"]
    results, said = Results(tmp_path / "r.jsonl", {}), []
    missing = attack_rows(results, jobs, attacks)
    assert missing[0]["method"] == "001/likeness/plug-in (not measured)"
    assert missing[-1]["method"] == "dzanic (not measured)"
    run(jobs, results, attacks.perform, str(tmp_path), say=said.append)
    rows = {row["method"]: row for row in attack_rows(results, jobs, attacks)}
    ways = ("alone", "with clip-cosine", "with fused")
    assert set(rows) == {
        *(f"regeneration alone, {name}" for name in MEASURES),
        *(f"{method} {way}" for method in ("fused", "dzanic") for way in ways),
    }
    assert all(column.heading for column in COLUMNS)
    assert all(attack in rows["dzanic alone"] for attack in ATTACKS)
    assert "lift" in rows["dzanic with fused"]
    run(jobs, results, lambda *_: pytest.fail("a cell is measured twice"), "", say=said.append)


def test_ranks_are_those_of_the_scores(attacks: Attacks) -> None:
    rng, models = np.random.default_rng(0), attacks.models
    sizes = {str(attack): len(attacks.truth(attack)) for attack in (None, *ATTACKS)}
    scores = {name: rng.normal(size=(count, len(models))).tolist() for name, count in sizes.items()}
    # A likeness that is always right, beside scores that say nothing: the plug-in names every query.
    right = {
        str(attack): (np.array(models) == np.array(attacks.truth(attack))[:, None]).astype(float).tolist()
        for attack in (None, *ATTACKS)
    }
    likeness = {name: dict.fromkeys(MEASURES, values) for name, values in right.items()}
    found = fused_ranks(attacks, likeness, scores)
    for attack in ATTACKS:
        truth = attacks.truth(attack)
        alone = [
            1 + sum(other > row[models.index(name)] for other in row)
            for row, name in zip(scores[attack], truth, strict=True)
        ]
        assert found[attack]["alone"] == alone
        assert np.mean(np.array(found[attack]["with fused"]) == 1) > np.mean(np.array(alone) == 1)


def test_a_likeness_that_failed_costs_its_plug_in_alone(attacks: Attacks, tmp_path: Path) -> None:
    jobs = [job for job in attack_jobs(PAPERS, attacks.bench) if job.words.get("method") not in ("probe", "fused")]

    def perform(words: Any, out: str) -> dict[str, Any]:
        if words.get("attack", "") == "blur":
            raise ValueError("no such blur")
        return attacks.perform(words, out)

    results = Results(tmp_path / "r.jsonl", {})
    run(jobs, results, perform, str(tmp_path), say=lambda _: None)
    rows = {row["method"]: row for row in attack_rows(results, jobs, attacks)}
    assert "001/likeness/blur (failed)" in rows
    assert set(ATTACKS) <= set(rows["dzanic alone"])
    assert set(ATTACKS) - {"blur"} == set(ATTACKS) & set(rows["dzanic with fused"])
    assert rows["dzanic with fused"]["lift"] is None
    assert any("no such blur" in line for line in reasons(results, jobs))


@pytest.mark.slow
def test_the_zoo_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [Painter(f"model-{i}") for i in range(4)]
    lineup = Lineup(models, {each.model: each.model for each in models})
    for module in (sources, regeneration):
        monkeypatch.setattr(module, "line_up", lambda *_, **__: lineup)
    for module in (papers, regeneration, work, methods):
        monkeypatch.setattr(module, "load_encoder", lambda *_: Grain())
    ask = ["zoo", "--out", str(tmp_path), "--method", "dzanic", "--prompts", "4", "--processes", "1", "--k", "2"]
    assert papers.main([*ask, "--table", "000", "--table", "001"]) == 0
    text = (tmp_path / "papers.md").read_text()
    for wanted in ("naming the model, zoo", "regeneration alone, clip-cosine", "dzanic with fused", "NOT MEASURED"):
        assert (wanted in text) == (wanted != "NOT MEASURED"), wanted
    (made,) = (tmp_path / "datasets").iterdir()
    dataset = read_dataset(made)
    assert len(dataset.items) == 4 * 4 * sources.ZOO_IMAGES
    assert papers.main([*ask, "--table", "000"]) == 0
    assert len(list((tmp_path / "datasets").iterdir())) == 1


def test_the_small_plan_is_small() -> None:
    plan = small_plan(Plan())
    images = (plan.queries + plan.gamma) * plan.prompts + (plan.background_images + plan.gamma) * plan.background
    assert images <= 400  # a model
    assert small_plan(Plan(prompts=3)).prompts == 3
