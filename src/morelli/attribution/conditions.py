"""What compression and resizing do to embeddings, learnt from degraded copies of some background images.

References are compared as they are; a query may have been compressed, resized or blurred on its way. A *condition* is
one such degradation. It moves an embedding by about the same step whichever model made the image, and scatters it
around that step: ``e(degraded) = e(image) + m_c + n`` with ``n ~ N(0, N_c)``. Which condition a query is in is read
from its embedding by a linear discriminant; it is then compared less m_c, under the noise W + N_c. A query as it comes
is compared as before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

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
# Log odds by which an image is more likely to be as it came than in one given condition.
_PRIOR = 2.0
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
        """Probability of each condition: shape (n, C)."""
        x = np.concatenate(list(coordinates.values()), axis=1)
        return np.asarray(softmax(x @ self.weights + self.bias, axis=1))


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

    def mix(self, coordinates: Coordinates, score: Score) -> tuple[Array, NDArray[np.intp]]:
        """Component scores of queries, each under the conditions that it is probably in.

        Returns
        -------
        scores : ndarray, shape (components, n, m)
            Mean over conditions, weighted by their probabilities.
        likeliest : ndarray of int, shape (n,)
            Number of the condition that each query is probably in.
        """
        posterior = self.detector(coordinates)
        likeliest = _likeliest(posterior)
        posterior[posterior < np.minimum(_NEGLIGIBLE, posterior.max(axis=1, keepdims=True))] = 0.0
        posterior /= posterior.sum(axis=1, keepdims=True)
        if not len(posterior):
            return score(self.bank(0), coordinates, np.arange(0)), likeliest
        total: Array | None = None
        for number in np.flatnonzero(posterior.any(axis=0)).tolist():
            rows = np.flatnonzero(posterior[:, number])
            moved = {name: z[rows] - self.shifts[name][number] for name, z in coordinates.items()}
            part = score(self.bank(number), moved, rows)
            if total is None:
                total = np.zeros((len(part), len(posterior), part.shape[2]))
            total[:, rows] += posterior[rows, number][:, None] * part
        return np.empty((0, 0, 0)) if total is None else total, likeliest


def _likeliest(posterior: Array) -> NDArray[np.intp]:
    """For each row 0 where some degradation is not likelier than none, else the likeliest degradation's number."""
    return np.where(posterior[:, 0] >= 0.5, 0, 1 + posterior[:, 1:].argmax(axis=1))


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
    bias = -0.5 * (means.T * weights).sum(axis=0)
    bias[0] += _PRIOR
    return Detector(weights, bias)
