"""The commands of ``morelli gallery`` that read: list, show, check, export."""

from __future__ import annotations

import os
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, say
from morelli.errors import InputError, StorageError, UnknownNameError
from morelli.types import Reference

if TYPE_CHECKING:
    from morelli.gallery.records import Summary

LIST_SCHEMA = "morelli.gallery/1"
REFERENCE_SCHEMA = "morelli.reference/1"
CHECK_SCHEMA = "morelli.gallery-check/1"

GalleryArgument = Annotated[str, typer.Argument(help="Folder of the gallery, or an object store's URI.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def list_(
    gallery: GalleryArgument,
    references: Annotated[bool, typer.Option("--references", help="Each reference instead of the models.")] = False,
    model: Annotated[str | None, typer.Option(help="With --references: of this model only.")] = None,
    prompt: Annotated[str | None, typer.Option(help="With --references: of this prompt's id only.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show models, families, prompts, encoders and size; or, with --references, one line a reference."""
    from morelli.gallery.view import GalleryView

    if (model or prompt) and not references:
        raise typer.BadParameter("--model and --prompt go with --references.")
    held = GalleryView.open(gallery)
    if references:
        for known in _chosen(held.references(), model, prompt):
            if as_json:
                emit_json({"schema": REFERENCE_SCHEMA, **asdict(known)})
            else:
                print(f"{known.content[:12]}  {known.model}  {known.prompt_id or '–'}  {known.name}")
    elif as_json:
        emit_json(_summary_json(held.summary()))
    else:
        _print_summary(held.summary())


def show(
    gallery: GalleryArgument,
    reference: Annotated[str, typer.Argument(help="Content hash of a reference, or the beginning of it.")],
    thumbnail: Annotated[
        Path | None, typer.Option(help="Write its thumbnail, a WebP picture, to this file.", dir_okay=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the thumbnail's file where it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is known of one reference."""
    from morelli.gallery.view import GalleryView

    held = GalleryView.open(gallery)
    known = held.show(reference)
    picture = held.thumbnail(known.content)
    if thumbnail is not None:
        if picture is None:
            raise InputError(f"{known.name} has no thumbnail: it came without pixels.", argument="thumbnail")
        refuse_existing(thumbnail, force)
        _write(thumbnail, picture)
    encoders = [s.encoder for s in held.stamps() if not held.missing([known.content], s.encoder)]
    entry: dict[str, Any] = {**asdict(known), "encoders": encoders, "thumbnail_bytes": len(picture or b"")}
    if as_json:
        emit_json({"schema": REFERENCE_SCHEMA, **entry})
        return
    for name, value in entry.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name:16} {'–' if shown in (None, '') else shown}")


def check(gallery: GalleryArgument, as_json: JsonOption = False) -> None:
    """Read everything, every vector and thumbnail, and say what is wrong. Exit status 1 where something is."""
    from morelli.gallery.view import GalleryView

    held = GalleryView.open(gallery)
    found = held.check()
    if as_json:
        emit_json({"schema": CHECK_SCHEMA, "gallery": held.path, "ok": found.ok, **asdict(found)})
    elif found.ok:
        print(f"{held.path}: sound; {found.references} references, version {found.version}")
    else:
        for problem in found.problems:
            print(problem)
    if not found.ok:
        say(f"error: {held.path}: not sound; {found.references} references read, version {found.version}.")
        raise typer.Exit(1)


def export(
    gallery: GalleryArgument,
    file: Annotated[Path, typer.Argument(help="File to write, for example references.parquet.")],
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails", help="Also the thumbnails. They are pixels: share them only where you may.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")] = False,
) -> None:
    """Write the gallery to one file that can be shared: embeddings, hashes and provenance, no pixels."""
    from morelli.gallery.view import GalleryView

    held = GalleryView.open(gallery)
    refuse_existing(file, force)
    count = held.export(file, thumbnails=thumbnails)
    pixels = "with thumbnails" if thumbnails else "without pixels"
    say(f"{file}: {count} references {pixels}, {file.stat().st_size / 1e6:.1f} MB")


def label(reference: Reference) -> str:
    """Model and, where known, the prompt's id, for a line of text."""
    return reference.model + (f", prompt {reference.prompt_id}" if reference.prompt_id else "")


def label_json(reference: Reference) -> dict[str, str]:
    """Name and label of a reference."""
    return {name: getattr(reference, name) for name in ("name", "model", "family", "prompt_id")}


def refuse_existing(file: Path, force: bool) -> None:
    """Refuse to replace a file unless that was asked for.

    Raises
    ------
    InputError
        Something is there.
    """
    if file.is_dir():
        raise InputError("is a folder, and must be a file.", argument=str(file), fix="Choose another name.")
    if not force and os.path.lexists(file):
        raise InputError("exists already.", argument=str(file), fix="Choose another name, or replace it with --force.")


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all."""
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            part.write_bytes(data)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror or error}).", argument=str(file)) from error


def _chosen(references: tuple[Reference, ...], model: str | None, prompt: str | None) -> list[Reference]:
    for field, kind, name in (("model", "model", model), ("prompt_id", "prompt", prompt)):
        known = {getattr(reference, field) for reference in references}
        if name is not None and name not in known:
            raise UnknownNameError(kind, name, known)
    return [r for r in references if model in (None, r.model) and prompt in (None, r.prompt_id)]


def _summary_json(found: Summary) -> dict[str, Any]:
    return {
        "schema": LIST_SCHEMA,
        "gallery": found.path,
        "version": found.version,
        "references": found.references,
        "prompts": found.prompts,
        "size_bytes": found.size,
        "models": [asdict(model) for model in found.models],
        "encoders": [
            {
                "encoder": held.stamp.encoder,
                "revision": held.stamp.revision,
                "preprocessing": held.stamp.preprocessing,
                "dims": held.stamp.dims,
                "references": held.references,
            }
            for held in found.encoders
        ],
    }


def _print_summary(found: Summary) -> None:
    from morelli.report.table import Column, print_table

    size = "" if found.size is None else f", {found.size / 1e6:.1f} MB"
    families = len({model.family for model in found.models})
    print(f"{found.path}: version {found.version}{size}")
    print(f"{found.references} references, {len(found.models)} models, {families} families, {found.prompts} prompts")
    for held in found.encoders:
        stamp = held.stamp
        numbers = sum(stamp.dims.values())
        print(
            f"{stamp.encoder} (weights {stamp.revision}, preprocessing {stamp.preprocessing}): "
            f"{held.references} embeddings of {numbers} numbers in {len(stamp.dims)} vectors"
        )
    if found.models:
        counts = [Column(name, form="count") for name in ("references", "prompts")]
        print_table([asdict(model) for model in found.models], ["model", "family", *counts])
