"""Training and sampling speak of the same thing: a network that knows the answer has no loss, and samples it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training.zoo.context import Context
from training.zoo.data import draw_set
from training.zoo.recipe import Step
from training.zoo.recipes.dit import Dit
from training.zoo.recipes.latent import Latent
from training.zoo.recipes.unet import Unet, make_scheduler

from morelli.generators.zoo.pipelines.common import FOLD
from morelli.generators.zoo.pipelines.flow import FlowTransformerPipeline
from morelli.generators.zoo.pipelines.pixel import PixelDiffusionPipeline


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory, tiny_zoo: Path) -> Context:
    folder = tmp_path_factory.mktemp("run")
    (folder / "export").symlink_to(tiny_zoo)
    return Context(folder, draw_set(folder / "data", 8), torch.device("cpu"))


def a_step(context: Context) -> Step:
    rng = np.random.default_rng(0)
    return Step(0, rng, torch.Generator().manual_seed(0), np.arange(8))


class Oracle(torch.nn.Module):
    """Gives what ``answer`` makes of a noisy input and its time."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, noisy: torch.Tensor, time: Any = None, timestep: Any = None, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(sample=self.answer(noisy, time if timestep is None else timestep))


def test_the_pixel_unet(context: Context, tiny_zoo: Path) -> None:
    clean = F.pixel_unshuffle(context.pixels(np.arange(8)), FOLD)
    knows = {"unet": Oracle(lambda noisy, _: clean)}
    assert Unet(context).loss("unet", knows, a_step(context))["loss"] == 0
    guesses = {"unet": Oracle(lambda noisy, _: clean + 0.1)}
    # The error 0.1² is weighted by 1 / noise variance, which is 1 to 20.
    assert 0.01 < Unet(context).loss("unet", guesses, a_step(context))["loss"] < 0.2

    oracle = Oracle(lambda noisy, _: clean[:1].float().expand(len(noisy), -1, -1, -1))
    pipeline = PixelDiffusionPipeline(oracle, make_scheduler("sample"), **text_of(tiny_zoo))
    made = pipeline(["one red circle on sand by day"], [0], steps=5)[0]
    assert np.abs(made.astype(int) - context.pictures.pixels[0]).max() <= 1


def test_the_flow_transformer(context: Context, tiny_zoo: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    clean = context.pixels(np.arange(8))
    seen: list[torch.Tensor] = []

    def answer(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        # What is left beside the clean part has the spread that the time says.
        sigma = (time / 1000).float()
        left = noisy.float() - (1 - sigma)[:, None, None, None] * clean.float()
        seen.append(left.std(dim=(1, 2, 3)) / sigma)
        return clean

    assert Dit(context).loss("transformer", {"transformer": Oracle(answer)}, a_step(context))["loss"] == 0
    assert torch.allclose(seen[0], torch.ones(8), atol=0.05)

    oracle = Oracle(lambda noisy, _: clean[:1].float().expand(len(noisy), -1, -1, -1))
    pipeline = FlowTransformerPipeline(oracle, FlowMatchEulerDiscreteScheduler(), **text_of(tiny_zoo))
    made = pipeline(["one red circle on sand by day"], [0], steps=5)[0]
    assert np.abs(made.astype(int) - context.pictures.pixels[0]).max() <= 1


def test_latent_diffusion(context: Context) -> None:
    recipe = Latent(context)
    recipe.latents = np.random.default_rng(1).normal(size=(8, 16, 8, 8)).astype(np.float16)
    clean = torch.from_numpy(recipe.latents).float()
    scheduler = make_scheduler("v_prediction")

    def velocity(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        kept = scheduler.alphas_cumprod[time].reshape(-1, 1, 1, 1)
        noise = (noisy.float() - kept.sqrt() * clean[: len(noisy)]) / (1 - kept).sqrt()
        return kept.sqrt() * noise - (1 - kept).sqrt() * clean[: len(noisy)]

    loss = recipe.loss("unet", {"unet": Oracle(velocity)}, a_step(context))["loss"]
    assert loss < 0.02  # bf16 rounds the noisy input; where there is little noise that weighs
    scheduler.set_timesteps(5)
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    for time in scheduler.timesteps:
        x = scheduler.step(velocity(x, time[None]), time, x).prev_sample
    assert torch.allclose(x, clean[:1], atol=1e-4)


def text_of(folder: Path) -> dict[str, Any]:
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

    encoder = CLIPTextModel.from_pretrained(folder / "clip", torch_dtype=torch.float32).eval()
    return {"tokenizer": PreTrainedTokenizerFast.from_pretrained(folder / "clip"), "text_encoder": encoder}
