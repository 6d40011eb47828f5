"""The cards of `docs/zoo.md`, written from the manifest: no figure there is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from training.zoo.plan import AIMS, COURSES
from training.zoo.score import sample

from morelli.generators.zoo.manifest import Entry, Manifest
from morelli.generators.zoo.world import prompts

BEGIN, END = "<!-- cards: written by python -m training.zoo cards -->", "<!-- end of cards -->"
_COLUMNS = 10
_LABEL = 78


def write_cards(manifest: Manifest, parts: Mapping[str, Any], page: Path, picture: Path) -> None:
    """Put the manifest's figures between the page's marks, and draw the sample sheet.

    Parameters
    ----------
    manifest : Manifest
        Of the weights that are shipped.
    parts : mapping
        Training records of what is no generator, as the manifest has them.
    page : Path
        Markdown file that has both marks.
    picture : Path
        PNG file.

    Raises
    ------
    ValueError
        The page lacks a mark.
    """
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        raise ValueError(f"{page} must hold {BEGIN!r} and then {END!r}")
    body = "\n".join([_table(manifest), _parts(parts), *(_card(entry, manifest) for entry in manifest.models.values())])
    page.write_text(f"{head}{BEGIN}\n\n{body}\n{END}{tail}", encoding="utf-8")
    draw_sheet(manifest, picture)


def _table(manifest: Manifest) -> str:
    lines = [
        "| model | base | parameters | objects | colours | counts | relations | prompts |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, entry in manifest.models.items():
        figures = entry.training["agreement"]
        shown = " | ".join(f"{figures[aim]:.2f}" for aim in AIMS)
        lines.append(
            f"| `{name}` | `{entry.base}` | {_millions(entry.parameters)} | {shown} | {entry.training['prompts']} |"
        )
    return "\n".join(lines) + "\n"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def _record(training: Mapping[str, Any]) -> str:
    on_cpu = training["device"] == "cpu"
    minutes = training["cpu_seconds" if on_cpu else "seconds"] / 60
    where = "of one CPU core" if on_cpu else "on a GPU"
    return f"{training['images']:,} pictures in {training['steps']:,} steps, {minutes:.0f} minutes {where}"


def _parts(parts: Mapping[str, Any]) -> str:
    lines = []
    for name, record in parts.items():
        figures = ", ".join(f"{key} {value:.2f}" for key, value in record.get("agreement", {}).items())
        lines.append(f"- `{name}`: {_summary(name)} {_record(record)}." + (f" {figures}." if figures else ""))
    return "\n".join(lines) + "\n"


def _summary(name: str) -> str:
    return (COURSES[name].recipe.__doc__ or "").strip().splitlines()[0]


def _card(entry: Entry, manifest: Manifest) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in entry.settings.items() if key not in ("width", "height"))
    shared = ", ".join(f"`{folder}`" for folder in sorted(set(entry.components.values())))
    size = sum(manifest.files[path][0] for path in manifest.files_of(*_own(entry)))
    return "\n".join(
        [
            f"### `{entry.name}`",
            "",
            f"{entry.architecture[0].upper()}{entry.architecture[1:]}. {_summary(entry.name)}",
            "",
            f"- Base: `{entry.base}`. Parameters of its own: {_millions(entry.parameters)}, {size / 1e6:.2f} MB.",
            f"- Runs from: {shared}. Settings: {settings or 'none'}. Revision {manifest.revision(entry.name)}.",
            f"- Training: {_record(entry.training)}.",
            "- Licence: Apache-2.0, weights and code.",
            "",
        ]
    )


def _own(entry: Entry) -> list[str]:
    return [folder for folder in set(entry.components.values()) if folder.split("/")[0] == entry.name]


def draw_sheet(manifest: Manifest, picture: Path) -> None:
    """A row for each model, a column for each of some test prompts, one seed a column."""
    texts = prompts("test", _COLUMNS, 11)
    sheet = Image.new("RGB", (_LABEL + _COLUMNS * 66, len(manifest.models) * 66), "white")
    pen = ImageDraw.Draw(sheet)
    for row, name in enumerate(manifest.models):
        pen.text((4, row * 66 + 26), name, fill="black")
        for column, pixels in enumerate(np.asarray(sample(manifest.folder, name, texts))):
            sheet.paste(Image.fromarray(pixels), (_LABEL + column * 66, row * 66))
    picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(picture, optimize=True)
