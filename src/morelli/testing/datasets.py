"""Write a small made-up dataset to a folder, and files that a loader must survive (`write_hostile`)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from PIL import Image

from morelli.errors import InputError
from morelli.testing.hostile import write_hostile
from morelli.testing.scenes import draw_scene, make_signature, render

__all__ = ["write_dataset", "write_hostile"]

_SAVE = {
    "png": ("PNG", {"compress_level": 1}),
    "jpeg": ("JPEG", {"quality": 90}),
    "webp": ("WEBP", {"quality": 90, "method": 0}),
}
_COLUMNS = ("file_name", "model", "family", "prompt_id", "prompt", "seed", "source", "licence")


def write_dataset(
    folder: str | Path,
    models: int = 4,
    prompts: int = 6,
    seeds: int = 3,
    size: int = 96,
    *,
    seed: int = 0,
    layout: Literal["metadata", "folders"] = "metadata",
    format: Literal["png", "jpeg", "webp"] = "png",
    families: Sequence[str] | None = None,
) -> Path:
    """A dataset whose models differ by small habits of processing: sharpness, a fine texture, colour, noise.

    An encoder that sees texture tells them apart; the scenes alone say nothing of the model. The same arguments give
    the same pixels.

    Parameters
    ----------
    folder : str or Path
        Made where it does not exist.
    models, prompts, seeds : int
        Their product is the number of pictures. Models are called "model-00", "model-01", …
    size : int
        Side of the square pictures, pixels.
    seed : int
        Another seed gives other scenes and other models.
    layout : {"metadata", "folders"}
        With a ``metadata.csv``, or sub-folders only.
    format : {"png", "jpeg", "webp"}
        JPEG and WebP at quality 90.
    families : sequence of str, optional
        One family a model; models of one family share sharpness and texture. By default each is its own.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        Nothing to write, a size below 16, an unknown layout or format, or families that do not match the models.
    """
    if min(models, prompts, seeds) < 1 or size < 16:
        raise InputError(f"cannot write {models} models × {prompts} prompts × {seeds} seeds at {size} pixels.")
    if layout not in ("metadata", "folders") or format not in _SAVE:
        raise InputError(f"layout must be metadata or folders and format png, jpeg or webp; got {layout}, {format}.")
    names = [f"model-{number:02d}" for number in range(models)]
    kin = list(families) if families is not None else names
    if len(kin) != models:
        raise InputError(f"there are {len(kin)} families for {models} models.", argument="families")
    root = Path(folder)
    rows: list[tuple[object, ...]] = []
    for name, family in zip(names, kin, strict=True):
        signature = make_signature(seed, family, name)
        (root / name).mkdir(parents=True, exist_ok=True)
        for prompt in range(prompts):
            for number in range(seeds):
                draw = f"{name}/{number}"
                pixels = render(draw_scene(seed, prompt, draw, size), signature, seed, f"{prompt}/{draw}")
                file_name = f"{name}/{prompt:03d}_{number}.{format}"
                kind, options = _SAVE[format]
                Image.fromarray(pixels).save(root / file_name, kind, **options)
                text = f"made-up scene {prompt}"
                rows.append((file_name, name, family, f"{prompt:03d}", text, number, "morelli.testing", "CC0-1.0"))
    if layout == "metadata":
        with (root / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *rows])
    return root
