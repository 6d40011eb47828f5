"""The figures of an exposure report, each from the result's own rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from morelli.exposure.cost import Cost
from morelli.report.svg import FIRST, INK, MUTED, SECOND, THIRD, drawing, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Paper 000, 22 models: top-1 against k, and against the pool at k = 30.
PAPER_K = ((1, 0.62), (10, 0.91), (30, 0.9086))
PAPER_POOL = ((5, 0.9664), (10, 0.9507), (15, 0.9386), (22, 0.9086))
_INKS = (MUTED, FIRST, SECOND, THIRD)
#: Every name that `exposure_figures` may give.
FIGURE_NAMES = (
    "ranking",
    "distances",
    "k",
    "pool",
    "bands",
    "tau",
    "cost",
    "chosen",
    "encoders",
    "categories",
    "votes",
)


def exposure_figures(result: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Name → (figure, what it shows). A figure without data is left out."""
    curves = result["curves"]
    out = {
        "ranking": (ranking(result["prompts"]), "D(i) and the attack's accuracy of every prompt, most exposing first."),
        "distances": (
            distances(result["encoders"][0]),
            "Distances between two images of one prompt: by one model, and by two.",
        ),
        "k": (curve(curves["k"], "k", "references a model (k)", PAPER_K), "Top-1 accuracy against k."),
        "pool": (curve(curves["pool"], "models", "models in the pool", PAPER_POOL), "Top-1 against the pool's size."),
        "bands": (bars(curves["band"], "band", "D(i) of the references"), "Top-1 on held-out images by band of D(i)."),
        "tau": (thresholds(curves["tau"]), "Mean D(i) against the threshold τ."),
        "cost": (campaigns(result["cost"]), "Dollars for references against the battles that an attacker views."),
    }
    if len(curves["chosen"]) > 1:
        out["chosen"] = chosen(curves["chosen"]), "Top-1 on the m prompts that the attacker picks."
    if len(result["encoders"]) > 1:
        out["encoders"] = encoders(result["encoders"]), "Share of the variance that the model explains, by encoder."
    if len(curves["category"]) > 1:
        out["categories"] = bars(curves["category"], "category", "category"), "Top-1 by category of the prompts."
    if result["votes"] is not None and any(row["votes"] is not None for row in result["votes"]["rows"]):
        out["votes"] = votes(result["votes"]["rows"]), "Votes that move each target one place."
    return out


def _pc(value: float | None) -> float:
    """Percent; NaN, which is not drawn, for what is not known (None where the result comes from JSON)."""
    return float("nan") if value is None else 100 * value


def _percent(axes: Axes, label: str = "top-1, %") -> None:
    axes.set_ylim(0, 102)
    axes.set_ylabel(label)


def _plain_log(axes: Axes) -> None:
    """A logarithmic axis with plain numbers; linear where the numbers span less than a factor of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.get_xlim()
    if low <= 0 or high / low < 10:
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _numbered_log(axes: Axes, values: Sequence[int]) -> None:
    """A logarithmic axis with these numbers on it, but for those that would touch the next."""
    kept = [v for v, after in zip(values, [*values[1:], 10**9], strict=True) if after >= 1.35 * v]
    axes.set_xscale("log")
    axes.set_xticks(kept, [str(v) for v in kept])
    axes.minorticks_off()


def ranking(prompts: Sequence[Mapping[str, Any]]) -> Figure:
    """D(i) as a falling line, the accuracy of each prompt as a dot."""
    order = sorted(prompts, key=lambda row: (-row["d"], -(row["accuracy"] or 0.0)))
    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        places = range(1, len(order) + 1)
        axes.plot(
            places, [_pc(row["accuracy"]) for row in order], "o", color=FIRST, markersize=3.5, label="attack, top-1"
        )
        axes.step(places, [_pc(row["d"]) for row in order], where="mid", color=SECOND, linewidth=1.8, label="D(i)")
        axes.set_xlabel("prompts, most exposing first")
        _percent(axes, "%")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def distances(encoder: Mapping[str, Any]) -> Figure:
    """Histograms of the two kinds of distances."""
    found = encoder["distances"]
    edges = found["edges"]
    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        for name, ink, label in (("same", FIRST, "one model"), ("different", SECOND, "two models")):
            axes.stairs(found[name], edges, color=ink, linewidth=1.8, label=label)
            axes.stairs(found[name], edges, fill=True, color=ink, alpha=0.15)
        axes.set_xlabel("distance of two images of one prompt")
        axes.set_ylabel("share of the pairs")
        axes.set_xlim(left=0)
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def curve(rows: Sequence[Mapping[str, Any]], key: str, label: str, paper: Sequence[tuple[int, float]] = ()) -> Figure:
    """Top-1 of each method with its interval, beside what paper 000 found on its own models."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        methods = list(dict.fromkeys(row["method"] for row in rows))
        for number, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method]
            ink = _INKS[number % 2] if len(methods) == 2 else _INKS[(number + 1) % len(_INKS)]
            x, y = [row[key] for row in own], [100 * row["top1"] for row in own]
            axes.plot(x, y, "o-", color=ink, markersize=4, label=method)
            low, high = ([_pc(row[end]) for row in own] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=ink, alpha=0.15, linewidth=0)
        if paper:
            axes.plot(*zip(*((x, 100 * y) for x, y in paper), strict=True), "D", markerfacecolor="none",
                      markeredgecolor=SECOND, markersize=5, label="paper 000")  # fmt: skip
        if key == "k":
            shown = sorted({row[key] for row in rows} | {k for k, _ in paper})
            _numbered_log(axes, shown)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(label)
        _percent(axes)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def bars(rows: Sequence[Mapping[str, Any]], key: str, label: str) -> Figure:
    """A bar a row with its interval."""
    figure = new_figure(max(2.2, 0.45 * len(rows) + 1.0))
    with drawing():
        axes = figure.add_subplot()
        places = range(len(rows))
        values = [100 * row["top1"] for row in rows]
        axes.barh(places, values, height=0.6, color=FIRST, alpha=0.75)
        for place, row in zip(places, rows, strict=True):
            axes.plot([_pc(row["low"]), _pc(row["high"])], [place, place], color=INK, linewidth=1.4)
        names = [f"{row[key]}  ({row['prompts']} prompt{'s' * (row['prompts'] != 1)})" for row in rows]
        axes.set_yticks(list(places), [name if len(name) < 34 else name[:32] + "…" for name in names], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlim(0, 102)
        axes.set_xlabel("top-1, %")
        axes.set_ylabel(label)
        axes.grid(axis="y", visible=False)
    return figure


def thresholds(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean D(i), and the share of the prompts where all models are separable, against τ."""
    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        x = [row["tau"] for row in rows]
        axes.plot(x, [_pc(row["mean_d"]) for row in rows], "o-", color=FIRST, markersize=4, label="mean D(i)")
        axes.plot(x, [_pc(row["all_separable"]) for row in rows], "s-", color=SECOND, markersize=4,
                  label="prompts with D(i) = 1")  # fmt: skip
        axes.set_xlabel("τ")
        _percent(axes, "%")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def chosen(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy against the number of prompts that the attacker picks."""
    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        x = [row["m"] for row in rows]
        for key, ink, label in (("by_d", SECOND, "by D(i)"), ("by_expected", FIRST, "by expected accuracy")):
            values = [row[key] for row in rows]
            if all(value is not None for value in values):
                axes.plot(x, [_pc(value) for value in values], "o-", color=ink, markersize=4, label=label)
        axes.axhline(_pc(rows[0]["all_prompts"]), color=MUTED, linestyle="--", linewidth=1, label="all prompts")
        _numbered_log(axes, x)
        axes.set_xlabel("prompts that the attacker picks (m)")
        _percent(axes)
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def encoders(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Share of the variance between models, a bar an encoder."""
    figure = new_figure(max(2.0, 0.5 * len(rows) + 1.0))
    with drawing():
        axes = figure.add_subplot()
        places = range(len(rows))
        axes.barh(places, [max(0.0, _pc(row["share"])) for row in rows], height=0.55, color=FIRST, alpha=0.75)
        for place, row in zip(places, rows, strict=True):
            axes.plot([_pc(row["share_low"]), _pc(row["share_high"])], [place, place], color=INK, linewidth=1.4)
        axes.set_yticks(list(places), [row["encoder"][-30:] for row in rows], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("variance between models, % of between + within")
        axes.grid(axis="y", visible=False)
    return figure


def campaigns(cost: Mapping[str, Any]) -> Figure:
    """Dollars against battles viewed: every battle with its own prompt, and prompts that repeat and are paid once."""
    aim = cost["campaign_battles"]
    end = 1000.0 if aim is None else max(100.0, 1.5 * aim)
    battles = [end * step / 60 for step in range(61)]
    figure = new_figure()
    with drawing():
        axes = figure.add_subplot()
        for prompts, ink, label in (
            (None, SECOND, "every battle its own prompt"),
            (cost["leaderboard_prompts"], FIRST, f"{cost['leaderboard_prompts']} prompts that repeat"),
        ):
            found = Cost(cost["images_per_battle"], cost["per_battle"], prompts)
            axes.plot(battles, [found.campaign(each) for each in battles], color=ink, linewidth=1.8, label=label)
        if aim is not None:
            axes.axvline(aim, color=MUTED, linestyle="--", linewidth=1, label="moves the median model one place")
        axes.set_xlim(0, end)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("battles viewed")
        axes.set_ylabel("references, $")
        figure.legend(loc="outside upper center", ncols=2)
    return figure


def votes(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Median votes with their intervals, a line a target, an arrow where there is no upper end; with the defences."""
    shown = [row for row in rows if row["votes"] is not None]
    targets = list(dict.fromkeys(row["target"] for row in shown))
    figure = new_figure(max(2.2, 0.33 * len(targets) + 1.3))
    with drawing():
        axes = figure.add_subplot()
        defences = list(dict.fromkeys(row["defence"] for row in shown))
        reach = 1.3 * max(max(row["votes"], row.get("votes_high") or 0) for row in shown)
        for place, name in enumerate(defences):
            ink, shift = (FIRST, SECOND)[place % 2], 0.24 * (place - (len(defences) - 1) / 2)
            own = [row for row in shown if row["defence"] == name]
            for row in own:
                low, high = (row.get(end) for end in ("votes_low", "votes_high"))
                if low is not None:
                    at = targets.index(row["target"]) + shift
                    axes.plot([low, reach if high is None else high], [at, at], color=ink, linewidth=1.6)
                    if high is None:  # it has no upper end
                        axes.plot(reach, at, ">", color=ink, markersize=5)
            x, y = [row["votes"] for row in own], [targets.index(row["target"]) + shift for row in own]
            if own:
                axes.plot(x, y, "o", color=ink, markersize=5, label="no defence" if name == "none" else name)
        _plain_log(axes)
        axes.set_yticks(range(len(targets)), [t if len(t) < 26 else t[:24] + "…" for t in targets], parse_math=False)
        axes.invert_yaxis()
        axes.set_xlabel("votes to move one place")
        if len(defences) > 1:
            figure.legend(loc="outside upper center", ncols=2)
    return figure
