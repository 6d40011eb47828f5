"""Pictures as 256 codes of a VQ autoencoder, written one after the other by a language model after the prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline

from morelli.generators.zoo.pipelines.common import chances, guide, to_pixels, token_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class TokenPipeline(DiffusionPipeline):
    """Text to codes with a `transformers.GPT2LMHeadModel`, codes to pixels with a `diffusers.VQModel`.

    The language model's vocabulary is the tokenizer's words and then the codes.

    Parameters
    ----------
    language_model, vqvae, tokenizer
        Networks of transformers and diffusers.
    """

    def __init__(self, language_model: Any, vqvae: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(language_model=language_model, vqvae=vqvae, tokenizer=tokenizer)

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], temperature: float = 1.0, guidance: float = 2.0
    ) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        codes = self.codes(prompts, seeds, temperature, guidance)
        side = round(codes.shape[1] ** 0.5)
        shape = (len(codes), side, side, self.vqvae.config.latent_channels)
        latents = self.vqvae.quantize.get_codebook_entry(codes.flatten(), shape)
        return to_pixels(self.vqvae.decode(latents, force_not_quantize=True).sample)

    def codes(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float, guidance: float) -> Tensor:
        """Codes row by row, shape (n, positions), int64."""
        first = self.language_model.config.vocab_size - self.vqvae.config.num_vq_embeddings
        length = self.tokenizer.model_max_length
        positions = self.language_model.config.n_positions - length
        chance = chances(seeds)
        entered, past, codes = token_ids(self.tokenizer, [""] * len(prompts) + list(prompts)), None, []
        for _ in range(positions):
            out = self.language_model(entered, past_key_values=past, use_cache=True)
            past = out.past_key_values
            scores = guide(out.logits[:, -1, first:], guidance) / temperature
            drawn = [
                torch.multinomial(row, 1, generator=each) for row, each in zip(scores.softmax(-1), chance, strict=True)
            ]
            codes.append(torch.cat(drawn))
            entered = (codes[-1] + first).repeat(2)[:, None]
        return torch.stack(codes, dim=1)


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = TokenPipeline(**parts)
    temperature, guidance = float(settings["temperature"]), float(settings["guidance"])
    return lambda prompts, seeds: pipeline(prompts, seeds, temperature, guidance)
