"""The contract that every attributor over arrays keeps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = Mapping[str, NDArray[np.float32]]


class Attributor(ABC):
    """Embeddings of references in, one score per candidate model out; a higher score is better.

    Two sets of labelled embeddings reach an attributor. *Background* (``fit``) is what statistics may be learnt from:
    references of other prompts than the query's. *References* (``scores``) are what the query is compared with,
    usually images of the query's own prompt. A query is in neither.

    Learnt state ends in ``_``; ``__init__`` only stores its arguments.
    """

    #: Whether ``fit`` learns something; published nearest-centroid rules do not.
    uses_background: bool = True

    @abstractmethod
    def fit(self, background: LabelledEmbeddings | None) -> Self:
        """Learn statistics from references of other prompts; None or an empty set where there are none."""

    @abstractmethod
    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> NDArray[np.float64]:
        """Score queries against every candidate.

        Parameters
        ----------
        vectors : mapping of str to ndarray, shape (n, d), float32
            Embeddings of n queries that share one prompt, or whose prompts are unknown.
        references : LabelledEmbeddings, optional
            What they are compared with. None: the background itself.
        prompt : str, optional
            The queries' prompt id. None: unknown, and nothing may be concluded from the references' prompts.

        Returns
        -------
        ndarray, shape (n, m), float64
            Columns in the order of ``candidates(references)``.
        """

    def clone(self) -> Self:
        """An unfitted attributor with the same parameters: those that ``__init__`` takes and stores by name."""
        names = inspect.signature(type(self)).parameters
        return type(self)(**{name: getattr(self, name) for name in names})

    def candidates(self, references: LabelledEmbeddings | None = None) -> NDArray[np.str_]:
        """The models that compete, sorted: those of the references, or of the background where there are none."""
        if references is None or not len(references):
            known = getattr(self, "models_", None)
            if known is None:
                raise NotFittedError("call fit before scores.", argument=type(self).__name__)
            models = np.asarray(known)
        else:
            models = np.unique(references.models)
        if len(models) < 2:
            raise NotEnoughReferencesError(
                f"attribution compares models, and here is {len(models)}.",
                argument="references",
                fix="Add references of another model, or ask one-vs-many: morelli check.",
            )
        return models

    def is_new(self, models: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which of the models the learnt statistics do not know: shape (m,). None where nothing is learnt."""
        return np.zeros(len(models), dtype=np.bool_)

    def conditions_of(self, vectors: Vectors) -> tuple[str, ...]:
        """The degradation that each of n queries seems to have been through, "" for none: how it is compared.

        All "" where nothing is learnt of degradations.
        """
        return ("",) * len(next(iter(vectors.values())))

    def is_degraded(self, vectors: Vectors) -> NDArray[np.bool_]:
        """Which of n queries seem to have been through a degradation: shape (n,)."""
        return np.array([name != "" for name in self.conditions_of(vectors)], dtype=np.bool_)


def stack(vectors: Vectors, names: tuple[str, ...] | None = None) -> NDArray[np.float64]:
    """The named vectors side by side as one array of shape (n, sum of d), float64; NaN or infinity is refused."""
    chosen = tuple(vectors) if names is None else names
    missing = [name for name in chosen if name not in vectors]
    if missing or not chosen:
        raise ArrayError(f"no vectors called {', '.join(missing) or 'anything'}.", argument="vectors")
    parts = [np.asarray(vectors[name]) for name in chosen]
    if any(part.ndim != 2 or len(part) != len(parts[0]) for part in parts):
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ArrayError(
            f"each named vector must be an array of shape (n, d) with one n; got {shapes}.", argument="vectors"
        )
    # Into the one array, not through a float64 copy of each: there may be gigabytes.
    out = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)))
    np.concatenate(parts, axis=1, out=out)
    if not np.isfinite(out).all():
        raise ArrayError("embeddings must be finite, and some are NaN or infinite.", argument="vectors")
    return out


def class_means(x: NDArray[np.float64], labels: NDArray[np.str_], classes: NDArray[np.str_]) -> NDArray[np.float64]:
    """Mean of the rows of each class, shape (len(classes), d); a class without rows gives NaN."""
    out = np.full((len(classes), x.shape[1]), np.nan)
    for j, name in enumerate(classes):
        rows = labels == name
        if rows.any():
            out[j] = x[rows].mean(axis=0)
    return out
