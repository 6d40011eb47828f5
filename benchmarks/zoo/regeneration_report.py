"""The regeneration experiment's tables and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.measure import accuracy
from benchmarks.zoo.plan import ATTACKS, Plan
from benchmarks.zoo.report import INTERVALS, Cell, Curve, draw, percent, pooled, table
from benchmarks.zoo.variants import Lineup

from morelli.evaluation.bootstrap import Interval, paired_lift, prompt_bootstrap
from morelli.regeneration.stopwatch import STAGES

GIVEN = "given"


def write(cells: Cells, plan: Plan, lineup: Lineup, out: Path) -> str:
    """``regeneration.md`` and ``regeneration.png``; the former's text."""
    measures = list(next((cells.of(each)[0]["rank"] for each in ("main", "by-inverter") if cells.of(each)), ()))
    head = f"{len(lineup.models)} models, seed {plan.seed}. Candidates have the seeds 0 to γ − 1. {INTERVALS}"
    parts = [f"# Regeneration: {len(lineup.models)} models", head]
    if lineup.absent:
        parts.append(f"Not there, for want of weights: {', '.join(lineup.absent)}.")
    if cells.of("main"):
        parts += _main(cells, plan, measures)
    if len({cell["gamma"] for cell in cells.of("gamma")}) > 1:
        parts += _gammas(cells, plan, measures)
    if cells.of("by-inverter"):
        parts += _inverters(cells, plan, measures)
    if cells.of("attack"):
        parts += _attacks(cells, plan, measures)
    if cells.of("main"):
        parts += _separation(cells, plan)
    if cells.of("inverted"):
        parts += _texts(cells, plan)
    if cells.of("cost"):
        parts += _costs(cells)
    text = "\n\n".join(parts) + "\n"
    (out / "regeneration.md").write_text(text, encoding="utf-8")
    strengths = {attack: float(place) for place, attack in enumerate(ATTACKS)}
    shown = [*(f"regeneration {name}" for name in ("clip-cosine", "fused")), "fused", "fused and fused"]
    panels = [
        ("candidates a model (γ), given prompt", _curves(cells.of("gamma"), measures, "gamma", None)),
        (" · ".join(ATTACKS), _curves(cells.of("attack"), shown, "attack", strengths)),
    ]
    draw(panels, out / "regeneration.png")
    return text


def _n(cells: Sequence[Cell]) -> int:
    return sum(len(cell["truth"]) for cell in cells)


def _top(cells: Sequence[Cell], method: str, k: int = 1) -> str:
    found, prompts = pooled(cells, method)
    return percent(accuracy(found, prompts, k)) if found else "–"


def _curves(cells: Sequence[Cell], methods: Sequence[str], by: str, place: dict[str, float] | None) -> dict[str, Curve]:
    out: dict[str, Curve] = {}
    for method in methods:
        curve: Curve = []
        for at in dict.fromkeys(cell[by] for cell in cells):
            found, prompts = pooled([cell for cell in cells if cell[by] == at], method)
            if found:
                curve.append((float(at) if place is None else place[at], accuracy(found, prompts)))
        out[method] = curve
    return {method: curve for method, curve in out.items() if curve}


def _main(cells: Cells, plan: Plan, measures: Sequence[str]) -> list[str]:
    here = cells.of("main")
    title = f"## Similarities: true prompt, γ = {plan.gamma}, n = {_n(here)} ({len(here)} held-out prompts)"
    rows = ([name, *(_top(here, name, k) for k in (1, 2, 3))] for name in measures)
    return [title, table(("similarity", "top-1", "top-2", "top-3"), rows)]


def _gammas(cells: Cells, plan: Plan, measures: Sequence[str]) -> list[str]:
    every = cells.of("gamma")
    by = {gamma: [cell for cell in every if cell["gamma"] == gamma] for gamma in range(1, plan.gamma + 1)}
    title = f"## Candidates: true prompt, top-1, n = {_n(by[plan.gamma])}"
    return [title, table(("γ", *measures), ([str(g), *(_top(here, m) for m in measures)] for g, here in by.items()))]


def _inverters(cells: Cells, plan: Plan, measures: Sequence[str]) -> list[str]:
    """Top-1 by inverter, and how far below the given prompt it is, on the same queries."""
    given = [cell for cell in cells.of("gamma") if cell["gamma"] == plan.gamma]
    rows = [[GIVEN, str(_n(given)), "–", *(_top(given, name) for name in measures)]]
    lifts = []
    for kind in plan.inverters:
        here = [cell for cell in cells.of("by-inverter") if cell["kind"] == kind]
        unread = sum(cell["rank"][measures[0]][0] is None for cell in here)
        rows.append([kind, str(_n(here)), str(unread), *(_top(here, name) for name in measures)])
        lifts.append([kind, *(_signed(_lift(here, given, name)) for name in measures)])
    return [
        f"## Inverted prompts: γ = {plan.gamma}, top-1 (unread by some model: counted as misses)",
        table(("prompt", "n", "unread", *measures), rows),
        "Less the given prompt's top-1 on the same queries, points:",
        table(("prompt", *measures), lifts),
    ]


def _lift(inverted: Sequence[Cell], given: Sequence[Cell], method: str) -> Interval:
    # Cells of both are in the order of the subset, which is by prompt.
    mine, prompts = pooled(inverted, method)
    other, others = pooled(given, method)
    assert prompts == others
    hits = [[float(rank == 1) for rank in found] for found in (mine, other)]
    return paired_lift(hits[0], hits[1], np.array([f"prompt {each}" for each in prompts]))


def _signed(found: Interval) -> str:
    if found.low != found.low:
        return f"{100 * found.point:+.1f}"
    return f"{100 * found.point:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def _attacks(cells: Cells, plan: Plan, measures: Sequence[str]) -> list[str]:
    every, fit = cells.of("attack"), cells.cells["plugin/fit"]
    by = {attack: [cell for cell in every if cell["attack"] == attack] for attack in ATTACKS}
    strengths = ", ".join(f"{name} {text}" for name, text in ATTACKS.items() if text)
    title = f"## Attacks: true prompt, γ = {plan.gamma}, top-1, n = {_n(by['none'])} each"
    said = (
        f"{strengths}. The attributor alone (fused) does not know the prompt; it learnt from {plan.background} "
        f"training prompts × {plan.background_images} images a model; weights of the plug-in (fused and …) from "
        f"{fit['queries']} of those images, unattacked."
    )
    methods = ["fused", *(f"{word} {name}" for name in measures for word in ("regeneration", "fused and"))]
    rows = ([method, *(_top(here, method) for here in by.values())] for method in methods)
    return [title, said, table(("method", *by), rows)]


def _separation(cells: Cells, plan: Plan) -> list[str]:
    here = cells.of("main")
    rows = []
    for name in here[0]["pairs"]:
        prompts = np.array([f"prompt {cell['prompt']}" for cell in here for _ in cell["truth"]])
        columns = ([v for cell in here for v in cell["pairs"][name][what]] for what in ("same", "cross", "auroc"))
        rows.append([name, *(_plain(prompt_bootstrap(values, prompts)) for values in columns)])
    title = f"## Within and across models: mean likeness of a query and candidates, γ = {plan.gamma}, n = {_n(here)}"
    return [title, table(("similarity", "same model", "other models", "AUROC within a query"), rows)]


def _plain(found: Interval) -> str:
    return f"{found.point:.3f}" + ("" if found.low != found.low else f" ({found.low:.3f}–{found.high:.3f})")


def _texts(cells: Cells, plan: Plan) -> list[str]:
    names = ("picture_true", "picture_found", "found_true", "words")
    rows = []
    for kind in plan.inverters:
        here = [cell for cell in cells.of("inverted") if cell["kind"] == kind]
        read = [cell for cell in here if "texts" in cell]
        prompts = np.array([f"prompt {cell['prompt']}" for cell in read])
        shown = [_plain(prompt_bootstrap([c["texts"][name] for c in read], prompts)) if read else "–" for name in names]
        seconds = float(np.mean([cell["seconds"] for cell in here])) if here else float("nan")
        rows.append([kind, str(len(read)), *shown, f"{seconds:.2f}"])
    head = ("prompt", "n", "picture · true", "picture · found", "found · true", "words found", "seconds")
    return ["## Inverted and true prompts: cosines under the mini-CLIP, mean seconds an image", table(head, rows)]


def _costs(cells: Cells) -> list[str]:
    def row(cell: dict[str, Any]) -> list[str]:
        seconds = [cell["seconds"][stage] for stage in STAGES]
        figures = [*(f"{each:.2f}" for each in seconds), f"{sum(seconds):.2f}", f"{cell['mib']:.0f}"]
        return [str(cell["gamma"]), str(cell["models"]), str(cell["queries"]), *figures]

    head = ("γ", "models", "n", *STAGES, "all", "peak MiB")
    title = "## Time and memory: seconds a query, BLIP, candidates of the true prompt, fused, nothing cached"
    return [title, table(head, (row(cell) for cell in cells.of("cost")))]
