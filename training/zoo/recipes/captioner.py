"""The mini-captioner: BLIP's own classes at a small size, trained on pictures and canonical captions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training.zoo.data import SIZE
from training.zoo.recipe import Player, Recipe, Step
from training.zoo.recipes.clip import MEAN, PATCH, STD
from training.zoo.recipes.segmenter import PatchReader
from training.zoo.recipes.store import save_half
from training.zoo.text import END, IDS, PAD, START, VOCABULARY, save_tokenizer

WIDTH = 128
PATCHES = 0.3
"""Weight of the question what every patch shows."""


class Captioner(Recipe):
    """`transformers.BlipForConditionalGeneration`: 3 vision layers and a text layer of width 128."""

    name = "captioner"
    batch = 64
    needs = ("clip",)

    def build(self) -> dict[str, nn.Module]:
        from transformers import BlipConfig, BlipForConditionalGeneration

        tower = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4, "hidden_act": "gelu"}
        ids = {"bos_token_id": IDS[START], "eos_token_id": IDS[END], "sep_token_id": IDS[END], "pad_token_id": IDS[PAD]}
        text = {
            "vocab_size": len(VOCABULARY),
            "encoder_hidden_size": WIDTH,
            "projection_dim": WIDTH,
            "num_hidden_layers": 1,
            "max_position_embeddings": 64,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "label_smoothing": 0.0,
        }
        vision = {"image_size": SIZE, "patch_size": PATCH, "num_hidden_layers": 3, "projection_dim": WIDTH}
        config = BlipConfig(
            text_config={**tower, **ids, **text}, vision_config={**tower, **vision}, projection_dim=WIDTH
        )
        model = BlipForConditionalGeneration(config)
        self._begin_with_clip(model)
        return {"captioner": model, "patches": PatchReader(WIDTH, SIZE // PATCH)}

    @torch.no_grad()
    def _begin_with_clip(self, model: Any) -> None:
        """Take the layers of the mini-CLIP's image tower, which are of the same shape, for the first ones."""
        from transformers import CLIPVisionModel

        clip: Any = CLIPVisionModel.from_pretrained(self.context.export / "clip", torch_dtype=torch.float32)
        tower = getattr(clip, "vision_model", clip)
        ours = model.vision_model
        ours.embeddings.class_embedding.copy_(tower.embeddings.class_embedding.reshape(1, 1, -1))
        ours.embeddings.position_embedding.copy_(tower.embeddings.position_embedding.weight[None])
        ours.embeddings.patch_embedding.weight.copy_(tower.embeddings.patch_embedding.weight)
        for mine, theirs in zip(ours.encoder.layers, tower.encoder.layers, strict=False):
            attention = theirs.self_attn
            parts = [attention.q_proj, attention.k_proj, attention.v_proj]
            mine.self_attn.qkv.weight.copy_(torch.cat([part.weight for part in parts]))
            mine.self_attn.qkv.bias.copy_(torch.cat([part.bias for part in parts]))
            mine.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
            mine.layer_norm1.load_state_dict(theirs.layer_norm1.state_dict())
            mine.layer_norm2.load_state_dict(theirs.layer_norm2.state_dict())
            mine.mlp.load_state_dict(theirs.mlp.state_dict())

    def players(self) -> tuple[Player, ...]:
        return (Player("captioner", ("captioner", "patches"), lr=1e-3),)

    def loss(self, player: str, nets: Mapping[str, Any], step: Step) -> dict[str, Tensor]:
        model = nets["captioner"]
        tokens = torch.from_numpy(self.context.pictures.tokens[step.rows, 0].astype("int64")).to(self.context.device)
        seen = model.vision_model(self.context.pixels(step.rows)).last_hidden_state
        out = model.text_decoder(
            input_ids=tokens[:, :-1],
            attention_mask=(tokens[:, :-1] != IDS[PAD]).long(),
            encoder_hidden_states=seen,
            use_cache=False,
        )
        wanted = tokens[:, 1:]
        scores = out.logits.float().flatten(0, 1)
        loss = F.cross_entropy(scores, wanted.flatten(), ignore_index=IDS[PAD])
        kept = wanted.flatten() != IDS[PAD]
        right = (scores.argmax(1) == wanted.flatten())[kept].float().mean()
        patches = nets["patches"].loss(seen, self.context.objects(step.rows))
        return {"loss": loss + PATCHES * patches, "words": loss, "patches": patches, "words right": right}

    def save(self, nets: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        from transformers import BlipImageProcessorPil

        target = folder / self.name
        save_half(nets["captioner"], target)
        save_tokenizer(target)
        size = {"height": SIZE, "width": SIZE}
        BlipImageProcessorPil(size=size, image_mean=MEAN, image_std=STD).save_pretrained(target)
        return {}
