"""What is minimised, against hand calculation and the attributors' own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.attribution.bank import Labels
from morelli.attribution.centroid import unit_vectors
from morelli.defence.objective import (
    OWN_SCALE,
    collision,
    contrastive,
    farthest_model,
    fit_statistics,
    likelihood_ratio,
    unit_point,
)
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


def coordinates(bank, vectors) -> list[np.ndarray]:
    """Of each row, as both models of every group see them."""
    return [part for pair in bank.project(vectors).values() for part in pair]


def at_own_scale(bank, query, others, row: int) -> float:
    """Weighted mean square distance of a query from a row, of all numbers in standard deviations; all groups alike."""
    apart = []
    for group in bank.groups.values():
        way = [query.vectors[name][0] - others.vectors[name][row] for name in group.names]
        apart.append(np.square(np.concatenate(way) / group.subspace.scale).mean())
    return OWN_SCALE * float(np.mean(apart))


def collided(bank, held, query, prompt: str | None, seed: int):
    own, model = dict(query.vectors), str(query.models[0])
    return collision(bank, held, own, model, prompt, np.random.default_rng(seed))


def test_a_collision_is_with_an_image_of_the_prompt_and_its_loss_the_distance() -> None:
    """Every model is drawn as often as any other, the image's own included, and every one of its images."""
    data = gaussian(models=4, prompts=6, seeds=4)
    query, held = data.take(np.arange(1)), data.take(np.arange(1, len(data)))
    bank, prompt = fit_statistics(held), str(query.prompts[0])
    inside = held.take(held.prompts == prompt)
    rivals = inside.take(inside.models != query.models[0])
    met: list[str] = []
    for seed in range(400):
        loss = collided(bank, held, query, prompt, seed)
        values = np.array([float(loss(tensors(rivals.vectors, row))) for row in range(len(rivals))])
        here = float(loss(tensors(query.vectors)))
        if here == pytest.approx(0, abs=1e-9):
            met.append("own")
            continue
        (row,) = np.flatnonzero(values < 1e-9)
        met.append(f"{rivals.models[row]} {row}")
        pair = (coordinates(bank, query.vectors), coordinates(bank, rivals.take(np.array([row])).vectors))
        scattered = np.mean([np.square(a[0] - b[0]).mean() for a, b in zip(*pair, strict=True)])
        assert here == pytest.approx(scattered + at_own_scale(bank, query, rivals, row), rel=1e-5)
    counts = {name: met.count(name) for name in set(met)}
    assert len(counts) == 1 + len(rivals)
    # Binomial, five standard deviations: a quarter of all, and a quarter of that for each of four images.
    assert counts.pop("own") == pytest.approx(100, abs=5 * 8.7)
    assert all(count == pytest.approx(25, abs=5 * 4.9) for count in counts.values())


def test_without_the_prompt_a_collision_is_a_step_from_mean_to_mean() -> None:
    data = gaussian(models=3, prompts=6, seeds=3)
    query, bank = data.take(np.arange(1)), fit_statistics(data)
    drawn = {str(np.random.default_rng(seed).choice(bank.models)): seed for seed in range(20)}
    assert sorted(drawn) == ["m00", "m01", "m02"]
    for model, seed in drawn.items():
        rows = [data.take(data.models == name) for name in ("m00", model)]
        here, there = ([part.mean(axis=0) for part in coordinates(bank, each.vectors)] for each in rows)
        want = np.mean([np.square(a - b).mean() for a, b in zip(here, there, strict=True)])
        # As many directions as numbers: the mean of the numbers is the mean of the directions.
        means = [data.take(np.arange(1)) for _ in rows]
        for each, of in zip(means, rows, strict=True):
            for name, values in of.vectors.items():
                each.vectors[name][:] = values.mean(axis=0)
        want += at_own_scale(bank, *means, 0)
        for prompt in (None, "p77"):
            loss = collided(bank, data, query, prompt, seed)
            assert float(loss(tensors(query.vectors))) == pytest.approx(want, rel=1e-5, abs=1e-9)


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
    with pytest.raises(UnknownNameError, match="m09"):
        collision(fit_statistics(held), held, {}, "m09", None, np.random.default_rng(0))
    with pytest.raises(NotEnoughReferencesError, match="all of one model, a"):
        collision(fit_statistics(held), alone, {}, "a", None, np.random.default_rng(0))
