"""Who is compared with whom: rows of references and of queries, as index arrays.

Every split keeps the two rules of the field: a query is never among its own references, and statistics come from
other prompts. An image whose prompt is unknown ("") counts as a prompt of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.evaluation.plan import OpenSetRound, Plan, Trial, labels, prompt_units
from morelli.evaluation.same_prompt import same_prompt_trials

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.intp]
    Names = NDArray[np.str_]

__all__ = [
    "OpenSetRound",
    "Plan",
    "Trial",
    "any_prompt_folds",
    "candidate_partition",
    "open_set_rounds",
    "prompt_folds",
    "prompt_units",
    "same_prompt_trials",
]


def prompt_folds(prompts: ArrayLike, n_folds: int = 7, seed: int = 0, models: ArrayLike | None = None) -> Rows:
    """Deal the prompts out to folds, evenly and at random.

    Parameters
    ----------
    prompts : array of str, shape (n,)
        Prompt ids, "" where unknown.
    n_folds : int
        At least 2. There are never more folds than prompts.
    seed : int
        The same seed gives the same folds.
    models : array of str, shape (n,), optional
        Spreads the rows of unknown prompt model by model, so that a model with few images is not all in one fold.

    Returns
    -------
    ndarray of int, shape (n,)
        Fold of each row, from 0. Folds differ by at most one prompt.

    Raises
    ------
    ArrayError
        For fewer than two folds, or labels of different lengths.
    """
    if n_folds < 2:
        raise ArrayError(f"at least 2 folds are needed, got {n_folds}.", argument="n_folds")
    names, owners = labels(prompts=prompts, models=prompts if models is None else models)
    units = prompt_units(names)
    _, first = np.unique(units, return_index=True)
    alone = names[first] == ""
    chance = np.random.default_rng(seed).random(len(first))
    # Known prompts first, shuffled; then lone rows, those of one model side by side so that they are dealt apart.
    owner = np.where(alone, owners[first], "")
    order = np.lexsort((chance, owner, alone))
    fold = np.empty(len(first), dtype=np.intp)
    fold[order] = np.arange(len(first)) % n_folds
    return fold[units]


def any_prompt_folds(
    models: ArrayLike, prompts: ArrayLike, n_folds: int = 7, k: int | None = None, seed: int = 0
) -> Plan[Trial]:
    """Cross-validation over prompts: each image is a query once, compared with images of other folds' prompts.

    Parameters
    ----------
    models, prompts : array of str, shape (n,)
    n_folds : int
        At least 2; never more than there are prompts.
    k : int, optional
        References a model, drawn at random for each fold; fewer where a model has no more. None: all.
    seed : int
        Decides folds and draws.

    Returns
    -------
    Plan of Trial
        One a fold. Queries whose model has no reference in the other folds are left out and counted in the notes, as
        are folds outside which there is one model only.

    Raises
    ------
    ArrayError
        For n_folds below 2 or k below 1.
    NotEnoughReferencesError
        Where that leaves no query, as when all images share one prompt.
    """
    names, texts = labels(models=models, prompts=prompts)
    if k is not None and k < 1:
        raise ArrayError(f"must be at least 1, got {k}.", argument="k")
    fold = prompt_folds(texts, n_folds, seed, names)
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    short = dropped = 0
    for number in range(int(fold.max()) + 1):
        outside = np.flatnonzero(fold != number)
        inside = np.flatnonzero(fold == number)
        groups = [outside[names[outside] == name] for name in np.unique(names[outside])]
        if len(groups) < 2:
            dropped += len(inside)
            continue
        if k is not None:
            short += sum(len(group) < k for group in groups)
            groups = [rng.permutation(group)[:k] for group in groups]
        references = np.sort(np.concatenate(groups))
        queries = inside[np.isin(names[inside], names[references])]
        dropped += len(inside) - len(queries)
        if len(queries):
            trials.append(Trial("", references, queries, number))
    if not trials:
        raise NotEnoughReferencesError(
            "references and queries cannot come from different prompts: that takes two models and two prompts of one.",
            argument="prompt_id",
            fix="Use the protocol same-prompt, or add images of other prompts.",
        )
    notes = {
        f"{dropped} images are no queries: in the other folds their model, or every other one, is absent.": dropped,
        f"{short} times a model had fewer than {k} references in the other folds; all were used.": short,
    }
    return Plan(tuple(trials), tuple(text for text, count in notes.items() if count))


def open_set_rounds(
    models: ArrayLike, families: ArrayLike, by: Literal["model", "family"] = "model"
) -> Plan[OpenSetRound]:
    """Leave each model out once, or each family.

    A left-out model has relatives among the known ones when ``by`` is "model"; "family" takes them away as well.
    Rounds that leave fewer than two known models cannot be run and are counted in the notes.

    Raises
    ------
    NotEnoughReferencesError
        Where no round leaves two models.
    """
    names, kin = labels(models=models, families=families)
    owners = names if by == "model" else kin
    rounds = [
        OpenSetRound(str(name), np.flatnonzero(owners != name), np.flatnonzero(owners == name))
        for name in np.unique(owners)
    ]
    usable = tuple(r for r in rounds if len(np.unique(names[r.known])) >= 2)
    if not usable:
        raise NotEnoughReferencesError(f"leaving a {by} out leaves fewer than two models.", argument="models")
    skipped = len(rounds) - len(usable)
    note = f"{skipped} of {len(rounds)} rounds were not run: without that {by} fewer than two models remain."
    return Plan(usable, (note,) if skipped else ())


def candidate_partition(
    models: ArrayLike, families: ArrayLike, seed: int = 0, repeats: int = 3
) -> list[tuple[Names, Names]]:
    """Split the models into candidates and background, families kept whole.

    Each repeat cuts the families, in a random order, into halves of about as many models; each half is the candidates
    once while the other is the background. A repeat that draws an earlier partition again is left out.

    Returns
    -------
    list of (candidates, background)
        Sorted names of models, at least two on each side, disjoint; two entries a repeat.

    Raises
    ------
    NotEnoughReferencesError
        Where no cut leaves two models on each side.
    """
    names, kin = labels(models=models, families=families)
    everyone, first = np.unique(names, return_index=True)
    family = kin[first]
    rng = np.random.default_rng(seed)
    out: list[tuple[Names, Names]] = []
    seen: set[bytes] = set()
    for _ in range(repeats):
        half = _half(family, rng)
        key = min(half.tobytes(), (~half).tobytes())
        if key not in seen:
            seen.add(key)
            out += [(everyone[half], everyone[~half]), (everyone[~half], everyone[half])]
    return out


def _half(family: Names, rng: np.random.Generator, tries: int = 200) -> NDArray[np.bool_]:
    """A random half of the models (mask) that splits no family; most even cut of a random order of the families."""
    kinds, sizes = np.unique(family, return_counts=True)
    for _ in range(tries):
        order = rng.permutation(len(kinds))
        left = np.cumsum(sizes[order])[:-1]
        usable = (left >= 2) & (left <= len(family) - 2)
        if usable.any():
            uneven = np.where(usable, np.abs(2 * left - len(family)), np.inf)
            return np.isin(family, kinds[order[: int(uneven.argmin()) + 1]])
    raise NotEnoughReferencesError(
        f"{len(family)} models of {len(kinds)} families cannot be cut into two halves of two models each.",
        argument="families",
    )
