"""Candidates go through what the query went through: found by its embedding, and only where it is strange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from morelli.attribution.bank import BankSettings
from morelli.images.degrade import degrade, parse
from morelli.images.load import from_array, load_image
from morelli.regeneration.by_attributor import ByAttributor
from morelli.regeneration.candidates import Candidate, Candidates
from morelli.regeneration.matching import CLEAN, FAMILY, Matching, Typical, _Family
from morelli.regeneration.stopwatch import Stopwatch
from morelli.types import EncoderStamp

MODELS, EACH, DIMS = 4, 6, 12


class Texture:
    """Twelve numbers of a picture: colours, and how much neighbouring pixels differ. Counts what it is shown."""

    def __init__(self) -> None:
        self.stamp = EncoderStamp("roughness", "1", "plain", {"view/all": DIMS})
        self.shown = 0

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        x = pixels / 255
        steps = [np.abs(np.diff(x, n=n, axis=axis)).mean() for n in (1, 2) for axis in (0, 1)]
        rough = np.log(np.array(steps) + 1e-3)
        return np.array([*x.mean(axis=(0, 1)), *x.std(axis=(0, 1)), *rough, x[::2].std(), x[:, ::2].std()])

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        self.shown += len(prepared)
        return {"view/all": np.stack(list(prepared)).astype(np.float32)}

    def of(self, *pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        return dict(self.encode([self.prepare(each) for each in pictures]))


def paint(model: int, seed: int) -> NDArray[np.uint8]:
    """A picture whose roughness is the model's."""
    rng = np.random.default_rng([model, seed])
    smooth = np.kron(rng.normal(0, 20, (8, 8, 3)), np.ones((8, 8, 1)))
    return np.clip(120 + smooth + rng.normal(0, 6 + 3 * model, (64, 64, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    images = []
    for model in range(MODELS):
        for seed in range(EACH):
            path = tmp_path / f"{model}-{seed}.png"
            Image.fromarray(paint(model, seed)).save(path)
            images.append(Candidate(f"model-{model}", "", seed, path, load_image(path).content, 64, 64))
    return Candidates("a prompt", tuple(images))


def cloud(rng: np.random.Generator, means: NDArray[np.float64], each: int) -> tuple[dict[str, Any], NDArray[np.str_]]:
    x = np.repeat(means, each, axis=0) + rng.normal(size=(len(means) * each, means.shape[1]))
    return {"view/all": x.astype(np.float32)}, np.repeat([f"m{i}" for i in range(len(means))], each)


def test_few_of_a_models_own_images_are_strange_and_all_others_are() -> None:
    rng = np.random.default_rng(0)
    means = rng.normal(0, 4, (5, 8))
    alarms, found = [], []
    for _ in range(60):
        vectors, labels = cloud(rng, means, 8)
        own = {"view/all": (means[:1] + rng.normal(size=(1, 8))).astype(np.float32)}
        away = {"view/all": own["view/all"] + np.float32(6)}
        typical = Typical(vectors, labels, BankSettings())
        alarms.append(typical.is_strange(own))
        found.append(typical.is_strange(away))
    assert np.mean(alarms) < 0.25  # one in ten by design
    assert all(found)


def test_the_step_that_a_degradation_makes_is_recognised() -> None:
    rng = np.random.default_rng(1)
    steps = {CLEAN: np.zeros(8), **{kind: rng.normal(0, 8, 8) for kind in FAMILY[:5]}}
    images = rng.normal(0, 2, (24, 8))
    family = _Family({kind: {"view/all": images + step} for kind, step in steps.items()}, BankSettings())
    for kind, step in steps.items():
        fresh = rng.normal(0, 2, (1, 8))
        assert family.likeliest({"view/all": fresh + step}) == kind


def test_a_picture_as_it_comes_costs_nothing_more(candidates: Candidates) -> None:
    encoder = Texture()
    vectors = encoder.of(*(load_image(each.path).pixels for each in candidates.images))
    before = encoder.shown
    query = encoder.of(paint(1, 99))
    assert Matching(encoder).find(query, candidates, vectors) == CLEAN
    assert encoder.shown == before + 1


@pytest.mark.parametrize("kind", ["blur:1.4", "blur:0.7", "jpeg:55"])
def test_what_happened_is_found_and_done_to_the_candidates(kind: str, candidates: Candidates) -> None:
    encoder = Texture()
    vectors = encoder.of(*(load_image(each.path).pixels for each in candidates.images))
    matching = Matching(encoder)
    query = encoder.of(degrade(paint(2, 99), kind, seed=5))
    found = matching.find(query, candidates, vectors)
    assert found != CLEAN
    if kind.startswith("blur"):  # a JPEG of 55 and a light blur are alike to twelve numbers
        assert found.startswith("blur")
    after = matching.embed(candidates, found)["view/all"]
    assert after.shape == (MODELS * EACH, DIMS)
    # Nearer to where the query is than the candidates as they come.
    own = candidates.labels == "model-2"
    gap, gap_before = (np.linalg.norm(x[own].mean(axis=0) - query["view/all"][0]) for x in (after, vectors["view/all"]))
    assert gap < gap_before / 2


def test_other_candidates_are_learnt_anew(candidates: Candidates) -> None:
    """What is kept of one prompt's images says nothing of another's."""
    encoder = Texture()
    vectors = encoder.of(*(load_image(each.path).pixels for each in candidates.images))
    query = encoder.of(paint(1, 99))
    matching = Matching(encoder)
    assert matching.find(query, candidates, vectors) == CLEAN
    others = Candidates("another", tuple(replace(each, content=f"{each.content}-2") for each in candidates.images))
    far = {name: values + np.float32(5) for name, values in vectors.items()}
    assert matching.find(query, others, far) != CLEAN
    assert matching.find(query, candidates, vectors) == CLEAN


def test_noise_differs_from_picture_to_picture_and_not_from_run_to_run(candidates: Candidates) -> None:
    encoder = Texture()
    one, two = (Matching(encoder).embed(candidates, "noise:8")["view/all"] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_too_few_images_are_compared_as_they_are(candidates: Candidates) -> None:
    encoder = Texture()
    few = Candidates("a prompt", tuple(each for each in candidates.images if each.seed < 2))
    vectors = encoder.of(*(load_image(each.path).pixels for each in few.images))
    query = encoder.of(degrade(paint(2, 99), "blur:1.4"))
    assert Matching(encoder).find(query, few, vectors) == CLEAN


def test_the_family_can_be_read() -> None:
    for kind in FAMILY:
        assert parse(kind)(paint(0, 0)).shape == (64, 64, 3)


def test_degraded_queries_are_named_and_said(candidates: Candidates) -> None:
    encoder = Texture()
    queries = [
        (model, from_array(degrade(paint(model, 200 + i), "blur:1"), f"{model}"))
        for model in range(MODELS)
        for i in range(6)
    ]

    def right(match: bool) -> float:
        measure = ByAttributor("plda", encoder, match=match)
        found = [measure.compare([picture], candidates, Stopwatch()) for _, picture in queries]
        if match:
            assert any("blur" in note for each in found for note in each.notes)
        else:
            assert not any(each.notes for each in found)
        names = [candidates.models[each.scores[0].argmax()] for each in found]
        return float(np.mean([name == f"model-{model}" for name, (model, _) in zip(names, queries, strict=True)]))

    assert right(True) > right(False)
    assert right(True) > 0.7


@pytest.mark.parametrize("published", ["euclid", "cosine"])
def test_published_rules_compare_what_they_are_given(published: str, candidates: Candidates) -> None:
    encoder = Texture()
    picture = from_array(degrade(paint(2, 99), "blur:1.4"), "blurred")
    found = ByAttributor(published, encoder).compare([picture], candidates, Stopwatch())
    assert not found.notes
    assert encoder.shown == 1 + MODELS * EACH
