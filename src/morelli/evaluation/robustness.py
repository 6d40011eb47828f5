"""Protocol ``robustness``: the same queries and references, the queries degraded one way after another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.embed import embed
from morelli.errors import InputError
from morelli.evaluation.against import Scores
from morelli.images.degrade import Degradation, parse
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.evaluation.data import EvaluationSet
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.rows import Progress, RowMaker

#: What queries go through where nothing is asked: none of these is a condition that attributors learn from; the crop is
#: one of the strengths that theirs are drawn from.
DEGRADATIONS = (
    "jpeg:95",
    "jpeg:80",
    "jpeg:60",
    "webp:75",
    "resize:0.5",
    "crop:0.9",
    "blur:1",
    "noise:3",
    "resize:0.6+jpeg:75",
)
#: The row of queries as they are.
UNTOUCHED = "none"
#: Queries that are named where they cannot go through a degradation; of the others their number is told.
NAMED = 5


def robustness_rows(
    makers: Sequence[RowMaker],
    usual: Sequence[str],
    tasks: Sequence[Task],
    versions: Mapping[str, Sequence[EvaluationSet]],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Rows of every method under every degradation; lifts are over the reference under the same degradation.

    Parameters
    ----------
    makers : sequence of RowMaker
        One an encoder.
    usual : sequence of str
        Methods where none is named.
    tasks : sequence of Task
    versions : mapping of str to sequence of EvaluationSet
        Encoder → the queries untouched, and after each degradation; rows as in the sets.
    names : sequence of str
        Of the versions.
    """
    against = makers[0].settings.reference
    scores = Scores(makers, against, lambda make, name: make.score_versions(name, tasks, versions[make.encoder]))
    scored = []
    for make in makers:
        for method in make.chosen(usual):
            found = make.attempt(method, partial(scores.pair, make.encoder, method))
            if found is not None:
                scored.append((make, method, found))
    return [
        make.row(method, own[number], other[number], tasks, "all") | {"degradation": name}
        for number, name in enumerate(names)
        for make, method, (own, other) in scored
    ]


def degraded_versions(
    queries: EvaluationSet,
    tasks: Sequence[Task],
    names: Sequence[str],
    encoder: Encoder,
    cache: EmbeddingCache | None,
    progress: Progress | None,
) -> tuple[list[EvaluationSet], dict[int, str]]:
    """The queries of some tasks after each degradation; other rows of a version are the untouched ones.

    Returns
    -------
    list of EvaluationSet
    dict of int to str
        Rows of queries that cannot go through one of them, which are as they were there, and why.

    Raises
    ------
    InputError
        A degradation is unknown, or no picture can be brought to it.
    """
    steps = [parse(name) for name in names]
    rows = np.unique(np.concatenate([task.queries for task in tasks]))
    versions, failed = [], {}
    for step in steps:
        version, troubles = _version(queries, rows, step, encoder, cache, progress)
        versions.append(version)
        failed = troubles | failed
    return versions, failed


def without(tasks: Sequence[Task], rows: Collection[int]) -> list[Task]:
    """The tasks less some queries; one that has no other is none.

    Raises
    ------
    InputError
        None is left.
    """
    gone = np.fromiter(rows, dtype=np.intp, count=len(rows))
    kept = [replace(task, queries=task.queries[~np.isin(task.queries, gone)]) for task in tasks]
    if not any(len(task.queries) for task in kept):
        raise InputError("no picture can go through all of these.", argument="--degrade", fix="Use milder ones.")
    return [task for task in kept if len(task.queries)]


def failures_note(queries: EvaluationSet, failed: Mapping[int, str]) -> list[str]:
    """A sentence on the queries that cannot go through a degradation."""
    if not failed:
        return []
    paths = {row: Path(str(queries.paths[row])) for row in sorted(failed)[:NAMED]}
    # Models often have files of one name.
    shown = [f"{path.parent.name}/{path.name} ({failed[row].rstrip('.')})" for row, path in paths.items()]
    more = [f"{len(failed) - NAMED} more"] if len(failed) > NAMED else []
    those = "1 query is" if len(failed) == 1 else f"{len(failed)} queries are"
    return [f"{those} left out of all rows, for want of a degraded form: {', '.join([*shown, *more])}."]


def _version(
    queries: EvaluationSet,
    rows: np.ndarray[Any, np.dtype[np.intp]],
    step: Degradation,
    encoder: Encoder,
    cache: EmbeddingCache | None,
    progress: Progress | None,
) -> tuple[EvaluationSet, dict[int, str]]:
    def transform(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        return step(pixels if queries.form is None else queries.form.apply(pixels))

    report = partial(progress, f"embedding after {step.name}") if progress else None
    made = embed(encoder, queries.paths[rows].tolist(), transform=transform, cache=cache, progress=report)
    if not len(made):
        number, error = made.errors[0]
        raise InputError(
            f"{len(made.errors)} pictures cannot go through it; {Path(str(queries.paths[rows[number]])).name}: {error}",
            argument=f"--degrade {step.name}",
            fix="Use a milder one.",
        )
    held = queries.embeddings
    vectors = {name: values.copy() for name, values in held.vectors.items()}
    for name, values in made.vectors.items():
        vectors[name][rows[list(made.rows)]] = values
    changed = LabelledEmbeddings(vectors, held.models, held.prompts, held.families)
    troubles = {int(rows[number]): f"{step.name}: {error.message}" for number, error in made.errors}
    return replace(queries, embeddings=changed, degradation=step), troubles
