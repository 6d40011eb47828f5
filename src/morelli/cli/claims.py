"""``morelli claims``: what a file says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import asking

if TYPE_CHECKING:
    from morelli.types import Claim, FileClaims

TrustOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MORELLI_TRUST",
        help="PEM file with the root certificates of the authorities that you know; without it nothing counts as "
        "signed. Nothing is downloaded.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(claims)


def claims(images: asking.ImagesArgument, trust: TrustOption = None, as_json: asking.JsonOption = False) -> None:
    """Tell what each file says of itself: Content Credentials, parameters of tools, source type, marks in pixels.

    Whatever is not signed could have been written by anyone. The pixels are asked by: morelli identify
    """
    from morelli.images.claims.credentials import load_roots

    roots = load_roots(trust)
    asking.answer(lambda files, stages: _read(files, roots, stages), images, show, as_json)


def _read(files: Sequence[Path], roots: str | None, stages: asking.Stages) -> Iterable[Any]:
    from morelli.errors import MorelliError
    from morelli.identify import Failure
    from morelli.images.claims.read import read_claims

    for number, file in enumerate(files, start=1):
        try:
            found = read_claims(file, roots=roots)
        except MorelliError as error:
            found = Failure(str(file), error)
        stages("reading", number, len(files))
        yield found


def show(found: FileClaims) -> None:
    """The claims of one file, for people."""
    print(f"{found.image}: {_headline(found)}")
    for name, text in claim_lines(found.claims):
        print(f"{name:11} {text}")
    for note in found.notes:
        print(f"{'note':11} {note}")
    print()


def claim_lines(claims: Sequence[Claim]) -> Iterator[tuple[str, str]]:
    """Name and text of each line on claims, each with whether it is signed."""
    for number, claim in enumerate(claims):
        mark = "signed" if claim.signed else "anyone could have written this"
        yield "" if number else "claims", f"{claim.source}: {claim.statement} [{mark}]"


def _headline(found: FileClaims) -> str:
    if not found.claims:
        return "says nothing of itself"
    signed = sum(claim.signed for claim in found.claims)
    return f"{len(found.claims)} {'claims' if len(found.claims) > 1 else 'claim'}, {signed} signed"
