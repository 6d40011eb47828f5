"""``morelli gallery add`` and ``import``: pictures, or another gallery's references, into a gallery."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.gallery_read import GalleryArgument, JsonOption, label_json
from morelli.cli.output import emit_json, error_json, say
from morelli.cli.progress import staged_progress
from morelli.errors import MissingGalleryError

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.engine.base import Engine
    from morelli.enrol import EnrolReport
    from morelli.gallery.records import AddReport
    from morelli.gallery.store import Gallery
    from morelli.images.dataset import Dataset

ADD_SCHEMA = "morelli.gallery-add/1"
DEFAULT_HELP = (
    "By default the gallery's first; for a new gallery efficientnet-lite0, joined with residual-lattice where the "
    "shorter side of most pictures is 512 pixels or more."
)

CopiesOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="References whose degraded copies (JPEG, WebP, smaller, blurred, noisy, cropped) are embedded too: what "
        "queries may have gone through is learnt from them.",
    ),
]


def add(
    gallery: GalleryArgument,
    dataset: Annotated[
        Path,
        typer.Argument(help="Folder of pictures: a sub-folder a model, or a metadata.csv with file_name and model."),
    ],
    encoder: Annotated[
        str | None,
        typer.Option(help=DEFAULT_HELP),
    ] = None,
    skip_conflicts: Annotated[
        bool, typer.Option("--skip-conflicts", help="Leave out pictures that are known under two labels.")
    ] = False,
    copies: CopiesOption = 72,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a dataset's pictures, with their embeddings; make the gallery where there is none.

    What is there already is not embedded again. All comes in one commit at the end:
    an interrupted command leaves the gallery as it was, and the same command goes on from where it stopped.
    """
    from morelli.images.dataset import read_dataset

    pictures = read_dataset(dataset)
    loaded = choose_encoder(gallery, encoder, pictures)
    with chosen_engine(engine, ray_address) as workers:
        failed = fill(
            gallery,
            pictures,
            loaded,
            skip_conflicts=skip_conflicts,
            copies=copies,
            as_json=as_json,
            engine=workers,
        )
    if failed:
        raise typer.Exit(1)


def choose_encoder(gallery: str, name: str | None, pictures: Dataset | None = None) -> Encoder:
    """The encoder of that name, loaded; None: the gallery's first, or for a new gallery the usual one of the pictures.

    Raises
    ------
    GalleryMismatchError
        The gallery was made with another state of it. Others as `load_encoder`.
    """
    from morelli.encoders.catalogue import load_encoder
    from morelli.encoders.usual import encoder_of_gallery

    held = _open(gallery)
    stamps = held.stamps() if held else ()
    loaded = load_encoder(name or (stamps[0].encoder if stamps else encoder_of_gallery(pictures)))
    if held is not None and loaded.stamp.encoder in [stamp.encoder for stamp in stamps]:
        held.require(loaded.stamp)
    return loaded


def is_new(gallery: str) -> bool:
    """Whether there is no such gallery, or one without embeddings."""
    held = _open(gallery)
    return held is None or not held.stamps()


def fill(
    gallery: str,
    pictures: Dataset,
    encoder: Encoder,
    *,
    copies: int,
    as_json: bool,
    skip_conflicts: bool = False,
    schema: str = ADD_SCHEMA,
    more: Mapping[str, Any] | None = None,
    engine: Engine | None = None,
) -> bool:
    """Add pictures to a gallery, made where there is none, and say what changed; whether some could not be used.

    Parameters
    ----------
    schema : str
        Of the JSON object.
    more : mapping, optional
        What else it holds.
    engine : Engine, optional
        Where pictures are read and embedded.
    """
    from morelli.encoders.across import place
    from morelli.encoders.cache import EmbeddingCache
    from morelli.enrol import enrol

    held = _open(gallery) or _create(gallery)
    cache = EmbeddingCache()
    try:
        with staged_progress() as report:
            done = enrol(
                held,
                pictures,
                place(encoder, engine),
                cache=cache,
                progress=report,
                skip_conflicts=skip_conflicts,
                copies=copies,
            )
    except KeyboardInterrupt:
        if cache.enabled:
            say("The gallery is as it was. What was embedded is kept: the same command goes on from there.")
        raise
    _tell_failures(done, as_json)
    for note in done.notes:
        say(f"note: {note}")
    told: dict[str, Any] = {
        "encoder": encoder.stamp.encoder,
        "encoder_revision": encoder.stamp.revision,
        "skipped": done.skipped,
        "failed": len(done.errors),
        "conflicts": [
            {"content": c.given.content, "given": label_json(c.given), "known": label_json(c.known)}
            for c in done.conflicts
        ],
        "notes": done.notes,
        **(more or {}),
    }
    _tell_change(held, done, told, as_json, schema)
    return bool(done.errors)


def import_(
    gallery: GalleryArgument,
    file: Annotated[Path, typer.Argument(help="A file that `morelli gallery export` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Merge an exported file into a gallery; make the gallery where there is none."""
    from morelli.gallery import exchange

    held = _open(gallery)
    if held is None:
        exchange.read(file)  # a bad file must not leave an empty gallery behind
        held = _create(gallery)
    _tell_change(held, held.import_(file), {}, as_json, ADD_SCHEMA)


def _open(path: str) -> Gallery | None:
    from morelli.gallery.store import Gallery

    try:
        return Gallery.open(path)
    except MissingGalleryError:
        return None


def _create(path: str) -> Gallery:
    from morelli.gallery.store import Gallery

    return Gallery.open_or_create(path)  # another process may have made it meanwhile


def _tell_failures(done: EnrolReport, as_json: bool) -> None:
    for name, error in done.errors:
        say("error: " + " ".join(f"{name}: {error.message} {error.fix or ''}".split()))
        if as_json:
            emit_json(error_json(error, image=name))
    for conflict in done.conflicts:
        say(f"left out: {conflict}")


def _tell_change(
    held: Gallery, change: EnrolReport | AddReport, more: dict[str, Any], as_json: bool, schema: str
) -> None:
    counts = {name: getattr(change, name) for name in ("added", "updated", "unchanged", "duplicates")}
    if as_json:
        head = {"schema": schema, "gallery": held.path, "version": held.version, "references": len(held)}
        emit_json({**head, **counts, **more})
        return
    counts |= {name: more[name] for name in ("skipped", "failed") if more.get(name)}
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{held.path}: {told}; {len(held)} references, version {held.version}")
