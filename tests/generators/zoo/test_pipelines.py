"""The pipelines' arithmetic, against slow loops and by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morelli.generators.zoo.pipelines import folded
from morelli.generators.zoo.pipelines.common import (
    chances,
    guide,
    guided_states,
    noise,
    text_states,
    to_pixels,
    token_ids,
)
from morelli.generators.zoo.pipelines.flow import NO_SIZES, FlowTransformerPipeline
from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL
from morelli.generators.zoo.pipelines.tokens import TokenPipeline, to_grid, to_patches

PROMPTS = ["one red circle on sand by day", "two blue stars on water at night"]


@pytest.fixture(scope="module")
def text(tiny_zoo: Path) -> dict[str, torch.nn.Module]:
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

    encoder = CLIPTextModel.from_pretrained(tiny_zoo / "clip", torch_dtype=torch.float32).eval()
    return {"tokenizer": PreTrainedTokenizerFast.from_pretrained(tiny_zoo / "clip"), "text_encoder": encoder}


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4, unique=True))
def test_a_row_of_noise_depends_on_its_seed(seeds: list[int]) -> None:
    chance = chances(seeds)
    together, later = noise((2, 3), chance), noise((2, 3), chance)
    for row, then, seed in zip(together, later, seeds, strict=True):
        alone = chances([seed])
        assert torch.equal(row, noise((2, 3), alone)[0])
        assert torch.equal(then, noise((2, 3), alone)[0])
    rows = torch.cat([together, later])
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 2 * len(seeds)


def test_guidance_by_hand() -> None:
    without, with_prompt = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 0.0]])
    assert guide(torch.cat([without, with_prompt]), 3.0).tolist() == [[4.0, -4.0]]
    assert guide(torch.cat([without, with_prompt]), 1.0).tolist() == [[2.0, 0.0]]


def test_pixels_by_hand() -> None:
    x = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0]).reshape(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_pixels(x)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_token_ids_have_one_length(text: dict[str, torch.nn.Module]) -> None:
    ids = token_ids(text["tokenizer"], ["", *PROMPTS])
    assert ids.shape == (3, 24)
    assert ids[0, 2:].eq(0).all()


@torch.no_grad()
def test_states_without_prompt_come_first(text: dict[str, torch.nn.Module]) -> None:
    both = guided_states(text["tokenizer"], text["text_encoder"], PROMPTS)
    empty = text_states(text["tokenizer"], text["text_encoder"], [""])
    assert torch.allclose(both[:2], empty.expand(2, -1, -1), atol=1e-6)
    assert torch.allclose(both[3:], text_states(text["tokenizer"], text["text_encoder"], PROMPTS[1:]), atol=1e-6)


@torch.no_grad()
def test_the_flow_is_followed_by_eulers_rule(tiny_zoo: Path, text: dict[str, torch.nn.Module]) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel

    net = PixArtTransformer2DModel.from_pretrained(tiny_zoo / "flow/transformer", torch_dtype=torch.float32).eval()
    vae = FoldedAutoencoderKL.from_pretrained(tiny_zoo / "vae", torch_dtype=torch.float32).eval()
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(tiny_zoo / "flow/scheduler")
    made = FlowTransformerPipeline(net, scheduler, vae, **text)(PROMPTS, [3, 4], steps=4, guidance=2.0)

    states = guided_states(text["tokenizer"], text["text_encoder"], PROMPTS)
    x = noise((4, 8, 8), chances([3, 4]))
    levels = [*np.linspace(1000, 1, 4) / 1000, 0.0]  # the scheduler's own spacing without shift
    for now, then in pairwise(levels):
        time = torch.full((4,), now * 1000)
        both = net(torch.cat([x, x]), encoder_hidden_states=states, timestep=time, added_cond_kwargs=NO_SIZES).sample
        x = x + (then - now) * (both[:2] + 2.0 * (both[2:] - both[:2]))
    wanted = to_pixels(vae.decode(x / vae.config.scaling_factor).sample)
    difference = np.abs(made.astype(int) - wanted.astype(int))
    assert difference.max() <= 1
    assert made.std() > 1


@torch.no_grad()
def test_codes_are_those_of_a_loop_without_memory(tiny_zoo: Path, text: dict[str, torch.nn.Module]) -> None:
    from transformers import GPT2LMHeadModel, GPT2Model

    from morelli.generators.zoo.pipelines.folded import FoldedVQModel

    whole = GPT2Model.from_pretrained(tiny_zoo / "tokens" / "whole", torch_dtype=torch.float32).eval()
    patch = GPT2LMHeadModel.from_pretrained(tiny_zoo / "tokens" / "patch", torch_dtype=torch.float32).eval()
    vq = FoldedVQModel.from_pretrained(tiny_zoo / "vq", torch_dtype=torch.float32).eval()
    codes = TokenPipeline(whole, patch, vq, text["tokenizer"]).codes(PROMPTS, [5, 6], temperature=0.7, guidance=2.0)
    assert codes.shape == (2, 16, 16)

    count = patch.config.vocab_size
    first = whole.config.vocab_size - 4 * count
    for row, seed in enumerate([5, 6]):
        chance = torch.Generator().manual_seed(seed)
        texts = [whole.wte(token_ids(text["tokenizer"], [said]))[0] for said in ("", PROMPTS[row])]
        for up, left in [(0, 0), (0, 2), (0, 4), (0, 6)]:
            states = [whole(inputs_embeds=each[None]).last_hidden_state[:, -1:] for each in texts]
            written = torch.zeros(0, dtype=torch.int64)
            for place in range(4):
                scores = [
                    patch(inputs_embeds=torch.cat([state, patch.transformer.wte(written)[None]], dim=1)).logits[0, -1]
                    for state in states
                ]
                chances = ((scores[0] + 2.0 * (scores[1] - scores[0])) / 0.7).softmax(-1)
                drawn = torch.multinomial(chances, 1, generator=chance)
                assert drawn.item() == codes[row, up + place // 2, left + place % 2].item()
                written = torch.cat([written, drawn])
            vector = sum(whole.wte.weight[first + place * count + written[place]] for place in range(4))
            texts = [torch.cat([each, vector[None]]) for each in texts]


def test_patches_and_back() -> None:
    codes = torch.arange(16).reshape(1, 4, 4)
    patches = to_patches(codes)
    assert patches[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert torch.equal(to_grid(patches), codes)


@torch.no_grad()
def test_a_folded_autoencoder_sees_whole_pictures(tiny_zoo: Path) -> None:
    vae = FoldedAutoencoderKL.from_pretrained(tiny_zoo / "vae", torch_dtype=torch.float32).eval()
    x = torch.randn(2, 3, 64, 64)
    latents = vae.encode(x).latent_dist.mean
    assert latents.shape == (2, 4, 8, 8)
    (made,) = vae.decode(latents, return_dict=False)
    assert torch.equal(made, vae.decode(latents).sample)
    assert made.shape == x.shape
    # Folding keeps places: what changes in one corner of the latents stays in that corner of the picture's change.
    moved = latents.clone()
    moved[:, :, 0, 0] += 1
    change = (vae.decode(moved).sample - made).abs().mean(dim=(0, 1))
    assert change[:16, :16].mean() > change[48:, 48:].mean()


@pytest.mark.parametrize("name", ["vae", "vq"])
@torch.no_grad()
def test_a_decoder_alone_gives_what_the_autoencoder_gives(name: str, tiny_zoo: Path, tmp_path: Path) -> None:
    whole_class, half_class = {
        "vae": (folded.FoldedAutoencoderKL, folded.FoldedKLDecoder),
        "vq": (folded.FoldedVQModel, folded.FoldedVQDecoder),
    }[name]
    whole = whole_class.from_pretrained(tiny_zoo / name, torch_dtype=torch.float32).eval()
    half_class.from_pretrained(tiny_zoo / name, torch_dtype=torch.float32).save_pretrained(tmp_path)
    half = half_class.from_pretrained(tmp_path).eval()
    assert sum(p.numel() for p in half.parameters()) < 0.8 * sum(p.numel() for p in whole.parameters())
    latents = whole.encode(torch.randn(2, 3, 64, 64))
    z = latents.latent_dist.mean if name == "vae" else latents.latents
    assert torch.equal(half.decode(z).sample, whole.decode(z).sample)
    assert half.config.scaling_factor == whole.config.scaling_factor
    with pytest.raises(AttributeError, match="decoder alone"):
        half.encode(torch.randn(2, 3, 64, 64))
