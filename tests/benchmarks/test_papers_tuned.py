"""The fine-tuned fingerprint of table 002: what it learns from, and that it stands beside itself untuned."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.papers import tuned
from benchmarks.papers.measure import perform
from benchmarks.papers.plan import Plan, kind
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import run
from benchmarks.papers.sources import open_source
from benchmarks.papers.tables import identification_rows, verification_rows

from morelli.fingerprint.extractor import load_extractor
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from tests.evaluation.samples import TextureEncoder

PLAN = Plan(tables=("002",), k=2, pairs=50)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "load_encoder", lambda _: TextureEncoder())


@pytest.mark.slow
def test_it_learns_from_seen_models_and_stands_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(tmp_path / "d", models=4, prompts=6, seeds=2, size=64)
    source, out = open_source(folder, None), tmp_path / "out"
    jobs = list(tuned.tuned_jobs(PLAN, source))
    results = Results(out / "r.jsonl", {})
    run(jobs, results, perform, str(out), say=lambda _: None)
    plain, fine = (results.get(job.key, job.words) for job in jobs)
    assert plain is not None and fine is not None
    (file,) = (out / "trained").glob("fingerprint-*.safetensors")
    told = load_extractor(file).training
    assert told["models"] == sorted(plain["members"]["seen"])
    assert told["images"] == plain["training_images"] == fine["training_images"]
    assert plain["members"] == fine["members"]
    states = [each["groups"]["unseen"]["verification"]["pairs"]["state"] for each in (plain, fine)]
    assert states[0] == states[1]
    scores = [each["groups"]["unseen"]["verification"]["pairs"]["scores"] for each in (plain, fine)]
    assert scores[0] != scores[1]
    names = {row["method"]: row for row in identification_rows(results, jobs)}
    assert set(names) == set(tuned.NAMES.values())
    assert names[tuned.NAMES[True]]["paper_unseen"] == "94.02 / 93.97"
    assert len(verification_rows(results, jobs)) == 2
    assert {kind(name) for name in names} == {"ours"}
    # A file that is there is taken.
    monkeypatch.setattr(tuned, "learn", lambda *_, **__: pytest.fail("trained twice"))
    assert perform(jobs[1].words, str(out))["groups"] == fine["groups"]


def test_mixed_sizes_are_learnt_in_one_form(tmp_path: Path) -> None:
    from PIL import Image

    folder = write_dataset(tmp_path / "d", models=4, prompts=4, seeds=2, size=64)
    for item in read_dataset(folder).items[::3]:
        Image.open(item.path).resize((80, 72)).save(item.path)
    (_, job) = tuned.tuned_jobs(PLAN, open_source(folder, None))
    items = tuned._training(job.words, tmp_path / "out")
    assert {Image.open(item.path).size for item in items} == {(64, 64)}
