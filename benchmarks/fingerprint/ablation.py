"""Trains and measures one row after another; what is done already is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fingerprint.rows import Row
from benchmarks.fingerprint.sources import Part, shown

from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.weights import short_hash
from morelli.errors import MorelliError
from morelli.evaluation.runner import evaluate
from morelli.evaluation.settings import Settings
from morelli.fingerprint.encoders import Fingerprint
from morelli.fingerprint.extractor import load_extractor
from morelli.fingerprint.learn.classes import synthetic_classes
from morelli.fingerprint.learn.kept import PixelBank
from morelli.fingerprint.learn.run import Budget, Place, make_views, train_on, validation_views
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.generators.files import append
from morelli.images.dataset import Dataset
from morelli.synthesis.architectures import ModelKey
from morelli.synthesis.photos import Photos
from morelli.synthesis.store import Store


@dataclass(frozen=True)
class Bench:
    """What all rows share.

    Attributes
    ----------
    store : Store
    photos : Photos
    datasets : sequence of Dataset
    out : Path
        Folder of the rows, the weights and the caches.
    minutes : float
        Of processor time, the same for each row's training.
    settings : LearnSettings
    """

    store: Store
    photos: Photos
    datasets: Sequence[Dataset]
    out: Path
    minutes: float
    settings: LearnSettings

    def row(self, row: Row) -> dict[str, Any]:
        """Train and measure a row, or read what it came to; a row that cannot be says why, and is tried again."""
        key = self._key(row)
        for line in self.lines():
            if line["key"] == key and "why" not in line:
                return line
        line: dict[str, Any] = {"key": key, "table": row.table, "row": row.name, "minutes": self.minutes}
        try:
            line |= self._measure(row, self._train(row))
        except MorelliError as error:  # a table with a row less, and the reason in it
            line["why"] = str(error)
        append(self.out / "rows.jsonl", json.dumps(line).encode() + b"\n")
        return line

    def lines(self) -> list[dict[str, Any]]:
        """The rows that were measured; a line that a crash cut is left out."""
        file = self.out / "rows.jsonl"
        return [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]] if file.is_file() else []

    def _key(self, row: Row) -> str:
        weights = [[*key, self.store.records[key].sha256] for key in self.store.keys]
        what = [repr(row), self.settings.as_dict(), self.minutes, weights, self.photos.digest]
        return short_hash([*what, [[str(data.root), len(data.items)] for data in self.datasets]])

    def _train(self, row: Row) -> Path:
        # One training serves nine windows and one.
        name = replace(row, table="", name="", windows=9)
        out = self.out / "weights" / f"{short_hash([repr(name), self._key(Row('', ''))])}.safetensors"
        if out.is_file():
            return out
        settings = replace(self.settings, **row.changes, validate_every=10**9)
        chain = row.signal(settings.chain)
        photos = shown(row.source, self.photos, len(self.photos.pixels))
        place = Place(out.with_suffix(".training"), self.out / "cache")
        classes = synthetic_classes(self.store, photos, settings)
        # Validated on photographs whatever the models are shown in training.
        held = synthetic_classes(self.store, self.photos, settings).validate
        # Pictures are made once for all rows, spectra once for all rows of one chain.
        kept = PixelBank(classes.learn, settings.slots, place.cache)
        kept.bank.fill()
        views = make_views(kept, chain, settings, place)
        names = {f"{key.architecture_id}/{key.seed}" for key in row.keys(_keys(classes.learn.names))}
        part = Part(views, np.flatnonzero([each in names for each in views.names]).tolist())
        check = None if held is None else validation_views(held, chain, place)
        about = {**classes.about, "row": row.name, "synthetic_models": len(part.names)}
        train_on(part, check, chain, settings, out, place, about=about, budget=Budget(self.minutes, time.process_time))
        return out

    def _measure(self, row: Row, weights: Path) -> dict[str, Any]:
        extractor = load_extractor(weights)
        windows = "nine" if row.windows == 9 else "centre"
        encoder = Fingerprint(extractor, f"fingerprint@{weights.resolve()}", windows=windows, layers=("mean",))
        cache = EmbeddingCache(self.out / "embeddings")
        about = extractor.training
        found: dict[str, Any] = {"models": about["synthetic_models"], "steps": about["steps"]}
        found["unseen_synthetic"] = about["validation"]
        for data in self.datasets:
            many = evaluate(data, encoder, Settings("identification", ("cosine",)), cache=cache).result["rows"][0]
            pairs = evaluate(data, encoder, Settings("verification", ("cosine",)), cache=cache).result["rows"][0]
            found[data.root.name] = {
                "accuracy": many["top1"], "accuracy_low": many["top1_low"], "accuracy_high": many["top1_high"],
                "f1": many["f1"], "auc": pairs["auroc"], "auc_low": pairs["auroc_low"], "auc_high": pairs["auroc_high"],
                "pair_accuracy": pairs["accuracy"], "best_pair_accuracy": pairs["best_accuracy"],
            }  # fmt: skip
        return found


def _keys(names: Sequence[str]) -> list[ModelKey]:
    parts = (name.split("/") for name in names)
    return [ModelKey(architecture, int(seed)) for architecture, seed in parts]


def markdown(lines: Sequence[dict[str, Any]], datasets: Sequence[str]) -> str:
    """The table; percentages, and areas under the curve from 0 to 100 as in the paper."""
    heads = ["table", "row", "models", "steps", "unseen synthetic AUC"]
    heads += [f"{name} {what}" for name in datasets for what in ("accuracy", "F1", "pair accuracy", "AUC")]
    out = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for line in lines:
        if "why" in line:
            out.append(f"| {line['table']} | {line['row']} | {line['why']} |" + " |" * (len(heads) - 3))
            continue
        cells = [line["table"], line["row"], str(line["models"]), str(line["steps"])]
        cells.append(_percent(line["unseen_synthetic"].get("auc")))
        for name in datasets:
            cells += [_percent(line[name][what]) for what in ("accuracy", "f1", "pair_accuracy", "auc")]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
