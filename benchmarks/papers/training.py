"""What a method's training took, and what the published one would take here."""

from __future__ import annotations

from typing import Any

from morelli.evaluation.groups import BUDGETS
from morelli.evaluation.zero_shot import Learnt

#: How the work of a step grows with what makes up its form; the rest of a form does not change it.
_WORK = {"side": 2, "crops": 1}


def describe(learnt: Learnt) -> dict[str, Any] | None:
    """Steps, seconds and losses of a trained network; None for what is no such network.

    Returns
    -------
    dict or None
        ``steps`` and ``published_steps``; ``seconds`` of the processor in this run (less where a checkpoint helped);
        ``work``: see `published_work`; ``curve``: the last step of each stretch and the mean loss over it.
    """
    fitted: Any = learnt.fitted
    if fitted is None or not hasattr(fitted, "published_steps_"):
        return None
    return {
        "steps": fitted.steps_,
        "published_steps": fitted.published_steps_,
        "seconds": learnt.fit_seconds,
        "work": published_work(fitted),
        "curve": [[step, losses] for step, losses in zip(fitted.curve_.steps, fitted.curve_.losses, strict=True)],
    }


def published_work(fitted: Any) -> float:
    """How much more a published step computes than one that was made: larger batches, and more pixels a picture."""
    more = fitted.published_batch / fitted.batch
    form = dict(fitted.published_form)
    if "crops" in form:  # patches of one size, whatever they are cut from
        form.pop("side")
    for name, value in form.items():
        more *= (value / getattr(fitted, name)) ** _WORK[name] if name in _WORK else 1.0
    return more


def published_hours(method: str, models: int, training: dict[str, Any] | None) -> float | None:
    """Hours on one core for the published steps at their published size; None: it has no such training.

    From the seconds a step that `BUDGETS` has, not from this run's: a training that was interrupted, or read from its
    checkpoint, took less here than it takes.
    """
    if training is None or method not in BUDGETS:
        return None
    step = BUDGETS[method].step(models) * training["work"]
    return step * training["published_steps"] / 3600
