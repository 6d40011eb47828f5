"""Trains on one side of a fold and measures on the other; what is done already is not done again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fingerprint.ceiling_folds import Fold
from benchmarks.fingerprint.ceiling_measure import ZERO_SHOT, measure
from benchmarks.fingerprint.ceiling_table import plain
from benchmarks.one_form import one_form

from morelli.cli.train import FINETUNE_RATE
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.encoders.weights import short_hash
from morelli.errors import MorelliError
from morelli.evaluation.data import EvaluationSet, prepare
from morelli.fingerprint.encoders import Fingerprint
from morelli.fingerprint.extractor import load_extractor
from morelli.fingerprint.learn.classes import dataset_classes
from morelli.fingerprint.learn.run import Budget, Place, learn, one_epoch
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.generators.files import append
from morelli.images.dataset import Dataset
from morelli.types import Item, LabelledEmbeddings

#: The highest learning rate on the test models' own images: below that of a training from nothing, 2e-3.
RATE = 5e-4
#: Windows of an image that the training on these models is shown.
WINDOWS = 16
#: Models on a map.
MAPPED = 8


@dataclass(frozen=True)
class Bench:
    """What all folds share.

    Attributes
    ----------
    whole : EvaluationSet
        All images under ``shipped``.
    items : sequence of Item
        Those of its rows.
    shipped : Fingerprint
        The zero-shot encoder.
    out : Path
        Folder of the rows, the weights and the caches.
    cache : EmbeddingCache
    minutes : float
        Of processor time for each training on the test models.
    rate : float
        Its highest learning rate.
    seed : int
    """

    whole: EvaluationSet
    items: Sequence[Item]
    shipped: Fingerprint
    out: Path
    cache: EmbeddingCache
    minutes: float
    rate: float
    seed: int

    def rows(self, fold: Fold) -> list[dict[str, Any]]:
        """A row for each set of layers; a fold that cannot be measured says why, and is tried again."""
        known = {line["key"]: line for line in self.lines() if "why" not in line}
        keys = {name: self._key(fold, name) for name in self._layers()}
        missing = [name for name, key in keys.items() if key not in known]
        if missing:
            try:
                found = self._measure(fold, missing)
            except MorelliError as error:  # a table with a row less, and the reason in it
                found = {name: {"why": str(error)} for name in missing}
            for name, figures in found.items():
                head = {"key": keys[name], "design": fold.design, "fold": fold.number, "layers": name}
                line = plain({**head, "minutes": self.minutes, **figures})
                append(self.out / "rows.jsonl", json.dumps(line, allow_nan=False).encode() + b"\n")
                known[keys[name]] = line
        return [known[key] for key in keys.values()]

    def lines(self) -> list[dict[str, Any]]:
        """The rows that were measured; a line that a crash cut is left out."""
        file = self.out / "rows.jsonl"
        return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.is_file() else []

    def mapped(self, fold: Fold) -> dict[str, LabelledEmbeddings]:
        """Features of the tested images of some models, before training ("zero-shot") and after ("ceiling")."""
        names = np.unique([item.model for item in fold.test])
        chosen = np.random.default_rng(self.seed).permutation(names)[:MAPPED]
        sides = zip(("zero-shot", "ceiling"), self._sets(fold, self._train(fold)).values(), strict=True)
        kept = ((name, _only(data, "mean").embeddings) for name, data in sides)
        return {name: data.take(np.flatnonzero(np.isin(data.models, chosen))) for name, data in kept}

    def _layers(self) -> list[str]:
        return ["mean", "all"] if len(self.shipped.layers) > 1 else ["mean"]

    def _key(self, fold: Fold, layers: str) -> str:
        sides = [[item.name for item in side] for side in (fold.learn, fold.test)]
        labels = [[item.model, item.family, item.prompt_id, item.decoder] for item in self.items]
        recipe = [LearnSettings(seed=self.seed).as_dict(), self.minutes, self.rate, WINDOWS, FINETUNE_RATE]
        return short_hash(
            [fold.design, layers, sides, labels, self.whole.contents.tolist(), self.shipped.stamp.revision, recipe]
        )

    def _measure(self, fold: Fold, wanted: Sequence[str]) -> dict[str, dict[str, Any]]:
        weights = self._train(fold)
        sets = self._sets(fold, weights)
        names = [self.items[row].name for row in self._rows(fold)]
        told = load_extractor(weights).training
        trained = {key: told[key] for key in ("classes", "images", "steps", "seconds")}
        trained["names"] = [item.name for item in fold.learn]
        return {
            layers: {"trained": trained, **measure({k: _only(v, layers) for k, v in sets.items()}, names, self.seed)}
            for layers in wanted
        }

    def _train(self, fold: Fold) -> Path:
        out = self.out / "weights" / f"{fold.design}-{fold.number}-{self._key(fold, '')}.safetensors"
        if out.is_file():
            return out
        epoch = fold.design == "models"
        settings = LearnSettings(lr=FINETUNE_RATE if epoch else self.rate, seed=self.seed, validate_every=10**9)
        classes = dataset_classes(fold.learn, settings)
        if epoch:
            settings, budget = one_epoch(classes, settings), None
        else:
            slots = max(settings.k, round(WINDOWS * len(fold.learn) / len(classes.learn.names)))
            settings, budget = replace(settings, slots=slots), Budget(self.minutes, time.process_time)
        place = Place(out.with_suffix(".training"), self.out / "cache")
        begin = self.shipped.extractor
        learn(classes, settings, out, place, budget=budget, begin=begin, say=lambda text: print(text, file=sys.stderr))
        return out

    def _rows(self, fold: Fold) -> np.ndarray:
        tested = {item.name for item in fold.test}
        return np.flatnonzero([item.name in tested for item in self.items])

    def _sets(self, fold: Fold, weights: Path) -> dict[str, EvaluationSet]:
        """The tested images under both extractors: the same rows in the same order."""
        data = self.whole.take(self._rows(fold))
        tuned = Fingerprint(load_extractor(weights), f"fingerprint@{weights.resolve()}", layers=self.shipped.layers)
        made = embed(tuned, data.paths.tolist(), cache=self.cache, on_error="raise")
        return {
            ZERO_SHOT: data,
            "fine-tuned": replace(data, embeddings=replace(data.embeddings, vectors=made.vectors)),
        }


def read_whole(
    dataset: Dataset, encoder: Fingerprint, out: Path, cache: EmbeddingCache
) -> tuple[EvaluationSet, list[Item]]:
    """All images in one form and none twice, embedded, with the items of the rows.

    Raises
    ------
    DatasetError
        Nothing is readable.
    """
    formed = one_form(dataset, out / "form")
    (whole,) = prepare([formed], encoder, cache=cache, copies=0)
    by_path = {item.path: item for item in formed.items}
    return whole, [by_path[path] for path in whole.paths]


def _only(data: EvaluationSet, layers: str) -> EvaluationSet:
    """The set with the features alone, or as it is."""
    if layers == "all":
        return data
    vectors: Mapping[str, Any] = {f"fingerprint/{layers}": data.embeddings.vectors[f"fingerprint/{layers}"]}
    return replace(data, embeddings=replace(data.embeddings, vectors=vectors))
