"""Tables in Markdown and a figure each, from cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo.cells import Cells
from benchmarks.zoo.measure import accuracy
from benchmarks.zoo.variants import Lineup

from morelli.evaluation.bootstrap import Interval

Cell = Mapping[str, Any]


def percent(found: Interval) -> str:
    """``93.1 (90.2–95.5)``: a fraction with its interval, both in percent."""
    if found.low != found.low:  # one prompt: no interval
        return f"{100 * found.point:.1f}"
    return f"{100 * found.point:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def pooled(cells: Iterable[Cell], method: str, kind: str = "rank") -> tuple[list[int | None], list[int]]:
    """Ranks by one method over all cells, and the prompt of each."""
    found: list[int | None] = []
    prompts: list[int] = []
    for cell in cells:
        mine = cell[kind].get(method, [])
        found += mine
        prompts += [cell["prompt"]] * len(mine)
    return found, prompts


def _line(cells: Sequence[Cell], method: str, *, bases: bool = True) -> list[str]:
    found, prompts = pooled(cells, method)
    if not found:
        return ["–"] * (5 if bases else 4)
    columns = [str(len(found)), *(percent(accuracy(found, prompts, k)) for k in (1, 2, 3))]
    return [*columns, percent(accuracy(*pooled(cells, method, "base_rank")))] if bases else columns


def write_leaderboard(cells: Cells, plan: Mapping[str, Any], lineup: Lineup, out: Path) -> str:
    """``leaderboard.md`` and ``leaderboard.png``; the former's text."""
    every = [cell for cell in cells.of("pool") if cell["truth"]]
    largest = len(lineup.models)
    n_bases = len(set(lineup.bases.values()))
    said = (
        f"{plan['queries']} queries of {len({cell['prompt'] for cell in every})} held-out prompts, seed {plan['seed']}"
    )
    parts = [f"# Leaderboard: {largest} variants of {n_bases} bases", f"{said}. {INTERVALS}"]
    parts.append(
        f"Statistics: {plan['background']} images of each variant and prompt, seeds 0 to {plan['background'] - 1}, of "
        f"the other prompts in {plan['folds']} folds. References have the seeds 0 to k − 1."
    )
    if lineup.absent:
        parts.append(f"Not there, for want of weights: {', '.join(lineup.absent)}.")
    head = ("method", "n", "top-1", "top-2", "top-3", "base top-1")
    for k in plan["ks"]:
        here = [cell for cell in every if cell["k"] == k and cell["pool"] == largest]
        parts += [f"## k = {k}, {largest} candidates", table(head, ([m, *_line(here, m)] for m in plan["methods"]))]
    sizes = sorted({cell["pool"] for cell in every})
    for k in plan["ks"]:
        rows = []
        for size in sizes:
            here = [cell for cell in every if cell["k"] == k and cell["pool"] == size]
            shown = [percent(accuracy(*pooled(here, m))) if pooled(here, m)[0] else "–" for m in plan["methods"]]
            count = max(len(pooled(here, m)[0]) for m in plan["methods"])
            rows.append([str(size), str(len({c["draw"] for c in here})), str(count), *shown])
        title = f"## Pools, top-1, k = {k} (n counts a query once for each pool that it is in)"
        parts += [title, table(("candidates", "pools", "n", *plan["methods"]), rows)]
    text = "\n\n".join(parts) + "\n"
    (out / "leaderboard.md").write_text(text, encoding="utf-8")
    panels = [
        ("references a candidate (k)", _curves(every, plan["methods"], "k", lambda c: c["pool"] == largest)),
        (f"candidates (k = {_middle(plan['ks'])})",
         _curves(every, plan["methods"], "pool", lambda c: c["k"] == _middle(plan["ks"]))),
    ]  # fmt: skip
    draw(panels, out / "leaderboard.png")
    return text


INTERVALS = "Percent, with 95 % intervals by bootstrap over prompts where there are two or more."
Curve = list[tuple[float, Interval]]


def _middle(ks: Sequence[int]) -> int:
    return min(ks, key=lambda k: abs(k - 3))


def _curves(cells: Sequence[Cell], methods: Sequence[str], by: str, keep: Callable[[Cell], bool]) -> dict[str, Curve]:
    kept = [cell for cell in cells if keep(cell)]
    out: dict[str, Curve] = {}
    for method in methods:
        points = {x: pooled([c for c in kept if c[by] == x], method) for x in sorted({c[by] for c in kept})}
        out[method] = [(x, accuracy(*found)) for x, found in points.items() if found[0]]
    return out


def draw(panels: Sequence[tuple[str, Mapping[str, Curve]]], path: Path) -> None:
    """One panel beside another: top-1 accuracy with a band for its interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2 * len(panels), 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (title, curves) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for name, curve in curves.items():
            x = [at for at, _ in curve]
            (line,) = axes.plot(x, [y.point for _, y in curve], marker="o", label=name)
            axes.fill_between(
                x, [y.low for _, y in curve], [y.high for _, y in curve], color=line.get_color(), alpha=0.12
            )
        axes.set(xlabel=title, ylabel="top-1", ylim=(0, 1.02))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if curves:
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
