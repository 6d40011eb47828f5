"""Table II: how near synthetic models' spectra are to real ones', and how much room they take, option by option."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.spectra_analysis import least_side

from morelli.encoders.weights import short_hash
from morelli.errors import MorelliError
from morelli.fingerprint.residual import load_residual
from morelli.generators.files import write_whole
from morelli.images.dataset import Dataset
from morelli.synthesis.compare import DRAWS, compare
from morelli.synthesis.model_spectra import Spectra, dataset_spectra, store_spectra
from morelli.synthesis.photos import Photos
from morelli.synthesis.spectra import DEFAULT
from morelli.synthesis.store import Store

TABLE = "II"
IMAGES = 100
#: Side of the crops at most, pixels; and of the draws of equally many models.
SIDE, SEED = 128, 0
#: Options that are taken away one at a time; "seed" leaves each architecture one model.
REMOVED = ("K", "L", "S", "U", "A", "N", "seed")


def fidelity(
    store: Store, photos: Photos, datasets: Sequence[Dataset], out: Path, images: int = IMAGES
) -> dict[str, dict[str, Any]]:
    """Rows of `morelli.synthesis.compare.compare` for each dataset's name; kept in ``out``, and read from there.

    Returns
    -------
    dict of str to dict
        ``side``: of the crops of both sides, pixels; as many as the dataset's smallest picture has, `SIDE` at most and
        a multiple of 4. ``rows``; or ``why`` there are none.
    """
    weights = [[*key, store.records[key].sha256] for key in store.keys]
    given = [[str(data.root), [item.name for item in data.items]] for data in datasets]
    how = [images, SIDE, REMOVED, asdict(DEFAULT), DRAWS, SEED]
    key = short_hash([weights, photos.digest, given, how])
    file = out / "table-ii.json"
    if file.is_file() and (kept := json.loads(file.read_bytes()))["key"] == key:
        return kept["found"]
    ours: dict[int, Spectra] = {}
    found = {data.root.name: _compared(store, photos, data, images, ours) for data in datasets}
    write_whole(file, json.dumps({"key": key, "found": found}, indent=1).encode() + b"\n")
    return found


def _compared(store: Store, photos: Photos, data: Dataset, images: int, ours: dict[int, Spectra]) -> dict[str, Any]:
    """One dataset's rows; ``ours`` keeps the spectra of the store by their side."""
    try:
        side = least_side([item.path for item in data.items]) // 4 * 4
        residual = load_residual("median")
        real = dataset_spectra(data.root, residual, DEFAULT, side=side, images=images)
        if side not in ours:
            ours[side] = store_spectra(store, photos, residual, DEFAULT, side=side, images=images)
        return {"side": side, "rows": compare(ours[side], real, REMOVED, draws=DRAWS, seed=SEED)}
    except MorelliError as error:  # a table with a column less, and the reason below it
        return {"why": str(error)}


def markdown(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table: a row for each removal, the distances to every dataset side by side.

    Distances and volumes are those over equally many models. Volumes are of the crops of the first dataset that could
    be compared.
    """
    known = {name: each for name, each in found.items() if "rows" in each}
    out: list[str] = []
    if known:
        first = next(iter(known.values()))
        equal = first["rows"][0]["equal"]
        heads = ["synthetic models", "models"]
        heads += [
            f"FFD of {each['rows'][0]['equal']['ffd_models'] or '–'} to {each['rows'][0]['other_models']} of {name}, "
            f"{each['side']} px"
            for name, each in known.items()
        ]
        heads += [f"log-volume of {equal['volume_models'] or '–'}", "share of the volume"]
        out = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
        for rows in zip(*(each["rows"] for each in known.values()), strict=True):
            row = rows[0]
            cells = ["all" if row["without"] is None else f"without {row['without']}", str(row["models"])]
            cells += [_mean(each["equal"], "ffd") for each in rows]
            cells += [_mean(row["equal"], "log_volume"), _figure(row["equal"]["volume_share"])]
            out.append("| " + " | ".join(cells) + " |")
    told = [row for each in known.values() for row in each["rows"]]
    reasons = [f"– : {reason}" for row in told for reason in row["why"]]
    notes = [note for row in told for note in row["notes"]]
    missing = [f"{name}: {each['why']}" for name, each in found.items() if "why" in each]
    return "\n".join([*out, *(f"\n{line}" for line in dict.fromkeys([*reasons, *notes, *missing]))]) + "\n"


def _mean(figures: Mapping[str, Any], name: str) -> str:
    spread = figures[f"{name}_spread"]
    return _figure(figures[name]) + (f" ± {_figure(spread)}" if spread else "")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
