"""``morelli simulate-votes``: how many votes move a model one place, given how well images are recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from morelli.cli.output import emit_json, say


def simulate_votes(
    confusion: Annotated[
        Path, typer.Argument(help="JSON of morelli exposure, or a CSV: header of names, then a name and counts a line.")
    ],
    target: Annotated[list[str] | None, typer.Option(help="A model to move; may be repeated. By default each.")] = None,
    direction: Annotated[str, typer.Option(help="up: votes for the target; down: votes against it.")] = "up",
    system: Annotated[str, typer.Option(help="bradley-terry or elo.")] = "bradley-terry",
    defended: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE", help="The attack's confusion matrix against protected images; may be repeated."
        ),
    ] = None,
    ratings: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns model and rating (Elo points), a row a model: the true quality."),
    ] = None,
    gap: Annotated[float, typer.Option(help="Elo points between places, where no ratings are given.")] = 15.0,
    votes: Annotated[int, typer.Option(min=1, help="Honest votes before the attack.")] = 10_000,
    noise: Annotated[float, typer.Option(help="Share of the honest votes that are cast at random.")] = 0.1,
    cover: Annotated[
        bool, typer.Option("--cover", help="The attacker votes like an honest voter where the target is not seen.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Battles that the attacker views at most.")] = 20_000,
    simulations: Annotated[int, typer.Option(min=1, help="How often everything is drawn.")] = 400,
    account_votes: Annotated[int, typer.Option(min=1, help="Votes of one account.")] = 30,
    false_alarm: Annotated[float, typer.Option(help="Share of the honest accounts that the watch may flag.")] = 0.01,
    attack_seconds: Annotated[
        float, typer.Option(help="Median time of an attacker's vote; an honest voter's is 20 s.")
    ] = 40.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Simulate an attack on a voting leaderboard: votes needed to move one place, and how many a simple watch catches.

    Simulation only: nothing talks to a leaderboard.
    """
    from morelli.exposure.confusion import read_confusion
    from morelli.exposure.detector import Watch
    from morelli.exposure.ratings import read_ratings
    from morelli.exposure.simulation import VoteSettings
    from morelli.exposure.simulation import simulate_votes as run

    watch = Watch(votes=account_votes, false_alarm=false_alarm, attack_seconds=attack_seconds)
    settings = VoteSettings(
        system=system, direction=direction, votes=votes, noise=noise, gap=gap, most=most, simulations=simulations,
        cover=cover, watch=watch, seed=seed,
    )  # fmt: skip
    result = run(
        read_confusion(confusion),
        settings,
        targets=target,
        defended={name: read_confusion(file) for name, file in _named(defended or []).items()},
        ratings=None if ratings is None else read_ratings(ratings),
    )
    if as_json:
        emit_json(result)
    else:
        from morelli.report.votes import print_votes

        print_votes(result)
        for note in result["notes"]:
            say(f"note: {note}")


def _named(given: list[str]) -> dict[str, Path]:
    """Names of defences and their files; a single one may go without."""
    found: dict[str, Path] = {}
    for text in given:
        name, said, file = text.partition("=")
        name, file = (name.strip(), file) if said else ("defended", text)
        if not name or not file or name in found:
            why = "is there twice" if name in found else "needs a name and a file"
            raise typer.BadParameter(f"{name or text!r} {why}: NAME=FILE.", param_hint="--defended")
        found[name] = Path(file)
    return found


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate_votes)
