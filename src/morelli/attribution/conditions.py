"""What compression and resizing do to embeddings, learnt from degraded copies of some background images.

References are compared as they are; a query may have been compressed, resized or blurred on its way. A *condition* is
one such degradation. It moves an embedding by about the same step whichever model made the image, and scatters it
around that step: ``e(degraded) = e(image) + m_c + n`` with ``n ~ N(0, N_c)``. Which condition a query is in is read
from its embedding by a linear discriminant. It is compared less m_c, under the noise W + N_c, in each condition that it
may be in, and what that gives is joined by the law of total probability (`Mixture`). A query as it comes is compared as
before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp, softmax

from morelli.attribution.gaussian import shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.bank import Bank, BankSettings
    from morelli.types import DegradedEmbeddings

    Array = NDArray[np.float64]
    Coordinates = Mapping[str, Array]
    #: Scores queries of some rows by the statistics of one condition: (bank, coordinates, rows) → (components, n, m).
    Score = Callable[[Bank, Coordinates, NDArray[np.intp]], Array]

#: The first condition: the image as it comes.
CLEAN = ""
# Copies that a condition must have, for a step and a scatter that are more than noise.
MIN_COPIES = 16
# Shrinkage of the discriminant's covariance.
_SHRINKAGE = 0.1
# Log odds by which an image is more likely to be as it came than in one given condition, for who must be told one.
_PRIOR = 2.0
# Share of the discriminant's log odds that comparing goes by: hundreds of dimensions make it surer than it should be,
# and a wrong condition costs more than a second one does; and log odds for the image as it comes, added to that share
# (docs/decisions/0005).
_TEMPER, _LEANING = 0.3, 1.0
# A condition less probable than this is not worth its comparison.
_NEGLIGIBLE = 0.02


@dataclass(frozen=True, eq=False)
class Detector:
    """Linear discriminant between conditions over the coordinates of all groups, side by side.

    Attributes
    ----------
    weights : ndarray, shape (d, C)
    bias : ndarray, shape (C,)
    """

    weights: Array
    bias: Array

    def __call__(self, coordinates: Coordinates) -> Array:
        """Logarithm of the odds of each condition, up to one number for each query: shape (n, C)."""
        return np.concatenate(list(coordinates.values()), axis=1) @ self.weights + self.bias


@dataclass(frozen=True, eq=False)
class Mixture:
    """Component scores of n queries, each under one or more conditions: e entries, those of a query side by side.

    Attributes
    ----------
    layers : ndarray, shape (components, e, m)
        Log-likelihood ratios; −inf where a model is no candidate of that query.
    rows : ndarray of int, shape (e,)
        Query of each entry, in ascending order; every query has an entry.
    conditions : ndarray of str, shape (e,)
    shares : ndarray, shape (e,)
        Probability of the condition by odds that know how unsure they are; of one query they add up to 1.
    sharp : ndarray, shape (e,)
        The same by the full odds of the discriminant.
    likeliest : ndarray of str, shape (n,)
        What each query probably went through; `CLEAN` unless some degradation is likelier than none.
    """

    layers: Array
    rows: NDArray[np.intp]
    conditions: NDArray[np.str_]
    shares: Array
    sharp: Array
    likeliest: NDArray[np.str_]

    @classmethod
    def clean(cls, layers: Array) -> Mixture:
        """Of queries that came as they are, beyond doubt."""
        n = layers.shape[1]
        return cls(layers, np.arange(n), np.full(n, CLEAN), np.ones(n), np.ones(n), np.full(n, CLEAN))

    @classmethod
    def join(cls, parts: Sequence[Mixture]) -> Mixture:
        """Queries of one part after those of another: of the same components and candidates."""
        before = np.cumsum([0, *(len(part.likeliest) for part in parts)])
        return cls(
            np.concatenate([part.layers for part in parts], axis=1),
            np.concatenate([part.rows + start for part, start in zip(parts, before, strict=False)]),
            np.concatenate([part.conditions for part in parts]),
            np.concatenate([part.shares for part in parts]),
            np.concatenate([part.sharp for part in parts]),
            np.concatenate([part.likeliest for part in parts]),
        )

    def of(self, models: NDArray[np.bool_]) -> Mixture:
        """The same of some candidates: mask of shape (m,)."""
        return replace(self, layers=self.layers[:, :, models])

    def among(self, candidates: NDArray[np.str_], models: NDArray[np.str_]) -> Mixture:
        """The same among M models, sorted, of which the candidates are some; −inf for the others."""
        if np.array_equal(candidates, models):
            return self
        layers = np.full((*self.layers.shape[:2], len(models)), -np.inf)
        layers[:, :, np.searchsorted(models, candidates)] = self.layers
        return replace(self, layers=layers)

    def take(self, queries: NDArray[np.bool_]) -> Mixture:
        """The same of some queries: mask of shape (n,)."""
        entries, places = queries[self.rows], np.cumsum(queries) - 1
        return Mixture(
            self.layers[:, entries],
            places[self.rows[entries]],
            self.conditions[entries],
            self.shares[entries],
            self.sharp[entries],
            self.likeliest[queries],
        )

    def mean(self) -> Array:
        """Mean over conditions, weighted by their sharp probabilities: shape (components, n, m).

        A log-likelihood ratio is very low under a wrong condition, so that a mean bears no more doubt than that.
        """
        if len(self.rows) == len(self.likeliest):
            return self.layers
        mean = np.empty((len(self.layers), len(self.likeliest), self.layers.shape[2]))
        for layer, into in zip(self.layers, mean, strict=True):  # one at a time, for memory's sake
            np.add.reduceat(layer * self.sharp[:, None], self._starts, axis=0, out=into)
        return mean

    def marginal(self, weights: Callable[[str], Array]) -> Array:
        """Log-likelihood ratios over all conditions: log Σ_c P(c)·exp(Σ_l w_cl·s_lc), shape (n, m).

        A query in doubt is compared under each condition, by what still counts there. It is the law of total
        probability: a model that fits far better under one condition also says that the query went through that one.

        Parameters
        ----------
        weights : callable
            Weight of each component under a condition: shape (components,).
        """
        total = np.empty(self.layers.shape[1:])
        for condition in np.unique(self.conditions).tolist():
            here = self.conditions == condition
            layers = self.layers[:, here]
            part = np.tensordot(weights(condition), np.where(np.isfinite(layers), layers, 0.0), axes=1)
            total[here] = np.where(np.isfinite(layers[0]), part, -np.inf)
        if len(self.rows) == len(self.likeliest):
            return total
        total += np.log(self.shares)[:, None]
        return np.logaddexp.reduceat(total, self._starts, axis=0)

    @property
    def _starts(self) -> NDArray[np.intp]:
        return np.searchsorted(self.rows, np.arange(len(self.likeliest)))


@dataclass(frozen=True, eq=False)
class Conditions:
    """Statistics for queries in each condition.

    Attributes
    ----------
    names : tuple of str, length C
        `CLEAN` first.
    detector : Detector
    shifts : mapping of str to ndarray, shape (C, r)
        m_c for each group; the first row is 0.
    make : callable
        The bank of a condition by its number; banks are made when a query first needs one, and kept.
    banks : dict of int to Bank
    """

    names: tuple[str, ...]
    detector: Detector
    shifts: Mapping[str, Array]
    make: Callable[[int], Bank]
    banks: dict[int, Bank] = field(default_factory=dict)

    def bank(self, number: int) -> Bank:
        """Statistics under the noise of one condition."""
        if number not in self.banks:
            self.banks[number] = self.make(number)
        return self.banks[number]

    def of(self, change: Callable[[Bank], Bank]) -> Conditions:
        """The same conditions of statistics that are changed alike."""
        return replace(self, make=lambda number: change(self.bank(number)), banks={})

    def likeliest(self, coordinates: Coordinates) -> tuple[str, ...]:
        """For each of n queries `CLEAN`, or the likeliest degradation where some degradation is likelier than none."""
        return tuple(self.names[at] for at in _likeliest(self.detector(coordinates)))

    def mix(self, coordinates: Coordinates, score: Score) -> Mixture:
        """Component scores of queries under each of the conditions that they may be in."""
        odds = self.detector(coordinates)
        likeliest = _likeliest(odds)
        tempered = _TEMPER * odds
        tempered[:, 0] += _LEANING
        posterior = np.asarray(softmax(tempered, axis=1))
        full = odds.copy()
        full[:, 0] += _PRIOR
        sharp = np.asarray(softmax(full, axis=1))
        left_out = posterior < np.minimum(_NEGLIGIBLE, posterior.max(axis=1, keepdims=True))
        for probability in (posterior, sharp):
            probability[left_out] = 0.0
            probability /= probability.sum(axis=1, keepdims=True)
        if not len(posterior):
            return Mixture.clean(score(self.bank(0), coordinates, np.arange(0)))
        layers, rows, conditions, shares, sure = [], [], [], [], []
        for number in np.flatnonzero(posterior.any(axis=0)).tolist():
            here = np.flatnonzero(posterior[:, number])
            moved = {name: z[here] - self.shifts[name][number] for name, z in coordinates.items()}
            layers.append(score(self.bank(number), moved, here))
            rows.append(here)
            conditions.append(np.full(len(here), self.names[number]))
            shares.append(posterior[here, number])
            sure.append(sharp[here, number])
        order = np.argsort(np.concatenate(rows), kind="stable")
        found = np.concatenate(layers, axis=1)[:, order]
        of, under, shared, certain = (np.concatenate(each)[order] for each in (rows, conditions, shares, sure))
        return Mixture(found, of, under, shared, certain, np.array(self.names)[likeliest])


def _likeliest(odds: Array) -> NDArray[np.intp]:
    """For each row 0 where some degradation is not likelier than none, else the likeliest degradation's number."""
    some = np.asarray(logsumexp(odds[:, 1:], axis=1))
    return np.where(odds[:, 0] + _PRIOR >= some, 0, 1 + odds[:, 1:].argmax(axis=1))


def fit_conditions(
    bank: Bank,
    coordinates: Coordinates,
    degraded: DegradedEmbeddings | None,
    settings: BankSettings,
) -> Conditions | None:
    """Learn the conditions of a background; None where there are too few degraded copies.

    Parameters
    ----------
    bank : Bank
        Of this background.
    coordinates : mapping of str to ndarray, shape (n, r)
        The background's images in the bank's subspaces.
    degraded : DegradedEmbeddings or None
        Copies of some of them.
    settings : BankSettings
    """
    if degraded is None:
        return None
    found, counts = np.unique(degraded.names, return_counts=True)
    names = tuple(found[counts >= MIN_COPIES].tolist())
    if not names:
        return None
    copies = bank.coordinates(degraded.vectors)
    chosen = {name: degraded.names == name for name in names}
    steps = {
        group: {name: z[rows] - coordinates[group][degraded.rows[rows]] for name, rows in chosen.items()}
        for group, z in copies.items()
    }
    shifts = {
        group: np.stack([np.zeros(copies[group].shape[1]), *(step.mean(axis=0) for step in part.values())])
        for group, part in steps.items()
    }

    def make(number: int) -> Bank:
        if number == 0:
            return bank
        name = names[number - 1]
        noise = {group: _covariance(part[name]) for group, part in steps.items()}
        return bank.noisier(noise, settings)

    detector = _fit_detector(coordinates, steps, names)
    return Conditions((CLEAN, *names), detector, shifts, make)


def _covariance(x: Array) -> Array:
    return np.atleast_2d(np.cov(x, rowvar=False, bias=True)).astype(np.float64)


def _fit_detector(
    coordinates: Coordinates,
    steps: Mapping[str, Mapping[str, Array]],
    names: tuple[str, ...],
) -> Detector:
    """Means are the mean of all images, moved by each condition's step: what the sample shows plays no part.

    The covariance is that of all images, which are many, and the scatter that degradation adds on average.
    """
    x = np.concatenate(list(coordinates.values()), axis=1)
    moved = [np.concatenate([steps[group][name] for group in coordinates], axis=1) for name in names]
    centre = x.mean(axis=0)
    means = np.stack([centre, *(centre + step.mean(axis=0) for step in moved)])
    spread = np.asarray(np.mean([_covariance(step) for step in moved], axis=0), dtype=np.float64)
    covariance = shrink(_covariance(x) + spread, _SHRINKAGE)
    weights = np.asarray(np.linalg.solve(covariance, means.T), dtype=np.float64)
    return Detector(weights, -0.5 * (means.T * weights).sum(axis=0))
