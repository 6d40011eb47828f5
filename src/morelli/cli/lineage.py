"""``morelli lineage``: does the model behind these images derive from one that the gallery has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from morelli.cli import asking
from morelli.cli.output import emit_json, say_error
from morelli.cli.progress import progress
from morelli.errors import InputError

#: Bases that people are shown.
SHOWN = 8


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(lineage)


def lineage(
    images: Annotated[list[Path], typer.Argument(help="Images of one model, and folders of them.", show_default=False)],
    gallery: asking.GalleryOption = None,
    base: Annotated[str | None, typer.Option(help="Test this base alone.", show_default=False)] = None,
    encoder: asking.EncoderOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Test whether the model that made all of these images derives from one of the gallery's.

    All images must be of one model, which the gallery need not know. Each base's likeness to them is ranked among
    models of other lineages; the p-value is of "not derived from it".
    """
    from morelli.lineage import derived_from

    where = asking.required_gallery(gallery)
    files, empty = asking.pictures(images)
    if not files:
        raise empty[0][1] if empty else InputError("no image was given.", argument="images")
    with progress("embedding") as report:
        found = derived_from(files, where, base=base, encoder=encoder, progress=report)
    found["errors"] += [{"image": name, "message": error.message, "fix": error.fix} for name, error in empty]
    if as_json:
        emit_json(found)
    else:
        show(found)
    if found["errors"]:
        for each in found["errors"] if not as_json else ():
            say_error(InputError(each["message"], argument=each["image"], fix=each["fix"]))
        raise typer.Exit(1)


def show(found: Mapping[str, Any]) -> None:
    """An answer for people."""
    count = len(found["images"])
    print(f"{count} {'image' if count == 1 else 'images'} of one model: is it derived from …")
    width = max(len(test["base"]) for test in found["tests"][:SHOWN])
    for test in found["tests"][:SHOWN]:
        least = f", the least possible {test['smallest_p_value']:.3f}"
        kin = ", ".join(name for name in test["lineage"] if name != test["base"])
        print(
            f"{test['base']:{width}}  p = {test['p_value']:.3f}{least if test['p_value'] > 0.05 else ''}, "
            f"likeness {test['likeness']:+.3f}" + (f", with {kin}" if kin else "")
        )
    if len(found["tests"]) > SHOWN:
        print(f"… and {len(found['tests']) - SHOWN} others, less like it")
    print(f"method  lineage, {found['method']['encoder']}")
    for note in found["notes"]:
        print(f"note    {note}")
