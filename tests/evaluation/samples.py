"""Embeddings, pictures and an encoder for the tests of evaluations: small, quick, without a network."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from morelli.types import EncoderStamp, LabelledEmbeddings

STAMP = EncoderStamp("texture", "1", "plain", {"fine/std": 6, "fine/mean": 3, "coarse/std": 6})


class TextureEncoder:
    """How strongly neighbours differ, at two distances, and the mean colour: sees the habits of made-up models."""

    stamp = STAMP

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        x = pixels.astype(np.float64)
        fine = [np.diff(x, axis=axis).std(axis=(0, 1)) for axis in (0, 1)]
        coarse = [(x - np.roll(x, 3, axis=axis)).std(axis=(0, 1)) for axis in (0, 1)]
        return np.concatenate([*fine, x.mean(axis=(0, 1)), *coarse])

    def encode(self, prepared: Sequence[NDArray[np.float64]]) -> Mapping[str, NDArray[np.float32]]:
        x = np.stack(list(prepared)).astype(np.float32)
        return {"fine/std": x[:, :6], "fine/mean": x[:, 6:9], "coarse/std": x[:, 9:]}


def gaussian(
    models: int = 6,
    prompts: int = 15,
    seeds: int = 4,
    *,
    effect: float = 1.0,
    prompt_effect: float = 2.0,
    dims: int = 12,
    per_family: int = 1,
    seed: int = 0,
) -> LabelledEmbeddings:
    """Embedding = effect of the model + effect of the prompt + noise of variance 1, in two views of ``dims`` numbers.

    Rows in the order of a folder: model by model, prompt by prompt. Effect 0: labels that say nothing.
    """
    rng = np.random.default_rng(seed)
    index = np.indices((models, prompts, seeds)).reshape(3, -1)
    vectors = {}
    for name in ("one/a", "two/a"):
        of_model = effect * rng.standard_normal((models, dims))
        of_prompt = prompt_effect * rng.standard_normal((prompts, dims))
        noise = rng.standard_normal((index.shape[1], dims))
        vectors[name] = (5 + of_model[index[0]] + of_prompt[index[1]] + noise).astype(np.float32)
    return LabelledEmbeddings(
        vectors,
        np.array([f"m{j:02}" for j in index[0]]),
        np.array([f"p{i:02}" for i in index[1]]),
        np.array([f"f{j // per_family:02}" for j in index[0]]),
    )


def bare(models: Sequence[str], prompts: Sequence[str], families: Sequence[str] | None = None) -> LabelledEmbeddings:
    """Labels, with the row's number as its embedding."""
    rows = np.arange(len(models), dtype=np.float32)[:, None]
    kin = models if families is None else families
    return LabelledEmbeddings({"v": rows}, np.array(models), np.array(prompts), np.array(kin))


def add_bases(folder: Path, bases: Mapping[str, str]) -> None:
    """Give a dataset's metadata.csv a column base; "" for models that are not named."""
    path = folder / "metadata.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "base"])
        writer.writeheader()
        writer.writerows({**row, "base": bases.get(row["model"], "")} for row in rows)


def relabel(folder: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    """Rewrite a dataset's metadata.csv."""
    path = folder / "metadata.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(change(rows))


def take_turns(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Labels that say nothing: in every prompt, the images are dealt to the models at random, equally many to each."""
    rng = np.random.default_rng(7)
    for prompt in sorted({row["prompt_id"] for row in rows}):
        inside = [row for row in rows if row["prompt_id"] == prompt]
        labels = rng.permutation([row["model"] for row in inside])
        for row, label in zip(inside, labels, strict=True):
            row["model"] = row["family"] = str(label)
    return rows
