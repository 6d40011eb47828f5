"""Table II: how near synthetic models' spectra are to real ones', and how much room they take, option by option."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from morelli.encoders.weights import short_hash
from morelli.fingerprint.residual import load_residual
from morelli.generators.files import write_whole
from morelli.images.dataset import Dataset
from morelli.synthesis.compare import compare
from morelli.synthesis.model_spectra import dataset_spectra, store_spectra
from morelli.synthesis.photos import Photos
from morelli.synthesis.spectra import DEFAULT
from morelli.synthesis.store import Store

TABLE = "II"
IMAGES = 100
SIDE = 128
#: Options that are taken away one at a time; "seed" leaves each architecture one model.
REMOVED = ("K", "L", "S", "U", "A", "N", "seed")


def fidelity(
    store: Store, photos: Photos, datasets: Sequence[Dataset], out: Path, images: int = IMAGES
) -> dict[str, list[dict[str, Any]]]:
    """Rows of `morelli.synthesis.compare.compare` for each dataset's name; kept in ``out``, and read from there.

    Raises
    ------
    ImageTooSmallError
        A dataset with a picture of less than 128 pixels a side.
    """
    weights = [[*key, store.records[key].sha256] for key in store.keys]
    given = [[str(data.root), [item.name for item in data.items]] for data in datasets]
    key = short_hash([weights, photos.digest, given, images, SIDE, REMOVED, asdict(DEFAULT)])
    file = out / "table-ii.json"
    if file.is_file() and (kept := json.loads(file.read_bytes()))["key"] == key:
        return kept["rows"]
    residual = load_residual("median")
    ours = store_spectra(store, photos, residual, DEFAULT, side=SIDE, images=images)
    found: dict[str, list[dict[str, Any]]] = {}
    for data in datasets:
        real = dataset_spectra(data.root, residual, DEFAULT, side=SIDE, images=images)
        found[data.root.name] = compare(ours, real, REMOVED)
    write_whole(file, json.dumps({"key": key, "rows": found}, indent=1).encode() + b"\n")
    return found


def markdown(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The table: a row for each removal, the distances to every dataset side by side."""
    heads = ["synthetic models", "models", *(f"FFD to {name}" for name in found), "log-volume", "share of the volume"]
    out = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for rows in zip(*found.values(), strict=True):
        first = rows[0]
        cells = ["all" if first["without"] is None else f"without {first['without']}", str(first["models"])]
        cells += [_figure(row["ffd"]) for row in rows]
        cells += [_figure(first["log_volume"]), _figure(first["volume_share"])]
        out.append("| " + " | ".join(cells) + " |")
    why = dict.fromkeys(reason for rows in found.values() for row in rows for reason in row["why"])
    return "\n".join([*out, *(f"\n– : {reason}" for reason in why)]) + "\n"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
