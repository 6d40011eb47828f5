"""The way from noise to a guess that the teacher reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training.zoo.context import Context
from training.zoo.loop import Trainer
from training.zoo.plan import COURSES
from training.zoo.recipe import Step
from training.zoo.recipes import own, vq_ar
from training.zoo.recipes.own import EARLIEST, is_own, own_guess
from training.zoo.recipes.vq import CODES, Vq
from training.zoo.recipes.vq_ar import PATCHES, VqAr

from morelli.generators.zoo.pipelines.tokens import PATCH

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


@pytest.mark.parametrize("name", ["latent", "dit", "vq-ar"])
def test_models_are_read_late_and_every_other_step(name: str, context: Context, monkeypatch: Any) -> None:  # noqa: F811
    recipe = COURSES[name].recipe(context)
    monkeypatch.setattr(type(recipe), "batch", 4)
    if name == "vq-ar":
        vq: Any = Vq(context).build()["vq"].eval().requires_grad_(False)
        monkeypatch.setitem(context.__dict__, "vq", vq)
        recipe.codes = np.random.default_rng(0).integers(0, CODES, (64, 256)).astype(np.uint16)  # type: ignore[attr-defined]
    else:
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
    assert is_own(a_step(0, 0), first=0)


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
        scores = VqAr._read(nets, tokens, patches)[1]
    assert patches.shape == scores.shape[:3] == (3, PATCHES, PATCH)
    assert (scores.argmax(-1) == patches).float().mean() > 0.99


def test_vq_ar_learns_which_codes_are_read_better(context: Context, monkeypatch: Any) -> None:  # noqa: F811
    """With codes of one number each and a loss that is their mean, smaller numbers become likelier."""
    book = torch.randn(CODES, 1, generator=torch.Generator().manual_seed(0))
    tries = torch.randint(CODES, (2, PATCHES, PATCH), generator=torch.Generator().manual_seed(1))
    quantizer = SimpleNamespace(embedding=SimpleNamespace(weight=book))
    monkeypatch.setitem(context.__dict__, "vq", SimpleNamespace(quantize=quantizer))
    monkeypatch.setattr(VqAr, "_write", staticmethod(lambda nets, tokens, noise: tries))
    monkeypatch.setattr(VqAr, "_pixels", lambda self, found: found)
    monkeypatch.setattr(VqAr, "_latents", lambda self, pixels: pixels)
    monkeypatch.setattr(vq_ar, "own_loss", lambda context, made, trust, step: 0.25 * made.mean())
    monkeypatch.setattr(vq_ar, "shown_loss", lambda context, pixels, step: 0.75 * pixels.mean())
    torch.manual_seed(0)
    recipe = VqAr(context)
    nets = recipe.build()
    step = Step(0, np.random.default_rng(0), torch.Generator(), np.array([0, 1]))
    loss = recipe._own(nets, step)
    assert loss.item() == pytest.approx(book[tries].mean().item(), abs=1e-5)  # the codes that were written, no mixture
    weights = [p for name in ("language_model", "patch_model") for p in nets[name].parameters()]
    tokens = torch.from_numpy(context.pictures.wording(np.random.default_rng(0), np.array([0, 1])))

    def meant() -> float:
        return (VqAr._read(nets, tokens, tries)[1].softmax(-1) @ book).mean().item()

    before = meant()
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True):
            if slope is not None:
                weight -= slope
    assert meant() < before - 1e-3
