"""A vote simulation as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from morelli.report.table import Column, print_table

VOTES = (
    Column("target"),
    Column("defence"),
    Column("recognised", "recognised %", "percent"),
    Column("precision", "aimed votes that hit %", "percent"),
    Column("rank_text", "place, mean"),
    Column("possible", "could move %", "percent"),
    Column("moved", "of these moved %", "percent"),
    Column("votes_text", "votes to move one place"),
    Column("range_text", "middle 95 % of simulations"),
    Column("battles_text", "battles viewed"),
    Column("caught_agreement", "caught by agreement %", "percent"),
    Column("caught_timing", "by timing %", "percent"),
    Column("caught_both", "by both %", "percent"),
    Column("false_text", "false alarms of the three %"),
)
WATCHED = ("agreement", "timing", "both")


def vote_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows with their intervals as text; "over 20000 battles" where most simulations did not move."""
    out = []
    for row in result["rows"]:
        shown = dict(row)
        for name in ("votes", "battles"):
            shown[f"{name}_text"] = _interval(row, name)
        shown["range_text"] = _range(row)
        shown["rank_text"] = f"{row['rank']:.1f}" if "rank" in row else None
        for name in WATCHED:
            shown[f"caught_{name}"] = row["detector"][name]["caught"]
        shown["false_text"] = " / ".join(f"{100 * row['detector'][name]['false_alarm']:.2f}" for name in WATCHED)
        out.append(shown)
    return out


def _interval(row: Mapping[str, Any], name: str) -> str | None:
    if row["moved"] is None:
        return None
    if row[name] is None:
        return f"over {row['most']} battles"
    if row.get(f"{name}_low") is None:  # rates were given, and nobody knows of how many images; or none could be found
        return f"{row[name]:.0f}"
    ends = [f"{row[f'{name}_{end}']:.0f}" if row[f"{name}_{end}"] is not None else "∞" for end in ("low", "high")]
    return f"{row[name]:.0f} ({ends[0]}–{ends[1]})"


def _range(row: Mapping[str, Any]) -> str | None:
    if row["votes"] is None or "votes_range" not in row:
        return None
    low, high = row["votes_range"]
    return f"{low:.0f}–{'∞' if high is None else f'{high:.0f}'}"


def votes_title(result: Mapping[str, Any]) -> str:
    """What was simulated, in one line."""
    asked = result["settings"]
    watch = asked["watch"]
    ratings = "given ratings" if asked["ratings"] is not None else f"places {asked['gap']:g} Elo points apart"
    return (
        f"{asked['system']}, {asked['votes']} honest votes ({100 * asked['noise']:.0f} % at random), {ratings}, "
        f"voting {asked['direction']}, {asked['simulations']} simulations; accounts of {watch['votes']} votes, "
        f"false alarms {100 * watch['false_alarm']:g} % asked for"
    )


def print_votes(result: Mapping[str, Any]) -> None:
    """The simulation on standard output."""
    print_table(vote_rows(result), VOTES, title=votes_title(result))
