"""Protocols: which queries meet which references, for one method at a time.

Each returns `Scored` queries in an order that is the same for every method, so that lifts are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.calibration import calibrate_attributor
from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.scored import Collector, Scored
from morelli.evaluation.splits import (
    Plan,
    any_prompt_folds,
    candidate_partition,
    open_set_rounds,
    prompt_folds,
    same_prompt_trials,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Attributor
    from morelli.types import LabelledEmbeddings

    Make = Callable[[], Attributor]

SAME_PROMPT_FOLDS = 5
ANY_PROMPT_FOLDS = 7
OPEN_SET_ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Task:
    """Queries that share everything: what statistics may be learnt from, references, and the prompt.

    Attributes
    ----------
    key : tuple
        Tasks of equal key share a background, and an attributor is fitted once for them.
    background : ndarray of int or None
        Rows for ``fit``.
    references : ndarray of int or None
        Rows for ``scores``; None: the background itself.
    queries : ndarray of int
    prompt : str or None
        Told to the attributor.
    k : int
        Same-prompt references a model; 0 where the prompt is not known.
    """

    key: tuple[object, ...]
    background: NDArray[np.intp] | None
    references: NDArray[np.intp] | None
    queries: NDArray[np.intp]
    prompt: str | None
    k: int


def run_tasks(
    make: Make,
    data: LabelledEmbeddings,
    tasks: Sequence[Task],
    *,
    source: LabelledEmbeddings | None = None,
    progress: Callable[[int, int], None] | None = None,
    calibrate: bool = True,
) -> Scored:
    """Fit, calibrate and score one method over all tasks; see `run_versions`."""
    chosen = data if source is None else source
    return run_versions(make, [data], tasks, source=chosen, progress=progress, calibrate=calibrate)[0]


def run_versions(
    make: Make,
    versions: Sequence[LabelledEmbeddings],
    tasks: Sequence[Task],
    *,
    source: LabelledEmbeddings,
    progress: Callable[[int, int], None] | None = None,
    calibrate: bool = True,
) -> list[Scored]:
    """Fit and calibrate one method once, and score all tasks with each version of the queries.

    A background of one model shows no difference between models: beside references it counts as none.

    Parameters
    ----------
    make : callable
        A fresh attributor.
    versions : sequence of LabelledEmbeddings
        Where queries come from: the same rows, as they are and degraded.
    tasks : sequence of Task
    source : LabelledEmbeddings
        Where background and references come from.
    progress : callable, optional
    calibrate : bool
        Without calibrations, which take most of the time, there are scores and ranks alone.
    """
    collectors = [Collector(np.unique(source.models)) for _ in versions]
    fitted: tuple[object, ...] | None = None
    background: LabelledEmbeddings | None = None
    attributor, calibrations = make(), {}
    for done, task in enumerate(tasks):
        if task.key != fitted:
            background = _background(source, task)
            attributor, calibrations, fitted = make().fit(background), {}, task.key
        references = None if task.references is None else source.take(task.references)
        candidates = attributor.candidates(references)
        # Known and new candidates are told apart by the attributor; a mixed set is calibrated as its larger part.
        kind = (task.k, bool(attributor.is_new(candidates).mean() > 0.5))
        if kind not in calibrations:
            usable = background if calibrate else None
            calibrations[kind] = None if usable is None else calibrate_attributor(attributor, usable, *kind)
        for data, collector in zip(versions, collectors, strict=True):
            queries = data.take(task.queries)
            scores = attributor.scores(queries.vectors, references, task.prompt)
            labels = queries.models, task.queries, queries.prompts
            collector.add(candidates, scores, *labels, calibrations[kind], attributor.is_degraded(queries.vectors))
        if progress is not None:
            progress(done + 1, len(tasks))
    return [collector.result() for collector in collectors]


def _background(source: LabelledEmbeddings, task: Task) -> LabelledEmbeddings | None:
    if task.background is None:
        return None
    background = source.take(task.background)
    if task.references is not None and len(np.unique(background.models)) < 2:
        return None
    return background


def same_prompt(data: LabelledEmbeddings, k: int, seed: int) -> Plan[Task]:
    """Leave one out: k references a model of the query's prompt, background from other folds' prompts."""
    folds = prompt_folds(data.prompts, SAME_PROMPT_FOLDS, seed)
    trials = same_prompt_trials(data.models, data.prompts, k, folds, seed)
    tasks = []
    for trial in sorted(trials, key=lambda trial: trial.fold):
        background = np.flatnonzero(folds != trial.fold)
        tasks.append(
            Task((trial.fold,), background if len(background) else None, trial.references, trial.queries,
                 trial.prompt, k)
        )  # fmt: skip
    return Plan(tuple(tasks), trials.notes)


def any_prompt(data: LabelledEmbeddings, k: int | None, seed: int) -> Plan[Task]:
    """References and queries from disjoint prompts; the references are also the background."""
    trials = any_prompt_folds(data.models, data.prompts, ANY_PROMPT_FOLDS, k, seed)
    tasks = [Task((trial.fold,), trial.references, None, trial.queries, None, 0) for trial in trials]
    return Plan(tuple(tasks), trials.notes)


def without_candidates(data: LabelledEmbeddings, tasks: Sequence[Task], seed: int, repeats: int = 1) -> Iterator[Task]:
    """The same tasks where no candidate is in the background: families are split into candidates and background.

    Each family is a candidate once a repeat. There are then fewer candidates, so that rows compare with each other
    (and with ``euclid`` over the same candidates), not with rows of all models.
    """
    for number, (candidates, others) in enumerate(candidate_partition(data.models, data.families, seed, repeats)):
        inside, outside = np.isin(data.models, candidates), np.isin(data.models, others)
        for task in tasks:
            background = task.background
            if background is None:
                continue
            references = background if task.references is None else task.references
            references = references[inside[references]]
            queries = task.queries[inside[task.queries]]
            queries = queries[np.isin(data.models[queries], data.models[references])]
            if len(np.unique(data.models[references])) >= 2 and len(queries):
                yield Task(
                    (number, *task.key), background[outside[background]], references, queries, task.prompt, task.k
                )


def open_set(data: LabelledEmbeddings, k: int, seed: int, others: int | None = None) -> Plan[Task]:
    """Leave a model out: its images are queries that no candidate made. One fold of prompts a round.

    With more than `OPEN_SET_ROUNDS` models, each round leaves several out, and each model is left out once. The
    left-out models are in neither references nor background. With k > 0 the prompt is known (k references a model of
    the query's prompt, as in `same_prompt`), else not (``others`` references a model, None: all, as in `any_prompt`).

    Raises
    ------
    NotEnoughReferencesError
        Where leaving a model out never leaves two candidates.
    """
    base = same_prompt(data, k, seed) if k else any_prompt(data, others, seed)
    keys = sorted({task.key for task in base.items}, key=str)
    tasks, lonely = [], 0
    rounds = open_set_rounds(data.models, data.families)
    for number in range(min(OPEN_SET_ROUNDS, len(rounds))):
        known = np.ones(len(data), dtype=np.bool_)
        for leave in rounds.items[number::OPEN_SET_ROUNDS]:
            known[leave.unknown] = False
        for task in base.items:
            if task.key != keys[number % len(keys)] or task.background is None:
                continue
            background = task.background[known[task.background]]
            references = None if task.references is None else task.references[known[task.references]]
            if len(np.unique(data.models[background if references is None else references])) < 2:
                lonely += len(task.queries)
                continue
            tasks.append(Task((number,), background, references, task.queries, task.prompt, task.k))
    if not tasks:
        raise NotEnoughReferencesError(
            "leaving a model out leaves no prompt with two other models, and images of other prompts beside it.",
            argument="dataset",
            fix="Add images of other models or prompts.",
        )
    note = f"{lonely} queries were not scored: without the model left out, fewer than two models have references."
    return Plan(tuple(tasks), (*base.notes, *rounds.notes, *((note,) if lonely else ())))
