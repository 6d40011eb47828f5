"""The autoregressive transformer over VQ codes, with the caption's words before them."""

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
from training.zoo.recipes.segmenter import KINDS, segmentation_loss
from training.zoo.recipes.store import save_half
from training.zoo.recipes.vq import CODES
from training.zoo.text import END, IDS, LENGTH, START, VOCABULARY, encode

POSITIONS = GRID**2
READ = 1.0
"""Weight of the loss of what comes next."""


class VqAr(Conditioned):
    """`transformers.GPT2LMHeadModel`, 5 layers of width 128; its vocabulary is the words and then the codes."""

    name = "vq-ar"
    batch = 32
    needs = ("text", "vq")

    def build(self) -> dict[str, nn.Module]:
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=len(VOCABULARY) + CODES,
            n_positions=LENGTH + POSITIONS,
            n_embd=128,
            n_layer=5,
            n_head=4,
            activation_function="gelu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=IDS[START],
            eos_token_id=IDS[END],
        )
        return {"language_model": GPT2LMHeadModel(config), "foretell": nn.Linear(config.n_embd, sum(KINDS))}

    def players(self) -> tuple[Player, ...]:
        return (Player("language_model", ("language_model", "foretell"), lr=1.5e-3, betas=(0.9, 0.95)),)

    def before(self) -> None:
        weights = self.context.export / "vq" / "diffusion_pytorch_model.safetensors"
        self.codes = self.context.cached("codes", weights, self._encode)

    @torch.no_grad()
    def _encode(self, rows: NDArray[np.int64]) -> NDArray[np.uint16]:
        vq = self.context.vq
        _, _, (_, _, chosen) = vq.quantize(vq.encode(self.context.pixels(rows).float()).latents)
        return chosen.reshape(len(rows), POSITIONS).cpu().numpy().astype(np.uint16)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        tokens, dropped = self.captions(step)
        tokens = np.where(dropped[:, None], encode([""]), tokens)
        codes = self.codes[step.rows].astype(np.int64)
        text = np.concatenate([tokens, codes + len(VOCABULARY)], axis=1)[:, :-1]
        body = nets["language_model"].transformer
        hidden = body(torch.from_numpy(text).to(self.context.device)).last_hidden_state[:, LENGTH - 1 :]
        scores = hidden @ body.wte.weight[len(VOCABULARY) :].T
        wanted = torch.from_numpy(codes).to(self.context.device)
        code = F.cross_entropy(scores.float().flatten(0, 1), wanted.flatten())
        # Codes tell of textures for the most part; what object comes next is asked for by itself.
        shown = nets["foretell"](hidden).transpose(1, 2).unflatten(2, (GRID, GRID))
        read = segmentation_loss(shown, self.context.objects(step.rows)).mean()
        return {"loss": code + READ * read, "code": code, "read": read}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        net = nets["language_model"]
        save_half(net, folder / self.name)
        own = {"language_model": self.name, "vqvae": "vq", "tokenizer": "clip"}
        architecture = "16 × 16 codes of a VQ autoencoder; autoregressive transformer with the words as prefix"
        return entry("tokens", self.name, architecture, net, own, {"temperature": 1.0, "guidance": 2.0})
