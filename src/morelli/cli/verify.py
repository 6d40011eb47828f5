"""``morelli verify``: did one model make both images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from morelli.cli import asking
from morelli.cli.output import emit_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from morelli.types import VerificationVerdict


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(verify)


def verify(
    first: Annotated[Path, typer.Argument(help="An image file.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    gallery: Annotated[
        str | None,
        typer.Option(
            envvar="MORELLI_GALLERY",
            help="Gallery whose models teach how alike images of one model are; without one nothing is calibrated.",
            show_default=False,
        ),
    ] = None,
    encoder: asking.EncoderOption = None,
    prior: Annotated[float, typer.Option(help="Share of the pairs in question that are of one model.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether one model made both images, with a calibrated probability where there is a gallery.

    The gallery need not know the model: its own models teach how images of one model scatter and how models differ.
    """
    from morelli.verify import Verifier

    def on_learn() -> None:
        say("learning the statistics of the gallery …")

    found = Verifier(gallery or None, encoder=encoder, prior=prior).verify(first, second, on_learn=on_learn)
    if as_json:
        emit_json(found.to_json())
    else:
        show(found)


def show(verdict: VerificationVerdict) -> None:
    """An answer for people."""
    first, second = (each.image for each in verdict.images)
    words = {"same": "one model made both", "different": "two models made them"}
    print(f"{first} and {second}: {words.get(verdict.decision, verdict.decision)}")
    for name, text in _lines(verdict):
        print(f"{name:11} {text}")


def _lines(verdict: VerificationVerdict) -> Iterator[tuple[str, str]]:
    if verdict.probability is not None:
        yield (
            "probability",
            f"{100 * verdict.probability:.1f} % (of such pairs {100 * verdict.prior:g} % are of one model)",
        )
    if verdict.score is not None:
        yield "score", f"{verdict.score:+.2f} nats for one model"
    if verdict.similarity is not None:
        yield "likeness", f"cosine {verdict.similarity:.3f}"
    yield "method", f"{verdict.method['name']}, {verdict.method['encoder']}"
    for note in verdict.notes:
        yield "note", note
