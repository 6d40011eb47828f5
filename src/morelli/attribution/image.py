"""The second kind of attributor: it sees pictures, not embeddings. For systems that bring their own features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from morelli.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


class ImageAttributor(ABC):
    """Pictures of known models in, one score per model out; a higher score is better.

    Learnt state ends in ``_``; ``__init__`` only stores its arguments. A query's scores do not depend on the other
    queries.

    Attributes
    ----------
    models_ : ndarray of str, shape (m,)
        Columns of `scores`, sorted; set by `fit`.
    """

    models_: NDArray[np.str_]

    @abstractmethod
    def fit(self, images: Sequence[Pixels], models: NDArray[np.str_]) -> Self:
        """Learn from pictures.

        Parameters
        ----------
        images : sequence of ndarray, shape (height, width, 3), uint8
            sRGB; sizes may differ unless the method says that it needs one.
        models : ndarray of str, shape (n,)
            Who made each.
        """

    @abstractmethod
    def scores(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Scores of n pictures under every model: shape (n, m), columns in the order of ``models_``."""


#: ``IMAGE_REGISTRY.get(name)()`` is a fresh image attributor; built-in ones come with the baselines.
IMAGE_REGISTRY: Registry[Callable[[], ImageAttributor]] = Registry("image attributor", {}, "morelli.image_attributors")
