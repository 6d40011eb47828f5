"""One evaluation: datasets, a protocol, methods → a table of schema ``morelli.evaluation/1``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.encoders.copies import SAMPLE
from morelli.evaluation.ablation import ablated_rows
from morelli.evaluation.case_two import case_two_rows
from morelli.evaluation.data import prepare, require_models
from morelli.evaluation.metrics import confusion_matrix
from morelli.evaluation.one_vs_many import case_one
from morelli.evaluation.robustness import DEGRADATIONS, UNTOUCHED, degraded_versions, robustness_rows
from morelli.evaluation.rows import Progress, RowMaker
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import BASELINE, Settings, check_settings, default_methods, learning
from morelli.evaluation.tasks import plan_tasks
from morelli.types import EVALUATION_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.scored import Scored
    from morelli.images.dataset import Dataset

__all__ = ["Evaluation", "Settings", "default_methods", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """The result, and what pictures of it need.

    Attributes
    ----------
    result : dict
        Schema ``morelli.evaluation/1``.
    confusion : mapping of str to (labels, matrix)
        By method: names and counts, rows true, columns named; methods of the "all" background only.
    families : mapping of str to str
        Family of each model.
    """

    result: dict[str, Any]
    confusion: dict[str, tuple[list[str], NDArray[np.int64]]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Table:
    """Rows, what each method scored, and notes."""

    rows: list[dict[str, Any]]
    scored: Mapping[str, Scored]
    notes: Sequence[str]


def evaluate(
    dataset: Dataset,
    encoder: Encoder,
    settings: Settings,
    *,
    references: Dataset | None = None,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate methods on a dataset by a protocol.

    Raises
    ------
    UnknownNameError
        For a protocol or a method that there is not.
    InputError, NotEnoughReferencesError, DatasetError
        Where the data do not allow what is asked.
    """
    started = time.monotonic()
    check_settings(settings)
    datasets = [dataset] if references is None else [dataset, references]
    # Degraded copies teach attributors that learn; the published rules need none.
    copies = SAMPLE if settings.methods is None or learning(settings.methods) else 0
    report = partial(progress, "embedding") if progress else None
    parts = prepare(datasets, encoder, cache=cache, copies=copies, progress=report)
    sets = Sets(*parts)
    require_models(sets.source)
    families = sets.families
    sets, shared = sets.without_shared()
    protocol, plan = plan_tasks(sets, settings)
    sets.require_known(plan.items)
    make = RowMaker(sets, settings, encoder.stamp.encoder, families, progress)
    table = (
        _table(make, protocol, plan.items) if protocol != "robustness" else _robust(make, plan.items, encoder, cache)
    )
    data = sets.queries.embeddings
    result = {
        "schema": EVALUATION_SCHEMA,
        "protocol": protocol,
        "dataset": str(dataset.root),
        "references": None if references is None else str(references.root),
        "n_queries": max((row.get("n_queries") or 0 for row in table.rows), default=0),
        "n_models": len(np.unique(data.models)),
        "n_prompts": len(np.unique(data.prompts[data.prompts != ""])),
        "k": settings.k,
        "seed": settings.seed,
        "epsilon": settings.epsilon,
        "encoder": {"id": encoder.stamp.encoder, "revision": encoder.stamp.revision,
                    "preprocessing": encoder.stamp.preprocessing},
        "rows": table.rows,
        "leaks": parts[0].leaks if references is None else parts[0].leaks | {"references": parts[1].leaks},
        "notes": list(dict.fromkeys(
            [*(note for part in parts for note in part.notes), *shared, *plan.notes, *table.notes]
        )),
        "seconds": time.monotonic() - started,
    }  # fmt: skip
    return Evaluation(result, {name: _confusion(found) for name, found in table.scored.items()}, families)


def _table(make: RowMaker, protocol: str, tasks: Sequence[Task]) -> _Table:
    settings = make.settings
    prompt_known = all(task.prompt is not None for task in tasks)
    methods = list(dict.fromkeys(default_methods(prompt_known) if settings.methods is None else settings.methods))
    baseline = make.score(BASELINE, tasks)
    scored = {name: baseline if name == BASELINE else make.score(name, tasks) for name in methods}
    rows = [make.row(name, found, baseline, tasks, "all") for name, found in scored.items()]
    more, notes = [], []
    if protocol == "one-vs-many":
        for row, found in zip(rows, scored.values(), strict=True):
            row |= case_one(found)
        more, notes = case_two_rows(make.sets, settings, make.encoder)
    elif settings.ablate and protocol in ("same-prompt", "any-prompt") and make.sets.second is None:
        more, notes = ablated_rows(make, methods, tasks)
    return _Table(rows + more, scored, notes)


def _robust(make: RowMaker, tasks: Sequence[Task], encoder: Encoder, cache: EmbeddingCache | None) -> _Table:
    settings = make.settings
    steps = list(dict.fromkeys(settings.degrade or DEGRADATIONS))
    queries = make.sets.queries
    versions = [queries, *degraded_versions(queries, tasks, steps, encoder, cache, make.progress)]
    methods = list(dict.fromkeys(settings.methods or [BASELINE, DEFAULT_METHOD]))
    rows = robustness_rows(make, methods, tasks, BASELINE, versions, [UNTOUCHED, *steps])
    return _Table(rows, {}, [])


def _confusion(scored: Scored) -> tuple[list[str], NDArray[np.int64]]:
    closed = scored.truth >= 0
    labels = scored.models.tolist()
    predicted = scored.models[scored.scores[closed].argmax(axis=1)]
    return labels, confusion_matrix(scored.models[scored.truth[closed]], predicted, labels)
