"""Regeneration beside another attributor: the right weight is found where it is known, and fusing helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError
from morelli.regeneration.by_attributor import ByAttributor
from morelli.regeneration.engine import Regeneration
from morelli.regeneration.fusion import Fusion, fit_fusion, standardise
from morelli.regeneration.pairwise import ClipCosine
from morelli.regeneration.plugin import RegenerationPlugin

from .painters import Grain, Painter, painters, query

Array = NDArray[np.float64]


def draw(seed: int, n: int, weight: float, scale: float = 1.0, m: int = 6) -> tuple[Array, Array, NDArray[np.intp]]:
    """Scores, likenesses and right models: those are drawn with probability softmax(scores + weight·z)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1.5, (n, m))
    likeness = 0.7 + 0.01 * rng.normal(size=(n, m))
    z = (likeness - likeness.mean(axis=1, keepdims=True)) / likeness.std(axis=1, keepdims=True)
    chance = softmax(scores + weight * z, axis=1)
    truth = np.array([rng.choice(m, p=row) for row in chance])
    return scale * scores, likeness, truth


@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_right_weight_is_found(weight: float, scale: float) -> None:
    """Scores whose unit is 40 times larger need a weight 40 times larger."""
    scores, likeness, truth = draw(1, 6000, weight, scale)
    found = fit_fusion(scores, likeness, truth)
    assert found.own == 1.0
    assert found.weight == pytest.approx(scale * weight, rel=0.08)


def test_few_queries_keep_the_two_alike() -> None:
    scores, likeness, truth = draw(6, 12, 2.0)
    free, held, tied = (fit_fusion(scores, likeness, truth, pull) for pull in (0.0, 1.0, 1e6))
    assert abs(np.log(held.weight / tied.weight)) < abs(np.log(max(free.weight, 1e-9) / tied.weight))


def test_a_likeness_that_says_nothing_gets_next_to_no_weight() -> None:
    scores, likeness, truth = draw(2, 4000, 0.0)
    assert fit_fusion(scores, likeness, truth).weight < 0.1
    fused = fit_fusion(scores, likeness, truth)(scores, likeness)
    right = (scores.argmax(axis=1) == truth).mean()
    assert (fused.argmax(axis=1) == truth).mean() == pytest.approx(right, abs=0.01)


def test_scores_that_say_nothing_are_outweighed() -> None:
    scores, likeness, truth = draw(3, 4000, 3.0)
    fused = fit_fusion(np.random.default_rng(0).normal(size=scores.shape), likeness, truth)
    assert fused.own == 0.0 or fused.weight > 20


def test_fusing_is_better_than_either(seed: int = 4) -> None:
    scores, likeness, truth = draw(seed, 3000, 1.5)
    half = len(truth) // 2
    fused = fit_fusion(scores[:half], likeness[:half], truth[:half])(scores[half:], likeness[half:])

    def top1(values: Array) -> float:
        return float((values.argmax(axis=1) == truth[half:]).mean())

    assert top1(fused) > max(top1(scores[half:]), top1(likeness[half:])) + 0.03


def test_standardise_by_hand() -> None:
    found = standardise(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 2.0], [np.nan, np.nan, np.nan], [0.0, 0.0, 3.0]]))
    third = np.sqrt(2)
    wanted = [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1 / third, -1 / third, 2 / third]]
    np.testing.assert_allclose(found, wanted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-50, 50))
def test_standardise_forgets_unit_and_origin(seed: int, unit: float, origin: float) -> None:
    x = np.random.default_rng(seed).normal(size=(3, 5))
    np.testing.assert_allclose(standardise(x * unit + origin), standardise(x), atol=1e-6)
    np.testing.assert_allclose(standardise(x).std(axis=1), 1.0)


def test_fused_scores_by_hand() -> None:
    fused = Fusion(1.0, 0.5)(np.array([[2.0, 1.0, -np.inf]]), np.array([[1.0, 3.0, 9.0]]))
    np.testing.assert_array_equal(fused, [[1.5, 1.5, -np.inf]])  # the third is no candidate, and moves no mean


def test_bad_input() -> None:
    scores, likeness, truth = draw(5, 10, 1.0)
    with pytest.raises(ArrayError, match="of the same queries"):
        fit_fusion(scores, likeness[:5], truth)
    with pytest.raises(NotEnoughReferencesError, match="background queries"):
        fit_fusion(scores[:0], likeness[:0], truth[:0])


def test_with_images(tmp_path: Path) -> None:
    """The likeness is that of the engine, candidates are made once a prompt, and a model without generator is even."""
    models = painters(3)
    plugin = RegenerationPlugin(Regeneration(models, ClipCosine(Grain()), gamma=3, cache=tmp_path))
    names = ["elsewhere", "model-0", "model-1", "model-2"]
    prompts = [f"prompt {i % 4}" for i in range(36)]
    truth = np.array([1 + i % 3 for i in range(36)])
    files = [query(names[j], prompt, 500 + i) for i, (j, prompt) in enumerate(zip(truth, prompts, strict=True))]
    with pytest.raises(NotFittedError):
        plugin.scores(np.zeros((1, 4)), names, files[:1], prompts[:1])
    likeness = plugin.likeness(names, files[:2], prompts[:2])
    assert np.isnan(likeness[:, 0]).all()
    direct = plugin.regeneration.compare([files[0]], prompts[0]).compared.scores[0]
    np.testing.assert_allclose(likeness[0, 1:], direct)
    # Scores that do not know which of the three it is.
    weak = np.random.default_rng(0).normal(0, 1, (36, 4))
    plugin.fit(weak, names, truth, files, prompts)
    assert sorted(set(models[0].made)) == sorted(models[0].made)
    assert len(models[0].made) == 4 * 3
    asked = [query(names[1 + i % 3], "prompt 9", 900 + i) for i in range(9)]
    even = np.zeros((9, 4))
    even[:, 0] = -5
    fused = plugin.scores(even, names, asked, ["prompt 9"] * 9)
    assert (fused.argmax(axis=1) == [1 + i % 3 for i in range(9)]).mean() >= 0.8
    np.testing.assert_allclose(fused[:, 0], plugin.fusion_.own * -5)


def test_any_similarity_serves(tmp_path: Path) -> None:
    engine = Regeneration([Painter("a"), Painter("b")], ByAttributor("fused", Grain()), gamma=3, cache=tmp_path)
    assert RegenerationPlugin(engine).likeness(["a", "b"], [query("a", "p")], ["p"]).shape == (1, 2)
