"""``morelli protect DATASET``: a whole dataset protected into another one, taken up where it was left."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.cli.output import emit_json, error_json, plain, say
from morelli.cli.progress import staged_progress
from morelli.errors import InputError, MorelliError

if TYPE_CHECKING:
    from morelli.defence.store import ProtectedStore
    from morelli.images.dataset import Dataset
    from morelli.protect import Protector

DATASET_SCHEMA = "morelli.protect-dataset/1"
#: Rows of a dataset's sheet.
SHEET_ROWS = 12


def dataset_of(paths: Sequence[Path]) -> Dataset | None:
    """The dataset that a command was given: one folder with metadata, or with its pictures in sub-folders alone.

    None where pictures were given, or a folder that has them directly in it.

    Raises
    ------
    DatasetError
        Its metadata do not fit it.
    """
    from morelli.images.dataset import list_images, read_dataset
    from morelli.images.metadata import METADATA_NAMES

    if len(paths) != 1 or not paths[0].is_dir():
        return None
    (root,) = paths
    if any((root / name).is_file() for name in METADATA_NAMES):
        return read_dataset(root)
    images = list_images([root])
    return read_dataset(root) if all(path.parent != root for path in images) else None


def refuse(given: dict[str, Any]) -> None:
    """Refuse options that are of single pictures.

    Raises
    ------
    InputError
        One of them was given.
    """
    for name, value in given.items():
        if value:
            raise InputError(
                "is for pictures, and this is a dataset, which names the model and prompt of each.",
                argument=f"--{name}",
                fix="Leave it out, or name the pictures in place of their folder.",
            )


def protect_dataset(protector: Protector, dataset: Dataset, out: Path, overwrite: bool, as_json: bool) -> int:
    """Protect what is not protected yet, and say what came of it; how many images failed."""
    from morelli.defence.store import ProtectedStore, check_apart

    check_apart(out, dataset.root)
    for note in dataset.notes:
        say(f"note: {note}")
    settings = protector.describe(dataset.items)
    with ProtectedStore(out, dataset.root, dataset.items, settings, overwrite=overwrite) as store:
        missing = store.missing()
        there = len(dataset.items) - len(missing)
        failed = _run(protector, store, missing, as_json)
        store.finish()
        told = summary(list(store.reports()), failed, there)
    if as_json:
        emit_json({"schema": DATASET_SCHEMA, "dataset": str(dataset.root), "out": str(out), **told})
    else:
        show(out, told)
    return failed


def _run(protector: Protector, store: ProtectedStore, missing: list[Any], as_json: bool) -> int:
    from morelli.defence.files import png_bytes

    failed = 0
    with staged_progress() as bars:
        for item, found in protector.protect_items(missing, progress=spoken(bars)):
            if isinstance(found, MorelliError):
                failed += 1
                tell(str(item.path), found, as_json)
                continue
            data, path = png_bytes(found.after), store.path(item)
            done = replace(found, output=str(path), output_sha256=hashlib.sha256(data).hexdigest())
            store.add(item, data, plain(done.to_json()))
            if as_json:
                emit_json(done.to_json())
    return failed


def sheet_of(out: Path) -> Path:
    """Where the sheet of a dataset goes: beside the folder, as it is no image of it.

    Raises
    ------
    InputError
        Nothing is beside it: it is the root of all folders.
    """
    if not out.name or out.name == "..":  # "." and what ends in ".." have names elsewhere
        out = out.resolve()
    if not out.name:
        raise InputError(
            f"the sheet would lie beside {out}, and there is nothing.",
            argument="--sheet",
            fix="Leave it out, or name another --out.",
        )
    return out.with_name(f"{out.name}-sheet.png")


def check_sheet(out: Path, overwrite: bool) -> None:
    """Refuse to replace a sheet, before the work, unless that is asked for; and where it can have no place.

    Raises
    ------
    InputError
    """
    if sheet_of(out).exists() and not overwrite:
        raise InputError(f"{sheet_of(out)} exists already.", argument="--sheet", fix="Leave it out, or move the file.")


def write_sheet(dataset: Dataset, out: Path, overwrite: bool) -> None:
    """The first images of a protected dataset beside their originals, in a file beside the folder."""
    from morelli.defence.files import png_bytes, write_file
    from morelli.defence.sheet import side_by_side
    from morelli.defence.store import output_name
    from morelli.images.load import load_image

    pairs = []
    for item in dataset.items:
        made = out / output_name(item.name)
        if made.is_file() and len(pairs) < SHEET_ROWS:
            pairs.append((load_image(item.path).pixels, load_image(made).pixels))
    if pairs:
        path = sheet_of(out)
        write_file(path, png_bytes(side_by_side(pairs)), overwrite=overwrite)
        say(f"wrote {path}")


def summary(reports: Sequence[dict[str, Any]], failed: int, there: int) -> dict[str, Any]:
    """What came of all images that are there, those of earlier runs among them.

    Shares of the images whose model comes first before, after and under random signs; means of the quality.
    """
    ranks = {
        when: [one[when]["rank"] for one in reports if when in one and one[when]["rank"] is not None]
        for when in ("before", "after", "noise")
    }
    notes = Counter(note for one in reports for note in one["notes"])
    db = [one["quality"]["psnr"] for one in reports if one["quality"]["psnr"] is not None]
    return {
        "images": len(reports),
        "made": len(reports) - there,
        "there": there,
        "failed": failed,
        "top1": {when: _mean([float(rank == 1) for rank in found]) for when, found in ranks.items()},
        "psnr": _mean(db),
        "ms_ssim": _mean([one["quality"]["ms_ssim"] for one in reports]),
        # What was said of one image alone stands in its report.
        "notes": {note: count for note, count in notes.most_common() if count > 1},
    }


def show(out: Path, told: dict[str, Any]) -> None:
    """The summary for people."""
    counts = f"{told['made']} made, {told['there']} there already, {told['failed']} failed"
    print(f"{out}: {told['images']} images, {counts}")
    words = {"before": "before", "after": "protected", "noise": "random signs"}
    shares = [f"{words[when]} {100 * share:.1f} %" for when, share in told["top1"].items() if share is not None]
    if shares:
        print(f"right model first: {', '.join(shares)}")
    if told["ms_ssim"] is not None:
        decibel = "equal" if told["psnr"] is None else f"{told['psnr']:.1f} dB"
        print(f"quality: PSNR {decibel}, MS-SSIM {told['ms_ssim']:.4f}")
    for note, count in told["notes"].items():
        say(f"note: {note} ({count} images)")


def spoken(bars: Callable[[str, int, int], None]) -> Callable[[str, int, int], None]:
    """Progress as bars, and learning in words."""

    def report(stage: str, done: int, total: int) -> None:
        if stage == "learning":
            say("learning the statistics of the gallery, once …")
        else:
            bars(stage, done, total)

    return report


def tell(image: str, error: MorelliError, as_json: bool) -> None:
    """What is wrong with one image."""
    text = " ".join(str(error).split())
    say(f"error: {text}" if error.argument == image else f"error: {image}: {text}")
    if as_json:
        emit_json(error_json(error, image=image))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
