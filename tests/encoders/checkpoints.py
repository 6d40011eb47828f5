"""Small checkpoints with random weights, saved as transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers as tf

_SIZE = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4}
_VISION = _SIZE | {"image_size": 28, "patch_size": 7}
_TEXT = _SIZE | {"vocab_size": 64, "num_hidden_layers": 1, "bos_token_id": 1, "eos_token_id": 2}
_CROP = {"size": {"shortest_edge": 30}, "crop_size": {"height": 28, "width": 28}}
_FIXED = {"size": {"height": 28, "width": 28}}


def _shake(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that every block leaves its mark."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.05 if "norm" in name else 0.1))
    return model.eval()


def _clip() -> torch.nn.Module:
    vision, text = _VISION | {"projection_dim": 24}, _TEXT | {"projection_dim": 24}
    return tf.CLIPModel(tf.CLIPConfig(vision_config=vision, text_config=text, projection_dim=24))


def _siglip2() -> torch.nn.Module:
    vision = _SIZE | {"patch_size": 7, "num_patches": 16}
    return tf.Siglip2Model(tf.Siglip2Config(vision_config=vision, text_config=_TEXT))


# kind → (network, processor); None: DINOv3's processor exists with torchvision only, so its file is written by hand.
_MAKERS = {
    "clip": (_clip, lambda: tf.CLIPImageProcessorPil(**_CROP)),
    "clip-tower": (
        lambda: tf.CLIPVisionModel(tf.CLIPVisionConfig(**_VISION)),
        lambda: tf.CLIPImageProcessorPil(**_CROP),
    ),
    "siglip": (
        lambda: tf.SiglipModel(tf.SiglipConfig(vision_config=_VISION, text_config=_TEXT)),
        lambda: tf.SiglipImageProcessorPil(**_FIXED),
    ),
    "siglip2": (_siglip2, lambda: tf.Siglip2ImageProcessorPil(patch_size=7, max_num_patches=16)),
    "dinov2": (
        lambda: tf.Dinov2Model(tf.Dinov2Config(**_VISION)),
        lambda: tf.BitImageProcessorPil(**_CROP),
    ),
    "dinov2-registers": (
        lambda: tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(**_VISION, num_register_tokens=4)),
        lambda: tf.BitImageProcessorPil(**_CROP),
    ),
    "dinov3": (lambda: tf.DINOv3ViTModel(tf.DINOv3ViTConfig(**_VISION, num_register_tokens=4)), None),
    "vit": (lambda: tf.ViTModel(tf.ViTConfig(**_VISION)), lambda: tf.ViTImageProcessorPil(**_FIXED)),
    "vit-classifier": (
        lambda: tf.ViTForImageClassification(tf.ViTConfig(**_VISION)),
        lambda: tf.ViTImageProcessorPil(**_FIXED),
    ),
    "convnext": (
        lambda: tf.ConvNextModel(tf.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1])),
        lambda: tf.ConvNextImageProcessorPil(size={"shortest_edge": 64}, crop_pct=1.0),
    ),
    "bert": (
        lambda: tf.BertModel(tf.BertConfig(**_SIZE, vocab_size=64)),
        lambda: tf.ViTImageProcessorPil(**_FIXED),
    ),
}

DINOV3_PROCESSOR = {
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "size": {"height": 28, "width": 28},
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_center_crop": None,
    "resample": 2,
    "rescale_factor": 1 / 255,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def save_checkpoint(kind: str, folder: Path, seed: int = 0) -> Path:
    """A folder with config.json, model.safetensors and preprocessor_config.json."""
    network, processor = _MAKERS[kind]
    torch.manual_seed(seed)
    _shake(network()).save_pretrained(folder)
    if processor is None:
        (folder / "preprocessor_config.json").write_text(json.dumps(DINOV3_PROCESSOR))
    else:
        processor().save_pretrained(folder)
    return folder
