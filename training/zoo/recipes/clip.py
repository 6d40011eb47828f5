"""The mini-CLIP: two towers over pictures and captions, with negatives that differ in one thing only.

The text tower comes first, from captions alone: two wordings of a scene must meet and captions that differ in one
thing must part. The generators can start on its states then, while the image tower is fitted to it, the text tower
frozen. A linear layer that reads a scene's attributes from the embeddings helps both; it is thrown away afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from training.zoo.data import IGNORED, KINDS, SIZE, attributes
from training.zoo.negatives import differing
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.segmenter import PatchReader
from training.zoo.recipes.store import save_half
from training.zoo.text import END, IDS, LENGTH, PAD, START, VOCABULARY, encode, save_tokenizer

from morelli.generators.zoo.world import caption, parse_caption

WIDTH = 128
PATCH = 8
NEGATIVES = 2
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class AttributeReader(nn.Module):
    """Class scores of every attribute from an embedding, shape (n, len(KINDS), classes)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, len(KINDS) * max(KINDS))
        beyond = torch.tensor([[c >= kinds for c in range(max(KINDS))] for kinds in KINDS])
        self.register_buffer("beyond", beyond, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(x).unflatten(-1, (len(KINDS), max(KINDS))).masked_fill(self.beyond, -1e4)


def attribute_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the attributes that are there."""
    return F.cross_entropy(scores.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def clip_config() -> Any:
    """Both towers' shapes."""
    from transformers import CLIPConfig

    tower = {"hidden_size": WIDTH, "num_attention_heads": 4, "hidden_act": "gelu"}
    ids = {"pad_token_id": IDS[PAD], "bos_token_id": IDS[START], "eos_token_id": IDS[END]}
    text = {"vocab_size": len(VOCABULARY), "max_position_embeddings": LENGTH, "num_hidden_layers": 4}
    text["intermediate_size"] = 4 * WIDTH
    vision = {"image_size": SIZE, "patch_size": PATCH, "num_hidden_layers": 2, "projection_dim": WIDTH}
    vision["intermediate_size"] = 2 * WIDTH
    return CLIPConfig(
        text_config={**tower, **text, **ids, "projection_dim": WIDTH},
        vision_config={**tower, **vision},
        projection_dim=WIDTH,
    )


def negatives(tokens: NDArray[np.uint8], step: Step) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Tokens and attributes of captions that are wrong in one thing: all first ones, then all second ones.

    Parameters
    ----------
    tokens : ndarray, shape (n, LENGTH), uint8
        Canonical captions.
    step : Step

    Returns
    -------
    tokens : ndarray, shape (NEGATIVES * n, LENGTH), int64
    attributes : ndarray, shape (NEGATIVES * n, len(KINDS)), int8
    """
    scenes = [parse_caption(" ".join(VOCABULARY[i] for i in row if 0 < i < IDS[START])) for row in tokens]
    changed = [differing(scene, step.rng, NEGATIVES) for scene in scenes]
    flat = [each[i] for i in range(NEGATIVES) for each in changed]
    texts = [caption(scene, step.rng if step.rng.random() < 0.5 else None) for scene in flat]
    return encode(texts), np.stack([attributes(scene) for scene in flat])


def contrast(ours: Tensor, theirs: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Contrastive losses over a batch and over each row's own negatives.

    Parameters
    ----------
    ours : Tensor, shape (n, d)
    theirs : Tensor, shape ((NEGATIVES + 1) * n, d)
        The partners of ``ours``, then the negatives as `negatives` orders them.
    scale : Tensor
        Factor on the cosines.

    Returns
    -------
    batch, hard : Tensor
        Cross-entropies.
    right : Tensor
        Part of the rows that are nearer to their partner than to their negatives, 0–1.
    """
    count = len(ours)
    similar = scale * F.normalize(ours.float(), dim=-1) @ F.normalize(theirs.float(), dim=-1).T
    own = torch.arange(count, device=ours.device)
    batch = (F.cross_entropy(similar, own) + F.cross_entropy(similar[:, :count].T, own)) / 2
    near = similar.gather(1, own[:, None] + count * torch.arange(NEGATIVES + 1, device=ours.device))
    return batch, F.cross_entropy(near, torch.zeros_like(own)), (near.argmax(1) == 0).float().mean()


def save_clip(net: Any, folder: Path) -> None:
    """Model, tokenizer and image processor."""
    from transformers import CLIPImageProcessorPil

    save_half(net, folder)
    save_tokenizer(folder)
    size = {"height": SIZE, "width": SIZE}
    CLIPImageProcessorPil(size=size, crop_size=size, image_mean=MEAN, image_std=STD).save_pretrained(folder)


class Text(Recipe):
    """The text tower: 4 causal layers of width 128."""

    name = "text"
    batch = 64

    def build(self) -> dict[str, nn.Module]:
        from transformers import CLIPModel

        model = CLIPModel(clip_config())
        model.vision_model.requires_grad_(False)
        model.visual_projection.requires_grad_(False)
        return {"clip": model, "reader": AttributeReader(WIDTH), "end_reader": AttributeReader(WIDTH)}

    def players(self) -> tuple[Player, ...]:
        return (Player("text", ("clip", "reader", "end_reader"), lr=1e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        pictures, device = self.context.pictures, self.context.device
        count = len(step.rows)
        wrong, wrong_labels = negatives(pictures.tokens[step.rows, 0], step)
        texts = [pictures.wording(step.rng, step.rows), pictures.tokens[step.rows, 1].astype(np.int64), wrong]
        own = pictures.attributes[step.rows]
        labels = torch.from_numpy(np.concatenate([own, own, wrong_labels])).long().to(device)
        out = nets["clip"].text_model(torch.from_numpy(np.concatenate(texts)).to(device))
        embedded = nets["clip"].text_projection(out.pooler_output)
        read = attribute_loss(nets["reader"](embedded), labels)
        # The padding's states are part of what conditions the generators; the last has seen the whole caption.
        end = attribute_loss(nets["end_reader"](out.last_hidden_state[:, -1]), labels)
        batch, hard, right = contrast(embedded[:count], embedded[count:], nets["clip"].logit_scale.float().exp())
        loss = batch + hard + 4 * read + 2 * end
        return {"loss": loss, "contrast": batch, "hard": hard, "read": read, "end": end, "right": right}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        save_clip(nets["clip"], folder / "clip")
        return {}


class Clip(Recipe):
    """`transformers.CLIPModel`: the image tower, 2 layers of width 128, fitted to the finished text tower.

    Beside the contrast it is asked what every patch shows: contrast alone teaches a small tower late where to look.
    """

    name = "clip"
    batch = 64
    needs = ("text",)

    def build(self) -> dict[str, nn.Module]:
        from transformers import CLIPModel

        first: Any = CLIPModel.from_pretrained(self.context.export / "clip", torch_dtype=torch.float32)
        model = CLIPModel(clip_config())
        for part in ("text_model", "text_projection"):
            getattr(model, part).load_state_dict(getattr(first, part).state_dict())
            getattr(model, part).requires_grad_(False)
        model.logit_scale.data.copy_(first.logit_scale.data)
        return {"clip": model, "reader": AttributeReader(WIDTH), "patches": PatchReader(WIDTH, SIZE // PATCH)}

    def players(self) -> tuple[Player, ...]:
        return (Player("image", ("clip", "reader", "patches"), lr=1e-3, weight_decay=0.05),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        pictures, device, model = self.context.pictures, self.context.device, nets["clip"]
        labels = torch.from_numpy(pictures.attributes[step.rows]).long().to(device)
        wrong, _ = negatives(pictures.tokens[step.rows, 0], step)
        tokens = np.concatenate([pictures.wording(step.rng, step.rows), wrong])
        with torch.no_grad():
            read = model.text_projection(model.text_model(torch.from_numpy(tokens).to(device)).pooler_output)
        out = model.vision_model(self.context.pixels(step.rows))
        seen = model.visual_projection(out.pooler_output)
        attribute = attribute_loss(nets["reader"](seen), labels)
        patches = nets["patches"].loss(out.last_hidden_state, self.context.objects(step.rows))
        batch, hard, right = contrast(seen, read, model.logit_scale.float().exp().clamp(max=100))
        loss = batch + hard + 3 * attribute + patches
        return {
            "loss": loss,
            "contrast": batch,
            "hard": hard,
            "seen": attribute,
            "patches": patches,
            "swap": right,
        }

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        save_clip(nets["clip"], folder / "clip")
        return {}
