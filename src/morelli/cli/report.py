"""``morelli report``: one HTML file, or PDF, of what other commands found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import say
from morelli.errors import InputError, StorageError

if TYPE_CHECKING:
    from morelli.report.inputs import Given
    from morelli.report.verdict import Pictures


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(report)


def report(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="JSON of identify, evaluate or exposure (with --json), or a training's log.jsonl.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The HTML file.", show_default=False)],
    pdf: Annotated[
        Path | None, typer.Option(help="Also as PDF, by a Chromium that is on the PATH.", show_default=False)
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the images that verdicts are on, found by their SHA-256: each is shown beside its verdict.",
            show_default=False,
        ),
    ] = None,
    # Not from MORELLI_GALLERY: what a report shows must not hang on who makes it.
    gallery: Annotated[
        str | None,
        typer.Option(help="Gallery whose thumbnails show the nearest references of verdicts.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Make one self-contained page of results: figures, tables, and where each of them comes from.

    It needs no network to be read, and has no script.
    """
    targets = [out, *([pdf] if pdf is not None else [])]
    _check_free(targets, inputs, overwrite)
    from morelli.report.inputs import read_input
    from morelli.report.printed import find_browser, make_pdf

    browser = find_browser() if pdf is not None else None
    given = [read_input(path) for path in inputs]
    from morelli.report.document import document

    html = document(given, _pictures(given, images, gallery))
    files = {out: html.encode()}
    if pdf is not None and browser is not None:
        files[pdf] = make_pdf(html, browser)
    for path, data in files.items():  # both or, where the browser fails, none
        _write(path, data)


def _pictures(
    given: list[Given], images: Path | None, gallery: str | None
) -> Callable[[Mapping[str, Any]], Pictures] | None:
    """What gives the pictures of each verdict; None where none were asked for."""
    if images is None and gallery is None:
        return None
    from morelli.gallery.view import GalleryView
    from morelli.report.inputs import verdicts_of
    from morelli.report.pictures import collect

    verdicts = verdicts_of(given)
    if not verdicts:
        option = "--gallery" if images is None else "--images"
        raise InputError("goes with verdicts, and none was given.", argument=option, fix="Leave it out.")
    album = collect(verdicts, images, None if gallery is None else GalleryView.open(gallery))
    for note in album.notes:
        say(f"note: {note}")
    return album.of


def _check_free(targets: list[Path], inputs: list[Path], overwrite: bool) -> None:
    """Refuse before the work what could not be written after it."""
    whole = [target.resolve() for target in targets]
    if len(set(whole)) < len(whole):
        raise InputError("names the same file as --out.", argument="--pdf", fix="Name another one.")
    for option, target, place in zip(("--out", "--pdf"), targets, whole, strict=False):
        if place in {path.resolve() for path in inputs}:
            raise InputError(f"{target} is an input.", argument=option, fix="Name another file.")
        if target.is_dir():
            raise InputError(f"{target} is a folder.", argument=option, fix="Name a file in it.")
        if not target.parent.is_dir():
            raise InputError(f"there is no folder {target.parent}.", argument=option, fix="Make it first.")
        if target.exists() and not overwrite:
            fix = "Name another file, or add --overwrite."
            raise InputError(f"{target} exists already.", argument=option, fix=fix)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"cannot be written ({error.strerror or error}).", argument=str(path)) from error
    say(f"wrote {path}")
