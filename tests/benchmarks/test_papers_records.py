"""What cells keep of each query and pair, and the paired differences that come of it."""

from __future__ import annotations

import base64
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.papers import tables
from benchmarks.papers.archive import pack, unpack
from benchmarks.papers.plan import Plan, kind
from benchmarks.papers.records import _packed, best_of_pairs, pair_lift, queries, query_lift
from benchmarks.papers.report import _main, _zero_shot
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import Source

from morelli.errors import InputError
from morelli.evaluation.bootstrap import paired_lift
from morelli.evaluation.model_bootstrap import ModelBootstrap
from morelli.evaluation.pair_scores import best_interval, best_threshold
from morelli.evaluation.scored import Scored


def scored(right: list[bool], rows: list[int]) -> Scored:
    scores = np.array([[1.0, 0.0] if hit else [0.0, 1.0] for hit in right])
    n = len(rows)
    prompts = np.array([f"p{row % 2}" for row in rows])
    return Scored(
        np.array(["a", "b"]),
        scores,
        np.zeros(n, dtype=np.intp),
        np.array(rows),
        prompts,
        None,
        None,
        scores.max(axis=1),
    )


CONTENTS = np.array([f"{n:02x}" for n in range(8)])


def test_a_query_that_was_asked_twice_counts_once() -> None:
    found = queries(scored([True, False, True, True], [3, 3, 1, 0]), CONTENTS)
    assert found["top1"] == [1.0, 1.0, 0.5]
    assert found["prompts"] == [0, 1, 1]


def test_lifts_are_paired_and_only_over_the_same_images() -> None:
    rows = list(range(8))
    ours = queries(scored([True] * 6 + [False] * 2, rows), CONTENTS)
    theirs = queries(scored([True, False] * 4, rows), CONTENTS)
    found = query_lift(ours, theirs, 0)
    names = [f"p{row % 2}" for row in rows]
    assert found == paired_lift([1.0] * 6 + [0.0] * 2, [1.0, 0.0] * 4, names, seed=0)
    assert found is not None
    assert found.point == pytest.approx(0.25)
    assert query_lift(ours, queries(scored([True] * 7, rows[:7]), CONTENTS), 0) is None
    assert query_lift(ours, None, 0) is None


def pairs(scores: tuple[list[float], list[float]], state: str = "s") -> dict[str, Any]:
    models = [np.array([0, 1, 2]), np.array([0, 1]), np.array([1, 2])]
    return {
        "state": state,
        "names": ["a", "b", "c"],
        "models": [_packed(each, np.uint16) for each in models],
        "scores": [_packed(each, np.float32) for each in scores],
    }


def test_pairs_come_back_as_they_were() -> None:
    ours, theirs = ([0.9, 0.8, 0.3], [0.1, 0.4]), ([0.5, 0.25, 0.75], [0.5, 0.125])
    found = pair_lift(pairs(ours), pairs(theirs), 0)
    expected = ModelBootstrap(["a", "b", "c"], ["a", "b"], ["b", "c"], seed=0).auroc_difference(
        tuple(np.float32(each) for each in ours), theirs
    )
    assert found == expected
    assert pair_lift(pairs(ours), pairs(theirs, "other"), 0) is None


def test_the_best_accuracy_has_its_interval_from_pairs_that_were_kept() -> None:
    # The threshold lies between 0.75 and 0.9: all pairs are told right but that of the model c.
    found = best_of_pairs(pairs(([0.9, 0.95, 0.25], [0.5, 0.75])), 0)
    assert found.point == pytest.approx(5 / 6)
    # Of the resamples that have a pair of two models c is at worst two of three draws (1/3 accepted), at best none.
    assert (found.low, found.high) == (pytest.approx(2 / 3), 1)
    assert best_of_pairs(pairs(([0.9, 0.95, 0.8], [0.5, 0.75])), 0) == (1, 1, 1)
    same, different = [0.9, 0.8, 0.3], [0.1, 0.4]
    resampled = ModelBootstrap(["a", "b", "c"], ["a", "b"], ["b", "c"], seed=5)
    expected = best_interval(resampled, best_threshold(same, different), same, different)
    assert best_of_pairs(pairs((same, different)), 5) == expected


SOURCE = Source("d", "d", None, "state", 4, 8)


@pytest.fixture
def not_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data set of these tests has no folder to look into."""
    monkeypatch.setattr("benchmarks.papers.report.is_chosen_on", lambda source: False)


def main_cell(row: dict[str, Any]) -> dict[str, Any]:
    about = {"protocol": "any-prompt", "k": None, "n_queries": 8, "n_models": 4, "n_prompts": 2, "leaks": {}}
    return {"row": row, "queries": queries(scored([True] * 8, list(range(8))), CONTENTS), "notes": [], **about}


@pytest.mark.usefixtures("not_chosen_on")
def test_cells_from_before_an_interval_are_shown_without_it_and_named(tmp_path: Path) -> None:
    older = {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6, "top2": 0.75, "top3": None}
    newer = older | {"top2_low": 0.625, "top2_high": 1.0, "top3_low": None, "top3_high": None}
    # Of a single prompt: the intervals are known not to be.
    single = {"top1": 0.25, "top1_low": None, "top2": 0.5, "top2_low": None, "top3": 1.0, "top3_low": None}
    results, jobs = Results(tmp_path / "r", {}), []
    for name, row in {"euclid": older, "lda": newer, "marra": single}.items():
        jobs.append(Job(f"000/d/{name}", {"method": name, "spec": name}, 1.0))
        results.add(jobs[-1].key, jobs[-1].words, main_cell(row))
    part = _main(results, Plan(), SOURCE, jobs)
    said = [line for line in part.sentences if line.startswith("No interval")]
    assert said == ["No interval of top-2 for euclid: measured before it was kept."]
    _, rows, columns = part.tables[0]
    texts = {row["method"]: [column.cell(row) for column in columns[3:6]] for row in rows}
    assert texts == {
        "euclid": ["50.0 (40.0–60.0)", "75.0", "–"],
        "lda": ["50.0 (40.0–60.0)", "75.0 (62.5–100.0)", "–"],
        "marra": ["25.0", "50.0", "100.0"],
    }


@pytest.mark.usefixtures("not_chosen_on")
def test_the_best_accuracy_of_a_cell_has_its_own_interval_or_that_of_its_pairs(tmp_path: Path) -> None:
    record = pairs(([0.9, 0.95, 0.25], [0.5, 0.75]))
    figure = {"auroc": 0.75, "best_accuracy": 5 / 6, "accuracy": 0.5}
    cells = {
        "cosine": figure | {"best_accuracy_low": 0.7, "best_accuracy_high": 0.9, "pairs": record},
        "plda": figure | {"pairs": record},
        "marra": figure,
    }
    results, jobs = Results(tmp_path / "r", {}), []
    for name, part in cells.items():
        groups = {group: {"identification": {}, "verification": part} for group in ("seen", "unseen")}
        about = {"under_trained": "", "training": None, "leaks": {}, "notes": [], "training_images": 9}
        about |= {"models": {"seen": 2, "unseen": 2}, "members": {"seen": ["a", "b"], "unseen": ["c", "d"]}}
        jobs.append(Job(f"002/d/{name}", {"method": name, "part": 1.0, "seed": 0}, 1.0))
        results.add(jobs[-1].key, jobs[-1].words, {"groups": groups, **about})
    shown = {row["method"]: row["unseen_best"] for row in tables.verification_rows(results, jobs)}
    assert shown == {"cosine": "83.3 (70.0–90.0)", "plda": "83.3 (66.7–100.0)", "marra": "83.3"}
    part = _zero_shot(results, Plan(), SOURCE, jobs, tmp_path)
    said = [line for line in part.sentences if line.startswith("No interval")]
    assert said == ["No interval of best accuracy for marra: measured before it was kept."]


def test_whose_a_method_is() -> None:
    assert [
        kind(name) for name in ("fused", "lda, fingerprint", "cosine, fingerprint", "cosine, residual-spectrum")
    ] == ["ours"] * 4
    assert [kind(name) for name in ("euclid", "cosine", "cosine, efficientnet-lite0")] == ["published rule"] * 3
    assert [kind(name) for name in ("probe@classifier=knn", "marra", "pose")] == ["baseline"] * 3


def test_ours_stand_beside_the_best_of_each_group(tmp_path: Path) -> None:
    results, rows = Results(tmp_path / "r", {}), list(range(8))
    hits = {"fused": 7, "euclid": 3, "marra": 4, "yu": 5, "pose": 2}
    jobs = []
    for name, count in hits.items():
        job = Job(f"000/d/{name}", {"method": name}, 1.0)
        jobs.append(job)
        cell = {
            "row": {"top1": count / 8, "under_trained": "8 of 9 steps" if name in ("yu", "pose") else ""},
            "queries": queries(scored([n < count for n in rows], rows), CONTENTS),
        }
        results.add(job.key, job.words, cell)
    found = tables.main_lifts(results, jobs, 0)
    assert [(row["ours"], row["theirs"], row["name"]) for row in found] == [
        ("fused", "all baselines", "yu (under-trained)"),
        ("fused", "baselines trained to their end", "marra"),
        ("fused", "published rules", "euclid"),
    ]
    assert [row["lift"].partition(" ")[0] for row in found] == ["+25.0", "+37.5", "+50.0"]


def test_notes_of_some_methods_name_them(tmp_path: Path) -> None:
    results, jobs = Results(tmp_path / "r", {}), []
    for name, notes in (
        ("a", ["all of us"]),
        ("b", ["all of us", "b is under-trained: much."]),
        ("c", ["all of us", "me"]),
    ):
        jobs.append(Job(f"000/d/{name}", {"method": name}, 1.0))
        results.add(jobs[-1].key, jobs[-1].words, {"notes": notes})
    assert tables.all_notes(results, jobs) == ["all of us", "c: me"]


def test_forms_of_methods_have_rows_of_their_own() -> None:
    names = Plan().pictures_methods()
    assert {"marra", "marra@form=dncnn", "probe@classifier=knn"} <= set(names)
    assert "marra@form=dncnn" in Plan(methods=("marra",)).pictures_methods()
    assert "probe@classifier=knn" not in Plan(methods=("marra",)).pictures_methods()


def test_an_archive_says_the_same_of_every_pair_and_query() -> None:
    rng = np.random.default_rng(0)

    def record(seed: int) -> dict[str, Any]:
        scores = [np.round(rng.normal(size=count) + shift, 1).astype(np.float32) for count, shift in ((40, 1), (60, 0))]
        names = [np.arange(count, dtype=np.uint16) % 4 for count in (40, 60, 60)]
        names[2] = (names[2] + 1) % 4
        return {
            "state": "one", "names": list("abcd"),
            "models": [base64.b64encode(each.tobytes()).decode() for each in names],
            "scores": [base64.b64encode(each.tobytes()).decode() for each in scores],
        }  # fmt: skip

    cells = [
        {"cell": f"002/d/{n}", "words": "w", "result": {"groups": {"unseen": {"verification": {"pairs": record(n)}}}}}
        for n in range(2)
    ]
    others = (
        {"cell": "000/d/x", "result": {"notes": ["yu@batch=16+checkpoint=/home/me/trained: 7 of 30 steps."]}},
        {"cell": "001/d/x", "result": {"scores": {"None": [[0.123456789, -12345.678]]}}},
    )
    head = {"schema": "s", "settings": {"sources": [{"name": "d", "folder": "/home/me/d"}]}}
    lines = [json.dumps(each) for each in (head, *cells, *others)]
    packed = pack(lines)
    found = [json.loads(line) for line in unpack(packed)]
    assert found[0] == {"schema": "s", "settings": {"sources": [{"name": "d", "folder": "d"}]}}
    assert found[3]["result"] == {"notes": ["yu@batch=16: 7 of 30 steps."]}
    assert found[4]["result"] == {"scores": {"None": [[0.12346, -12346.0]]}}
    before, after = (
        [each["result"]["groups"]["unseen"]["verification"]["pairs"] for each in some] for some in (cells, found[1:3])
    )
    assert before[0]["models"] == after[0]["models"]
    assert pair_lift(before[0], before[1], 0) == pair_lift(after[0], after[1], 0)
    assert best_of_pairs(before[0], 0) == best_of_pairs(after[0], 0)
    assert pack(unpack(packed)) == packed
    for wrong in (b"", b"no archive", lzma.compress(b"[]"), lzma.compress(b"{}")):
        with pytest.raises(InputError):
            unpack(wrong)
