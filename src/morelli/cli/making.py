"""What ``generate`` and ``gallery build`` share: generators that may be asked, a folder for images, and the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, error_json, say
from morelli.cli.spending_progress import spending_progress

if TYPE_CHECKING:
    from morelli.engine.base import Engine
    from morelli.generators.base import Generator
    from morelli.generators.produce import Outcome
    from morelli.generators.prompts import Prompt
    from morelli.generators.spending import Ledger
    from morelli.generators.store import ImageStore

ALLOW = "Say --yes-send to allow it, or choose a local generator."

GENERATORS_HELP = (
    "zoo, zoo/NAME, diffusers:ID_OR_FOLDER, hub-inference:MODEL, openai:MODEL, folder:PATH, several with "
    "commas between them, or a .toml, .json or .yaml file that lists some."
)
SeedOption = Annotated[int, typer.Option(min=0, max=2**31, help="Of the first image; the others follow.")]
PriceOption = Annotated[float | None, typer.Option(min=0, help="Of one image of a hosted generator, in your currency.")]
CapOption = Annotated[
    float | None, typer.Option(min=0, help="The most that this folder's images may cost, all runs together.")
]
YesSendOption = Annotated[
    bool, typer.Option("--yes-send", help="Allow prompts to be sent to the hosts of hosted generators.")
]


def choose(
    spec: str, yes_send: bool, *, options: Mapping[str, Any] | None = None, price: float | None = None
) -> list[Generator]:
    """The generators of a spec, if prompts may go where they go; a third party is named in a warning.

    Raises
    ------
    ConsentError
        They may not. Others as `load_generators`.
    """
    from morelli.generators.catalogue import check_consent, hosts, load_generators

    chosen = load_generators(spec, options=options, price=price)
    for host in hosts(chosen):
        say(f"warning: prompts leave this machine for {host}, a third party.")
    check_consent(chosen, yes_send, ALLOW)
    return chosen


@contextmanager
def opened(out: Path, cap: float | None) -> Iterator[tuple[ImageStore, Ledger]]:
    """A folder for images, held for this process, and the ledger of what they cost."""
    from morelli.generators.spending import Ledger, money
    from morelli.generators.store import LEDGER, ImageStore

    limit = None if cap is None else money(cap, "--cap")
    with ImageStore(out) as store:
        yield store, Ledger(out / LEDGER, limit)


def make(
    chosen: Sequence[Generator],
    asked: Sequence[Prompt],
    count: int,
    seed: int,
    store: ImageStore,
    ledger: Ledger,
    as_json: bool,
    engine: Engine | None = None,
) -> Outcome:
    """Make what the folder lacks, on an engine, under a progress bar; failures are told as they are at the end."""
    from morelli.generators.hosted import attach
    from morelli.generators.produce import Outcome, run

    attach(chosen, ledger)
    outcome = Outcome()
    try:
        with spending_progress() as report:
            run(chosen, asked, count, store, seed=seed, progress=report, outcome=outcome, engine=engine)
    except KeyboardInterrupt:
        say(f"{outcome.made.total()} images made and kept in {store.folder}: the same command goes on from there.")
        raise
    for name, text, error in outcome.failed:
        say("error: " + " ".join(str(error).split()) + f" (prompt: {text})")
        if as_json:
            emit_json({**error_json(error), "model": name, "prompt": text})
    return outcome


def summary(chosen: Sequence[Generator], outcome: Outcome, store: ImageStore, ledger: Ledger) -> dict[str, Any]:
    """What was made, by generator, and what it cost, for JSON."""
    failed = [name for name, _, _ in outcome.failed]
    return {
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


def line(outcome: Outcome, store: ImageStore, ledger: Ledger) -> str:
    """The same for people."""
    told = f"{store.folder}: {outcome.made.total()} made, {outcome.there.total()} there already"
    if outcome.failed:
        told += f", {len(outcome.failed)} failed"
    spent = ledger.total()
    if spent or ledger.cap is not None:
        told += f"; {spent:f} spent in all" + ("" if ledger.cap is None else f" of {ledger.cap:f}")
    return told
