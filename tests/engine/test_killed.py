"""A worker killed while a gallery is added to; and the figures of an evaluation, the same on every engine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.encoders.across import place
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.engine.base import Answer, Engine
from morelli.enrol import enrol
from morelli.evaluation import runner
from morelli.evaluation.settings import Settings
from morelli.evaluation.tables import measure
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Verdict

from ..encoders.toys import ToyEncoder
from .fakes import PickledEngine
from .work import SlowEncoder

SETTINGS = Settings("same-prompt", ("euclid", "plda"), ablate=False)


def killer(marks: Path, victims: list[int]) -> threading.Thread:
    """Kills the first process that begins to embed, as the system does when memory runs out."""

    def hunt() -> None:
        deadline = time.monotonic() + 120
        while not victims and time.monotonic() < deadline:
            for mark in marks.iterdir():
                victims.append(int(mark.name))
                time.sleep(0.05)
                os.kill(int(mark.name), signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_worker_killed_during_an_add_loses_and_doubles_nothing(ray_engine: Engine, tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "d", models=3, prompts=3, seeds=2, size=32))
    (tmp_path / "marks").mkdir()
    gallery, victims = Gallery.create(tmp_path / "g"), []
    hunter = killer(tmp_path / "marks", victims)
    encoder = place(SlowEncoder(tmp_path / "marks"), ray_engine)
    report = enrol(gallery, dataset, encoder, cache=EmbeddingCache(tmp_path / "c"), batch=2, copies=3)
    hunter.join(timeout=120)
    assert len(victims) == 1
    assert os.getpid() not in victims
    assert len(list((tmp_path / "marks").iterdir())) >= 2  # another process took over
    assert (report.added, report.errors, report.version) == (18, (), 2)
    assert gallery.check().ok
    references, data = gallery.embeddings("toy")
    assert sorted(r.name for r in references) == sorted(item.name for item in dataset.items)
    other = Gallery.create(tmp_path / "h")
    enrol(other, dataset, ToyEncoder(), copies=3)
    same, expected = other.embeddings("toy")
    assert references == same
    for name, values in expected.vectors.items():
        np.testing.assert_array_equal(data.vectors[name], values)


@pytest.mark.slow
def test_a_worker_killed_during_a_batch_costs_no_answer(ray_engine: Engine, tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "d", models=3, prompts=3, seeds=3, size=32))
    gallery = Gallery.create(tmp_path / "g")
    enrol(gallery, replace(dataset, items=tuple(i for i in dataset.items if i.seed != 2)), ToyEncoder())
    asked = [item.path for item in dataset.items if item.seed == 2]

    def answers(encoder: Encoder, cache: str) -> list[dict[str, Any]]:
        asking = Identifier(gallery, method="euclid", encoder=encoder, cache=tmp_path / cache, stability=False)
        found = list(asking.identify(asked))
        assert all(isinstance(each, Verdict) for each in found)
        return [each.to_json() for each in found if isinstance(each, Verdict)]

    expected = answers(ToyEncoder(), "here")
    (tmp_path / "marks").mkdir()
    victims: list[int] = []
    hunter = killer(tmp_path / "marks", victims)
    assert answers(place(SlowEncoder(tmp_path / "marks"), ray_engine), "there") == expected
    hunter.join(timeout=120)
    assert len(victims) == 1
    assert len(list((tmp_path / "marks").iterdir())) >= 2  # another process took over
    assert [verdict["image"] for verdict in expected] == [str(path) for path in asked]


class Counted:
    """Another engine, and how many items it answered."""

    name, remote = "counted", True

    def __init__(self, engine: Engine) -> None:
        self.engine, self.answered = engine, 0

    def map(self, *arguments: Any, **others: Any) -> Generator[Answer[Any], None, None]:
        for each in self.engine.map(*arguments, **others):
            self.answered += 1
            yield each

    def close(self) -> None:
        """Whose it is closes it."""


@pytest.fixture(params=["pickled", pytest.param("ray", marks=pytest.mark.slow)])
def elsewhere(request: pytest.FixtureRequest) -> Counted:
    """Work in other processes: an engine that behaves so, and a real Ray."""
    return Counted(PickledEngine() if request.param == "pickled" else request.getfixturevalue("ray_engine"))


def evaluated(encoder: Encoder, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """An evaluation's figures but for the time; by method the queries' scores and, best first, their models."""
    tables = []
    with monkeypatch.context() as patched:
        patched.setattr(runner, "measure", lambda *given: tables.append(measure(*given)) or tables[-1])
        result = runner.evaluate(read_dataset(folder), encoder, SETTINGS).result
    scores = {
        method: (each.rows.tolist(), each.scores.tolist(), each.models[np.argsort(-each.scores, axis=1)].tolist())
        for (_, method), each in tables[0].scored.items()
    }
    return {name: value for name, value in result.items() if name != "seconds"}, scores


def test_an_evaluation_s_figures_and_rankings_do_not_depend_on_the_engine(
    elsewhere: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_dataset(tmp_path / "d", models=3, prompts=4, seeds=2, size=32)
    here = evaluated(ToyEncoder(), folder, monkeypatch)
    assert evaluated(place(ToyEncoder(), elsewhere), folder, monkeypatch) == here
    assert elsewhere.answered
    figures, scores = here
    assert list(scores) == ["euclid", "plda"]
    for rows, _, rankings in scores.values():
        assert len(rows) == len(rankings) == figures["n_queries"] == 24
        assert all(sorted(ranking) == ["model-00", "model-01", "model-02"] for ranking in rankings)


@pytest.mark.slow
def test_the_embedded_encoder_s_vectors_do_not_depend_on_the_engine(ray_engine: Engine, tmp_path: Path) -> None:
    from morelli.encoders.catalogue import load_encoder
    from morelli.encoders.embed import embed

    dataset = read_dataset(write_dataset(tmp_path / "d", models=2, prompts=2, seeds=1, size=64))
    paths = [item.path for item in dataset.items]
    encoder = load_encoder("efficientnet-lite0")
    here, there = embed(encoder, paths), embed(place(encoder, ray_engine), paths, batch=2)
    assert there.pictures == here.pictures
    for name, values in here.vectors.items():
        np.testing.assert_array_equal(there.vectors[name], values)
