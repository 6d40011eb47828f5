"""Regeneration beside another attributor: w times its standardised likeness is added to that attributor's scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.attribution.calibration import fit_temperature
from morelli.attribution.weights import fit_weights
from morelli.encoders.embed import Source
from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError
from morelli.images.load import Picture, load_image
from morelli.regeneration.engine import Progress, Regeneration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# How strongly the two are held alike, in nats over all queries: fifty queries feel it, thousands do not.
_PULL = 1.0
# Likenesses of one query that differ by less say nothing of the models.
_FLAT = 1e-12


def standardise(likeness: Array) -> Array:
    """Each query's likenesses less their mean, over their standard deviation: shape (n, m).

    A model without a likeness (NaN) gets 0, the mean: nothing is said for or against it. So does every model of a query
    whose likenesses are all alike.
    """
    known = np.isfinite(likeness)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean = np.where(known, likeness, 0.0).sum(axis=1, keepdims=True) / count
    away = np.where(known, likeness - mean, 0.0)
    spread = np.sqrt((away**2).sum(axis=1, keepdims=True) / count)
    return np.where(spread > _FLAT, away / np.maximum(spread, _FLAT), 0.0)


@dataclass(frozen=True)
class Fusion:
    """Fused scores are ``own``·scores + ``weight``·standardised likeness.

    Attributes
    ----------
    own : float
        1, or 0 where the attributor's scores turned out to say nothing.
    weight : float
        w ≥ 0, in the units of the attributor's scores.
    """

    own: float
    weight: float

    def __call__(self, scores: Array, likeness: Array) -> Array:
        """Fused scores, shape (n, m); a score of −inf is no candidate and stays so."""
        allowed = np.isfinite(scores)
        z = standardise(np.where(allowed, likeness, np.nan))
        return np.where(allowed, self.own * np.where(allowed, scores, 0.0) + self.weight * z, scores)


def fit_fusion(scores: Array, likeness: Array, truth: NDArray[np.intp], pull: float = _PULL) -> Fusion:
    """The w that makes the right models of background queries most probable.

    Parameters
    ----------
    scores : ndarray, shape (n, m)
        Of an attributor that had not seen these queries (`morelli.attribution.crossfit`); −inf: no candidate.
    likeness : ndarray, shape (n, m)
        Of the same queries and models by regeneration; NaN where a model has no generator.
    truth : ndarray of int, shape (n,)
        Column of the right model.
    pull : float
        Penalty of a weight that is twice the common one, nats over all queries: what keeps few queries from choosing
        between the two.

    Raises
    ------
    ArrayError
        The shapes do not fit together.
    NotEnoughReferencesError
        There is no query.
    """
    if scores.shape != likeness.shape or truth.shape != scores.shape[:1]:
        raise ArrayError(
            f"scores {scores.shape}, likeness {likeness.shape} and truth {truth.shape} must be of the same queries.",
            argument="likeness",
        )
    if not len(truth):
        raise NotEnoughReferencesError("a weight needs background queries.", argument="background")
    allowed = np.isfinite(scores)
    z = np.where(allowed, standardise(np.where(allowed, likeness, np.nan)), -np.inf)
    # Each at its own temperature first: the two then are of one unit, in which "alike" is a fair place to start from.
    units = [fit_temperature(part, truth) for part in (scores, z)]
    layers = np.stack([np.where(allowed, part / unit, -np.inf) for part, unit in zip((scores, z), units, strict=True)])
    own, other = fit_weights(layers, truth, pull / len(truth)) / units
    return Fusion(1.0, float(other / own)) if own > 0 else Fusion(0.0, 1.0)


class RegenerationPlugin:
    """Adds regeneration to any attributor.

    Parameters
    ----------
    regeneration : Regeneration

    Attributes
    ----------
    fusion_ : Fusion
        Learnt by `fit`.

    Examples
    --------
    ``table = attributor.cross_scores(k)`` has scores of the background's own images. With their files and prompts::

        plugin = RegenerationPlugin(regeneration).fit(table.scores, models, table.truth, files, prompts)
        fused = plugin.scores(attributor.scores(vectors, references), models, [query], [prompt])
    """

    def __init__(self, regeneration: Regeneration) -> None:
        self.regeneration = regeneration

    def likeness(
        self,
        models: Sequence[str],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Array:
        """How alike each query is to what the models make of its prompt.

        Candidates are made once for each prompt and found again on disk.

        Parameters
        ----------
        models : sequence of str, length m
            Columns.
        sources : sequence of Path, str, bytes or Picture, length n
        prompts : sequence of str, length n
            Of each.

        Returns
        -------
        ndarray, shape (n, m), float64
            NaN for a model that has no generator.
        """
        out = np.full((len(sources), len(models)), np.nan)
        place = {model: column for column, model in enumerate(models)}
        for row, (source, prompt) in enumerate(zip(sources, prompts, strict=True)):
            picture = source if isinstance(source, Picture) else load_image(source)
            made = self.regeneration.compare([picture], prompt, progress=progress)
            for model, score in zip(made.candidates.models.tolist(), made.compared.scores[0], strict=True):
                if model in place:
                    out[row, place[model]] = score
        return out

    def fit(
        self,
        scores: Array,
        models: Sequence[str],
        truth: NDArray[np.intp],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Learn w from background queries.

        Parameters
        ----------
        scores : ndarray, shape (n, m)
            Of an attributor that had not seen them.
        models : sequence of str, length m
        truth : ndarray of int, shape (n,)
            Column of the right model.
        sources, prompts
            The queries' files and prompts, as in `likeness`.
        """
        likeness = self.likeness(models, sources, prompts, progress=progress)
        self.fusion_ = fit_fusion(scores, likeness, truth)
        return self

    def scores(
        self,
        scores: Array,
        models: Sequence[str],
        sources: Sequence[Source],
        prompts: Sequence[str],
        *,
        progress: Progress | None = None,
    ) -> Array:
        """Fused scores of queries, shape (n, m).

        Raises
        ------
        NotFittedError
            `fit` was not called.
        """
        if not hasattr(self, "fusion_"):
            raise NotFittedError("call fit before scores.", argument=type(self).__name__)
        return self.fusion_(scores, self.likeness(models, sources, prompts, progress=progress))
