"""``morelli gallery``: build and keep references. The group, and the command that removes."""

from __future__ import annotations

from typing import Annotated

import typer

from morelli.cli import gallery_add, gallery_build, gallery_read
from morelli.cli.gallery_read import GalleryArgument, JsonOption, label, label_json
from morelli.cli.output import emit_json, say

REMOVE_SCHEMA = "morelli.gallery-remove/1"


def register(app: typer.Typer) -> None:
    """Add the group to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Build and keep references: images whose model is known.")
    group.command("add")(gallery_add.add)
    group.command("build")(gallery_build.build)
    group.command("list")(gallery_read.list_)
    group.command("show")(gallery_read.show)
    group.command("remove")(remove)
    group.command("check")(gallery_read.check)
    group.command("export")(gallery_read.export)
    group.command("import")(gallery_add.import_)
    app.add_typer(group, name="gallery")


def remove(
    gallery: GalleryArgument,
    model: Annotated[list[str] | None, typer.Option(help="Name of a model; may be repeated.")] = None,
    prompt: Annotated[list[str] | None, typer.Option(help="A prompt's id; may be repeated.")] = None,
    reference: Annotated[
        list[str] | None, typer.Option(help="A content hash, or its beginning; may be repeated.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also delete from the disk what only earlier versions need.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove references: those that meet every kind of condition given.

    Earlier versions keep them on the disk until the gallery is pruned; --prune without a condition does only that.
    """
    from morelli.gallery.store import Gallery

    if not (model or prompt or reference or prune):
        raise typer.BadParameter("nothing says what to remove: give --model, --prompt or --reference.")
    held = Gallery.open(gallery)
    before = held.references()
    if model or prompt or reference:
        held.remove(models=model or (), prompts=prompt or (), contents=reference or ())
    left = {known.content for known in held.references()}
    gone = [known for known in before if known.content not in left]
    freed = held.prune() if prune else None
    if as_json:
        entries = [{"content": r.content, **label_json(r)} for r in gone]
        emit_json(
            {
                "schema": REMOVE_SCHEMA,
                "gallery": held.path,
                "version": held.version,
                "removed": len(gone),
                "references": entries,
                "freed_bytes": freed,
            }
        )
        return
    for known in gone:
        print(f"removed  {known.content[:12]}  {known.name}  ({label(known)})")
    if model or prompt or reference:
        say(f"{held.path}: {len(gone)} references removed, {len(held)} left; version {held.version}")
    if freed is not None:
        say(f"{freed / 1e6:.1f} MB of earlier versions deleted")
