"""``morelli gallery build``: a gallery from generators, for a user who has one image and no references."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import making
from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.gallery_add import DEFAULT_HELP, CopiesOption, choose_encoder, fill, is_new
from morelli.cli.gallery_read import GalleryArgument, JsonOption
from morelli.cli.output import say
from morelli.errors import DatasetError

if TYPE_CHECKING:
    from morelli.generators.base import Generator
    from morelli.generators.produce import Outcome
    from morelli.generators.prompts import Prompt
    from morelli.generators.store import ImageStore
    from morelli.images.dataset import Dataset

BUILD_SCHEMA = "morelli.gallery-build/1"


def build(
    gallery: GalleryArgument,
    generators: Annotated[str, typer.Option(help=making.GENERATORS_HELP, show_default=False)],
    prompts: Annotated[
        Path,
        typer.Option(help="File of prompts: one a line, or .csv or .jsonl with the column prompt.", show_default=False),
    ],
    k: Annotated[int, typer.Option("--k", min=1, help="Images of each prompt by each generator.")] = 3,
    seed: making.SeedOption = 0,
    images: Annotated[
        Path | None, typer.Option(help="Folder for the images; by default one of this gallery's own in the cache.")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help=DEFAULT_HELP),
    ] = None,
    copies: CopiesOption = 72,
    price: making.PriceOption = None,
    cap: making.CapOption = None,
    yes_send: making.YesSendOption = False,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask generators for images of each prompt, and add them as references; make the gallery where there is none.

    Images are kept as they come: an interrupted build goes on from where it stopped. A generator that fails stops no
    other, and what the others made is added; the exit status is then 1.
    """
    from morelli.encoders.catalogue import load_encoder
    from morelli.encoders.usual import LATTICE
    from morelli.generators.prompts import read_prompts

    asked = read_prompts(prompts)
    chosen = making.choose(generators, yes_send, price=price)
    loaded = choose_encoder(gallery, encoder)  # before any image is paid for
    new = encoder is None and is_new(gallery)
    if new:
        load_encoder(LATTICE)  # which large pictures get as well
    with (
        making.opened(_folder(gallery) if images is None else images, cap) as (store, ledger),
        chosen_engine(engine, ray_address) as workers,
    ):
        outcome = making.make(chosen, asked, k, seed, store, ledger, as_json, engine=workers)
        more: dict[str, Any] = {
            "folder": str(store.folder),
            "generation": making.summary(chosen, outcome, store, ledger),
        }
        say(making.line(outcome, store, ledger))
        pictures = _made_for(chosen, asked, k, seed, store, outcome)
        if new:  # then it goes by how large the pictures are
            loaded = choose_encoder(gallery, encoder, pictures)
        failed = fill(
            gallery,
            pictures,
            loaded,
            copies=copies,
            as_json=as_json,
            schema=BUILD_SCHEMA,
            more=more,
            engine=workers,
        )
    if failed or outcome.failed:
        raise typer.Exit(1)


def _folder(gallery: str) -> Path:
    """Where the images of one gallery are kept, told apart by its full path."""
    from morelli.encoders.cache import default_folder
    from morelli.generators.store import folder_name

    where = gallery if "://" in gallery else str(Path(gallery).expanduser().resolve())
    name = folder_name(where.rstrip("/").rpartition("/")[2])
    return (
        default_folder() / "built" / f"{name}-{hashlib.sha256(where.encode(errors='surrogateescape')).hexdigest()[:8]}"
    )


def _made_for(
    chosen: Sequence[Generator],
    asked: Sequence[Prompt],
    k: int,
    seed: int,
    store: ImageStore,
    outcome: Outcome,
) -> Dataset:
    """The pictures of the folder that were asked for now: it may hold others, of earlier builds.

    Raises
    ------
    DatasetError
        There is none.
    """
    from morelli.images.dataset import read_dataset

    wanted = {
        store.path(generator, prompt.text, number): generator
        for generator in chosen
        for prompt in asked
        for number in range(seed, seed + k)
    }
    held = read_dataset(store.folder) if len(store) else None
    items = () if held is None else held.items
    # What a gallery keeps of an image's origin is one text: the revision belongs to it.
    made = [
        replace(item, source=f"{item.source}, revision {wanted[item.path].revision or 'not told'}, seed {item.seed}")
        for item in items
        if item.path in wanted
    ]
    if held is None or not made:
        raise DatasetError(
            f"no generator made an image, so there is nothing to add ({len(outcome.failed)} failures, told above).",
            argument="--generators",
            fix="Mend what the messages above name, and run the same command again.",
        )
    return replace(held, items=tuple(made), notes=())
