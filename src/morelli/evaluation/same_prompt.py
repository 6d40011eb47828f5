"""Trials within one prompt: queries held out, k references of every model beside them."""

from __future__ import annotations

from itertools import combinations
from math import ceil, comb
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.evaluation.plan import Plan, Trial, labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.intp]


def _windows(n: int, k: int, n_trials: int, shift: int) -> list[Rows]:
    """Held-out positions of each trial: windows of n − k on a circle of n, evenly spaced, so that all take turns."""
    return [(shift + t * n // n_trials + np.arange(n - k)) % n for t in range(n_trials)]


def _held_out(sizes: list[int], k: int, max_choices: int, rng: np.random.Generator) -> list[list[Rows]]:
    """Positions held out as queries, for each model of a prompt and each trial; a model of one image holds out none."""
    able = [n for n in sizes if n > 1]
    kept = {n: min(k, n - 1) for n in able}
    if not able:
        return [[] for _ in sizes]
    if len(set(able)) == 1 and comb(able[0], kept[able[0]]) <= max_choices:
        n = able[0]
        every = [np.setdiff1d(np.arange(n), keep) for keep in combinations(range(n), kept[n])]
        designs = {n: every}
    else:
        # Fewer trials than n / (n − k) would leave images that are never a query.
        n_trials = max(max(min(n, max_choices), ceil(n / (n - kept[n]))) for n in able)
        shift = int(rng.integers(max(able)))
        designs = {n: _windows(n, kept[n], n_trials, shift) for n in set(able)}
    n_trials = len(designs[able[0]])
    none = [np.empty(0, dtype=np.intp)] * n_trials
    return [designs.get(n, none) for n in sizes]


def same_prompt_trials(
    models: ArrayLike, prompts: ArrayLike, k: int, folds: ArrayLike, seed: int = 0, max_choices: int = 8
) -> Plan[Trial]:
    """Leave-one-out trials: queries and k references a model, all of one prompt.

    A trial holds out the same positions (in row order) for every model; what remains are the references. All choices of
    references are used where they are at most ``max_choices`` and the models have equally many images; otherwise evenly
    spaced windows, in as many trials as ``max_choices`` (or more, where fewer would leave an image out). So the images
    of one model take turns, but they need not be queries equally often: weigh each image once by averaging over its
    trials.

    Parameters
    ----------
    models, prompts : array of str, shape (n,)
    k : int
        References a model. A model with fewer than k + 1 images of a prompt keeps all but one of them there; a model
        with a single one is a candidate, and its image is no query. Both are counted in the notes.
    folds : array of int, shape (n,)
        From `prompt_folds`: a trial carries the fold of its prompt.
    seed : int
        Decides where the windows start.
    max_choices : int
        Choices of references a prompt.

    Returns
    -------
    Plan of Trial
        Rows of unknown prompt, and prompts with fewer than two models, take no part and are counted in the notes.

    Raises
    ------
    ArrayError
        For k or max_choices below 1, or a prompt that lies in two folds.
    NotEnoughReferencesError
        Where no prompt has two models, one of them with two images.
    """
    names, texts = labels(models=models, prompts=prompts)
    fold = np.asarray(folds)
    if k < 1 or max_choices < 1:
        raise ArrayError(f"must be at least 1, got {min(k, max_choices)}.", argument="k" if k < 1 else "max_choices")
    if fold.shape != names.shape:
        raise ArrayError(f"needs one fold a row, {names.shape}, got {fold.shape}.", argument="folds")
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    short = single = lonely = 0
    for prompt in np.unique(texts[texts != ""]):
        rows = np.flatnonzero(texts == prompt)
        if len(np.unique(fold[rows])) > 1:
            raise ArrayError(f"prompt {prompt!r} lies in more than one fold.", argument="folds")
        groups = [rows[names[rows] == name] for name in np.unique(names[rows])]
        sizes = [len(group) for group in groups]
        if len(groups) < 2 or max(sizes) < 2:
            lonely += len(rows)
            continue
        short += sum(1 < n <= k for n in sizes)
        single += sum(n == 1 for n in sizes)
        for held in zip(*_held_out(sizes, k, max_choices, rng), strict=True):
            queries = np.concatenate([group[out] for group, out in zip(groups, held, strict=True)])
            references = np.setdiff1d(rows, queries)
            trials.append(Trial(str(prompt), references, np.sort(queries), int(fold[rows[0]])))
    if not trials:
        raise NotEnoughReferencesError(
            "no prompt has images of two models and a second image of one of them, so nothing can be held out.",
            argument="prompt_id",
            fix="Use the protocol any-prompt.",
        )
    return Plan(tuple(trials), _same_prompt_notes(k, int((texts == "").sum()), lonely, short, single))


def _same_prompt_notes(k: int, unknown: int, lonely: int, short: int, single: int) -> tuple[str, ...]:
    notes = {
        f"{unknown} images have no known prompt and take no part in same-prompt trials.": unknown,
        f"{lonely} images are of prompts where nothing can be held out (one model, or one image a model).": lonely,
        f"{short} times a model had fewer than {k} references of a prompt beside its query; all were used.": short,
        f"{single} images are their model's only one of their prompt: references there, never queries.": single,
    }
    return tuple(text for text, count in notes.items() if count)
