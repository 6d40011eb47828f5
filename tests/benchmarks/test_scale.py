"""The benchmark of large galleries, at a small size: what it makes is what it says, and a stage is run once."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.scale import QUERIES, Case, QueryEncoder, picture, resident, run_stage

from morelli.gallery.store import Gallery

ROOT = Path(__file__).resolve().parents[2]


def test_references_are_clusters_and_queries_are_others(tmp_path: Path) -> None:
    case = Case(400, 4, 32, tmp_path)
    x, y = case.all()
    again, _ = case.all()
    np.testing.assert_array_equal(x, again)
    assert np.bincount(y).tolist() == [100] * 4
    means = np.stack([x[y == model].mean(axis=0) for model in range(4)])
    queries, truth = case.queries()
    nearest = ((queries[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 0.9
    assert not (queries[:, None] == x).all(axis=2).any()


def test_a_picture_stands_for_its_query(tmp_path: Path) -> None:
    encoder = QueryEncoder(Case(400, 4, 33, tmp_path))
    made = encoder.encode([encoder.prepare(picture(n).pixels) for n in range(QUERIES)])
    np.testing.assert_array_equal(np.concatenate([made["first"], made["second"]], axis=1), encoder.vectors)
    assert {name: values.shape[1] for name, values in made.items()} == dict(encoder.stamp.dims)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("limit", "memory", "said"), [(300.0, 0.03, "took more than 0.03 GiB"), (0.2, 8.0, "not done after 0.2 s")]
)
def test_a_stage_that_takes_too_much_is_ended_and_told(tmp_path: Path, limit: float, memory: float, said: str) -> None:
    begin = time.monotonic()
    assert run_stage(Case(200, 4, 16, tmp_path), "add", limit, memory) == [{"system": "add", "failed": said}]
    assert time.monotonic() - begin < 120


def test_what_a_process_has_in_memory() -> None:
    before = resident(os.getpid())
    # Pages of its own: an array could get what an earlier test left to the process, which is in memory already.
    with mmap.mmap(-1, 40_000_000) as held:
        held.write(b"1" * len(held))
        if sys.platform.startswith("linux"):
            assert resident(os.getpid()) - before > 0.9 * len(held)
    assert resident(2**30) == 0  # there is no such process


@pytest.mark.slow
def test_stages_run_once_and_failures_again(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/scale.py", "--references", "200", "--models", "4", "--dims", "16"]
    command += ["--out", str(tmp_path), "--stages", "add,euclid"]
    (tmp_path / "scale.jsonl").write_text(
        json.dumps({"stage": "add", "size": 200, "models": 4, "dims": 16, "system": "add", "failed": "killed"}) + "\n"
    )
    outputs = [subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300) for _ in range(2)]
    assert [each.returncode for each in outputs] == [0, 0], outputs
    rows = [json.loads(line) for line in (tmp_path / "scale.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["add", "euclid"]
    assert not any("failed" in row for row in rows)
    assert rows[1]["top1"] > 0.8
    assert outputs[0].stdout.splitlines()[1:] == outputs[1].stdout.splitlines()[1:]  # read, not measured again
    assert len(Gallery.open(tmp_path / "gallery-200-4-16")) == 200
