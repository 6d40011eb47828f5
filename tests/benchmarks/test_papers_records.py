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
from benchmarks.papers.records import _packed, pair_lift, queries, query_lift
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job

from morelli.errors import InputError
from morelli.evaluation.bootstrap import paired_lift
from morelli.evaluation.model_bootstrap import ModelBootstrap
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
    assert pack(unpack(packed)) == packed
    for wrong in (b"", b"no archive", lzma.compress(b"[]"), lzma.compress(b"{}")):
        with pytest.raises(InputError):
            unpack(wrong)
