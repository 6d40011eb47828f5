"""``morelli generate``: images from models, as a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, error_json, say
from morelli.cli.spending_progress import spending_progress
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.generators.base import Generator
    from morelli.generators.produce import Outcome
    from morelli.generators.prompts import Prompt
    from morelli.generators.spending import Ledger
    from morelli.generators.store import ImageStore

GENERATE_SCHEMA = "morelli.generate/1"
_ALLOW = "Say --yes-send to allow it, or choose a local generator."


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(generate)


def generate(
    generator: Annotated[
        str,
        typer.Option(
            help="zoo, zoo/NAME, diffusers:ID_OR_FOLDER, hub-inference:MODEL, openai:MODEL, folder:PATH, several with "
            "commas between them, or a .toml, .json or .yaml file that lists some.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the images and their metadata.csv.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(help="What the images show.", show_default=False)] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of each prompt by each generator.")] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(help="File of prompts: one a line, or .csv or .jsonl with the column prompt.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of the first image; the others follow.")] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An option of the generator, such as steps=20; repeatable."),
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of one image of a hosted generator, in your currency.")
    ] = None,
    cap: Annotated[
        float | None, typer.Option(min=0, help="The most that this folder's images may cost, all runs together.")
    ] = None,
    yes_send: Annotated[
        bool, typer.Option("--yes-send", help="Allow prompts to be sent to the hosts of hosted generators.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Make images with models, as a dataset: OUT/<model>/<hash>.png and a metadata.csv.

    What is there already is not made again: an interrupted command goes on from where it stopped.
    A prompt that fails stops no other; the exit status is then 1.
    """
    from morelli.generators.catalogue import check_consent, hosts, load_generators
    from morelli.generators.hosted import attach

    asked = _prompts(prompt, prompts)
    chosen = load_generators(generator, options=_options(set_ or []), price=price)
    for host in hosts(chosen):
        say(f"warning: prompts leave this machine for {host}, a third party.")
    check_consent(chosen, yes_send, _ALLOW)
    with _store(out, cap) as (store, ledger):
        attach(chosen, ledger)
        _make(chosen, asked, count, seed, store, ledger, as_json)


def _make(
    chosen: Sequence[Generator],
    asked: Sequence[Prompt],
    count: int,
    seed: int,
    store: ImageStore,
    ledger: Ledger,
    as_json: bool,
) -> None:
    from morelli.generators.produce import Outcome, run

    outcome = Outcome()
    try:
        with spending_progress() as report:
            run(chosen, asked, count, store, seed=seed, progress=report, outcome=outcome)
    except KeyboardInterrupt:
        say(f"{outcome.made.total()} images made and kept in {store.folder}: the same command goes on from there.")
        raise
    for name, text, error in outcome.failed:
        say("error: " + " ".join(str(error).split()) + f" (prompt: {text})")
        if as_json:
            emit_json({**error_json(error), "model": name, "prompt": text})
    if as_json:
        emit_json(_summary(chosen, outcome, store, ledger))
    else:
        print(_line(outcome, store, ledger))
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


@contextmanager
def _store(out: Path, cap: float | None) -> Iterator[tuple[ImageStore, Ledger]]:
    from morelli.generators.spending import Ledger, money
    from morelli.generators.store import LEDGER, ImageStore

    limit = None if cap is None else money(cap, "--cap")
    with ImageStore(out) as store:
        yield store, Ledger(out / LEDGER, limit)


def _line(outcome: Outcome, store: ImageStore, ledger: Ledger) -> str:
    told = f"{store.folder}: {outcome.made.total()} made, {outcome.there.total()} there already"
    if outcome.failed:
        told += f", {len(outcome.failed)} failed"
    spent = ledger.total()
    if spent or ledger.cap is not None:
        told += f"; {spent:f} spent in all" + ("" if ledger.cap is None else f" of {ledger.cap:f}")
    return told


def _summary(chosen: Sequence[Generator], outcome: Outcome, store: ImageStore, ledger: Ledger) -> dict[str, Any]:
    failed = [name for name, _, _ in outcome.failed]
    return {
        "schema": GENERATE_SCHEMA,
        "out": str(store.folder),
        "images": len(store),
        "made": outcome.made.total(),
        "there": outcome.there.total(),
        "failed": len(failed),
        "generators": [
            {
                "id": each.id,
                "model": each.model,
                "family": each.family,
                "host": each.host,
                "made": outcome.made[each.model],
                "there": outcome.there[each.model],
                "failed": failed.count(each.model),
                "spent": float(ledger.total(each.id)),
            }
            for each in chosen
        ],
        "spent": float(ledger.total()),
        "cap": None if ledger.cap is None else float(ledger.cap),
        "seconds": outcome.seconds,
    }
