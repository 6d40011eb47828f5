"""The way from noise to a guess that the teacher reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training.zoo.context import Context
from training.zoo.data import IGNORED, KINDS
from training.zoo.loop import Trainer
from training.zoo.plan import COURSES
from training.zoo.recipe import Step
from training.zoo.recipes import own, vq_ar
from training.zoo.recipes.own import EARLIEST, is_own, own_guess
from training.zoo.recipes.teacher import COUNTS, rightness
from training.zoo.recipes.vq import CODES
from training.zoo.recipes.vq_ar import PATCHES, VqAr

from morelli.generators.zoo.pipelines.tokens import PATCH
from morelli.generators.zoo.world import SHAPES

from .test_recipes import context  # noqa: F401 - a fixture

STRAIGHT = [(k / 10, 1 - k / 10) for k in range(10)]
ROUND = [(float(np.cos(a)), float(np.sin(a))) for a in np.linspace(np.pi / 2, 0.1, 10)]


def a_step(seed: int, number: int = 0) -> Step:
    return Step(number, np.random.default_rng(seed), torch.Generator().manual_seed(seed), np.arange(4))


@pytest.mark.parametrize("scales", [STRAIGHT, ROUND])
def test_who_knows_the_picture_walks_along_the_noise_that_it_began_with(scales: list[tuple[float, float]]) -> None:
    picture, noise = torch.full((2, 1, 3, 3), 0.7), torch.randn(2, 1, 3, 3)
    visited: list[tuple[Tensor, int]] = []

    def knows(x: Tensor, k: int) -> Tensor:
        visited.append((x, k))
        return picture

    found, kept = own_guess(knows, noise, scales, a_step(3), fresh=0.0)
    assert torch.equal(found, picture)
    assert [k for _, k in visited] == list(range(len(visited)))
    assert len(visited) > EARLIEST
    assert kept == scales[len(visited) - 1][0]
    for x, k in visited[1:]:
        torch.testing.assert_close(x, scales[k][0] * picture + scales[k][1] * noise, rtol=1e-4, atol=1e-4)


def test_fresh_noise_has_the_levels_variance() -> None:
    picture, noise = (
        torch.zeros(1, 1, 200, 200),
        torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(0)),
    )
    visited: list[Tensor] = []

    def knows(x: Tensor, k: int) -> Tensor:
        visited.append(x)
        return picture

    own_guess(knows, noise, ROUND, a_step(5), fresh=1.0)
    for x, (_, spread) in zip(visited, ROUND, strict=False):
        assert x.std().item() == pytest.approx(spread, rel=0.02)
    # η = 1 forgets where it came from as fast as DDPM does: correlation kept·spread' / (kept'·spread) at each step.
    (kept, spread), (next_kept, next_spread) = ROUND[1], ROUND[2]
    found = torch.corrcoef(torch.stack([visited[1].flatten(), visited[2].flatten()]))[0, 1].item()
    assert found == pytest.approx(kept * next_spread / (next_kept * spread), abs=0.02)


def test_only_the_last_guess_is_taught() -> None:
    weight = torch.ones((), requires_grad=True)
    calls: list[bool] = []

    def guess(x: Tensor, k: int) -> Tensor:
        calls.append(torch.is_grad_enabled())
        return weight * x

    found, _ = own_guess(guess, torch.ones(1, 1, 1, 1), STRAIGHT, a_step(1), fresh=0.0)
    assert calls == [False] * (len(calls) - 1) + [True]
    found.sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("name", ["latent", "dit"])
def test_models_are_read_late_and_every_other_step(name: str, context: Context, monkeypatch: Any) -> None:  # noqa: F811
    recipe = COURSES[name].recipe(context)
    monkeypatch.setattr(type(recipe), "batch", 4)
    recipe.before()
    trainer = Trainer(recipe)
    assert "own" not in trainer._one(1.0)
    monkeypatch.setattr(own, "FROM", 0)
    trainer.step = 2 * own.EVERY
    seen = trainer._one(1.0)
    assert torch.isfinite(seen["own"]) and seen["own"] > 0
    assert "own" not in trainer._one(1.0)


def test_not_from_the_first_step() -> None:
    assert not is_own(a_step(0, 0))
    assert is_own(a_step(0, own.FROM))
    assert not is_own(a_step(0, own.FROM + 1))


def test_rightness_by_hand() -> None:
    labels = torch.full((1, len(KINDS)), IGNORED)
    labels[0, : 3 * len(SHAPES) : 3] = 0
    labels[0, :3] = torch.tensor([2, 1, 1])
    labels[0, -3:] = 0
    scores = torch.full((1, len(KINDS), max(KINDS)), -100.0)
    scores[0, torch.arange(len(KINDS)), labels[0].clamp(min=0)] = 0.0  # sure of everything, and right
    assert rightness(scores, labels).item() == pytest.approx(1.0)
    scores[0, 0] = -100.0
    scores[0, 0, :2] = 0.0
    scores[0, 0, 2] = float(np.log(2.0))  # half for the count that is right
    known = len(SHAPES) + 2 + 3
    expected = ((known - 0.5) / known + COUNTS * 0.5) / (1 + COUNTS)
    assert rightness(scores, labels).item() == pytest.approx(expected, abs=1e-5)


def test_what_vq_ar_writes_is_what_it_reads_as_likely(context: Context, monkeypatch: Any) -> None:  # noqa: F811
    torch.manual_seed(0)
    nets = {name: net.eval() for name, net in VqAr(context).build().items()}
    with torch.no_grad():
        for net in nets.values():
            for weight in net.parameters():
                weight.mul_(3.0)  # first weights give all codes alike
        monkeypatch.setattr(torch, "multinomial", lambda likely, count, generator: likely.argmax(1, keepdim=True))
        tokens = torch.from_numpy(context.pictures.wording(np.random.default_rng(0), np.arange(3)))
        patches = VqAr._write(nets, tokens, torch.Generator())
        unlike = VqAr._read(nets, tokens, patches)[1]
        other = VqAr._read(nets, tokens, (patches + 1) % CODES)[1]
    assert patches.shape == unlike.shape == (3, PATCHES, PATCH)
    assert (unlike < other).float().mean() > 0.99


def test_better_tries_become_likelier(context: Context, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(vq_ar, "PROMPTS", 1)
    monkeypatch.setattr(vq_ar, "TRIES", 3)
    torch.manual_seed(0)
    recipe = VqAr(context)
    nets = recipe.build()
    weights = [p for name in ("language_model", "patch_model") for p in nets[name].parameters()]
    tries = torch.randint(CODES, (3, PATCHES, PATCH), generator=torch.Generator().manual_seed(0))
    rewards = torch.tensor([0.9, 0.5, 0.1])
    monkeypatch.setattr(VqAr, "_write", staticmethod(lambda nets, tokens, noise: tries))
    monkeypatch.setattr(VqAr, "_latents", lambda self, patches: patches)
    monkeypatch.setattr(vq_ar, "own_reward", lambda context, latents, labels, step: rewards)
    tokens = torch.from_numpy(context.pictures.wording(np.random.default_rng(0), np.array([0, 0, 0])))
    before = VqAr._read(nets, tokens, tries)[1].mean((1, 2))
    loss, reward = recipe._own(nets, Step(0, np.random.default_rng(0), torch.Generator(), np.array([0])))
    assert reward.item() == pytest.approx(0.5)
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if slope is not None:
                weight -= 0.01 * slope
    after = VqAr._read(nets, tokens, tries)[1].mean((1, 2))
    assert after[0] < before[0]
    assert after[2] > before[2]
    assert abs(after[1] - before[1]) < (before[0] - after[0]) / 3
