"""The papers' bench in its parts: cells that are kept or measured again, the schedule, and what tables say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from benchmarks.papers import methods, published, tables
from benchmarks.papers.__main__ import read_arguments
from benchmarks.papers.costs import embedding, looking
from benchmarks.papers.jobs import table_jobs
from benchmarks.papers.methods import versions
from benchmarks.papers.plan import ATTACKED, Plan
from benchmarks.papers.report import _clock
from benchmarks.papers.results import Results, RunClock, fingerprint
from benchmarks.papers.schedule import FAILED, Clock, Job, run
from benchmarks.papers.sources import Source, open_source
from benchmarks.papers.training import published_hours, published_work

from morelli.baselines import code
from morelli.baselines.dna_det import DnaDet
from morelli.baselines.pose import Pose
from morelli.baselines.yu import Yu
from morelli.engine.local import LocalEngine
from morelli.errors import InputError, UnknownNameError
from morelli.evaluation.groups import BUDGETS
from morelli.generators.zoo.manifest import WEIGHTS
from morelli.testing.datasets import write_dataset
from tests.engine.fakes import PickledEngine

SOURCE = Source("visor", "visor", None, "state", 7, 1680)


def job(key: str, seconds: float = 1.0, **words: Any) -> Job:
    return Job(key, {"version": "1", "name": key, **words}, seconds)


class Counting:
    """Performs cells; stops at one as Ctrl-C does, and cannot run another."""

    def __init__(self, stop: str = "", impossible: str = "") -> None:
        self.asked: list[str] = []
        self.stop, self.impossible = stop, impossible

    def __call__(self, words: Mapping[str, Any], out: str) -> dict[str, Any]:
        if words["name"] == self.stop:
            raise KeyboardInterrupt
        self.asked.append(words["name"])
        if words["name"] == self.impossible:
            raise InputError("lacks a part.", argument="x")
        return {"value": len(words["name"])}


def quiet(line: str) -> None:
    pass


def test_an_interrupted_bench_goes_on(tmp_path: Path) -> None:
    jobs, path = [job("a"), job("b"), job("c")], tmp_path / "papers.jsonl"
    first = Counting(stop="b")
    with pytest.raises(KeyboardInterrupt):
        run(jobs, Results(path, {}), first, "", say=quiet)
    with path.open("a") as file:
        file.write('{"cell": "b", "wor')  # killed while it wrote
    second = Counting()
    results = Results(path, {})
    assert run(jobs, results, second, "", say=quiet) == []
    assert (first.asked, second.asked) == (["a"], ["b", "c"])
    assert all(results.get(each.key, each.words) for each in jobs)
    third = Counting()
    run(jobs, Results(path, {"other": "settings"}), third, "", say=quiet)
    assert third.asked == []
    assert json.loads(path.read_text().splitlines()[0])["settings"] == {"other": "settings"}


def test_what_the_runs_took_by_the_clock(tmp_path: Path) -> None:
    """Of each run that measured a cell that counts; of an interrupted one until its last cell."""
    jobs, path = [job("a"), job("b"), job("c"), job("d")], tmp_path / "papers.jsonl"
    read = [0.0]

    def begin(name: str, processes: int) -> Results:
        clock = RunClock(processes)
        clock.id = name
        clock.to_json = lambda: {"id": name, "processes": processes, "seconds": read[0]}  # type: ignore[method-assign]
        return Results(path, {}, clock=clock)

    def clocked(words: Mapping[str, Any], out: str) -> dict[str, Any]:
        read[0] += 900.0
        if words["name"] == "c" and read[0] < 4000:
            read[0] = 4000.0
            raise KeyboardInterrupt
        return {"value": 1}

    first = begin("1", 2)
    with pytest.raises(KeyboardInterrupt):
        run(jobs, first, clocked, "", say=quiet)
    read[0] = 0.0
    path.write_text(path.read_text().replace(', "run": {"id": "1", "processes": 2, "seconds": 900.0}', ""))
    read[0] = 3600.0
    second = begin("2", 1)
    run(jobs, second, clocked, "", say=quiet)
    pairs = [(each.key, each.words) for each in jobs]
    runs, unknown = second.runs(pairs)
    assert runs == [
        {"id": "1", "processes": 2, "seconds": 1800.0, "cells": 1},
        {"id": "2", "processes": 1, "seconds": 5400.0, "cells": 2},
    ]
    assert unknown == 1
    assert second.runs([("a", {"version": "2"})]) == ([], 0)
    (line,) = _clock(second, jobs)
    assert "2.00 hours in 2 runs (1 cells in 30 min by 2 processes; 2 cells in 90 min by 1 process)" in line
    assert "1 cells are of runs that did not say" in line
    assert _clock(Results(tmp_path / "other.jsonl", {}), jobs) == []


def test_a_result_of_another_version_is_measured_again(tmp_path: Path) -> None:
    path, said = tmp_path / "papers.jsonl", []
    run([job("a"), job("b")], Results(path, {}), Counting(), "", say=quiet)
    newer = [Job("a", {"version": "2", "name": "a"}, 1.0), job("b")]
    results, perform = Results(path, {}), Counting()
    assert results.get("a", newer[0].words) is None
    run(newer, results, perform, "", say=said.append)
    assert perform.asked == ["a"]
    assert any("another version" in line for line in said)
    again = Results(path, {})
    assert again.get("a", newer[0].words) is not None
    assert again.get("a", job("a").words) is None
    assert len(path.read_text().splitlines()) == 3  # settings, and one line a cell


def test_what_could_not_be_run_is_tried_again(tmp_path: Path) -> None:
    path, jobs = tmp_path / "papers.jsonl", [job("a"), job("b")]
    results = Results(path, {})
    run(jobs, results, Counting(impossible="a"), "", say=quiet)
    assert "lacks a part" in tables.measured(results, jobs[0])[1]
    perform = Counting()
    run(jobs, results, perform, "", say=quiet)
    assert perform.asked == ["a"]
    assert tables.measured(results, jobs[0])[1] == ""
    assert FAILED not in (results.get("a", jobs[0].words) or {})


def broken(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """A cell with a defect, one that ends its process, one that gives what no file can hold, and sound ones."""
    if words["name"] == "defect":
        return {"value": 1 / 0}
    if words["name"] == "dies":
        os._exit(9)
    return {"value": broken} if words["name"] == "odd" else {"value": len(words["name"])}


def told(results: Results, jobs: list[Job]) -> dict[str, str]:
    return {each.key: tables.measured(results, each)[1] for each in jobs}


def test_a_cell_that_fails_costs_no_other(tmp_path: Path) -> None:
    jobs, path, said = [job("a"), job("defect"), job("odd"), job("b")], tmp_path / "r.jsonl", []
    results = Results(path, {})
    assert run(jobs, results, broken, "", say=said.append) == []
    why = told(Results(path, {}), jobs)  # as the next run reads them
    assert (why["a"], why["b"]) == ("", "")
    assert why["defect"].startswith("failed: ZeroDivisionError: division by zero, at test_papers.py:")
    assert why["odd"].startswith("failed: TypeError")
    assert "Traceback" in (results.get("defect", jobs[1].words) or {})["trace"]
    assert any("defect, failed: ZeroDivisionError" in line for line in said)
    assert tables.failures(results, jobs) == ["defect", "odd"]
    assert any("defect failed: ZeroDivisionError" in line for line in tables.reasons(results, jobs))
    # The next run tries them again, and keeps the others.
    perform = Counting()
    run(jobs, Results(path, {}), perform, "", say=quiet)
    assert perform.asked == ["defect", "odd"]


def test_an_engine_measures_the_same_cells(tmp_path: Path) -> None:
    jobs, engine, said = [job("a"), job("defect"), job("odd"), job("bb")], PickledEngine(), []
    kept = []
    for name, work in (("none", None), ("local", LocalEngine()), ("pickled", engine)):
        results = Results(tmp_path / f"{name}.jsonl", {})
        assert run(jobs, results, broken, "", engine=work, say=said.append) == []
        found = {each.key: results.get(each.key, each.words) or {} for each in jobs}
        kept.append({key: {k: v for k, v in cell.items() if k != "seconds"} for key, cell in found.items()})
    assert kept[0] == kept[1] == kept[2]
    assert kept[0]["bb"] == {"value": 2} and "ZeroDivisionError" in kept[0]["defect"]["failed"]
    assert [words["name"] for words in engine.items] == ["a", "defect", "odd", "bb"]
    # What is there is not sent out again; what failed is.
    again = PickledEngine()
    run(jobs, Results(tmp_path / "local.jsonl", {}), Counting(), "", engine=again, say=quiet)
    assert [words["name"] for words in again.items] == ["defect", "odd"]


def test_a_cell_that_loses_its_worker_costs_no_other(tmp_path: Path) -> None:
    jobs, said = [job("a"), job("b"), job("c")], []
    results = Results(tmp_path / "r.jsonl", {})
    engine = PickledEngine(loses=lambda words: words["name"] == "b")
    assert run(jobs, results, length, "", engine=engine, say=said.append) == []
    assert told(results, jobs) == {"a": "", "b": "failed: the process was gone.", "c": ""}
    assert tables.failures(results, jobs) == ["b"]
    assert any("b, failed: the process was gone." in line for line in said)
    assert engine.closed == 1


def test_an_interrupted_bench_on_an_engine_keeps_what_came_back(tmp_path: Path) -> None:
    jobs, results, engine = [job("a"), job("b"), job("c")], Results(tmp_path / "r.jsonl", {}), PickledEngine()
    with pytest.raises(KeyboardInterrupt):
        run(jobs, results, Counting(stop="b"), "", engine=engine, say=quiet)
    assert engine.closed == 1
    rest = PickledEngine()
    run(jobs, Results(tmp_path / "r.jsonl", {}), length, "", engine=rest, say=quiet)
    assert [words["name"] for words in rest.items] == ["b", "c"]


def test_an_engine_is_given_no_cell_that_would_end_late(tmp_path: Path) -> None:
    jobs, engine = [job("long", 7200.0), job("b", 1.0)], PickledEngine()
    assert run(jobs, Results(tmp_path / "r", {}), length, "", hours=1.0, engine=engine, say=quiet) == ["long"]
    assert [words["name"] for words in engine.items] == ["b"]


@pytest.mark.slow
def test_a_process_that_dies_costs_its_cell(tmp_path: Path) -> None:
    jobs = [job(name) for name in ("a", "dies", "b", "c", "defect", "d")]
    results = Results(tmp_path / "r.jsonl", {})
    assert run(jobs, results, broken, "", processes=2, say=quiet) == []
    why = told(results, jobs)
    assert [name for name, reason in why.items() if reason] == ["dies", "defect"]
    assert "the process that worked on an item was gone: it ended with 9" in why["dies"]
    assert "ZeroDivisionError" in why["defect"]


@pytest.mark.parametrize("text", ["not json\n", '{"schema": "other"}\n', '{"schema": "morelli.papers/1"}\n{"x": 1}\n'])
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(text)
    with pytest.raises(InputError):
        Results(path, {})
    assert path.read_text() == text


def test_cells_that_would_end_late_are_not_begun(tmp_path: Path) -> None:
    said: list[str] = []
    late = run([job("a", 1.0), job("b", 7200.0)], Results(tmp_path / "r", {}), Counting(), "", hours=1.0,
               say=said.append)  # fmt: skip
    assert late == []  # "a" took no time where a second was estimated, so that "b" fits
    late = run([job("b", 7200.0)], Results(tmp_path / "s", {}), Counting(), "", hours=1.0, say=said.append)
    assert late == ["b"]
    assert any("b: not measured" in line for line in said)


def test_the_time_left_follows_the_pace() -> None:
    jobs = [job("a", 10.0), job("b", 10.0), job("c", 20.0)]
    clock = Clock(jobs, 2, None)
    assert clock.left() == 20.0
    clock.done(jobs[0], 30.0)  # three times as long as estimated
    assert clock.left() == pytest.approx(30.0 * 3 / 2)


def test_the_time_left_follows_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says how many workers an engine has: 40 seconds of work in 10 show four."""
    jobs, now = [job(name, 20.0) for name in "abcd"], [100.0]
    monkeypatch.setattr("benchmarks.papers.schedule.time.monotonic", lambda: now[0])
    clock = Clock(jobs, None, None)
    assert clock.left() == 80.0
    now[0] += 10.0
    clock.done(jobs[0], 20.0)
    clock.done(jobs[1], 20.0)
    assert clock.left() == pytest.approx(40.0 / 4)


def length(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """A cell for another process."""
    return {"value": len(words["name"])}


@pytest.mark.slow
def test_processes_measure_the_same(tmp_path: Path) -> None:
    jobs = [job(name) for name in ("a", "bb", "ccc")]
    results = Results(tmp_path / "r", {})
    run(jobs, results, length, "", processes=2, say=quiet)
    found = [results.get(each.key, each.words) for each in jobs]
    assert [cell and cell["value"] for cell in found] == [1, 2, 3]


def test_every_training_has_the_same_compute() -> None:
    plan = Plan()
    jobs = [each for each in table_jobs(plan, [SOURCE], WEIGHTS) if each.words["method"] in BUDGETS]
    for table, models in (("000", 7), ("002", 4)):
        for each in jobs:
            if not each.key.startswith(table):
                continue
            budget = BUDGETS[each.words["method"]]
            steps = int(each.words["spec"].partition("steps=")[2])
            step = budget.step(models)
            asked = plan.training(table) * each.words.get("part", 1.0)
            assert abs(steps * step - asked) <= max(step, 8 * step - asked)
    parts = sorted(each.words["part"] for each in jobs if each.key.startswith("002/visor/yu"))
    assert parts == [0.25, 0.5, 1.0]


def test_the_documented_scale_fits_into_four_hours_on_two_cores() -> None:
    sources = [
        SOURCE,
        Source("sdnext", "sdnext", None, "s", 41, 602, 1024**2 / 1e6),
        Source("zoo", "zoo", None, "s", 8, 768, 64**2 / 1e6),
    ]
    attacks = 120 * sum(name in BUDGETS for name in ATTACKED) + 3600  # table 001, with the making of its images
    others = sum(each.seconds for each in table_jobs(Plan(), sources, WEIGHTS)) + embedding(sources)
    # Table 001 of stored images: likenesses of visor's 168 queries under six conditions, and every method on both sets.
    stored = 6 * (3 + 0.3 * 168)
    for queries in (168, 205):
        stored += sum(10 + 0.5 * queries + (90 if name in BUDGETS else 0) for name in ATTACKED)
    # The zoo's table 001 is measured by one process, after the others.
    assert (others + stored) / 2 + attacks < 4 * 3600


def test_the_zoo_s_prompts_are_read_by_its_own_clip() -> None:
    zoo = Source("zoo", "zoo", None, "s", 8, 768)
    specs = {each.key: each.words["spec"] for each in table_jobs(Plan(), [SOURCE, zoo], WEIGHTS)}
    for table in ("000", "002"):
        assert specs[f"{table}/visor/mlp-image-text"] == "mlp-image-text"  # the stand-in
        assert specs[f"{table}/zoo/mlp-image-text"] == f"mlp-image-text@text={WEIGHTS / 'clip'}"


def test_a_cell_does_not_depend_on_where_things_lie() -> None:
    """Contents decide: the same pictures and the same text tower in other folders give the same cells."""

    def words(folder: str, weights: Path, state: str = "state") -> dict[str, str]:
        zoo = Source("zoo", folder, None, state, 8, 768)
        plan = Plan(tables=("000", "002"), methods=("euclid", "mlp-image-text"))
        return {each.key: fingerprint(each.words) for each in table_jobs(plan, [zoo], weights)}

    here = words("/here/zoo", Path("/here/weights"))
    assert here == words("/there/pictures", Path("/there/of others/weights"))
    assert not set(here.values()) & set(words("/here/zoo", Path("/here/weights"), "other").values())
    spec = {"spec": "mlp-image-text@text=/a/b/clip+steps=8"}
    assert fingerprint(spec) == fingerprint({"spec": "mlp-image-text@text=/c/clip+steps=8"})
    assert fingerprint(spec) != fingerprint({"spec": "mlp-image-text@text=/c/other+steps=8"})
    assert fingerprint(spec) != fingerprint({"spec": "mlp-image-text@text=/c/clip+steps=9"})


def test_larger_pictures_cost_more() -> None:
    small, large = (Source("x", "x", None, "s", 7, 100, side**2 / 1e6) for side in (128, 1024))
    assert looking(large) > looking(small) > 3
    costs = [{each.key: each.seconds for each in table_jobs(Plan(), [source], WEIGHTS)} for source in (small, large)]
    assert set(costs[0]) == set(costs[1])
    assert all(costs[1][key] > costs[0][key] for key in costs[0])


def test_a_cell_s_words_change_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of an edited method is another cell, those of other methods are not; an edited protocol changes all."""

    def words() -> dict[str, Any]:
        code._read.cache_clear()
        methods._method.cache_clear()
        plan = Plan(tables=("000", "002"), methods=("euclid", "cosine", "marra", "dzanic", "yu", "pose"))
        return {each.key: fingerprint(each.words) for each in table_jobs(plan, [SOURCE], WEIGHTS)}

    before, read = words(), code._read
    assert words() == before

    def edited(module: str) -> None:
        @lru_cache
        def changed(name: str, path: Path) -> tuple[str, frozenset[str]]:
            text, names = read(name, path)
            return ("another" if name == module else text), names

        monkeypatch.setattr(code, "_read", changed)

    edited("morelli.baselines.yu_networks")
    after = words()
    assert {key.split("/")[2].partition("@")[0] for key in before if before[key] != after[key]} == {"yu"}
    edited("morelli.baselines.network")
    after = words()
    assert {key.split("/")[2].partition("@")[0] for key in before if before[key] != after[key]} == {"yu", "pose"}
    edited("morelli.evaluation.bootstrap")
    after = words()
    assert all(before[key] != after[key] for key in before)


def test_versions_know_the_encoder_s_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    first = versions("main", "euclid", "residual-spectrum")
    assert first["encoder"]
    assert versions("main", "euclid", "fingerprint@nowhere")["encoder"] == ""
    assert versions("main", "euclid", "")["method"] == first["method"] != versions("main", "plda", "")["method"]


def test_a_changed_data_set_is_another(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", models=2, prompts=3, seeds=1, size=16)
    before = open_source(folder, None)
    assert open_source(folder, None) == before
    assert open_source(folder, 2).images == 4
    first = sorted(folder.rglob("*.png"))[0]
    first.write_bytes(first.read_bytes() + b" ")
    assert open_source(folder, None).state != before.state


def test_published_hours() -> None:
    budget = BUDGETS["yu"]
    training = {"work": 2.0, "published_steps": 7200}
    assert published_hours("yu", 4, training) == pytest.approx(2 * budget.seconds * 2.0)
    assert published_hours("pose", 4, training) == pytest.approx(2 * BUDGETS["pose"].step(4) * 2.0)
    assert published_hours("marra", 4, None) is None


def test_a_published_step_s_work() -> None:
    """Larger batches, more pixels and more patches cost more; how often pairs are changed does not."""
    pose = Pose(batch=2, side=64, expansions=4)
    assert published_work(pose) == pytest.approx((8 / 2) * (128 / 64) ** 2)
    assert published_work(DnaDet(batch=2, crops=4)) == pytest.approx((16 / 2) * (16 / 4))
    assert published_work(Yu()) == 1


def test_their_figures_are_told_from_ours(tmp_path: Path) -> None:
    jobs = table_jobs(Plan(tables=("000",)), [SOURCE], WEIGHTS)
    rows = {row["method"].partition(" ")[0]: row for row in tables.main_rows(Results(tmp_path / "r", {}), jobs)}
    assert rows["marra"]["paper"] == "24.40 / 31.20 / 36.50"
    assert rows["fused"]["paper"] == ""
    assert all("not measured" in row["method"] for row in rows.values())
    assert "on their data" in tables.MAIN_COLUMNS[-1].heading
    assert published.pair(published.VERIFICATION, "pose", "unseen") == "66.94 / 72.85"


def test_arguments() -> None:
    given, plan = read_arguments(["visor", "--out", "o", "--table", "002", "--seconds", "3", "--method", "yu,cosine"])
    assert (plan.tables, plan.methods, plan.training("002")) == (("002",), ("yu", "cosine"), 3.0)
    assert given.processes == 2
    with pytest.raises(UnknownNameError, match="marra"):
        read_arguments(["visor", "--out", "o", "--method", "mara"])
    assert (given.engine, given.ray_address) == ("local", None)
    given, _ = read_arguments(["visor", "--out", "o", "--engine", "ray", "--ray-address", "head:6379"])
    assert (given.engine, given.ray_address) == ("ray", "head:6379")
    for wrong in (["--hours", "0"], ["--processes", "-1"], ["--out", "a+b"]):
        with pytest.raises(SystemExit):
            read_arguments(["visor", "--out", "o", *wrong])
