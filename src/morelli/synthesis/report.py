"""What a run made, for the eye: ``report.json`` and a sheet of pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from morelli.generators.files import write_whole
from morelli.synthesis.architectures import ModelKey
from morelli.synthesis.crops import Crops
from morelli.synthesis.model_spectra import as_file
from morelli.synthesis.photos import Photos
from morelli.synthesis.store import Store

REPORT, SHEET = "report.json", "report.png"
SCHEMA = "morelli.synthesis/1"
_SIDE, _GAP, _HEAD = 128, 4, 28


def pick(keys: Sequence[ModelKey], count: int = 12) -> list[ModelKey]:
    """Models spread evenly over a sorted list: of as many architectures as may be."""
    by_architecture = {key.architecture_id: key for key in reversed(keys)}
    shown = sorted(by_architecture.values()) if len(by_architecture) >= count else list(keys)
    if len(shown) <= count:
        return shown
    return [shown[round(at)] for at in np.linspace(0, len(shown) - 1, count)]


def sheet(store: Store, photos: Photos, *, models: int = 12, rows: int = 3) -> Image.Image | None:
    """Photographs in the first column, and beside them what models make of them.

    Parameters
    ----------
    store : Store
    photos : Photos
    models : int
        Columns beside the first.
    rows : int
        Photographs.

    Returns
    -------
    Image or None
        None where the store holds no model.
    """
    keys = pick(store.keys, models)
    if not keys:
        return None
    side = min(_SIDE, min(min(each.shape[:2]) for each in photos.pixels) // 4 * 4)
    crops = Crops(photos.checking, side)
    shown = crops.cut(crops.draw(torch.Generator().manual_seed(1), rows))
    columns = [shown, *(store.apply(shown, [key] * rows) for key in keys)]
    titles = ["photograph", *(f"{key.architecture_id}/{key.seed}" for key in keys)]
    errors = [None, *(store.records[key].mse for key in keys)]
    step = side + _GAP
    canvas = Image.new("RGB", (step * len(columns) + _GAP, step * rows + _HEAD), "white")
    pen = ImageDraw.Draw(canvas)
    for column, (images, title, error) in enumerate(zip(columns, titles, errors, strict=True)):
        left = _GAP + column * step
        pen.text((left, 2), title if error is None else f"{title}\nMSE {error:.4f}", fill="black")
        pixels = (as_file(images) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        for row in range(rows):
            canvas.paste(Image.fromarray(pixels[row]), (left, _HEAD + row * step))
    return canvas


def write_report(store: Store, photos: Photos, told: Mapping[str, Any]) -> dict[str, Any]:
    """Write both files into the store.

    Parameters
    ----------
    store : Store
    photos : Photos
    told : mapping
        From `run.synthesize`.

    Returns
    -------
    dict
        What ``report.json`` holds: ``told``, the settings, errors by architecture, and the models that went wrong.

    Raises
    ------
    StorageError
        The disk refuses.
    """
    errors: dict[str, list[float]] = {}
    for key in store.keys:
        error = store.records[key].mse
        if error is not None:
            errors.setdefault(key.architecture_id, []).append(error)
    others = [record for _, record in sorted(store.records.items()) if record.status != "kept"]
    report = {
        "schema": SCHEMA,
        "store": str(store.path),
        **told,
        "photos": len(photos.pixels),
        "notes": list(photos.notes),
        "settings": store.header["settings"],
        "mse": {name: round(float(np.mean(each)), 6) for name, each in sorted(errors.items())},
        "not_kept": [
            {"architecture": each.architecture, "seed": each.seed, "status": each.status, "mse": each.mse,
             "trouble": each.trouble}
            for each in others
        ],
    }  # fmt: skip
    write_whole(store.path / REPORT, json.dumps(report, indent=1).encode() + b"\n")
    picture = sheet(store, photos)
    if picture is not None:
        data = io.BytesIO()
        picture.save(data, "PNG")
        write_whole(store.path / SHEET, data.getvalue())
    return report
