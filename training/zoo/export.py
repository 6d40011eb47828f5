"""The run's export folder: finished parts in the package's layout, and the manifest over them."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.zoo.recipes.store import save_half

from morelli.generators.zoo.manifest import SCHEMA, list_files

ENTRIES = "entries.json"


def read_entries(out: Path) -> dict[str, Any]:
    """What is known of every exported part, by name: "model" (for generators) and "training"."""
    path = out / ENTRIES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_json(path: Path, value: Any) -> None:
    """Write beside the place and move there."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def note(out: Path, name: str, made: Path | None = None, **news: Any) -> None:
    """Add to what is known of a part, and write the export folder's manifest anew.

    Parameters
    ----------
    out : Path
        The run's folder.
    name : str
    made : Path, optional
        Folder of new files, which are moved to their places in the export folder first.
    **news
        "model" and "training".
    """
    with (out / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two parts may be trained at once, each by a process of its own
        if made is not None:
            _move(made, out / "export")
        entries = read_entries(out)
        entries.setdefault(name, {}).update(news)
        write_json(out / ENTRIES, entries)
        write_manifest(out / "export", entries)


def _move(made: Path, target: Path) -> None:
    for path in sorted(path for path in made.rglob("*") if path.is_file()):
        place = target / path.relative_to(made)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    shutil.rmtree(made)


def write_manifest(folder: Path, entries: dict[str, Any]) -> None:
    """The manifest of a weights folder.

    Parameters
    ----------
    folder : Path
    entries : dict
        As `read_entries` gives them; those whose files are not in the folder are left out.
    """
    files = list_files(folder)
    models = {
        name: {**each["model"], "training": each.get("training", {})}
        for name, each in entries.items()
        if each.get("model") and all(_there(part, files) for part in each["model"]["components"].values())
    }
    parts = {name: each.get("training", {}) for name, each in entries.items() if not each.get("model")}
    write_json(folder / "manifest.json", {"schema": SCHEMA, "models": models, "parts": parts, "files": files})


def _there(part: str, files: Iterable[str]) -> bool:
    return any(path.startswith(f"{part}/") for path in files)


def publish(out: Path, target: Path, names: Iterable[str]) -> int:
    """Copy models, the parts that they use, and the mini-CLIP and captioner into a weights folder.

    Parameters
    ----------
    out : Path
        A run's folder.
    target : Path
        Emptied first.
    names : iterable of str
        Generators.

    Returns
    -------
    int
        Bytes of the folder.
    """
    entries = read_entries(out)
    kept = {name: entries[name] for name in names}
    for each in (
        "text",
        "clip",
        "captioner",
        "segmenter",
        "latent-segmenter",
        "teacher",
        "picture-teacher",
        "vae",
        "vae-b",
        "vq",
    ):
        if each in entries:
            kept[each] = entries[each]
    parts = {part for name in names for part in entries[name]["model"]["components"].values()}
    parts |= {name for name in ("clip", "captioner") if (out / "export" / name).is_dir()}
    if target.is_dir():
        shutil.rmtree(target)
    for part in sorted(parts):
        shutil.copytree(out / "export" / part, target / part)
        _leave_out_encoder(target / part)
    for config in target.rglob("config.json"):
        _leave_out_origin(config)
    write_manifest(target, kept)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def _leave_out_encoder(folder: Path) -> None:
    """An autoencoder's folder is written again with what making pictures needs alone."""
    from morelli.generators.zoo.pipelines import folded

    config = folder / "config.json"
    found = json.loads(config.read_text(encoding="utf-8")).get("_class_name", "") if config.is_file() else ""
    slim: Any = {"FoldedAutoencoderKL": folded.FoldedKLDecoder, "FoldedVQModel": folded.FoldedVQDecoder}.get(found)
    if slim is not None:
        save_half(slim.from_pretrained(folder), folder)


def _leave_out_origin(config: Path) -> None:
    """Diffusers writes down which folder of this machine a network was read from."""
    told = json.loads(config.read_text(encoding="utf-8"))
    if told.pop("_name_or_path", None) is not None:
        config.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
