"""Rows of the papers' tables from what was measured; a cell that is missing says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.papers import published
from benchmarks.papers.methods import spec_options
from benchmarks.papers.plan import OVER_ENCODER, kind
from benchmarks.papers.records import best_of_pairs, pair_lift, query_lift
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job, reason
from benchmarks.papers.training import published_hours

from morelli.baselines.text import STAND_IN
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.evaluation.bootstrap import Interval
from morelli.report.table import Column, format_percent

Row = dict[str, Any]
# The figure that a table is ordered by.
_ORDER = {"identification": "top1", "verification": "auroc"}
# Figures whose intervals older cells do not hold, as sentences name them.
_LATER = {"top2": "top-2", "top3": "top-3", "best_accuracy": "best accuracy"}
THEIRS = "on their data"

MAIN_COLUMNS = (
    Column("method"),
    Column("kind", "is"),
    Column("sees"),
    Column("top1", "top-1 %", "percent", "top1_low", "top1_high"),
    Column("top2", "top-2 %", "percent", "top2_low", "top2_high"),
    Column("top3", "top-3 %", "percent", "top3_low", "top3_high"),
    Column("family_top1", "family %", "percent"),
    Column("paper", f"paper 000, {THEIRS}: top-1 / 2 / 3 %"),
)
IDENTIFICATION_COLUMNS = (
    Column("method"),
    Column("kind", "is"),
    Column("seen_acc", "seen: accuracy %"),
    Column("seen_f1", "seen: F1 %"),
    Column("unseen_acc", "unseen: accuracy %"),
    Column("unseen_f1", "unseen: F1 %"),
    Column("unseen_family", "unseen: family %"),
    Column("paper_seen", f"paper 002, {THEIRS}: seen, accuracy / F1 %"),
    Column("paper_unseen", f"paper 002, {THEIRS}: unseen, accuracy / F1 %"),
)
VERIFICATION_COLUMNS = (
    Column("method"),
    Column("kind", "is"),
    Column("seen_best", "seen: best accuracy % (optimistic)"),
    Column("seen_auc", "seen: AUC %"),
    Column("unseen_best", "unseen: best accuracy % (optimistic)"),
    Column("unseen_auc", "unseen: AUC %"),
    Column("unseen_acc", "unseen: balanced accuracy % at the seen models' threshold"),
    Column("paper_seen", f"paper 002, {THEIRS}: seen, best accuracy / AUC %"),
    Column("paper_unseen", f"paper 002, {THEIRS}: unseen, best accuracy / AUC %"),
)
CURVE_COLUMNS = (
    Column("name", "method"),
    Column("steps", "steps", "count"),
    Column("seen_acc", "seen: accuracy %"),
    Column("unseen_acc", "unseen: accuracy %"),
    Column("loss", "loss at the end", "number"),
)
#: Ours beside the best baseline, on the same queries or pairs.
LIFT_COLUMNS = (
    Column("ours"),
    Column("theirs", "the best of"),
    Column("name", "which is"),
    Column("lift", "ours − theirs, points"),
)
SCALE_COLUMNS = (
    Column("method"),
    Column("lacks", "this run"),
    Column("steps", "steps", "count"),
    Column("seconds", "processor s", "count"),
    Column("hours", "published epochs on these pictures, hours on one core"),
)

COST_COLUMNS = (
    Column("method"),
    Column("cells", "cells", "count"),
    Column("estimated", "estimated, s", "count"),
    *(Column(table, f"table {table}, s", "count") for table in ("000", "002", "001")),
    Column("together", "together, s", "count"),
)


def jobs_of(jobs: Iterable[Job], table: str, source: str) -> list[Job]:
    """The cells of a table and a data set."""
    return [job for job in jobs if job.key.startswith(f"{table}/{source}/")]


def measured(results: Results, job: Job) -> tuple[dict[str, Any] | None, str]:
    """A cell's result, or None and what to say in its place."""
    found = results.get(job.key, job.words)
    if found is None:
        return None, "not measured"
    why = reason(found)
    return (None, why) if why else (found, "")


def _briefly(why: str) -> str:
    """ "not run", "failed" or "not measured": `reasons` has the rest."""
    return why.partition(":")[0]


def reasons(results: Results, jobs: Iterable[Job]) -> list[str]:
    """A sentence for each method that could not be run, and for each cell that failed; each once."""
    said = {}
    for job in jobs:
        found, why = measured(results, job)
        kind, _, text = why.partition(": ")
        if found is None and text:
            name = job.words.get("method", job.key)
            said[f"{job.key} failed: {text}" if kind == "failed" else f"{name} was {why}"] = None
    return list(said)


def failures(results: Results, jobs: Iterable[Job]) -> list[str]:
    """Keys of the cells that failed as nobody foresaw."""
    return [job.key for job in jobs if measured(results, job)[1].startswith("failed")]


def labelled(method: str, under_trained: str | None) -> str:
    """A method's name, with the label that every under-trained one carries."""
    return f"{method} (under-trained)" if under_trained else method


def sees(method: str, encoder: str | None, spec: str = "") -> str:
    """What a method looks at; of ``spec`` the text tower, where the method reads prompts."""
    if encoder is not None:
        return f"vectors of {encoder}"
    name = method.partition("@")[0]
    seen = f"vectors of {DEFAULT_ENCODER}" if name in OVER_ENCODER else "pictures"
    return f"{seen}, and of the prompt by {text_tower(spec)}" if name == "mlp-image-text" else seen


def text_tower(spec: str) -> str:
    """The text tower that a spec of mlp-image-text names: a stand-in, or a CLIP by its folder's name."""
    chosen = spec_options(spec).get("text", STAND_IN)
    return f"{chosen}, a stand-in" if chosen == STAND_IN else f"the CLIP {Path(chosen).name!r}"


def main_rows(results: Results, jobs: Sequence[Job]) -> list[Row]:
    """Table 000: a row a method."""
    rows = []
    for job in jobs:
        method, (found, why) = job.words["method"], measured(results, job)
        row: Row = {"method": method, "paper": published.triple(method)}
        if found is None:
            rows.append(row | {"method": f"{method} ({_briefly(why)})"})
            continue
        row |= {"kind": kind(method), "sees": sees(method, found["row"].get("encoder"), job.words["spec"])}
        rows.append(row | found["row"] | {"method": labelled(method, found["row"].get("under_trained"))})
    return sorted(rows, key=lambda row: row.get("top1") is None or -row["top1"])


def whole(jobs: Iterable[Job]) -> list[Job]:
    """The cells of whole trainings."""
    return [job for job in jobs if job.words["part"] == 1]


def _grouped(
    results: Results,
    jobs: Sequence[Job],
    task: str,
    paper: dict[str, tuple[tuple[float, float], tuple[float, float]]],
    cells: Callable[[Mapping[str, Any], int], Row],
) -> list[Row]:
    """A row a method that does a task, with its figures for seen and for unseen models, and the paper's beside them.

    Parameters
    ----------
    results : Results
    jobs : sequence of Job
    task : str
        "identification" or "verification".
    paper : dict
        The published figures, one of the tables of `published`.
    cells : callable
        What is written of a group's figures, by the column's name without the group; also given the cell's seed.
    """
    rows = []
    for job in whole(jobs):
        method, (found, why) = job.words["method"], measured(results, job)
        row: Row = {"method": f"{method} ({_briefly(why)})"}
        row |= {f"paper_{group}": published.pair(paper, method, group) for group in ("seen", "unseen")}
        if found is not None:
            parts = {group: figures[task] for group, figures in found["groups"].items()}
            if not any(parts.values()):
                continue
            row |= {"method": labelled(method, found["under_trained"]), "kind": kind(method)}
            row["order"] = -float((parts.get("unseen") or {}).get(_ORDER[task]) or 0.0)
            shown = {group: cells(part, job.words["seed"]) for group, part in parts.items()}
            row |= {f"{group}_{name}": text for group, texts in shown.items() for name, text in texts.items()}
        rows.append(row)
    return sorted(rows, key=lambda row: row.get("order", 0.0))


def identification_rows(results: Results, jobs: Sequence[Job]) -> list[Row]:
    """Table VIII: accuracy and F1 of seen and unseen models."""
    return _grouped(
        results,
        jobs,
        "identification",
        published.IDENTIFICATION,
        lambda part, _: {
            "acc": _percent(part, "top1"),
            "f1": _percent(part, "f1"),
            "family": format_percent(part.get("family_top1")),
        },
    )


def verification_rows(results: Results, jobs: Sequence[Job]) -> list[Row]:
    """Table IX: best accuracy and AUC, and accuracy at the other group's threshold."""
    return _grouped(
        results,
        jobs,
        "verification",
        published.VERIFICATION,
        lambda part, seed: {
            "best": _percent(_with_best(part, seed), "best_accuracy"),
            "auc": _percent(part, "auroc"),
            "acc": _percent(part, "accuracy"),
        },
    )


def _with_best(part: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
    """Figures of pairs with the interval of the best accuracy; of a cell without it, from the pairs that it kept."""
    if "best_accuracy_low" in part or not part.get("pairs"):
        return part
    found = best_of_pairs(part["pairs"], seed)
    return {**part, "best_accuracy_low": found.low, "best_accuracy_high": found.high}


def lacking(results: Results, jobs: Iterable[Job]) -> list[str]:
    """A sentence for each figure whose interval some rows lack, for their cells are older than it."""
    said: dict[str, list[str]] = {}
    for job in jobs:
        found, _ = measured(results, job)
        if found is None or job.words.get("part", 1) != 1:
            continue
        parts = [found["row"]] if "row" in found else [each["verification"] for each in found["groups"].values()]
        for figure, name in _LATER.items():
            if any(_bare(part, figure) for part in parts):
                said.setdefault(name, []).append(job.words["method"])
    return [
        f"No interval of {name} for {', '.join(methods)}: measured before it was kept."
        for name, methods in said.items()
    ]


def _bare(part: Mapping[str, Any], figure: str) -> bool:
    """Whether a figure is there and its interval is not, nor the pairs that would give it."""
    return part.get(figure) is not None and f"{figure}_low" not in part and not part.get("pairs")


#: Records that a lift is paired by, of two methods: the queries or pairs of each.
Lift = Callable[[Mapping[str, Any] | None, Mapping[str, Any] | None, int], "Interval | None"]


def _lifts(
    found: Mapping[str, Mapping[str, Any]],
    figure: Callable[[Mapping[str, Any]], Any],
    record: str,
    lift: Lift,
    seed: int,
) -> list[Row]:
    """Each of ours beside the best baseline, the best that is trained to its end, and the best published rule.

    Parameters
    ----------
    found : mapping of str to mapping
        Figures of each method, with what the lift is paired by under ``record``.
    figure : callable
        What the best has most of; None where a method has none.
    """
    there = {name: each for name, each in found.items() if figure(each) is not None}
    groups = {
        "all baselines": [name for name in there if kind(name) == "baseline"],
        "baselines trained to their end": [
            name for name, each in there.items() if kind(name) == "baseline" and not each.get("under_trained")
        ],
        "published rules": [name for name in there if kind(name) == "published rule"],
    }
    rows = []
    for ours in (name for name in there if kind(name) == "ours"):
        for group, names in groups.items():
            if not names:
                continue
            best = max(names, key=lambda name: figure(there[name]))
            value = lift(there[ours].get(record), there[best].get(record), seed)
            name = labelled(best, there[best].get("under_trained"))
            shown = "not the same images" if value is None else format_percent(*value, signed=True)
            rows.append({"ours": ours, "theirs": group, "name": name, "lift": shown})
    return rows


def main_lifts(results: Results, jobs: Sequence[Job], seed: int) -> list[Row]:
    """Table 000: top-1 of ours less that of theirs, query by query."""
    cells = {job.words["method"]: measured(results, job)[0] for job in jobs}
    found = {name: {**cell["row"], "queries": cell["queries"]} for name, cell in cells.items() if cell is not None}
    return _lifts(found, lambda each: each["top1"], "queries", query_lift, seed)


def group_lifts(results: Results, jobs: Sequence[Job], task: str, group: str, seed: int) -> list[Row]:
    """Tables VIII and IX: the same for one group of models; of verification the area under the curve."""
    found = {}
    for job in whole(jobs):
        cell, _ = measured(results, job)
        part = {} if cell is None else cell["groups"][group][task]
        if cell is not None and part:
            found[job.words["method"]] = {**part, "under_trained": cell["under_trained"]}
    record, lift = ("queries", query_lift) if task == "identification" else ("pairs", pair_lift)
    return _lifts(found, lambda each: each.get(_ORDER[task]), record, lift, seed)


def curve_rows(results: Results, jobs: Sequence[Job]) -> list[Row]:
    """Learning curves: accuracy after parts of the training.

    ``name`` has the label of under-trained methods; ``method`` is what a figure groups by.
    """
    rows = []
    for job in sorted(jobs, key=lambda job: (job.words["method"], job.words["part"])):
        found, _ = measured(results, job)
        if found is None or found["training"] is None:
            continue
        training = found["training"]
        row: Row = {"method": job.words["method"], "part": job.words["part"], "steps": training["steps"]}
        row["name"] = labelled(row["method"], found["under_trained"])
        row["loss"] = training["curve"][-1][1].get("loss") if training["curve"] else None
        for group, parts in found["groups"].items():
            part = parts["identification"]
            row |= {f"{group}_acc": _percent(part, "top1"), f"{group}_point": part.get("top1")}
        rows.append(row)
    return rows


def scale_rows(results: Results, jobs: Sequence[Job]) -> list[Row]:
    """What each trained method lacks, and what its published training would take on one such core."""
    rows = []
    for job in whole(jobs):
        found, _ = measured(results, job)
        if found is None or not found["under_trained"]:
            continue
        hours = published_hours(job.words["method"], found["models"]["seen"], found["training"])
        shown = None if hours is None else f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
        training = found["training"] or {}
        name = labelled(job.words["method"], found["under_trained"])
        row: Row = {"method": name, "lacks": found["under_trained"], "hours": shown}
        seconds = training.get("seconds")
        rows.append(row | {"steps": training.get("steps"), "seconds": None if seconds is None else round(seconds)})
    return rows


def cost_rows(results: Results, jobs: Iterable[Job]) -> list[Row]:
    """Seconds that the cells of each method were estimated to take, and took, the dearest method first."""
    rows: dict[str, dict[str, Any]] = {}
    for job in jobs:
        found, _ = measured(results, job)
        name = job.words.get("method", "likeness")
        row = rows.setdefault(name, {"method": name, "cells": 0, "estimated": 0.0, "together": 0.0})
        row["estimated"] += job.seconds
        if found is not None:
            table = job.key.partition("/")[0]
            row["cells"] += 1
            for column in (table, "together"):
                row[column] = row.get(column, 0.0) + found["seconds"]
    ordered = sorted(rows.values(), key=lambda row: -(row["together"] or row["estimated"]))
    return [{key: round(value) if isinstance(value, float) else value for key, value in row.items()} for row in ordered]


def leak_sentence(leaks: Mapping[str, Any]) -> str:
    """What the leak test of a data set found."""
    if leaks.get("accuracy") is None:
        return "No leak test: it takes two models and prompts."
    words = ", ".join(leaks.get("sources") or []) or "none"
    sizes = leaks.get("bytes")
    also = f" The number of bytes, which no method is shown, names {100 * sizes:.1f} %." if sizes is not None else ""
    return (
        f"Leak test: size, format and tables alone name {100 * leaks['accuracy']:.1f} % "
        f"(chance {100 * leaks['chance']:.1f} %); leaking: {words}.{also}"
    )


def all_notes(results: Results, jobs: Sequence[Job]) -> list[str]:
    """What the cells noted of the data and the protocol, each once; with its methods where not all say so."""
    said: dict[str, list[str]] = {}
    there = [(job, found) for job in jobs if (found := measured(results, job)[0]) is not None]
    for job, found in there:
        parts = (found.get("groups") or {}).items()
        groups = [f"{group}: {note}" for group, part in parts for note in part["identification"].get("notes", ())]
        for note in dict.fromkeys([*found["notes"], *groups]):
            if not note.endswith("is under-trained.") and " is under-trained: " not in note:
                said.setdefault(note, []).append(job.words["method"])
    everyone = len(there)
    return [
        note if len(names) == everyone else f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in said.items()
    ]


def first_measured(results: Results, jobs: Iterable[Job]) -> dict[str, Any] | None:
    """Any measured cell: what does not depend on the method is the same in all."""
    return next((found for job in jobs if (found := measured(results, job)[0]) is not None), None)


def _percent(part: Mapping[str, Any], name: str) -> str | None:
    point = part.get(name)
    return None if point is None else format_percent(point, part.get(f"{name}_low"), part.get(f"{name}_high"))
