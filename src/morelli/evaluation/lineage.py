"""Evaluation at the level of bases: is a model that nobody has references of attributed to the base it derives from?"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.lineage import Lineage, root_bases
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.plan import Plan
from morelli.evaluation.protocols import Task
from morelli.evaluation.splits import prompt_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from morelli.evaluation.data import EvaluationSet
    from morelli.types import LabelledEmbeddings

    Names = NDArray[np.str_]

#: Groups of models that are left out together, and folds of prompts: an attributor is fitted for each of the pairs.
GROUPS = 6
FOLDS = 3


def require_bases(data: EvaluationSet) -> Names:
    """Base of each image's model, its own name where none is given: shape (n,).

    A base that itself derives from one gives way to that one.

    Raises
    ------
    InputError
        The dataset has no bases at all.
    ArrayError
        Two bases for one model, or models that derive from one another.
    """
    if data.bases is None:
        raise InputError(
            "the dataset does not say what its models derive from.",
            argument="--level base",
            fix="Add a column base to its metadata: for each image the model that its model was derived from.",
        )
    root = root_bases(data.embeddings.models, data.bases)
    return np.array([root[model] for model in data.embeddings.models.tolist()])


def at_base(data: EvaluationSet) -> EvaluationSet:
    """The set with bases in the place of models; a base's family is its own, or else one of its lineage."""
    bases, held = require_bases(data), data.embeddings
    own = held.models == bases
    # Later entries have the last word: the base's own family, where it has images here.
    order = np.argsort(own, kind="stable")
    family = dict(zip(bases[order].tolist(), held.families[order].tolist(), strict=True))
    families = np.array([family[base] for base in bases.tolist()])
    return replace(data, embeddings=replace(held, models=bases, families=families))


def left_out_tasks(models: Names, bases: Names, prompts: Names, seed: int) -> Plan[Task]:
    """Queries of models without a single reference of their own; candidates are the bases of all other models.

    The models of lineages of two and more are dealt to groups, lineage by lineage; a group's images of a fold of
    prompts are compared with all others' images of the other folds' prompts. A model that is alone in its lineage is a
    candidate always and a query never.

    Raises
    ------
    NotEnoughReferencesError
        Where that leaves no query.
    """
    names, first, codes = np.unique(models, return_index=True, return_inverse=True)
    chance = np.random.default_rng(seed).random(len(names))
    _, lineage, members = np.unique(bases[first], return_inverse=True, return_counts=True)
    # Lineage by lineage, so that no group takes more than its share of one.
    order = np.lexsort((chance, lineage))
    order = order[members[lineage[order]] > 1]
    group = np.full(len(names), -1)
    group[order] = np.arange(len(order)) % GROUPS
    fold = prompt_folds(prompts, FOLDS, seed, models)
    tasks = []
    dropped = int((group[codes] < 0).sum())
    for g in range(GROUPS):
        for f in range(FOLDS):
            background = np.flatnonzero((group[codes] != g) & (fold != f))
            queries = np.flatnonzero((group[codes] == g) & (fold == f))
            known = np.isin(bases[queries], bases[background])
            dropped += int((~known).sum())
            if known.any() and len(np.unique(bases[background])) > 1:
                tasks.append(Task((g, f), background, None, queries[known], None, 0))
    if not tasks:
        raise NotEnoughReferencesError(
            "no model derives from a base that another model derives from, or is, so that nothing can be attributed to "
            "a base without the model's own references.",
            argument="base",
            fix="Add images of the base, or of another model that derives from it.",
        )
    known = [len(np.unique(bases[task.background])) for task in tasks if task.background is not None]
    few, many = min(known), max(known)
    notes = [f"Without its own model a query has {few if few == many else f'{few} to {many}'} bases as candidates."]
    if dropped:
        notes.append(
            f"{dropped} images are no queries without their own model: no other one of their base has references."
        )
    return Plan(tuple(tasks), tuple(notes))


def derived_tests(data: LabelledEmbeddings, bases: Names) -> list[dict[str, Any]]:
    """The test "derived from" of every model against every base from which another one derives; see `Lineage`.

    ``bases`` are as stated, so that a base that itself derives from one is tested too.

    ``labelled``: the labels say that the model derives from the base; ``itself``: the model is that base.
    """
    lineage = Lineage(data, bases)
    return [
        asdict(test)
        | {
            "smallest_p_value": test.smallest,
            "labelled": test.model == test.base or lineage.derives(test.model, test.base),
            "itself": test.model == test.base,
        }
        for test in lineage.tests()
    ]


def derived_summary(tests: Sequence[dict[str, Any]], alpha: float = 0.05) -> str:
    """How often the test says "derived" of models that are labelled so, of bases themselves, and of others."""
    parts = []
    for labelled, itself, words in (
        (True, False, "that derive from the base"),
        (True, True, "that are the base"),
        (False, False, "that do neither"),
    ):
        p = [test["p_value"] for test in tests if test["labelled"] is labelled and test["itself"] is itself]
        if p:
            parts.append(f"{sum(value <= alpha for value in p)} of {len(p)} {words}")
    return f"derived-from test at p ≤ {alpha:g}: says so of {'; '.join(parts)}" if parts else ""
