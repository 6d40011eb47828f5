"""Pictures as codes of a VQ autoencoder, written patch by patch by language models after the prompt.

One language model reads the prompt and the patches before; a smaller one writes the four codes of the next patch, each
after those before it. So the long sequence has a quarter of the positions, and no code is drawn without knowing its
neighbours. The form is that of Lee et al., *Autoregressive image generation using residual quantization* (2022), and
Yu et al., *MEGABYTE* (2023).
"""

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

EDGE = 2
"""Codes along a patch's side."""
PATCH = EDGE**2


def to_patches(codes: Tensor) -> Tensor:
    """Codes (n, side, side) as patches, row by row: (n, side² / 4, 4)."""
    n, side, _ = codes.shape
    small = side // EDGE
    return codes.reshape(n, small, EDGE, small, EDGE).transpose(2, 3).reshape(n, small**2, PATCH)


def to_grid(patches: Tensor) -> Tensor:
    """The inverse of `to_patches`."""
    n, small = len(patches), round(patches.shape[1] ** 0.5)
    return patches.reshape(n, small, small, EDGE, EDGE).transpose(2, 3).reshape(n, small * EDGE, small * EDGE)


def patch_vectors(table: Any, patches: Tensor, codes: int) -> Tensor:
    """What the language model takes in for patches (n, m, 4): (n, m, width).

    The table holds the words, and then ``codes`` vectors for each place in a patch; a patch is the sum of its four.
    """
    first = table.num_embeddings - PATCH * codes
    return table(patches + first + codes * torch.arange(PATCH, device=patches.device)).sum(dim=-2)


class TokenPipeline(DiffusionPipeline):
    """Text to codes with two language models of transformers, codes to pixels with a `diffusers.VQModel`.

    Parameters
    ----------
    language_model : transformers.GPT2Model
        Over words and patches.
    patch_model : transformers.GPT2LMHeadModel
        Over the codes of one patch, of the same width, after the first one's state.
    vqvae, tokenizer
        Of diffusers and transformers.
    """

    def __init__(self, language_model: Any, patch_model: Any, vqvae: Any, tokenizer: Any) -> None:
        super().__init__()
        self.register_modules(language_model=language_model, patch_model=patch_model, vqvae=vqvae, tokenizer=tokenizer)

    def __call__(
        self, prompts: Sequence[str], seeds: Sequence[int], temperature: float = 1.0, guidance: float = 2.0
    ) -> NDArray[np.uint8]:
        """Pictures, shape (n, 64, 64, 3), uint8, one for each prompt and seed."""
        codes = self.codes(prompts, seeds, temperature, guidance)
        shape = (*codes.shape, self.vqvae.config.latent_channels)
        latents = self.vqvae.quantize.get_codebook_entry(codes.flatten(), shape)
        return to_pixels(self.vqvae.decode(latents, force_not_quantize=True).sample)

    def codes(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float, guidance: float) -> Tensor:
        """Codes, shape (n, side, side), int64."""
        table, chance = self.language_model.wte, chances(seeds)
        patches = self.language_model.config.n_positions - self.tokenizer.model_max_length
        entered, past, made = table(token_ids(self.tokenizer, [""] * len(prompts) + list(prompts))), None, []
        for _ in range(patches):
            out = self.language_model(inputs_embeds=entered, past_key_values=past, use_cache=True)
            past = out.past_key_values
            made.append(self._patch(out.last_hidden_state[:, -1:], chance, temperature, guidance))
            entered = patch_vectors(table, made[-1][:, None].repeat(2, 1, 1), self.patch_model.config.vocab_size)
        return to_grid(torch.stack(made, dim=1))

    def _patch(self, state: Tensor, chance: list[torch.Generator], temperature: float, guidance: float) -> Tensor:
        """The four codes after states without and with the prompt (2 n, 1, width): (n, 4)."""
        entered, drawn = state, []
        for _ in range(PATCH):
            scores = guide(self.patch_model(inputs_embeds=entered).logits[:, -1], guidance) / temperature
            rows = zip(scores.softmax(-1), chance, strict=True)
            drawn.append(torch.cat([torch.multinomial(row, 1, generator=each) for row, each in rows]))
            entered = torch.cat([entered, self.patch_model.transformer.wte(drawn[-1].repeat(2)[:, None])], dim=1)
        return torch.stack(drawn, dim=1)


def build(
    parts: Mapping[str, Any], settings: Mapping[str, Any]
) -> Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]:
    """A function from prompts and seeds to pixels."""
    pipeline = TokenPipeline(**parts)
    temperature, guidance = float(settings["temperature"]), float(settings["guidance"])
    return lambda prompts, seeds: pipeline(prompts, seeds, temperature, guidance)
