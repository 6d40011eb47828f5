"""The folds put together, and the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from benchmarks.fingerprint.ceiling_folds import DESIGNS
from benchmarks.fingerprint.ceiling_measure import TASKS, ZERO_SHOT

from morelli.evaluation.bootstrap import Interval, paired_lift, prompt_bootstrap
from morelli.evaluation.identification import macro_f1_interval

TUNED = "fine-tuned"
Figures = dict[str, Any]


def pooled(lines: Sequence[dict[str, Any]], seed: int) -> list[Figures]:
    """A row for each set of layers and design, from the rows of its folds.

    Parameters
    ----------
    lines : sequence of dict
        As `benchmarks.fingerprint.ceiling_bench.Bench.rows` gives them.
    seed : int
        Of the resamples.

    Returns
    -------
    list of dict
        ``layers``, ``design``, and either ``why`` or "PROTOCOL METHOD" → figures: ``n_queries``, and for "zero-shot",
        "fine-tuned" and "difference" intervals of accuracy and F1 (of the difference no F1) over prompts; of
        verification the mean area under the curve (``auc``) and each fold's interval over models (``folds``).
    """
    out = []
    for layers in dict.fromkeys(line["layers"] for line in lines):
        for design in DESIGNS:
            folds = [line for line in lines if (line["layers"], line["design"]) == (layers, design)]
            if not folds:
                continue
            reasons = [f"fold {line['fold'] + 1}: {line['why']}" for line in folds if "why" in line]
            row: Figures = {"layers": layers, "design": design}
            out.append(row | ({"why": "; ".join(reasons)} if reasons else _together(folds, seed)))
    return out


def _together(folds: Sequence[dict[str, Any]], seed: int) -> Figures:
    found: Figures = {}
    for name in (" ".join(task) for task in TASKS):
        reasons = [f"fold {line['fold'] + 1}: {why}" for line in folds if (why := line["figures"][name].get("why"))]
        found[name] = (
            {"why": "; ".join(reasons)} if reasons else _queries([line["queries"][name] for line in folds], seed)
        )
    areas = [line["figures"]["verification cosine"] for line in folds]
    found["verification cosine"] = {
        ZERO_SHOT: _areas(areas, ZERO_SHOT, "auroc"),
        TUNED: _areas(areas, TUNED, "auroc"),
        "difference": _areas(areas, TUNED, "lift"),
    }
    return found


def _queries(folds: Sequence[dict[str, Any]], seed: int) -> Figures:
    def column(get: Callable[[dict[str, Any]], list[Any]]) -> np.ndarray:
        return np.array([value for fold in folds for value in get(fold)])

    prompts, truth = column(lambda fold: fold["prompts"]), column(lambda fold: fold["truth"])
    found: Figures = {"n_queries": len(truth)}
    hits = {name: column(lambda fold, name=name: fold[name]["hit"]).astype(float) for name in (ZERO_SHOT, TUNED)}
    for name, own in hits.items():
        said = column(lambda fold, name=name: fold[name]["said"])
        f1 = macro_f1_interval(truth, said, prompts, seed=seed)
        found[name] = {"accuracy": _told(prompt_bootstrap(own, prompts, seed=seed)), "f1": _told(f1)}
    found["difference"] = {"accuracy": _told(paired_lift(hits[TUNED], hits[ZERO_SHOT], prompts, seed=seed))}
    return found


def _areas(folds: Sequence[dict[str, Any]], name: str, figure: str) -> Figures:
    rows = [next(row for row in fold[name] if row["pairs"] == "all") for fold in folds]
    intervals = [[row[figure], row[f"{figure}_low"], row[f"{figure}_high"]] for row in rows]
    return {"auc": float(np.mean([each[0] for each in intervals])), "folds": intervals}


def _told(interval: Interval) -> list[float]:
    return [interval.point, interval.low, interval.high]


def plain(value: Any) -> Any:
    """The value as JSON can hold it: a number that is none becomes null."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def markdown(rows: Sequence[Figures]) -> str:
    """The table: percent, areas under the curve from 0 to 100 as in the paper, differences in points."""
    heads = ["vectors", "tested in halves of the", "extractor", "identification", "F1", "any-prompt cosine"]
    heads += ["any-prompt lda", "AUC, mean of the folds", "AUC, fold 1", "AUC, fold 2"]
    out = ["| " + " | ".join(heads) + " |", "|---|---|---|" + "---:|" * (len(heads) - 3)]
    for row in rows:
        start = [row["layers"], row["design"]]
        if "why" in row:
            out.append(_line([*start, row["why"], *[""] * (len(heads) - 3)]))
            continue
        words = {ZERO_SHOT: ZERO_SHOT, TUNED: DESIGNS[row["design"]], "difference": "difference"}
        out += [_line([*start, text, *_cells(row, name)]) for name, text in words.items()]
    counts = [f"{row['layers']}, {row['design']}: {_counts(row)}" for row in rows if "why" not in row]
    return "\n".join([*out, "", "Queries: " + "; ".join(counts) + "."] if counts else out) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Figures, name: str) -> list[str]:
    sign = name == "difference"
    many, area = row["identification cosine"][name], row["verification cosine"][name]
    cells = [_interval(many["accuracy"], sign), "–" if sign else _interval(many["f1"], sign)]
    for task in ("any-prompt cosine", "any-prompt lda"):
        cells.append("–" if "why" in row[task] else _interval(row[task][name]["accuracy"], sign))
    return [*cells, _percent(area["auc"], sign), *(_interval(each, sign) for each in area["folds"])]


def _counts(row: Figures) -> str:
    tasks = (" ".join(task) for task in TASKS)
    return ", ".join(f"{row[task]['n_queries']} {task}" for task in tasks if "why" not in row[task])


def _interval(values: Sequence[float | None], sign: bool) -> str:
    point, low, high = (_percent(value, sign) for value in values)
    if "–" in (low, high):
        return point
    return f"{point} ({low} to {high})" if sign else f"{point} ({low}–{high})"


def _percent(value: float | None, sign: bool = False) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:+.1f}" if sign else f"{100 * value:.1f}"
