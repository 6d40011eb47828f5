"""Tasks run by an image attributor: it is given pictures where others are given embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import InputError
from morelli.evaluation.data import EvaluationSet
from morelli.evaluation.protocols import Task
from morelli.evaluation.scored import Collector, Scored

if TYPE_CHECKING:
    from morelli.attribution.image import ImageAttributor

# Pictures in memory at once when queries are scored.
_BATCH = 64


def run_on_pictures(
    make: Callable[[], ImageAttributor], data: EvaluationSet, tasks: Sequence[Task], source: EvaluationSet
) -> Scored:
    """Fit on each background's pictures and score the queries', uncalibrated.

    Raises
    ------
    InputError
        A task that tells the prompt: image attributors learn models, not prompts.
    """
    collector = Collector(np.unique(source.embeddings.models))
    fitted: tuple[object, ...] | None = None
    attributor = make()
    for task in tasks:
        if task.prompt is not None or task.background is None:
            raise InputError("an image attributor compares without the prompt.", argument="--protocol")
        if task.key != fitted:
            rows = task.background
            attributor, fitted = make().fit(source.pictures(rows), source.embeddings.models[rows]), task.key
        for start in range(0, len(task.queries), _BATCH):
            rows = task.queries[start : start + _BATCH]
            scores = attributor.scores(data.pictures(rows))
            labels = data.embeddings.models[rows], rows, data.embeddings.prompts[rows]
            collector.add(attributor.models_, scores, *labels, None, np.zeros(len(rows), dtype=np.bool_))
    return collector.result()
