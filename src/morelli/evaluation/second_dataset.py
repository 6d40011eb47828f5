"""Queries from one dataset, references and background from another (``--references``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.plan import Plan
from morelli.evaluation.protocols import ANY_PROMPT_FOLDS, SAME_PROMPT_FOLDS, Task
from morelli.evaluation.splits import prompt_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

    Rows = NDArray[np.intp]

# Fold of a query whose prompt the references do not show: nothing has to be held out for it.
_NEW = -1


def second_dataset(
    queries: LabelledEmbeddings, references: LabelledEmbeddings, protocol: str, k: int | None, seed: int
) -> Plan[Task]:
    """All images of the first set are queries; references and background come from the second.

    As inside one dataset, statistics come from other prompts than the query's: the references' prompts are dealt to
    folds, and the fold of the query's prompt is held out of the background ("same-prompt"), or of the references and
    the background ("any-prompt"). Queries of prompts that the references do not show use all of them.

    Parameters
    ----------
    protocol : {"same-prompt", "any-prompt"}
        Whether the prompt is told, and references of it are needed.
    k : int or None
        References a model (of the prompt, or of other prompts), drawn at random; None: all.

    Raises
    ------
    NotEnoughReferencesError
        Where that leaves nothing to compare any query with.
    """
    if protocol == "same-prompt":
        return _same_prompt(queries, references, k, seed)
    return _any_prompt(queries, references, k, seed)


def _same_prompt(queries: LabelledEmbeddings, references: LabelledEmbeddings, k: int | None, seed: int) -> Plan[Task]:
    folds, of_query = _folds(queries, references, SAME_PROMPT_FOLDS, seed)
    chosen = np.arange(len(references)) if k is None else _draw(references, k, seed, by_prompt=True)
    tasks: list[Task] = []
    lonely = short = absent = 0
    for prompt in np.unique(queries.prompts):
        rows = np.flatnonzero(queries.prompts == prompt)
        here = chosen[references.prompts[chosen] == prompt] if prompt else chosen[:0]
        models, counts = np.unique(references.models[here], return_counts=True)
        if len(models) < 2:
            lonely += len(rows)
            continue
        kept = _candidates_or_unknown(queries, references, rows, here)
        absent += len(rows) - len(kept)
        short += 0 if k is None else int((counts < k).sum())
        if len(kept):
            fold = int(of_query[rows[0]])
            background = np.flatnonzero(folds != fold)
            tasks.append(Task((fold,), background, here, kept, str(prompt), int(np.median(counts))))
    if not tasks:
        raise NotEnoughReferencesError(
            "the second dataset has no two models with references of the queries' prompts.",
            argument="references",
            fix="Use --protocol any-prompt.",
        )
    notes = {
        f"{lonely} queries have a prompt of which the references show fewer than two models; they were left out.": (
            lonely
        ),
        f"{absent} queries are of a model that has references, but none of their prompt; they were left out.": absent,
        f"{short} times a model had fewer than {k} references of a prompt; all were used.": short,
    }
    tasks.sort(key=lambda task: task.key)
    return Plan(tuple(tasks), tuple(text for text, count in notes.items() if count))


def _any_prompt(queries: LabelledEmbeddings, references: LabelledEmbeddings, k: int | None, seed: int) -> Plan[Task]:
    folds, of_query = _folds(queries, references, ANY_PROMPT_FOLDS, seed)
    tasks: list[Task] = []
    lonely = short = absent = 0
    for fold in np.unique(of_query):
        rows = np.flatnonzero(of_query == fold)
        others = np.flatnonzero(folds != fold)
        counts = np.unique(references.models[others], return_counts=True)[1]
        if len(counts) < 2:
            lonely += len(rows)
            continue
        if k is not None:
            short += int((counts < k).sum())
            others = others[_draw(references.take(others), k, seed, by_prompt=False)]
        kept = _candidates_or_unknown(queries, references, rows, others)
        absent += len(rows) - len(kept)
        if len(kept):
            tasks.append(Task((int(fold),), others, None, kept, None, 0))
    if not tasks:
        raise NotEnoughReferencesError(
            "the second dataset has no two models with references of other prompts than the queries'.",
            argument="references",
            fix="Use --protocol same-prompt.",
        )
    notes = {
        f"{lonely} queries were left out: of other prompts, the references show fewer than two models.": lonely,
        f"{absent} queries are of a model that has references of their own prompt only; they were left out.": absent,
        f"{short} times a model had fewer than {k} references of other prompts; all were used.": short,
    }
    return Plan(tuple(tasks), tuple(text for text, count in notes.items() if count))


def _folds(
    queries: LabelledEmbeddings, references: LabelledEmbeddings, n_folds: int, seed: int
) -> tuple[Rows, NDArray[np.int64]]:
    """Fold of each reference's prompt, and of each query's: `_NEW` where no reference shares the prompt."""
    folds = prompt_folds(references.prompts, n_folds, seed, references.models)
    known = references.prompts != ""
    of_prompt = dict(zip(references.prompts[known].tolist(), folds[known].tolist(), strict=True))
    return folds, np.array([of_prompt.get(prompt, _NEW) for prompt in queries.prompts.tolist()])


def _candidates_or_unknown(queries: LabelledEmbeddings, references: LabelledEmbeddings, rows: Rows, used: Rows) -> Rows:
    """Queries whose model is a candidate, or nowhere in the second dataset; only the latter is an unknown model."""
    models = queries.models[rows]
    return rows[np.isin(models, references.models[used]) | ~np.isin(models, references.models)]


def _draw(references: LabelledEmbeddings, k: int, seed: int, *, by_prompt: bool) -> Rows:
    """Rows of at most k references a model, or a model and prompt, drawn at random."""
    groups = references.models
    if by_prompt:
        groups = np.char.add(np.char.add(groups, "\x1f"), references.prompts)
    order = np.random.default_rng(seed).permutation(len(references))
    _, code, counts = np.unique(groups, return_inverse=True, return_counts=True)
    # Group by group, in each as drawn; of every group the first k.
    dealt = order[np.argsort(code[order], kind="stable")]
    place = np.arange(len(dealt)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(dealt[place < k])
