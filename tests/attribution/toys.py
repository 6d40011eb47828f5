"""Made-up embeddings whose truth is known: the two-covariance model, in several views."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from morelli.types import LabelledEmbeddings


def labelled(
    x: NDArray[np.floating] | Mapping[str, NDArray[np.floating]], models: list[str], prompts: list[str] | None = None
) -> LabelledEmbeddings:
    """Embeddings with labels; an array is the one vector "v", and without prompts they are unknown."""
    vectors = dict(x) if isinstance(x, Mapping) else {"v": x}
    names = np.array(models, dtype=np.str_)
    asked = np.array(prompts if prompts is not None else [""] * len(models), dtype=np.str_)
    return LabelledEmbeddings({name: v.astype(np.float32) for name, v in vectors.items()}, names, asked, names)


def circle(degrees: list[float]) -> NDArray[np.float64]:
    """Points on the unit circle, shape (n, 2)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def simulate(
    seed: int,
    *,
    models: int = 6,
    prompts: int = 20,
    seeds: int = 3,
    strength: Mapping[str, float] | None = None,
    d: int = 12,
) -> LabelledEmbeddings:
    """z = prompt + model + (prompt, model) + noise, in vectors of d dimensions with anisotropic noise.

    Parameters
    ----------
    strength : mapping of str to float
        Vector's name → standard deviation of the model's effect against noise of about 1; 0 makes it pure noise.
    """
    rng = np.random.default_rng(seed)
    p, m, s = (grid.ravel() for grid in np.mgrid[:prompts, :models, :seeds])
    del s
    vectors = {}
    for name, effect in (strength or {"v": 1.0}).items():
        # Noise is strong where models do not differ, which distance to a centroid cannot know.
        spread = np.geomspace(3.0, 0.5, d)
        scene = rng.normal(0, 2.0, (prompts, d))
        habit = rng.normal(0, effect, (models, d))
        cell = rng.normal(0, 0.3 * effect, (prompts, models, d))
        x = 5.0 + scene[p] + habit[m] + cell[p, m] + rng.normal(0, 1, (len(p), d)) * spread
        vectors[name] = x.astype(np.float32)
    names = np.array([f"model-{i}" for i in range(models)])[m]
    asked = np.array([f"prompt-{i:02d}" for i in range(prompts)])[p]
    return LabelledEmbeddings(vectors, names, asked, names)


def split(
    data: LabelledEmbeddings, held_out: int, k: int
) -> tuple[LabelledEmbeddings, list[tuple[str, LabelledEmbeddings, LabelledEmbeddings]]]:
    """Background without the last prompts; and of each of these its name, k references a model, the other images."""
    names = np.unique(data.prompts)
    background = data.take(np.isin(data.prompts, names[:-held_out]))
    rounds = []
    for prompt in names[-held_out:]:
        rows = np.flatnonzero(data.prompts == prompt)
        first = np.concatenate([rows[data.models[rows] == model][:k] for model in np.unique(data.models)])
        rounds.append((str(prompt), data.take(first), data.take(np.setdiff1d(rows, first))))
    return background, rounds
