"""What is minimised, against hand calculation and the attributors' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.attribution.bank import Labels
from morelli.attribution.centroid import unit_vectors
from morelli.defence.objective import contrastive, farthest_model, fit_statistics, likelihood_ratio, unit_point
from morelli.defence.perturb import balanced
from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError

from ..evaluation.samples import gaussian
from .toys import on_circle


def tensors(vectors, row: int = 0) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(values[row])) for name, values in vectors.items()}


def test_unit_point_is_the_attributors_point() -> None:
    rng = np.random.default_rng(0)
    vectors = {
        "a": rng.standard_normal((1, 4)).astype(np.float32),
        "b": 9 * rng.standard_normal((1, 7)).astype(np.float32),
    }
    np.testing.assert_allclose(unit_point(tensors(vectors)).numpy(), unit_vectors(vectors)[0], atol=1e-6)


def test_farthest_model() -> None:
    held = on_circle({"b": [20, 40], "c": [150, 170], "d": [90]})
    own = np.array([1.0, 0.0])
    assert farthest_model(own, held.vectors["v"].astype(float), held.models) == "c"
    assert farthest_model(-own, held.vectors["v"].astype(float), held.models) == "b"


def test_contrastive_by_hand() -> None:
    """Own at 0°, model a's; the farthest other model, c, lies at 120° and 150°; T = 0.5; z at 60°."""
    held = on_circle({"a": [0, 5], "b": [40], "c": [120, 150]})
    own = {"v": np.array([[1.0, 0.0]], np.float32)}
    loss = contrastive(own, held, "a", temperature=0.5)
    z = {"v": torch.tensor([np.cos(np.pi / 3), np.sin(np.pi / 3)], dtype=torch.float32)}
    positive = np.exp(np.cos(np.radians(60)) / 0.5) + np.exp(np.cos(np.radians(90)) / 0.5)
    negative = np.exp(np.cos(np.radians(60)) / 0.5)
    assert float(loss(z)) == pytest.approx(-np.log(positive / (positive + negative)), rel=1e-5)


def test_contrastive_falls_towards_the_positives() -> None:
    held = on_circle({"a": [0], "b": [40], "c": [120]})
    loss = contrastive({"v": np.array([[1.0, 0.0]], np.float32)}, held, "a")
    values = [
        float(loss({"v": torch.tensor([np.cos(t), np.sin(t)], dtype=torch.float32)}))
        for t in np.radians([0, 30, 60, 90, 120])
    ]
    assert values == sorted(values, reverse=True)


def test_likelihood_ratio_is_the_banks() -> None:
    data = gaussian(models=4, prompts=6, seeds=3)
    query, held = data.take(np.arange(1)), data.take(np.arange(1, len(data)))
    bank = fit_statistics(held)
    model, prompt = str(query.models[0]), str(query.prompts[0])
    models = np.unique(held.models)
    projected, own = bank.project(held.vectors), bank.project(query.vectors)
    labels = Labels(held.models, held.prompts)
    free = bank.free_scores(own, projected, labels, models)[:, 0]
    here = held.prompts == prompt
    inside = {name: (a[here], b[here]) for name, (a, b) in projected.items()}
    same = bank.same_scores(own, inside, Labels(held.models[here], held.prompts[here]), models)[:, 0]
    directions = np.array([[len(g.free.between), len(g.same.between)] for g in bank.groups.values()])
    for text, layers in (
        (None, free / directions[:, :1]),
        (prompt, np.concatenate([free / directions[:, :1], same / directions[:, 1:]])),
    ):
        scores = layers.mean(axis=0)
        want = scores[models == model][0] - scores[models != model].max()
        got = likelihood_ratio(bank, held, model, text)(tensors(query.vectors))
        assert float(got) == pytest.approx(want, rel=1e-6)


def test_without_a_reference_of_the_prompt_for_every_model_the_prompt_is_left_out() -> None:
    data = gaussian(models=3, prompts=5, seeds=3)
    held = data.take(~((data.prompts == "p00") & (data.models == "m01")))
    bank, x = fit_statistics(held), tensors(data.vectors)
    assert float(likelihood_ratio(bank, held, "m00", "p00")(x)) == float(likelihood_ratio(bank, held, "m00")(x))
    assert float(likelihood_ratio(bank, held, "m00", "p01")(x)) != float(likelihood_ratio(bank, held, "m00")(x))


def test_balanced_gradients_have_equal_length() -> None:
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 500.0])
    loss = balanced([lambda v: (v["v"] * a).sum(), lambda v: (v["v"] * b).sum()])
    leaf = torch.zeros(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss({"v": leaf}), leaf)
    np.testing.assert_allclose(gradient.numpy(), [1.0, 1.0], rtol=1e-6)


def test_refused() -> None:
    own = {"v": np.array([[1.0, 0.0]], np.float32)}
    alone = on_circle({"a": [0, 10]})
    with pytest.raises(NotEnoughReferencesError, match="all of one model, a"):
        contrastive(own, alone, "a")
    with pytest.raises(InputError, match="temperature"):
        contrastive(own, on_circle({"a": [0], "b": [9]}), "a", temperature=0)
    with pytest.raises(NotEnoughReferencesError, match="one image a model"):
        fit_statistics(on_circle({"a": [0], "b": [9]}))
    held = gaussian(models=3, prompts=4, seeds=2)
    with pytest.raises(UnknownNameError, match="m09"):
        likelihood_ratio(fit_statistics(held), held, "m09")
