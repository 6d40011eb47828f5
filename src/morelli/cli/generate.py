"""``morelli generate``: images from models, as a dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import making
from morelli.cli.engines import AddressOption, EngineOption, chosen_engine
from morelli.cli.output import emit_json
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.generators.prompts import Prompt

GENERATE_SCHEMA = "morelli.generate/1"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(generate)


def generate(
    generator: Annotated[str, typer.Option(help=making.GENERATORS_HELP, show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the images and their metadata.csv.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(help="What the images show.", show_default=False)] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of each prompt by each generator.")] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(help="File of prompts: one a line, or .csv or .jsonl with the column prompt.", show_default=False),
    ] = None,
    seed: making.SeedOption = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the generator, such as steps=20; repeatable."),
    ] = None,
    price: making.PriceOption = None,
    cap: making.CapOption = None,
    yes_send: making.YesSendOption = False,
    engine: EngineOption = "local",
    ray_address: AddressOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Make images with models, as a dataset: OUT/<model>/<hash>.png and a metadata.csv.

    What is there already is not made again: an interrupted command goes on from where it stopped.
    A prompt that fails stops no other; the exit status is then 1.
    """
    asked = _prompts(prompt, prompts)
    chosen = making.choose(generator, yes_send, options=_options(set_ or []), price=price)
    with making.opened(out, cap) as (store, ledger), chosen_engine(engine, ray_address) as workers:
        outcome = making.make(chosen, asked, count, seed, store, ledger, as_json, engine=workers)
        if as_json:
            told = making.summary(chosen, outcome, store, ledger)
            emit_json({"schema": GENERATE_SCHEMA, "out": str(store.folder), **told})
        else:
            print(making.line(outcome, store, ledger))
    if outcome.failed:
        raise typer.Exit(1)


def _prompts(prompt: str | None, file: Path | None) -> list[Prompt]:
    from morelli.generators.prompts import Prompt, clean, read_prompts

    if (prompt is None) == (file is None):
        raise typer.BadParameter("give either a PROMPT or a file of prompts with --prompts.")
    return [Prompt(clean(prompt))] if prompt is not None else read_prompts(file or Path())


def _options(given: Sequence[str]) -> dict[str, Any]:
    """Texts NAME=VALUE; a value is a number, true or false where it reads like one, else text."""
    out: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"must be NAME=VALUE, and is {text!r}.", argument="--set")
        try:
            out[name] = json.loads(value)
        except ValueError:
            out[name] = value
    return out
