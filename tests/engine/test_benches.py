"""Benches on a real Ray: the cells of the papers' bench, and trainings of a sweep, as they are made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.papers import __main__ as papers
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job, run
from benchmarks.sweep import Sweep, sweep

from morelli.engine.base import Engine
from morelli.fingerprint.extractor import load_extractor
from morelli.testing.datasets import write_dataset

from ..fingerprint.learn.toys import store
from ..synthesis.samples import write_photos
from .work import cell

pytestmark = pytest.mark.slow


def test_a_cell_that_kills_its_worker_is_told_and_costs_no_other(ray_engine: Engine, tmp_path: Path) -> None:
    jobs = [Job(name, {"name": name}, 1.0) for name in ("a", "dies", "bb", "defect", "ccc")]
    results, said = Results(tmp_path / "r.jsonl", {}), []
    assert run(jobs, results, cell, str(tmp_path), engine=ray_engine, say=said.append) == []
    found = {job.key: results.get(job.key, job.words) or {} for job in jobs}
    assert [found[name].get("value") for name in ("a", "bb", "ccc")] == [1, 2, 3]
    assert "the process that worked on an item was gone" in found["dies"]["failed"]
    assert found["defect"]["failed"].startswith("ZeroDivisionError: division by zero, at work.py:")
    assert found["dies"]["crashed"] and found["defect"]["crashed"]
    assert any(line.startswith("dies, failed: the process", line.index(": ") + 2) for line in said if ": " in line)
    # The next run tries these two again.
    said.clear()
    run(jobs, Results(tmp_path / "r.jsonl", {}), cell, str(tmp_path), engine=ray_engine, say=said.append)
    assert said[0] == "3 of 5 cells are there."


def test_the_papers_cells_are_those_of_this_process(
    ray_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_dataset(tmp_path / "d", models=4, prompts=6, seeds=2, size=32)
    ask = ["--table", "000", "--table", "002", "--method", "euclid,dzanic", "--processes", "1", "--k", "2"]

    def cells(out: Path, *more: str) -> dict[str, Any]:
        assert papers.main([str(folder), "--out", str(out), *ask, *more]) == 0
        lines = [json.loads(line) for line in (out / "papers.jsonl").read_text().splitlines()[1:]]
        return {line["cell"]: {k: v for k, v in line["result"].items() if k != "seconds"} for line in lines}

    # The engine joins the Ray that the fixture started.
    here, there = cells(tmp_path / "here"), cells(tmp_path / "there", "--engine", "ray")
    assert set(here) == {"000/d/euclid", "000/d/dzanic", "002/d/dzanic"}
    assert here == there
    assert not any("failed" in each for each in here.values())
    assert ray_engine.name == "ray"


def test_a_sweep_s_weights_are_those_of_this_process(ray_engine: Engine, tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {
        "p": [3], "k": [2], "siblings": [2], "slots": [6], "steps": [1], "precision": ["float32"], "lr": [1e-3, 2e-3]
    }  # fmt: skip
    photos = write_photos(tmp_path / "photos", 20, 152, 160)
    asked = Sweep(store(tmp_path / "made").path, photos, grid, held_out=0.25)
    made = []
    for name, engine in (("here", None), ("there", ray_engine)):
        rows = sweep(asked, tmp_path / name, device="cpu", engine=engine, say=lambda _: None)
        assert [row.get("failed") for row in rows] == [None, None]
        states = [load_extractor(row["file"]).network.state_dict() for row in rows]
        made.append([{key: value.tolist() for key, value in state.items()} for state in states])
    assert made[0] == made[1]
    assert made[0][0] != made[0][1]
