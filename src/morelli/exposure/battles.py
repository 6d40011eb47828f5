"""One battle: two images A and B of one prompt by two different models, judged one by one or together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import ArrayError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Pairs = NDArray[np.intp]


def judge_jointly(first: ArrayLike, second: ArrayLike) -> Pairs:
    """argmax over a ≠ b of s_A(a) + s_B(b): the best pair of models, knowing that no model meets itself.

    Where the two first places differ they are the answer. Where both images look like one model's, the better of
    "A's first with B's second" and "A's second with B's first" is, as every other pair scores less.

    Parameters
    ----------
    first, second : array, shape (n, m), m ≥ 2
        Scores of n images A and of n images B among the same m models, higher is better; −inf for a model that is no
        candidate. Sums must mean something: scores of one attributor on one scale, best log-likelihoods.

    Returns
    -------
    ndarray of int, shape (n, 2)
        Columns of the models of A and of B.

    Raises
    ------
    ArrayError
        Shapes that differ, one model only, NaN, or an image with fewer than two candidates.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2:
        raise ArrayError(f"both need the shape (n, m) with m ≥ 2; got {a.shape} and {b.shape}.", argument="second")
    if np.isnan(a).any() or np.isnan(b).any():
        raise ArrayError("scores must not be NaN.", argument="first")
    if len(a) and min(np.isfinite(a).sum(axis=1).min(), np.isfinite(b).sum(axis=1).min()) < 2:
        raise ArrayError("every image needs two candidates with a finite score.", argument="first")
    rows = np.arange(len(a))
    a1, a2 = _best_two(a)
    b1, b2 = _best_two(b)
    keep_a = a[rows, a1] + b[rows, b2] >= a[rows, a2] + b[rows, b1]
    conflict = a1 == b1
    return np.stack(
        [np.where(conflict & ~keep_a, a2, a1), np.where(conflict & keep_a, b2, b1)], axis=1
    )  # fmt: skip


def judge_alone(first: ArrayLike, second: ArrayLike) -> Pairs:
    """Each image's first place, shape (n, 2): what an attacker says who judges A and B one by one."""
    return np.stack([np.argmax(first, axis=1), np.argmax(second, axis=1)], axis=1)


def _best_two(scores: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    best = scores.argmax(axis=1)
    rest = scores.copy()
    rest[np.arange(len(scores)), best] = -np.inf
    return best, rest.argmax(axis=1)


def pair_up(groups: ArrayLike, truth: ArrayLike, most: int, seed: int = 0) -> Pairs:
    """Battles among scored images: all pairs of one group that are by two different models.

    Parameters
    ----------
    groups : array, shape (n,)
        Images that were scored with the same references: of one prompt and one trial.
    truth : array of int, shape (n,)
        Model of each image; −1 for an unknown one, which takes no part.
    most : int
        Of more pairs than this, as many are drawn.
    seed : int

    Returns
    -------
    ndarray of int, shape (b, 2)
        Rows of A and of B; which of the two is A is drawn.
    """
    labels, models = np.asarray(groups), np.asarray(truth)
    found = []
    for group in np.unique(labels[models >= 0]):
        rows = np.flatnonzero((labels == group) & (models >= 0))
        i, j = np.triu_indices(len(rows), 1)
        pairs = np.stack([rows[i], rows[j]], axis=1)
        found.append(pairs[models[pairs[:, 0]] != models[pairs[:, 1]]])
    pairs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.intp)
    rng = np.random.default_rng(seed)
    if len(pairs) > most:
        pairs = pairs[np.sort(rng.permutation(len(pairs))[:most])]
    swap = rng.random(len(pairs)) < 0.5
    return np.where(swap[:, None], pairs[:, ::-1], pairs)
