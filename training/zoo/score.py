"""What a trained part is worth: figures on test prompts, and a sheet to look at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from training.zoo.context import Context
from training.zoo.reader import WEIGHTS as READER
from training.zoo.reader import agreement

from morelli.generators.zoo.manifest import read_manifest
from morelli.generators.zoo.world import draw, parse_caption, prompts

PROMPT_SEED, FIRST_SEED = 7, 5000
_AT_ONCE = 16


def score(context: Context, name: str, count: int = 64) -> dict[str, Any]:
    """Figures of an exported part over ``count`` test prompts; a sheet is written for parts that make pictures.

    Returns
    -------
    dict
        objects, colours, counts, relations (0–1) for generators and for what the autoencoders give back; other
        figures for the mini-CLIP and the captioner; empty where there is no reader or nothing to measure.
    """
    texts = prompts("test", count, PROMPT_SEED)
    if name in ("vae", "vae-b", "vq"):
        made = _given_back(context, name, _drawn(texts))
    elif name == "clip":
        return _swaps(context, texts)
    elif name == "captioner":
        return _captions(context, texts)
    elif name in ("text", "segmenter", "latent-segmenter", "teacher", "picture-teacher"):
        return {}
    else:
        made = sample(context.export, name, texts)
    save_sheet(context.out / "sheets" / f"{name}.png", made, texts)
    return {key: round(float(value), 4) for key, value in agreement(made, texts).items()} if READER.is_file() else {}


def sample(folder: Path, name: str, texts: Sequence[str], **settings: Any) -> NDArray[np.uint8]:
    """A model's pictures of the texts, shape (n, 64, 64, 3), through the package's own pipeline."""
    from morelli.generators.zoo.generator import ZooGenerator

    generator = ZooGenerator(read_manifest.__wrapped__(folder), name, settings)
    parts = []
    for start in range(0, len(texts), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        parts.append(generator.pixels(some, [FIRST_SEED + start + i for i in range(len(some))]))
    return np.concatenate(parts)


def _drawn(texts: Sequence[str]) -> NDArray[np.uint8]:
    return np.stack([draw(parse_caption(text), FIRST_SEED + i) for i, text in enumerate(texts)])


@torch.no_grad()
def _given_back(context: Context, name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What an autoencoder makes of drawn pictures."""
    from morelli.generators.zoo.pipelines.common import to_pixels
    from morelli.generators.zoo.pipelines.folded import FoldedAutoencoderKL, FoldedVQModel

    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    folder = context.export / name
    if name != "vq":
        vae: Any = FoldedAutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
        return to_pixels(vae.decode(vae.encode(x).latent_dist.mean).sample)
    vq: Any = FoldedVQModel.from_pretrained(folder, torch_dtype=torch.float32)
    return to_pixels(vq(x).sample)


@torch.no_grad()
def _swaps(context: Context, texts: Sequence[str], negatives: int = 4) -> dict[str, Any]:
    """How often the mini-CLIP prefers the right caption to one that is wrong in one thing, and to all the others."""
    from training.zoo.negatives import differing
    from training.zoo.text import encode
    from transformers import CLIPModel

    from morelli.generators.zoo.world import caption

    model: Any = CLIPModel.from_pretrained(context.export / "clip", torch_dtype=torch.float32)
    rng = np.random.default_rng(0)
    wrong = [caption(scene) for text in texts for scene in differing(parse_caption(text), rng, negatives)]
    x = torch.from_numpy(_drawn(texts)).permute(0, 3, 1, 2).float() / 127.5 - 1
    out = model(input_ids=torch.from_numpy(encode([*texts, *wrong])), pixel_values=x)
    similar = out.logits_per_image
    own = similar.diagonal()
    others = similar[:, len(texts) :].reshape(len(texts), len(texts), negatives)
    beaten = own[:, None] > others.diagonal(dim1=0, dim2=1).T
    first = similar[:, : len(texts)].argmax(1) == torch.arange(len(texts))
    return {
        "swap": round(float(beaten.float().mean()), 4),
        f"first of {len(texts)}": round(float(first.float().mean()), 4),
    }


@torch.no_grad()
def _captions(context: Context, texts: Sequence[str]) -> dict[str, Any]:
    """How much of the canonical captions the captioner writes, by words and whole."""
    from transformers import BlipForConditionalGeneration, PreTrainedTokenizerFast

    folder = context.export / "captioner"
    model: Any = BlipForConditionalGeneration.from_pretrained(folder, torch_dtype=torch.float32)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    x = torch.from_numpy(_drawn(texts)).permute(0, 3, 1, 2).float() / 127.5 - 1
    written = tokenizer.batch_decode(model.generate(pixel_values=x, max_new_tokens=20), skip_special_tokens=True)
    common = [len(set(a.split()) & set(b.split())) / len(set(b.split())) for a, b in zip(written, texts, strict=True)]
    whole = np.mean([a == b for a, b in zip(written, texts, strict=True)])
    return {"words": round(float(np.mean(common)), 4), "whole": round(float(whole), 4)}


def save_sheet(path: Path, pixels: NDArray[np.uint8], texts: Sequence[str], columns: int = 8, rows: int = 4) -> None:
    """Pictures at twice their size with their prompts."""
    side, line = 128, 11
    sheet = Image.new("RGB", (columns * (side + 6), rows * (side + 4 * line + 6)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(zip(pixels[: columns * rows], texts, strict=False)):
        x, y = (i % columns) * (side + 6), (i // columns) * (side + 4 * line + 6)
        sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST), (x, y))
        for number, part in enumerate(textwrap.wrap(text, 22)[:4]):
            pen.text((x, y + side + number * line), part, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.png")
    sheet.save(part)
    part.rename(path)
