"""What references alone say of prompts, and what an attack on other images of those prompts then reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.attacks import ROTATIONS, AttackPlan
from morelli._audit.measured import Measured
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.exposure.correlation import correlate
from morelli.exposure.neighbours import distinct
from morelli.exposure.prompts import BANDS, band_name, bands, chosen_accuracy, chosen_sizes
from morelli.exposure.separability import frac, points, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Choice by choice of references (rows) and prompt by prompt (columns): shape (R, P) each.

    Attributes
    ----------
    prompts : ndarray of str, shape (P,)
    d, mean_frac : ndarray
        D(i) and the mean of frac(i, j) of the references alone.
    expected : ndarray
        Accuracy of the method when a part of the references is held out from the rest; NaN where that was not
        measured.
    accuracy : ndarray
        Measured on the images that are not among the references.
    """

    prompts: NDArray[np.str_]
    d: Array
    mean_frac: Array
    expected: Array
    accuracy: Array


def predict(
    data: LabelledEmbeddings, plan: AttackPlan, found: Measured, tau: float, *, unit: bool = True
) -> Prediction:
    """D(i) and expected accuracy from each choice of references, and the accuracy on the images held out from it."""
    main = [each for each in plan.attacks if each.kind == "main" and each.number < ROTATIONS]
    prompts = np.unique([str(each.task.prompt) for each in main])
    shape = (1 + max(each.number for each in main), len(prompts))
    d, mean_frac = np.full(shape, np.nan), np.full(shape, np.nan)
    for each in main:
        at = each.number, int(np.searchsorted(prompts, str(each.task.prompt)))
        values = _frac(data, each.task.references, unit)
        if np.isfinite(values).any():
            d[at] = share(values > tau, np.isfinite(values), axis=0)
            mean_frac[at] = np.nanmean(values)
    return Prediction(
        prompts, d, mean_frac, _cells(found, "inner", prompts, shape), _cells(found, "main", prompts, shape)
    )


def _frac(data: LabelledEmbeddings, rows: NDArray[np.intp] | None, unit: bool) -> Array:
    if rows is None:
        return np.full(1, np.nan)
    x, models = points({name: part[rows] for name, part in data.vectors.items()}, unit), data.models[rows]
    keep = distinct(x, models)
    return frac(x[keep], models[keep])[1] if keep.sum() > 1 else np.full(1, np.nan)


def _cells(found: Measured, kind: str, prompts: NDArray[np.str_], shape: tuple[int, int]) -> Array:
    """Mean hits of each choice and prompt; NaN where nothing was asked."""
    rows = found.rows(kind)
    rows = rows[found.number[rows] < shape[0]]
    at = found.number[rows] * shape[1] + np.searchsorted(prompts, found.scored.prompts[rows])
    count = np.bincount(at, minlength=shape[0] * shape[1])
    hits = np.bincount(at, weights=found.hit[rows], minlength=shape[0] * shape[1])
    return np.divide(hits, count, out=np.full(len(count), np.nan), where=count > 0).reshape(shape)


def correlations(
    held: Prediction, found: Measured, d: Array, mean_frac: Array, accuracy: Array, seed: int
) -> list[dict[str, Any]]:
    """How each predictor goes with the attack's success: of the same images, as published, and of held-out ones."""
    same = {"d": d, "mean_frac": mean_frac}
    apart = {"d": held.d, "mean_frac": held.mean_frac, "expected_accuracy": held.expected}
    rows = [_row(name, "same", found.method, correlate(x, accuracy, seed=seed)) for name, x in same.items()]
    for name, x in apart.items():
        # A choice that some prompts do not have (fewer images) says nothing of the others.
        whole = np.isfinite(x).sum(axis=1) == np.isfinite(x).sum(axis=1).max()
        if np.isfinite(x).any():
            rows.append(_row(name, "held out", found.method, correlate(x[whole], held.accuracy[whole], seed=seed)))
    return rows


def _row(predictor: str, images: str, attack: str, found: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"predictor": predictor, "images": images, "attack": attack}
    for name, value in found.items():
        out |= {name: value.point, f"{name}_low": value.low, f"{name}_high": value.high}
    return out


def band_rows(held: Prediction, seed: int) -> list[dict[str, Any]]:
    """Top-1 on held-out images among prompts of each band of D(i), which the references alone put them in."""
    place = bands(held.d)
    out = []
    for number, (low, high) in enumerate(BANDS):
        inside = (place == number) & np.isfinite(held.accuracy)
        if not inside.any():
            continue
        prompts = np.broadcast_to(held.prompts, place.shape)[inside]
        found = prompt_bootstrap(held.accuracy[inside], prompts, seed=seed)
        out.append(
            {"band": band_name(low, high), "prompts": len(np.unique(prompts)), "share": float(inside.mean()),
             "top1": found.point, "low": found.low, "high": found.high}
        )  # fmt: skip
    return out


#: Resamples of prompts for what is chosen among them.
DRAWS = 200


def chosen_rows(held: Prediction, seed: int) -> list[dict[str, Any]]:
    """Accuracy if the attacker submits the m prompts that the references call most exposing; beside that of all.

    Intervals are over pools of as many prompts: who has another pool chooses others.
    """
    sizes = chosen_sizes(len(held.prompts))
    rows: list[dict[str, Any]] = [{"m": m, "all_prompts": float(np.nanmean(held.accuracy))} for m in sizes]
    for name, scores in (("by_d", held.d), ("by_expected", held.expected)):
        if not np.isfinite(scores).any():
            for row in rows:
                row[name] = None
            continue

        def measure(scores: Array, accuracy: Array, breaks: Array) -> list[float]:
            return chosen_accuracy(scores, accuracy, sizes, breaks)

        tables = (scores, held.accuracy, held.mean_frac)
        low, high = over_prompts(measure, tables, seed)
        for row, *found in zip(rows, measure(*tables), low, high, strict=True):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = found
    return rows


def over_prompts(measure: Callable[..., Sequence[float]], tables: Sequence[Array], seed: int) -> tuple[Array, Array]:
    """Ends of the 95 % intervals of what is measured on tables (R, P), prompts resampled: shapes (n,)."""
    rng, prompts = np.random.default_rng(seed), tables[0].shape[1]
    drawn = [rng.integers(prompts, size=prompts) for _ in range(DRAWS)]
    found = np.array([measure(*(table[:, columns] for table in tables)) for columns in drawn], dtype=np.float64)
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0)
    return low, high


def held_out_rows(held: Prediction) -> dict[str, list[dict[str, float]]]:
    """By prompt, for each choice of references: what they say of it, and the accuracy on its other images."""
    names = {"d": held.d, "mean_frac": held.mean_frac, "expected_accuracy": held.expected, "accuracy": held.accuracy}
    return {
        prompt: [{name: float(table[choice, at]) for name, table in names.items()} for choice in range(len(held.d))]
        for at, prompt in enumerate(held.prompts.tolist())
    }
