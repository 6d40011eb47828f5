"""Table 001 as rows: a method alone and with regeneration as a plug-in, under each attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.papers import published
from benchmarks.papers.attacks import Attacks, fused_ranks
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job
from benchmarks.papers.stored_attacks import StoredAttacks
from benchmarks.papers.tables import THEIRS, labelled, measured
from benchmarks.zoo.measure import accuracy, ranks
from benchmarks.zoo.plan import ATTACKS
from benchmarks.zoo.report import percent

from morelli.evaluation.bootstrap import paired_lift
from morelli.report.table import Column, format_percent

COLUMNS = (
    Column("method"),
    *(Column(attack, f"{attack} %") for attack in ATTACKS),
    Column("lift", "plug-in's lift over the method, all attacks, points"),
    Column("beyond", "over regeneration alone, points"),
    Column("paper", f"paper 001, {THEIRS} %"),
)


Attacked = Attacks | StoredAttacks


def attack_rows(results: Results, jobs: Sequence[Job], attacks: Attacked) -> list[dict[str, Any]]:
    """Regeneration alone, then each method alone and with every likeness; what is missing says why."""
    likeness: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for job in jobs:
        if "likeness" in job.words["kind"]:
            found, why = measured(results, job)
            if found is None:
                rows.append({"method": f"{job.key} ({why.partition(':')[0]})"})
            else:
                likeness[str(job.words["attack"])] = found["values"]
    prompts = attacks.prompts
    there = [attack for attack in ATTACKS if attack in likeness]
    for name in attacks.measures if there else ():
        row: dict[str, Any] = {"method": f"regeneration alone, {name}"}
        for attack in there:
            values = np.array(likeness[attack][name])
            row[attack] = percent(accuracy(ranks(values, attacks.models, attacks.truth(attack)), prompts))
        if name == attacks.measures[0]:
            row["paper"] = f"{published.REGENERATION['none']}; attacked {published.REGENERATION['attacked']}"
        rows.append(row)
    for job in jobs:
        if "method" in job.words["kind"]:
            rows += _method_rows(results, job, attacks, likeness, prompts)
    return rows


def _method_rows(
    results: Results, job: Job, attacks: Attacked, likeness: dict[str, Any], prompts: list[Any]
) -> list[dict[str, Any]]:
    method, (found, why) = job.words["method"], measured(results, job)
    if found is None:
        return [{"method": f"{method} ({why.partition(':')[0]})"}]
    # Where no prompt is left from which a weight could be learnt, there is no plug-in.
    weighed = likeness if attacks.truth(None) else {name: each for name, each in likeness.items() if name != "None"}
    ranked = fused_ranks(attacks, weighed, found["scores"])
    name = labelled(method, found["under_trained"])
    rows = []
    for way in ("alone", *(f"with {measure}" for measure in attacks.measures)):
        there = [attack for attack in ATTACKS if way in ranked[attack]]
        if not there:
            continue
        row: dict[str, Any] = {"method": f"{name} {way}"}
        row |= {attack: percent(accuracy(ranked[attack][way], prompts)) for attack in there}
        if way != "alone":
            # The lift is over all attacks, or it is none.
            row |= {"lift": None, "beyond": None}
            if len(there) == len(ATTACKS):
                together = {attack: ranked[attack][way] for attack in ATTACKS}
                row["lift"] = _lift(together, {attack: ranked[attack]["alone"] for attack in ATTACKS}, prompts)
                measure = way.removeprefix("with ")
                row["beyond"] = _lift(together, _alone(attacks, likeness, measure), prompts)
            row["paper"] = f"{published.PLUGIN} points"
        rows.append(row)
    return rows


def _alone(attacks: Attacked, likeness: Mapping[str, Any], measure: str) -> dict[str, Any]:
    """Ranks of the right model by regeneration alone, by attack."""
    return {
        attack: ranks(np.array(likeness[attack][measure]), attacks.models, attacks.truth(attack)) for attack in ATTACKS
    }


def _lift(ours: Mapping[str, Any], theirs: Mapping[str, Any], prompts: list[Any]) -> str:
    """Top-1 of ranks less that of others, query by query, over all attacks."""
    hits = [[float(rank == 1) for attack in ATTACKS for rank in each[attack]] for each in (ours, theirs)]
    names = np.array([f"prompt {prompt}" for _ in ATTACKS for prompt in prompts])
    found = paired_lift(hits[0], hits[1], names)
    return format_percent(found.point, found.low, found.high, signed=True)
