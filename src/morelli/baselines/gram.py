"""Gram matrices of a frozen network's feature maps, and a linear classifier (baseline ``gram``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from morelli.attribution.image import FeatureAttributor
from morelli.baselines.labels import Standardiser, encode_labels, require_fitted, stack_features
from morelli.baselines.linear import Span, choose_c, fit_logistic, published_grid
from morelli.baselines.shapes import square
from morelli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]

#: Blocks of EfficientNet-Lite0 with 24, 40, 80 and 112 channels.
BLOCKS = (2, 4, 7, 10)
_BATCH = 16


class Gram(FeatureAttributor):
    """Style features as in Xu et al., *Detecting Image Attribution for Text-to-Image Diffusion Models* (2024).

    The style of a picture is the Gram matrix of a feature map's channels (Gatys et al. 2016), G = F Fᵀ / pixels, at
    several depths; its upper triangles, standardised, go into a multinomial logistic regression.

    Deviations: the network is the embedded EfficientNet-Lite0 (the published network, its layers and sizes could not be
    looked up); the classifier is linear, with C chosen on held-out training pictures (the grid is left where five
    strengths in a row were no better), where theirs is a network;
    the picture's centre square is brought to ``side`` pixels.

    Parameters
    ----------
    side : int
        What the network is shown, 64 or more.
    grid : int
        Values of C that are tried.
    seed : int
        Deals pictures to the folds by which C is chosen.
    """

    joins_references = False

    def __init__(self, side: int = 256, grid: int = 9, seed: int = 0) -> None:
        self.side, self.grid, self.seed = side, grid, seed

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """Upper triangles of the Gram matrices, side by side."""
        if self.side < 64:
            raise InputError(f"must be 64 or more; got {self.side}.", argument="side")
        import torch

        network, out = _network(), []
        for start in range(0, len(images), _BATCH):
            pixels = np.stack([square(image, self.side) for image in images[start : start + _BATCH]])
            x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0
            with torch.inference_mode():
                maps = network.blocks(x.contiguous(memory_format=torch.channels_last), list(BLOCKS))
                out.append(torch.cat([upper(gram(maps[block].float())) for block in BLOCKS], dim=1).numpy())
        return list(np.concatenate(out)) if out else []

    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Fit the classifier."""
        x = stack_features(features)
        self.models_, labels = encode_labels(models, len(x))
        self.standardise_ = Standardiser(x)
        self.span_ = Span(self.standardise_(x))
        inner = self.span_(self.span_.x)
        self.c_ = choose_c(inner, labels, len(self.models_), published_grid(self.grid), self.seed)
        self.linear_ = fit_logistic(inner, labels, len(self.models_), self.c_)
        return self

    def scores_features(self, features: Sequence[Feature]) -> Array:
        """Log-probabilities, shape (n, m)."""
        return self.linear_.log_probabilities(self.span_(self.embed_features(features).astype(np.float64)))

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """The triangles, standardised by the pictures that it was fitted on."""
        require_fitted(self, "standardise_")
        return self.standardise_(stack_features(features)).astype(np.float32)


def gram(maps: Tensor) -> Tensor:
    """F Fᵀ / (h·w) of feature maps (n, c, h, w): (n, c, c)."""
    flat = maps.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def upper(matrices: Tensor) -> Tensor:
    """Upper triangles, the diagonal included: (n, c, c) to (n, c·(c + 1)/2), row by row."""
    import torch

    rows, columns = torch.triu_indices(matrices.shape[-1], matrices.shape[-1])
    return matrices[:, rows, columns]


@lru_cache(maxsize=1)
def _network() -> Any:
    from morelli.encoders.embedded import lite0

    return lite0().network
