"""From scores to what tables count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.evaluation.bootstrap import Interval, prompt_bootstrap

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def ranks(scores: ArrayLike, models: Sequence[str], truth: Sequence[str]) -> list[int]:
    """Place of the right model for each query, 1 the best; equal scores count against it.

    Parameters
    ----------
    scores : array, shape (n, m)
        Higher is better; columns are ``models``.
    models : sequence of str, length m
    truth : sequence of str, length n
        Each one of the models.
    """
    table = np.asarray(scores, dtype=np.float64)
    own = table[np.arange(len(table)), [list(models).index(name) for name in truth]]
    return (table >= own[:, None]).sum(axis=1).astype(int).tolist()


def base_ranks(scores: ArrayLike, models: Sequence[str], truth: Sequence[str], bases: Mapping[str, str]) -> list[int]:
    """As `ranks`, for bases: each scores as much as the best of its models."""
    table = np.asarray(scores, dtype=np.float64)
    of = np.array([bases[model] for model in models])
    names = sorted(set(of.tolist()))
    best = np.stack([table[:, of == name].max(axis=1) for name in names], axis=1)
    return ranks(best, names, [bases[name] for name in truth])


def accuracy(found: Sequence[int | None], prompts: Sequence[Any], k: int = 1) -> Interval:
    """Fraction of ranks up to k, with its bootstrap interval over prompts; None, nothing found, is a miss."""
    hits = [float(rank is not None and rank <= k) for rank in found]
    return prompt_bootstrap(hits, np.array([f"prompt {each}" for each in prompts]))


def spread_queries(
    models: Sequence[str], prompts: int, count: int, rng: np.random.Generator
) -> list[tuple[int, str, int]]:
    """Queries as evenly over prompts and models as their number allows: (prompt, model, number of the seed).

    Parameters
    ----------
    models : sequence of str
    prompts : int
        How many there are.
    count : int
    rng : numpy Generator

    Returns
    -------
    list of (int, str, int)
        All different.
    """
    seen: dict[tuple[int, str], int] = {}
    out: list[tuple[int, str, int]] = []
    deck: list[str] = []
    for number in range(count):
        if not deck:
            deck = [models[int(i)] for i in rng.permutation(len(models))]
        cell = (number % prompts, deck.pop())
        seen[cell] = seen.get(cell, -1) + 1
        out.append((*cell, seen[cell]))
    return out


def pick(rng: np.random.Generator, total: int, count: int) -> NDArray[np.intp]:
    """``count`` different numbers below ``total``, sorted; all of them where there are fewer."""
    return np.sort(rng.permutation(total)[:count])
