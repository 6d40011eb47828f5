"""Small checkpoints with random weights and a tokenizer of plain words, saved as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("a", "big", "blue", "cat", "dog", "green", "house", "in", "left", "of", "old", "red", "sand", "small", "tree")
IDS = {word: number for number, word in enumerate(("<pad>", *WORDS, "<start>", "<end>"))}
_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_VISION = _TOWER | {"image_size": 32, "patch_size": 8, "projection_dim": 24}
_SPECIAL = {"bos_token_id": IDS["<start>"], "eos_token_id": IDS["<end>"], "pad_token_id": IDS["<pad>"]}
SIZE = {"height": 32, "width": 32}


def tokenizer() -> Any:
    """One token a word, between a start and an end."""
    raw = Tokenizer(models.WordLevel(vocab=dict(IDS), unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = [("<start>", IDS["<start>"]), ("<end>", IDS["<end>"])]
    raw.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=marks)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<start>", eos_token="<end>", pad_token="<pad>", unk_token="<pad>"
    )


def _save(model: torch.nn.Module, processor: Any, folder: Path) -> Path:
    with torch.no_grad():  # weights large enough that outputs depend on the picture
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.02 if "norm" in name else 0.3))
    model.eval().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_clip(folder: Path, seed: int = 0) -> Path:
    """A `CLIPModel` that reads up to 20 tokens."""
    torch.manual_seed(seed)
    text = _TOWER | _SPECIAL | {"vocab_size": len(IDS), "max_position_embeddings": 20, "projection_dim": 24}
    config = tf.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24)
    return _save(tf.CLIPModel(config), tf.CLIPImageProcessorPil(size=SIZE, crop_size=SIZE), folder)


def save_plain_clip(folder: Path, seed: int = 0) -> Path:
    """One whose text features are the mean of what it reads, normalised and projected: its best prompt is known."""
    save_clip(folder, seed)
    model = tf.CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        model.text_model.embeddings.position_embedding.weight.zero_()
        for layer in model.text_model.encoder.layers:
            for part in layer.parameters():
                part.zero_()
        layer = model.text_model.encoder.layers[0]
        layer.layer_norm1.weight.fill_(1.0)
        for part in (layer.self_attn.v_proj, layer.self_attn.out_proj):
            part.weight.copy_(torch.eye(32))
    model.save_pretrained(folder)
    return folder


def save_blip(folder: Path, seed: int = 0) -> Path:
    """A `BlipForConditionalGeneration` that writes up to 24 tokens."""
    torch.manual_seed(seed)
    text = _TOWER | _SPECIAL | {"vocab_size": len(IDS), "max_position_embeddings": 24, "encoder_hidden_size": 32}
    text |= {"sep_token_id": IDS["<end>"], "projection_dim": 24}
    config = tf.BlipConfig(text_config=text, vision_config=_VISION, projection_dim=24)
    _save(tf.BlipForConditionalGeneration(config), tf.BlipImageProcessorPil(size=SIZE), folder)
    model = tf.BlipForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():  # words, and now and then an end
        model.text_decoder.cls.predictions.bias[[IDS["<pad>"], IDS["<start>"]]] = -1000.0
    model.save_pretrained(folder)
    return folder
