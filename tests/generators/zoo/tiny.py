"""A weights folder in the zoo's layout with tiny networks of random weights, one model a kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from training.zoo.text import END, IDS, LENGTH, START, VOCABULARY, save_tokenizer

from morelli.generators.zoo.manifest import SCHEMA, list_files

WIDTH = 16
CODES = 12
SIZES = {"width": 64, "height": 64}
TEXT = {"text_encoder": "clip", "tokenizer": "clip"}


def write_tiny_zoo(folder: Path) -> Path:
    """Write models "pixel", "flow", "latent", "lora" (of "latent"), "tokens" and "gan"."""
    torch.manual_seed(0)
    _text(folder / "clip")
    models = {**_pixel(folder), **_flow(folder), **_latent(folder), **_tokens(folder), **_gan(folder)}
    write_manifest(folder, models)
    return folder


def write_manifest(folder: Path, models: dict[str, Any]) -> None:
    text = json.dumps({"schema": SCHEMA, "models": models, "files": list_files(folder)})
    (folder / "manifest.json").write_text(text, encoding="utf-8")


def _entry(kind: str, components: dict[str, str], base: str | None = None, **settings: Any) -> dict[str, Any]:
    family = base or kind
    return {
        "kind": kind,
        "family": family,
        "base": family,
        "architecture": "tiny",
        "parameters": 1,
        "components": components,
        "settings": {**settings, **SIZES},
    }


def _save(net: Any, folder: Path) -> None:
    net.to(torch.float16).save_pretrained(folder)


def _text(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    ids = {"bos_token_id": IDS[START], "eos_token_id": IDS[END], "pad_token_id": 0}
    text = {**tower, **ids, "vocab_size": len(VOCABULARY), "max_position_embeddings": LENGTH}
    vision = {**tower, "image_size": 64, "patch_size": 32}
    _save(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)), folder)
    save_tokenizer(folder)


def _unet(channels: int, side: int) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type=None,
        cross_attention_dim=WIDTH,
        attention_head_dim=2,
        norm_num_groups=4,
    )


def _scheduler(prediction: str) -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type=prediction,
        clip_sample=False,
        timestep_spacing="trailing",
        steps_offset=1,
    )


def _pixel(folder: Path) -> dict[str, Any]:
    _save(_unet(48, 16), folder / "pixel" / "unet")
    _scheduler("sample").save_pretrained(folder / "pixel" / "scheduler")
    parts = {"unet": "pixel/unet", "scheduler": "pixel/scheduler", **TEXT}
    return {"pixel": _entry("pixel", parts, steps=2, guidance=2.0, scheduler="ddim")}


def _flow(folder: Path) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel

    net = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        cross_attention_dim=16,
        sample_size=8,
        patch_size=1,
        caption_channels=WIDTH,
        interpolation_scale=1,
        use_additional_conditions=False,
    )
    _save(net, folder / "flow" / "transformer")
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "flow" / "scheduler")
    parts = {"transformer": "flow/transformer", "scheduler": "flow/scheduler", "vae": "vae", **TEXT}
    return {"flow": _entry("flow", parts, steps=2, guidance=2.0, scheduler="euler-flow")}


def _latent(folder: Path) -> dict[str, Any]:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils.save_and_load import get_peft_model_state_dict

    from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL

    vae = FoldedAutoencoderKL(
        in_channels=48,
        out_channels=48,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    unet = _unet(4, 8)
    _save(vae, folder / "vae")
    _save(unet, folder / "latent" / "unet")
    _scheduler("v_prediction").save_pretrained(folder / "latent" / "scheduler")
    unet.float().add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights="gaussian"))
    layers = {key: torch.randn_like(value) for key, value in get_peft_model_state_dict(unet).items()}
    StableDiffusionPipeline.save_lora_weights(folder / "lora", unet_lora_layers=layers)
    parts = {"unet": "latent/unet", "scheduler": "latent/scheduler", "vae": "vae", **TEXT}
    settings = {"steps": 2, "guidance": 2.0, "scheduler": "ddim"}
    return {
        "latent": _entry("latent", parts, **settings),
        "lora": _entry("latent", {**parts, "lora": "lora"}, base="latent", **settings),
    }


def _tokens(folder: Path) -> dict[str, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

    from morelli.generators.zoo.pipelines.folded import FoldedVQModel

    vq = FoldedVQModel(
        in_channels=48,
        out_channels=48,
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        block_out_channels=(8,),
        latent_channels=4,
        vq_embed_dim=4,
        num_vq_embeddings=CODES,
        norm_num_groups=4,
        mid_block_add_attention=False,
    )
    with torch.no_grad():
        vq.quantize.embedding.weight.normal_()
    shared: Any = {"n_embd": WIDTH, "n_layer": 1, "n_head": 2, "initializer_range": 0.5}
    whole = GPT2Config(vocab_size=len(VOCABULARY) + 4 * CODES, n_positions=LENGTH + 64, **shared)
    patch = GPT2Config(vocab_size=CODES, n_positions=4, bos_token_id=None, eos_token_id=None, **shared)
    _save(vq, folder / "vq")
    _save(GPT2Model(whole), folder / "tokens" / "whole")
    _save(GPT2LMHeadModel(patch), folder / "tokens" / "patch")
    parts = {"language_model": "tokens/whole", "patch_model": "tokens/patch", "vqvae": "vq", "tokenizer": "clip"}
    return {"tokens": _entry("tokens", parts, temperature=1.0, guidance=2.0)}


def _gan(folder: Path) -> dict[str, Any]:
    from morelli.generators.zoo.pipelines.gan import GanGenerator

    net = GanGenerator(noise_channels=4, width=16, depth=1, text_width=WIDTH, style_width=8, latent_channels=4)
    _save(net, folder / "gan")
    return {"gan": _entry("gan", {"network": "gan", "vae": "vae", **TEXT})}
