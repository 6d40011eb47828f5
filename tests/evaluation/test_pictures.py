"""Attributors that see pictures, under every protocol: what they learn from, and how often."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from morelli.attribution.image import IMAGE_REGISTRY, FeatureAttributor, ImageAttributor
from morelli.baselines.marra import Marra
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation import zero_shot
from morelli.evaluation.data import prepare
from morelli.evaluation.pictures import cut_notes, learnt_from, run_on_pictures
from morelli.evaluation.protocols import Task, any_prompt, same_prompt
from morelli.evaluation.runner import evaluate
from morelli.evaluation.settings import Settings
from morelli.images.dataset import read_dataset
from morelli.report.evaluation import render_evaluation
from morelli.testing.datasets import write_dataset
from tests.evaluation.samples import TextureEncoder, relabel


class Colours(FeatureAttributor):
    """Mean colour of each model's pictures; writes down what it is shown."""

    shown: list[int]
    fits: list[int]

    def features(self, images, texts=None):
        type(self).shown.append(len(images))
        return [image.mean(axis=(0, 1)).astype(np.float32) for image in images]

    def fit_features(self, features, models):
        type(self).fits.append(len(models))
        self.models_ = np.unique(models)
        self.means_ = np.stack([np.stack(features)[models == model].mean(axis=0) for model in self.models_])
        return self

    def scores_features(self, features):
        return -np.linalg.norm(np.stack(features)[:, None] - self.means_, axis=2)


class Told(Colours):
    """Wants prompts."""

    uses_texts = True

    def features(self, images, texts=None):
        assert texts is not None
        assert all(text.startswith("made-up scene") for text in texts)
        return super().features(images)


class Slow(ImageAttributor):
    """The same from pictures, as a network would be trained."""

    fits: list[int]
    under_trained = "1 of 2 published steps"

    def fit(self, images, models):
        type(self).fits.append(len(images))
        self.inner_ = Colours()
        self.inner_.fit(images, models)
        self.models_ = self.inner_.models_
        return self

    def scores(self, images):
        return self.inner_.scores(images)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("pictures") / "d", models=3, prompts=7, seeds=3, size=32)


@pytest.fixture(scope="module")
def data(folder):
    return prepare([read_dataset(folder)], TextureEncoder(), copies=0)[0]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for kind in (Colours, Told, Slow):
        monkeypatch.setattr(kind, "fits", [], raising=False)
        monkeypatch.setattr(kind, "shown", [], raising=False)
        monkeypatch.setitem(IMAGE_REGISTRY._loaded, kind.__name__.lower(), kind)


def test_with_the_prompt_references_join_what_quick_methods_learn(data):
    tasks = same_prompt(data.embeddings, 2, 0).items
    scored = run_on_pictures(Colours, [data], tasks, data)[0]
    assert sum(Colours.shown) == 63  # each picture once
    assert len(Colours.fits) == len(tasks)
    for count, task in zip(Colours.fits, tasks, strict=True):
        assert count == len(task.background) + len(task.references)
        assert not np.intersect1d(learnt_from(task, True), task.queries).size
    assert scored.scores.shape == (63, 3)
    # By hand, for the first query.
    task = tasks[0]
    rows = np.union1d(task.background, task.references)
    colours = np.array([picture.mean(axis=(0, 1)) for picture in data.pictures(np.arange(63))])
    models = data.embeddings.models
    means = [colours[rows[models[rows] == model]].mean(axis=0) for model in scored.models]
    wanted = [-np.linalg.norm(colours[task.queries[0]] - mean) for mean in means]
    assert np.allclose(scored.scores[0], wanted, atol=1e-3)


def test_networks_are_fitted_once_a_fold(data):
    tasks = same_prompt(data.embeddings, 2, 0).items
    scored = run_on_pictures(Slow, [data, data], tasks, data)
    assert len(Slow.fits) == len({task.key for task in tasks}) == 5
    assert np.array_equal(scored[0].scores, scored[1].scores)
    assert scored[0].under_trained == "1 of 2 published steps"


def test_both_ways_agree_where_there_are_no_references(data):
    tasks = any_prompt(data.embeddings, None, 0).items
    done: list[tuple[int, int]] = []
    one = run_on_pictures(Colours, [data], tasks, data, progress=lambda *each: done.append(each))[0]
    two = run_on_pictures(Slow, [data], tasks, data)[0]
    assert np.allclose(one.scores, two.scores)
    assert done[-1] == (63 + 7, 63 + 7)
    assert done == sorted(done)


def test_candidates_are_those_with_references(data):
    models, prompts = data.embeddings.models, data.embeddings.prompts
    here = prompts == prompts[0]
    names = np.unique(models)
    some = np.flatnonzero(here & (models != names[2]))
    task = Task((0,), np.flatnonzero(~here), some[1:], some[:1], str(prompts[0]), 2)
    scored = run_on_pictures(Slow, [data], [task], data)[0]
    assert np.isfinite(scored.scores[0]).tolist() == [True, True, False]
    unknown = Task((0,), np.flatnonzero(~here & (models != names[1])), some[1:], some[:1], str(prompts[0]), 2)
    with pytest.raises(NotEnoughReferencesError, match=str(names[1])):
        run_on_pictures(Slow, [data], [unknown], data)
    assert np.isfinite(run_on_pictures(Colours, [data], [unknown], data)[0].scores[0, :2]).all()
    alone = Task((0,), None, some[1:], some[:1], str(prompts[0]), 2)
    with pytest.raises(NotEnoughReferencesError, match="other prompts"):
        run_on_pictures(Slow, [data], [alone], data)


@pytest.mark.parametrize("protocol", ["same-prompt", "any-prompt", "one-vs-many", "open-set", "identification"])
def test_every_protocol_takes_them(folder, protocol):
    settings = Settings(protocol, ("colours", "slow"), ablate=False)
    result = evaluate(read_dataset(folder), TextureEncoder(), settings).result
    rows = {row["method"]: row for row in result["rows"] if row["method"] != "euclid" and row.get("case", 1) == 1}
    assert set(rows) == {"colours", "slow"}
    assert rows["slow"]["under_trained"] == "1 of 2 published steps"
    assert rows["colours"]["under_trained"] == ""
    assert "slow is under-trained: 1 of 2 published steps." in result["notes"]
    assert "slow (under-trained)" in render_evaluation(result)
    assert "colours (" not in render_evaluation(result)


def test_robustness_fits_once_for_all_degradations(folder):
    settings = Settings("robustness", ("slow",), degrade=("jpeg:60", "blur:1"))
    result = evaluate(read_dataset(folder), TextureEncoder(), settings).result
    assert [row["degradation"] for row in result["rows"]] == ["none", "jpeg:60", "blur:1"]
    assert len(Slow.fits) == 5


def test_prompts_are_told_to_who_needs_them(folder, data, tmp_path):
    run_on_pictures(Told, [data], any_prompt(data.embeddings, None, 0).items, data)
    bare = write_dataset(tmp_path / "bare", models=2, prompts=3, seeds=2, size=32)
    relabel(bare, lambda rows: [row | {"prompt": ""} for row in rows])
    with pytest.raises(InputError, match="prompt of every image"):
        evaluate(read_dataset(bare), TextureEncoder(), Settings("any-prompt", ("told",)))


def test_who_takes_no_resized_pictures_gets_their_middle(tmp_path):
    folder = write_dataset(tmp_path / "mixed", models=3, prompts=4, seeds=2, size=32)
    large = sorted(folder.rglob("*.png"))[0]
    pixels = np.random.default_rng(0).integers(0, 256, (50, 44, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(large)
    data = prepare([read_dataset(folder)], TextureEncoder())[0]
    at = [number for number, path in enumerate(data.paths) if path == large]
    (whole,), (middle,) = data.pictures(np.array(at)), data.pictures(np.array(at), resized=False)
    assert np.array_equal(middle, pixels[9:41, 6:38])
    assert not np.array_equal(whole, middle)
    assert not any("marra" in note for note in data.notes)
    notes = cut_notes(["fused", "colours", "marra", "marra"], data.form)
    assert len(notes) == 1
    assert notes[0].startswith("marra takes no resized pictures and had the middle of each at its own scale, 32×32")
    assert cut_notes(["marra"], None) == []

    class Exact(Colours):
        resizes = False
        seen: ClassVar[list[np.ndarray]] = []

        def features(self, images, texts=None):
            self.seen.extend(images)
            return super().features(images, texts)

    tasks = any_prompt(data.embeddings, None, 0).items
    run_on_pictures(Exact, [data], tasks, data)
    assert any(np.array_equal(each, middle) for each in Exact.seen)
    assert not any(np.array_equal(each, whole) for each in Exact.seen)
    Exact.seen.clear()
    zero_shot._fit(Exact(), data, np.arange(len(data)))
    assert any(np.array_equal(each, middle) for each in Exact.seen)
    assert not Marra.resizes
