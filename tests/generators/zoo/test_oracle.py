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
from training.zoo.data import draw_set, split_code
from training.zoo.recipe import Step
from training.zoo.recipes.dit import Dit
from training.zoo.recipes.latent import Latent
from training.zoo.recipes.segmenter import KINDS as SEGMENTS
from training.zoo.recipes.unet import Unet, make_scheduler

from morelli.generators.zoo.pipelines.common import FOLD
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


def reads_what_is_drawn(codes: torch.Tensor) -> Any:
    """A segmenter that is sure of the truth, whatever it sees."""
    parts = zip(split_code(codes), SEGMENTS, strict=True)
    return lambda _: 100 * torch.cat([F.one_hot(wanted, kinds).movedim(-1, 1) for wanted, kinds in parts], 1).float()


def test_the_pixel_unet(context: Context, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = F.pixel_unshuffle(context.pixels(np.arange(8)), FOLD)
    recipe = Unet(context)
    monkeypatch.setitem(context.__dict__, "segmenter", reads_what_is_drawn(context.objects(np.arange(8))))
    knows = {"unet": Oracle(lambda noisy, _: clean)}
    assert recipe.loss("unet", knows, a_step(context))["loss"] == 0
    guesses = {"unet": Oracle(lambda noisy, _: clean + 0.1)}
    monkeypatch.setitem(context.__dict__, "segmenter", reads_what_is_drawn(context.objects(np.arange(8))))
    # The error 0.1² is weighted by 1 / noise variance, which is 1 to 20.
    assert 0.01 < recipe.loss("unet", guesses, a_step(context))["loss"] < 0.2

    monkeypatch.setitem(context.__dict__, "segmenter", reads_what_is_drawn(context.objects(np.arange(8)[::-1].copy())))
    misread = recipe.loss("unet", knows, a_step(context))
    assert misread["clean"] == 0
    assert misread["loss"] > 0.1

    oracle = Oracle(lambda noisy, _: clean[:1].float().expand(len(noisy), -1, -1, -1))
    pipeline = PixelDiffusionPipeline(oracle, make_scheduler("sample"), **text_of(tiny_zoo))
    made = pipeline(["one red circle on sand by day"], [0], steps=5)[0]
    assert np.abs(made.astype(int) - context.pictures.pixels[0]).max() <= 1


def test_the_flow_transformer(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    recipe = Dit(context)
    monkeypatch.setitem(context.__dict__, "latent_segmenter", reads_what_is_drawn(context.objects(np.arange(8))))
    recipe.latents = np.random.default_rng(1).normal(size=(8, 16, 8, 8)).astype(np.float16)
    clean = torch.from_numpy(recipe.latents).float()

    def velocity(noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        sigma = (time / 1000).float().reshape(-1, 1, 1, 1)
        return (noisy.float() - clean[: len(noisy)]) / sigma

    loss = recipe.loss("transformer", {"transformer": Oracle(velocity)}, a_step(context))["loss"]
    assert loss < 0.02  # bf16 rounds the noisy input; where there is little noise that weighs
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(5)
    x = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    for time in scheduler.timesteps:
        x = scheduler.step(velocity(x, time[None]), time, x).prev_sample
    assert torch.allclose(x, clean[:1], atol=1e-4)


def test_latent_diffusion(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Latent(context)
    monkeypatch.setitem(context.__dict__, "latent_segmenter", reads_what_is_drawn(context.objects(np.arange(8))))
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
