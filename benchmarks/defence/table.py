"""What the cells say, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.defence import regeneration
from benchmarks.defence.shields import Shield, control

from morelli.evaluation.bootstrap import Interval, paired_lift, prompt_bootstrap
from morelli.exposure.confusion import Confusion, from_counts
from morelli.exposure.simulation import VoteSettings, simulate_votes, typical_row
from morelli.report.votes import vote_rows

#: Top-1 that paper 000 reports for its own 22 models: unprotected, and at ε = 2 and 8.
PAPER = {0: 0.90, 2: 0.75, 8: 0.46}

VOTES = VoteSettings(simulations=200, most=10_000)
_VOTES = "votes to move the same model one place"

Row = dict[str, Any]
Found = Mapping[tuple[Shield, str, str, str], Row]


def shield_of(row: Row) -> Shield:
    """The defence of a row."""
    return Shield(row["defence"], row["epsilon"], row["like"])


def settings_line(header: Mapping[str, Any], positives: tuple[int, int]) -> str:
    """What the tables were measured with.

    Parameters
    ----------
    header : mapping
        The first line of the file.
    positives : (int, int)
        Fewest and most images that the leaderboard has of a model and a prompt.
    """
    fewest, most = positives
    retrains = min(header["retrain_background"], header["background"])
    number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    images = "image" if most == 1 else "images"
    return (
        f"{header['dataset']}: {len(header['queries'])} queries of {header['prompts']} prompts; ensemble "
        f"{', '.join(header['surrogates'])}, {header['steps']} steps. Of each model and prompt the leaderboard has "
        f"{number} {images}: so many positives has the published loss. Attackers learn from {header['background']} "
        f"other prompts, who retrains from {retrains}."
    )


def tables(rows: Sequence[Row], prompts: Sequence[str], places: Mapping[str, str]) -> str:
    """Two tables for the attackers with references and for regeneration each: at one ε, and at one PSNR.

    Parameters
    ----------
    rows : sequence of dict
        Cells of the file.
    prompts : sequence of str
        Of the queries, in order.
    places : mapping of str to str
        What each attacker's encoder has in common with the ensemble (`morelli.defence.overlap`).
    """
    out = []
    for title, mine in (
        ("Attackers with references", [row for row in rows if row["attacker"] != regeneration.NAME]),
        ("Regeneration", [row for row in rows if row["attacker"] == regeneration.NAME]),
    ):
        for words, matched in (("each as it is", False), ("at one PSNR", True)):
            lines = table(mine, prompts, places, matched)
            out += [f"### {title}: {words}", "", *lines, ""] if lines else []
    paper = ", ".join(f"{value:.2f} at ε = {epsilon}" for epsilon, value in PAPER.items())
    return "\n".join([*out, f"Paper 000, 22 other models, encoder not stated: {paper}."])


def table(rows: Sequence[Row], prompts: Sequence[str], places: Mapping[str, str], matched: bool = False) -> list[str]:
    """One line a defence, attacker and encoder: top-1 with its interval, and what is left of it net of random signs.

    Parameters
    ----------
    rows : sequence of dict
    prompts, places
        As in `tables`.
    matched : bool
        Defences at the PSNR of another one, beside that one, net of random signs at that PSNR; else all as they are,
        net of random signs of the same ε.
    """
    found = {(shield_of(row), row["attacker"], row["encoder"], row["method"]): row for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines = []
    for shield, against in _lines([shield_of(row) for row in rows], matched):
        for attacker, encoder in dict.fromkeys((row["attacker"], row["encoder"]) for row in rows):
            first = found.get((shield, attacker, encoder, methods[0]))
            if first is not None:
                cells = [figure(found, (shield, attacker, encoder, each), against, prompts) for each in methods]
                eyes = [attacker, encoder, places[encoder]]
                lines.append("| " + " | ".join([*_look(shield, first, _lpips(rows)), *eyes, *cells]) + " |")
    if not lines:
        return []
    head = [
        "defence",
        "ε",
        "PSNR",
        "MS-SSIM",
        *(["LPIPS"] if _lpips(rows) else []),
        "attacker",
        "encoder",
        "ensemble",
        *methods,
    ]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]


def _lines(there: Sequence[Shield], matched: bool) -> list[tuple[Shield, Shield | None]]:
    """Shields of a table in order, each with the random signs that it is compared with."""
    known = list(dict.fromkeys(there))
    if not matched:
        return [(each, control(each)) for each in known if not each.like]
    out: list[tuple[Shield, Shield | None]] = []
    for like, epsilon in dict.fromkeys((each.like, each.epsilon) for each in known if each.like):
        signs = Shield("noise", epsilon, like)
        group = [Shield(like, epsilon), *(each for each in known if (each.like, each.epsilon) == (like, epsilon))]
        out += [(each, None if each == signs else signs) for each in group]
    return out


def _lpips(rows: Sequence[Row]) -> bool:
    return any(row.get("lpips") is not None for row in rows)


def _look(shield: Shield, row: Row, learnt: bool) -> list[str]:
    db = "–" if row["psnr"] is None else f"{row['psnr']:.1f}"
    epsilon, share = row["strength"]["epsilon"], row["strength"]["share"]
    strength = [f"{epsilon:g}"] * (epsilon > 0) + [f"× {share:.2f}"] * (share < 1)
    known = row.get("lpips")
    distance = ["–" if known is None else f"{known:.4f}"] if learnt else []
    return [shield.defence, " ".join(strength), db, f"{row['ms_ssim']:.4f}", *distance]


def figure(found: Found, key: tuple[Shield, str, str, str], against: Shield | None, prompts: Sequence[str]) -> str:
    """Top-1 of a cell, and what the defence takes from this attacker beyond what random signs take."""
    here = found.get(key)
    if here is None:
        return "–"
    hits, of = _hits(here), np.array(prompts)
    text = f"{hits.mean():.2f}{_between(prompt_bootstrap(hits, of), '–')}"
    signs = None if against is None else found.get((against, *key[1:]))
    if signs is not None:
        lift = paired_lift(hits, _hits(signs), of)
        text += f"; net {lift.point:+.2f}{_between(lift, ' to ')}".replace("-", "−")
    return text


def _hits(row: Row) -> np.ndarray:
    return (np.array(row["ranks"]) == 1).astype(np.float64)


def _between(found: Interval, word: str) -> str:
    return "" if np.isnan(found.low) else f" ({found.low:.2f}{word}{found.high:.2f})"


def votes(rows: Sequence[Row], methods: Sequence[str], encoders: Sequence[str], places: Mapping[str, str]) -> str:
    """Votes to move a model one place, by what is still recognised under each defence as it is.

    Of the plain attacker, and of the strongest of all that were measured against that defence, whom a defence has to
    reckon with. The target is the median one where nothing is protected, and the same under all defences and for all
    attributors; the interval says what the number of queries leaves open. The strongest was chosen on these very
    queries, which flatters it.

    Parameters
    ----------
    rows : sequence of dict
    methods : sequence of str
        Attributors; the target is the last one's.
    encoders : sequence of str
    places : mapping of str to str
        As in `tables`.
    """
    head = ["encoder", "ensemble", "attributor", "defence", "ε", "attacker", "recognised", _VOTES]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for encoder in encoders:
        mine = [row for row in rows if (row["encoder"], row["like"]) == (encoder, "") and row["method"] in methods]
        target = _target(mine, methods[-1])
        for method in methods:
            for row in _strongest([row for row in mine if row["method"] == method]):
                recognised, needed = _needed(row, target)
                cells = [encoder, places[encoder], method, row["defence"], f"{row['epsilon']:g}", row["attacker"],
                         f"{recognised:.2f}", needed]  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _strongest(rows: Sequence[Row]) -> Iterator[Row]:
    """Of each defence the plain attacker, and whoever sees most."""
    for shield in dict.fromkeys(shield_of(row) for row in rows):
        against = {row["attacker"]: row for row in rows if shield_of(row) == shield}
        strongest = max(against.values(), key=lambda row: _confusion(row["confusion"]).accuracy)["attacker"]
        yield from (against[name] for name in dict.fromkeys(("plain", strongest)) if name in against)


def _target(rows: Sequence[Row], method: str) -> str | None:
    """The median model where nothing is protected, of who sees it best; None where none can be moved."""
    open_ones = _strongest([row for row in rows if (row["method"], row["defence"]) == (method, "none")])
    found = (typical_row(_simulated(row, None), "votes") for row in open_ones)
    return next((each["target"] for each in found if each), None)


def _needed(row: Row, target: str | None) -> tuple[float, str]:
    """Balanced share that is recognised, and the votes that it takes."""
    needed = typical_row(_simulated(row, target), "votes")
    text = f"more than {VOTES.most:,} battles" if needed is None else needed["votes_text"]
    return _confusion(row["confusion"]).accuracy, text


def _simulated(row: Row, target: str | None) -> list[dict[str, Any]]:
    matrix = _confusion(row["confusion"])
    return vote_rows(simulate_votes(matrix, VOTES, targets=None if target is None else [target]))


def _confusion(found: dict[str, Any]) -> Confusion:
    images = [sum(row) for row in found["matrix"]]
    return from_counts(found["labels"], found["said"], found["matrix"], images=images)
