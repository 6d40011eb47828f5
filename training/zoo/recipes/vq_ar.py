"""The autoregressive transformers over VQ codes, with the caption's words before them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from training.zoo.data import GRID
from training.zoo.recipe import Player, Step
from training.zoo.recipes.conditioned import Conditioned, entry
from training.zoo.recipes.own import ROWS, is_own, own_loss, shown_loss
from training.zoo.recipes.segmenter import KINDS, segmentation_loss
from training.zoo.recipes.store import save_half
from training.zoo.recipes.vq import CODES
from training.zoo.text import END, IDS, LENGTH, START, VOCABULARY, encode

from morelli.generators.zoo.pipelines.tokens import EDGE, PATCH, patch_vectors, to_grid, to_patches

WIDTH, HEADS = 128, 4
PATCHES = GRID**2 // PATCH
READ = 3.0
"""Weight of the loss of what comes next."""
OWN = 0.2
"""Weight of the teachers' losses, beside their own."""


class VqAr(Conditioned):
    """`transformers.GPT2Model`, 5 layers of width 128, over words and patches; one layer more over a patch's codes."""

    name = "vq-ar"
    batch = 32
    needs = ("text", "vq", "vae", "latent-segmenter", "teacher", "picture-teacher")

    def build(self) -> dict[str, nn.Module]:
        from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

        # Fused attention goes backward slowly on so short sequences: half of a step's time.
        shared: Any = {
            "n_embd": WIDTH,
            "n_head": HEADS,
            "activation_function": "gelu",
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "attn_implementation": "eager",
        }
        words = {"bos_token_id": IDS[START], "eos_token_id": IDS[END]}
        whole = GPT2Config(
            vocab_size=len(VOCABULARY) + PATCH * CODES, n_positions=LENGTH + PATCHES, n_layer=5, **words, **shared
        )
        patch = GPT2Config(
            vocab_size=CODES, n_positions=PATCH, n_layer=1, bos_token_id=None, eos_token_id=None, **shared
        )
        return {
            "language_model": GPT2Model(whole),
            "patch_model": GPT2LMHeadModel(patch),
            "foretell": nn.Linear(WIDTH, PATCH * sum(KINDS)),
        }

    def players(self) -> tuple[Player, ...]:
        return (Player("language_model", ("language_model", "patch_model", "foretell"), lr=1.5e-3, betas=(0.9, 0.95)),)

    def before(self) -> None:
        weights = self.context.export / "vq" / "diffusion_pytorch_model.safetensors"
        self.codes = self.context.cached("codes", weights, self._encode)

    @torch.no_grad()
    def _encode(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        vq = self.context.vq
        _, _, (_, _, chosen) = vq.quantize(vq.encode(self.context.pixels(rows).float()).latents)
        return chosen.reshape(len(rows), GRID**2).cpu().numpy().astype(np.uint16)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        tokens, dropped = self.captions(step)
        tokens = torch.from_numpy(np.where(dropped[:, None], encode([""]), tokens)).to(self.context.device)
        codes = torch.from_numpy(self.codes[step.rows].astype(np.int64)).to(self.context.device)
        patches = to_patches(codes.unflatten(1, (GRID, GRID)))
        states, scores = self._read(nets, tokens, patches)
        code = F.cross_entropy(scores.flatten(0, 2), patches.flatten())
        # Codes tell of textures for the most part; what object comes next is asked for by itself.
        side = GRID // EDGE
        shown = F.pixel_shuffle(nets["foretell"](states).transpose(1, 2).unflatten(2, (side, side)), EDGE)
        read = segmentation_loss(shown, self.context.objects(step.rows)).mean()
        parts = {"loss": code + READ * read, "code": code, "read": read}
        if is_own(step):
            parts["own"] = self._own(nets, step)
            parts["loss"] = parts["loss"] + OWN * parts["own"]
        return parts

    @staticmethod
    def _read(nets: Mapping[str, Any], tokens: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
        """States that come before each patch (n, m, width), and scores of its codes (n, m, PATCH, CODES), fp32."""
        body, patch_model = nets["language_model"], nets["patch_model"]
        text = torch.cat([body.wte(tokens), patch_vectors(body.wte, patches[:, :-1], CODES)], dim=1)
        states = body(inputs_embeds=text).last_hidden_state[:, LENGTH - 1 :]
        wanted = patches.flatten(0, 1)
        before = patch_model.transformer.wte(wanted[:, :-1])
        scores = patch_model(inputs_embeds=torch.cat([states.flatten(0, 1)[:, None], before], dim=1)).logits
        return states, scores.float().view(*patches.shape, CODES)

    def _own(self, nets: Mapping[str, Any], step: Step) -> Tensor:
        """The teachers' losses of pictures that the model writes.

        Codes have no gradient. They are taken for what the model expected them to be where it comes back (straight
        through, Bengio et al. 2013): it learns which codes would have been read better, the others being as they are.
        """
        tokens = self.context.pictures.wording(step.rng, step.rows[:ROWS])
        tokens = torch.from_numpy(tokens).to(self.context.device)
        with torch.no_grad():
            patches = self._write(nets, tokens, step.noise)
        likely = self._read(nets, tokens, patches)[1].softmax(-1)
        book = self.context.vq.quantize.embedding.weight
        meant = likely @ book
        pixels = self._pixels(book[patches] + meant - meant.detach())
        return own_loss(self.context, self._latents(pixels), 1.0, step) + shown_loss(self.context, pixels, step)

    @staticmethod
    def _write(nets: Mapping[str, Any], tokens: Tensor, noise: torch.Generator) -> Tensor:
        """Patches (n, PATCHES, PATCH) drawn after words (n, LENGTH), as likely as the model takes them to be."""
        body, patch_model = nets["language_model"], nets["patch_model"]
        entered, past, made = body.wte(tokens), None, []
        for _ in range(PATCHES):
            out = body(inputs_embeds=entered, past_key_values=past, use_cache=True)
            past, codes, inner = out.past_key_values, [], out.last_hidden_state[:, -1:]
            for _ in range(PATCH):
                likely = patch_model(inputs_embeds=inner).logits[:, -1].float().softmax(-1)
                codes.append(torch.multinomial(likely, 1, generator=noise)[:, 0])
                inner = torch.cat([inner, patch_model.transformer.wte(codes[-1])[:, None]], dim=1)
            made.append(torch.stack(codes, dim=1))
            entered = patch_vectors(body.wte, made[-1][:, None], CODES)
        return torch.stack(made, dim=1)

    def _pixels(self, found: Tensor) -> Tensor:
        """Pictures whose patches have those vectors (n, m, PATCH, width), bf16."""
        grid = torch.stack([to_grid(each) for each in found.unbind(-1)], dim=1)
        return self.context.vq.decode(grid, force_not_quantize=True).sample.clamp(-1, 1).to(torch.bfloat16)

    def _latents(self, pixels: Tensor) -> Tensor:
        """Latents of unit spread of pictures."""
        vae = self.context.vae
        return vae.encode(pixels).latent_dist.mean.float() * vae.config.scaling_factor

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        own = {"language_model": f"{self.name}/whole", "patch_model": f"{self.name}/patch"}
        for part, place in own.items():
            save_half(nets[part], folder / place)
        count = sum(p.numel() for part in own for p in nets[part].parameters())
        architecture = (
            "16 × 16 codes of a VQ autoencoder; autoregressive transformer over words and 2 × 2 patches of codes, a"
            " smaller one within a patch"
        )
        parts = {**own, "vqvae": "vq", "tokenizer": "clip"}
        return entry("tokens", self.name, architecture, count, parts, {"temperature": 0.5, "guidance": 3.0})
