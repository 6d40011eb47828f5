"""What the regeneration experiment compares with: similarities, a background, and texts with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks.zoo.images import BACKGROUND, images
from PIL import Image

from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.encoders.vision_tower import load_preprocess
from morelli.generators.base import Generator
from morelli.inversion.checkpoint import load_network, load_tokenizer
from morelli.regeneration.by_attributor import Background, ByAttributor
from morelli.regeneration.pairwise import ClipCosine, Hybrid, Ssim
from morelli.regeneration.similarity import Similarity
from morelli.types import LabelledEmbeddings, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Similarities that learn from images of other prompts beside the candidates.
WITH_BACKGROUND = "fused+background"


def read_background(
    generators: Sequence[Generator], prompts: Sequence[str], count: int, encoder: Encoder, out: Path
) -> Background:
    """Images of training prompts as a gallery would hold them: ``count`` of each prompt by each model."""
    references, paths = [], []
    for number, prompt in enumerate(prompts):
        for generator in generators:
            for image in images(generator, prompt, count, BACKGROUND, out / "images"):
                paths.append(image.path)
                family = image.family or image.model
                known = {"prompt_id": f"background {number}", "prompt": prompt, "seed": image.seed}
                references.append(Reference(image.content, "", image.path.name, image.model, family, **known))
    vectors = embed(encoder, paths, cache=EmbeddingCache(out / "cache"), on_error="raise").vectors
    models, prompt_ids, families = (
        np.array([getattr(each, name) for each in references]) for name in ("model", "prompt_id", "family")
    )
    return Background("background", 1, tuple(references), LabelledEmbeddings(vectors, models, prompt_ids, families))


def similarities(encoder: Encoder, clip: Encoder, background: Background, out: Path) -> dict[str, Similarity]:
    """The published measures and ours, by name."""
    cache = EmbeddingCache(out / "cache")
    cosine = ClipCosine(clip, cache)
    kept = {"cache": cache, "folder": out / "cache"}
    return {
        "clip-cosine": cosine,
        "ssim": Ssim(),
        "hybrid": Hybrid(cosine),
        "plda": ByAttributor("plda", encoder, **kept),
        "fused": ByAttributor("fused", encoder, **kept),
        WITH_BACKGROUND: ByAttributor("fused", encoder, background, **kept),
    }


class Texts:
    """How near an inverted prompt is to the true one, and both to the picture, as a CLIP sees it.

    Parameters
    ----------
    folder : Path
        A CLIP in the transformers layout.
    """

    def __init__(self, folder: Path) -> None:
        self._model, self._tokenizer = load_network("CLIPModel", folder), load_tokenizer(folder)
        self._preprocess, _ = load_preprocess(folder)

    def __call__(self, pixels: NDArray[np.uint8], prompt: str, true: str) -> dict[str, float]:
        """Cosines of picture and prompt, picture and true prompt, both prompts."""
        import torch

        inputs = self._preprocess(Image.fromarray(pixels))["pixel_values"]
        with torch.inference_mode():
            pooled = self._model.vision_model(pixel_values=inputs).pooler_output
            image = torch.nn.functional.normalize(self._model.visual_projection(pooled)[0], dim=-1)
            found, given = self._text(prompt), self._text(true)
        pairs = {"picture_found": (image, found), "picture_true": (image, given), "found_true": (found, given)}
        return {name: float(a @ b) for name, (a, b) in pairs.items()}

    def _text(self, prompt: str) -> Any:
        import torch

        longest = self._model.config.text_config.max_position_embeddings - 2
        ids = self._tokenizer(prompt, add_special_tokens=False)["input_ids"][:longest]
        ids = torch.tensor([[self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id]])
        pooled = self._model.text_model(input_ids=ids).pooler_output
        return torch.nn.functional.normalize(self._model.text_projection(pooled)[0], dim=-1)


def shared_words(prompt: str, true: str) -> float:
    """Share of the true prompt's different words that the other has, 0–1."""
    wanted = set(true.lower().split())
    return len(wanted & set(prompt.lower().replace(",", " ").split())) / len(wanted)


def same_and_cross(
    values: NDArray[np.float64], labels: NDArray[np.str_], truth: Sequence[str]
) -> Mapping[str, list[float]]:
    """Means over the candidates of each query's own model and of the others, and how often own ones are above.

    Parameters
    ----------
    values : ndarray, shape (n, c)
        Likeness of n queries and c candidates.
    labels : ndarray of str, shape (c,)
        Model of each candidate.
    truth : sequence of str, length n

    Returns
    -------
    mapping with "same", "cross", "auroc", each a list of length n
    """
    from morelli.evaluation.metrics import auroc

    out: dict[str, list[float]] = {"same": [], "cross": [], "auroc": []}
    for row, model in zip(values, truth, strict=True):
        own, others = row[labels == model], row[labels != model]
        for name, figure in (("same", own.mean()), ("cross", others.mean()), ("auroc", auroc(own, others))):
            out[name].append(float(figure))
    return out
