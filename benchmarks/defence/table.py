"""What the cells say, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Row = dict[str, Any]
Found = Mapping[tuple[Shield, str, str, str], Row]


def shield_of(row: Row) -> Shield:
    """The defence of a row."""
    return Shield(row["defence"], row["epsilon"], row["like"])


def tables(rows: Sequence[Row], prompts: Sequence[str], surrogates: Sequence[str]) -> str:
    """Two tables for the attackers with references and for regeneration each: at one ε, and at one PSNR.

    Parameters
    ----------
    rows : sequence of dict
        Cells of the file.
    prompts : sequence of str
        Of the queries, in order.
    surrogates : sequence of str
        Encoders in the ensemble.
    """
    out = []
    for title, mine in (
        ("Attackers with references", [row for row in rows if row["attacker"] != regeneration.NAME]),
        ("Regeneration", [row for row in rows if row["attacker"] == regeneration.NAME]),
    ):
        for words, matched in (("each as it is", False), ("at one PSNR", True)):
            lines = table(mine, prompts, surrogates, matched)
            out += [f"### {title}: {words}", "", *lines, ""] if lines else []
    paper = ", ".join(f"{value:.2f} at ε = {epsilon}" for epsilon, value in PAPER.items())
    return "\n".join([*out, f"Paper 000, 22 other models, encoder not stated: {paper}."])


def table(rows: Sequence[Row], prompts: Sequence[str], surrogates: Sequence[str], matched: bool = False) -> list[str]:
    """One line a defence, attacker and encoder: top-1 with its interval, and what is left of it net of random signs.

    Parameters
    ----------
    rows : sequence of dict
    prompts, surrogates : sequence of str
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
                eyes = [attacker, encoder, place(encoder, surrogates)]
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


def place(encoder: str, surrogates: Sequence[str]) -> str:
    """Whether the defender's ensemble has the attacker's encoder: its best case, or the honest test."""
    return "in" if encoder in surrogates else "outside"


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


def votes(rows: Sequence[Row], method: str, encoders: Sequence[str], surrogates: Sequence[str]) -> str:
    """Votes to move a model one place, by what is still recognised under each defence as it is.

    Of the plain attacker, and of the strongest of all that were measured against that defence, whom a defence has to
    reckon with. The target is the median one where nothing is protected, and the same under all defences; the interval
    says what the number of queries leaves open. The strongest was chosen on these very queries, which flatters it.
    """
    head = ["encoder", "ensemble", "defence", "ε", "attacker", "recognised", "votes to move the same model one place"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for encoder in encoders:
        mine = [row for row in rows if (row["method"], row["encoder"], row["like"]) == (method, encoder, "")]
        target = None
        for shield in dict.fromkeys(shield_of(row) for row in mine):
            against = {row["attacker"]: row for row in mine if shield_of(row) == shield}
            strongest = max(against.values(), key=lambda row: _confusion(row["confusion"]).accuracy)["attacker"]
            for attacker in dict.fromkeys(name for name in ("plain", strongest) if name in against):
                row = against[attacker]
                matrix = _confusion(row["confusion"])
                found = vote_rows(simulate_votes(matrix, VOTES, targets=None if target is None else [target]))
                needed = typical_row(found, "votes")
                target = target or (needed["target"] if needed and shield.defence == "none" else None)
                text = f"more than {VOTES.most:,} battles" if needed is None else needed["votes_text"]
                cells = [encoder, place(encoder, surrogates), row["defence"], f"{row['epsilon']:g}", attacker,
                         f"{matrix.accuracy:.2f}", text]  # fmt: skip
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _confusion(found: dict[str, Any]) -> Confusion:
    images = [sum(row) for row in found["matrix"]]
    return from_counts(found["labels"], found["said"], found["matrix"], images=images)
