"""Made-up embeddings that any working attributor attributes, and what a contract check does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.types import LabelledEmbeddings

# Five models, of which the background lacks the last; a row is prompt + model + seed in two named vectors.
MODELS = ("amber", "birch", "cedar", "dune", "elm")
_PROMPTS = ("p0", "p1", "p2", "p3", "p4", "p5", "query")
_SEEDS = 3
_DIMS = {"view/first": 6, "view/second": 4}


def made_up() -> tuple[LabelledEmbeddings, LabelledEmbeddings, LabelledEmbeddings]:
    """Background, references and queries; the last two share a prompt, which the background lacks."""
    rng = np.random.default_rng(7)
    d = sum(_DIMS.values())
    habits, scenes = rng.normal(0, 1, (len(MODELS), d)), rng.normal(0, 0.4, (len(_PROMPTS), d))
    p, m, s = (grid.ravel() for grid in np.mgrid[: len(_PROMPTS), : len(MODELS), :_SEEDS])
    x = (habits[m] + scenes[p] + rng.normal(0, 0.06, (len(p), d))).astype(np.float32)
    ends = np.cumsum([0, *_DIMS.values()])
    vectors = {name: x[:, a:b].copy() for name, a, b in zip(_DIMS, ends[:-1], ends[1:], strict=True)}
    models, prompts = np.array(MODELS)[m], np.array(_PROMPTS)[p]
    everything = LabelledEmbeddings(vectors, models, prompts, models)
    asked = prompts == "query"
    # Shuffled, so that nothing may rest on the order of rows.
    known = rng.permutation(np.flatnonzero(asked & (s > 0)))
    return everything.take(~asked & (models != MODELS[-1])), everything.take(known), everything.take(asked & (s == 0))


def moved(embeddings: LabelledEmbeddings) -> LabelledEmbeddings:
    """Other vectors under the same labels: each model's are those of the model before it."""
    order = np.argsort(embeddings.models, kind="stable")
    given = np.empty(len(order), dtype=np.intp)
    given[order] = np.roll(order, np.unique(embeddings.models, return_counts=True)[1][-1])
    return LabelledEmbeddings(
        embeddings.take(given).vectors, embeddings.models, embeddings.prompts, embeddings.families
    )


def spoilt(embeddings: LabelledEmbeddings) -> LabelledEmbeddings:
    """A copy with one NaN."""
    vectors = {name: values.copy() for name, values in embeddings.vectors.items()}
    next(iter(vectors.values()))[0, 0] = np.nan
    return LabelledEmbeddings(vectors, embeddings.models, embeddings.prompts, embeddings.families)


def contents(embeddings: LabelledEmbeddings) -> Mapping[str, NDArray[Any]]:
    """Vectors and labels, copied."""
    labels = {"models": embeddings.models, "prompts": embeddings.prompts, "families": embeddings.families}
    return {name: values.copy() for name, values in {**embeddings.vectors, **labels}.items()}


def same_contents(before: Mapping[str, NDArray[Any]], embeddings: LabelledEmbeddings) -> bool:
    """Whether embeddings still are what `contents` copied."""
    now = contents(embeddings)
    return list(now) == list(before) and all(np.array_equal(now[name], values) for name, values in before.items())
