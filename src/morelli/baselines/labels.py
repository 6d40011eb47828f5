"""What every baseline asks of its labels and its state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is said of a training that no paper describes.
NO_RECIPE = "no published recipe"


def encode_labels(models: NDArray[np.str_], count: int, least: int = 1) -> tuple[NDArray[np.str_], NDArray[np.intp]]:
    """The models, sorted, and the number of each picture's model.

    Parameters
    ----------
    models : ndarray of str, shape (n,)
    count : int
        How many pictures came.
    least : int
        Pictures that each model needs.

    Raises
    ------
    ArrayError
        Not one label a picture.
    NotEnoughReferencesError
        Fewer than two models, or a model with too few pictures.
    """
    labels = np.asarray(models, dtype=np.str_)
    if labels.shape != (count,):
        raise ArrayError(f"must be one label for each of {count} pictures; got {labels.shape}.", argument="models")
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise NotEnoughReferencesError(f"attribution compares models, and here is {len(names)}.", argument="models")
    if counts.min() < least:
        raise NotEnoughReferencesError(
            f"{names[counts.argmin()]} has {counts.min()} pictures, and {least} are needed to learn a model.",
            argument="models",
        )
    return names, numbers


def require_fitted(attributor: object, attribute: str) -> None:
    """Refuse scores before ``fit``.

    Raises
    ------
    NotFittedError
    """
    if not hasattr(attributor, attribute):
        raise NotFittedError("call fit before scores.", argument=type(attributor).__name__)


def stack_features(features: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Features of n pictures as one array (n, d), float64.

    Raises
    ------
    ArrayError
        None, of different lengths, or not finite.
    """
    if not len(features) or len({np.shape(each) for each in features}) != 1 or np.ndim(features[0]) != 1:
        raise ArrayError("must be vectors of one length, one a picture.", argument="features")
    out = np.stack([np.asarray(each, dtype=np.float64) for each in features])
    if not np.isfinite(out).all():
        raise ArrayError("must be finite, and some are NaN or infinite.", argument="features")
    return out


class Standardiser:
    """Moves and scales each dimension to mean 0 and deviation 1; one that does not vary is left at 0."""

    def __init__(self, x: NDArray[np.float64]) -> None:
        self.mean = x.mean(axis=0)
        deviation = x.std(axis=0)
        self.scale = np.where(deviation > 0, deviation, 1.0)

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same rows, standardised."""
        return (x - self.mean) / self.scale
