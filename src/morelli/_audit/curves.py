"""The curves of an audit: accuracy against k, against the pool, by category; D(i) against τ; one-vs-many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.attacks import AttackPlan
from morelli._audit.measured import Measured
from morelli.evaluation.bootstrap import prompt_bootstrap
from morelli.evaluation.one_vs_many import case_one, case_two
from morelli.evaluation.scored import Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.exposure.separability import Separability
    from morelli.types import LabelledEmbeddings

TAUS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# Queries times targets of Case 2 that are tried; each takes some tenths of a millisecond.
_CASE_TWO = 12_000


def k_rows(found: Measured, k: int, seed: int) -> list[dict[str, Any]]:
    """Accuracy with 1 … k references a model."""
    rows = [{"k": each, **found.accuracy(found.rows("k", each), seed)} for each in found.numbers("k")]
    return [{"method": found.method, **row} for row in [*rows, {"k": k, **found.accuracy(found.rows("main"), seed)}]]


def pool_rows(found: Measured, models: int, seed: int) -> list[dict[str, Any]]:
    """Accuracy among random pools of models, and among all; over draws, with the interval over prompts."""
    out = []
    for size in found.numbers("pool"):
        rows = found.rows("pool", size)
        point = prompt_bootstrap(found.hit[rows], found.scored.prompts[rows], seed=seed)
        out.append({"models": size, "top1": point.point, "low": point.low, "high": point.high})
    out.append({"models": models, **found.accuracy(found.rows("main"), seed)})
    return [{"method": found.method, **row} for row in out]


def category_rows(
    found: Measured, categories: Mapping[str, str], d: Mapping[str, float], seed: int
) -> list[dict[str, Any]]:
    """Accuracy and mean D(i) among the prompts of each category; nothing where the dataset names none."""
    out = []
    rows = found.rows("main")
    own = np.array([categories.get(prompt, "") for prompt in found.scored.prompts[rows]])
    for name in sorted(set(own.tolist()) - {""}):
        inside = rows[own == name]
        prompts = np.unique(found.scored.prompts[inside]).tolist()
        known = [d[prompt] for prompt in prompts if prompt in d]
        mean = float(np.mean(known)) if known else float("nan")
        out.append({"category": name, "prompts": len(prompts), "mean_d": mean, **found.accuracy(inside, seed)})
    return out


def tau_rows(found: Separability) -> list[dict[str, Any]]:
    """Mean D(i), and the share of the prompts with D(i) = 1, for thresholds τ."""
    out = []
    for tau in TAUS:
        d = found.d(tau)
        out.append({"tau": tau, "mean_d": float(np.nanmean(d)), "all_separable": float((d >= 1 - 1e-9).mean())})
    return out


def one_vs_many_rows(
    data: LabelledEmbeddings, plan: AttackPlan, measured: Sequence[Measured], seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Case 1 by every method, Case 2 by both rules at each α; and notes of what was not tried."""
    rows = [{"method": each.method, **case_one(_main(each))} for each in measured]
    cost = [len(trial.queries) * len(np.unique(data.models[trial.references])) for trial in plan.trials]
    order = np.random.default_rng(seed).permutation(len(cost))
    kept = order[: max(1, int((np.cumsum(np.array(cost)[order]) <= _CASE_TWO).sum()))]
    trials = [plan.trials[i] for i in np.sort(kept)]
    found = case_two(data, trials, seed=seed)
    notes = [] if len(trials) == len(cost) else [f"Case 2 was tried on {len(trials)} of {len(cost)} drawn trials."]
    if not found:
        notes.append("Case 2 needs two references of the target of one prompt; it was not run.")
    return [*rows, *({"method": f"case 2, {row['rule']}", **row} for row in found)], notes


def _main(found: Measured) -> Scored:
    """The main attack's rows as a `Scored` of their own."""
    rows, scored = found.rows("main"), found.scored
    return Scored(
        scored.models, scored.scores[rows], scored.truth[rows], scored.rows[rows], scored.prompts[rows], None, None,
        scored.known[rows],
    )  # fmt: skip


def means(values: NDArray[np.float64]) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
