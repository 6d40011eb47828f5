"""A linear probe, or neighbours, on layers of a frozen encoder (baseline ``probe``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.attribution.image import FeatureAttributor
from morelli.baselines.frozen import encode_pictures
from morelli.baselines.knn import vote_scores
from morelli.baselines.labels import Standardiser, encode_labels, require_fitted, stack_features
from morelli.baselines.linear import Span, choose_c, fit_logistic, published_grid
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]

CLASSIFIERS = ("linear", "knn")


class Probe(FeatureAttributor):
    """Intermediate layers of a frozen network with a simple classifier: UniversalAttribution's idea (2024).

    "linear" is multinomial logistic regression on standardised features; C is chosen among ``grid`` values from 1e-6 to
    1e5 by the loss on held-out training pictures. "knn" votes by cosine.

    Deviations: the published code chooses C, and the number of neighbours (1 to 20), on the very unknown classes that
    it is tested on, which is not repeated here: neighbours are a parameter. Its network is a CLIP or DINO (name one:
    ``hf:facebook/dinov2-small@block4/cls``) whose class token of one block is looked at, as it is; the default is the
    embedded encoder, with all its vectors of three views and many layers, standardised, side by side: this project's
    features under a published idea. C is chosen by folds that are dealt by model, not by prompt, and the grid is left
    where five strengths in a row were no better. Published neighbours vote by their similarity, these equally.

    Parameters
    ----------
    encoder : str
        As ``morelli.encoders.catalogue.load_encoder`` takes it; all its vectors are used, side by side.
    classifier : {"linear", "knn"}
    grid : int
        Values of C that are tried.
    k : int
        Neighbours.
    seed : int
        Deals pictures to the folds by which C is chosen.
    cache : str, optional
        Folder where the encoder's vectors are kept, which methods of one encoder share.
    """

    joins_references = False

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        classifier: str = "linear",
        grid: int = 45,
        k: int = 10,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.encoder, self.classifier, self.grid, self.k, self.seed = encoder, classifier, grid, k, seed
        self.cache = cache

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """The encoder's vectors, side by side."""
        return list(encode_pictures(self.encoder, images, self.cache))

    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Fit the classifier."""
        if self.classifier not in CLASSIFIERS:
            raise UnknownNameError("classifier", self.classifier, CLASSIFIERS)
        if self.grid < 1 or self.k < 1:
            raise InputError("must be 1 or more.", argument="grid" if self.grid < 1 else "k")
        x = stack_features(features)
        self.models_, self.labels_ = encode_labels(models, len(x))
        self.standardise_ = Standardiser(x)
        if self.classifier == "knn":
            self.x_ = unit_rows(x)
            return self
        self.span_ = Span(self.standardise_(x))
        inner, classes = self.span_(self.span_.x), len(self.models_)
        self.c_ = choose_c(inner, self.labels_, classes, published_grid(self.grid), self.seed)
        self.linear_ = fit_logistic(inner, self.labels_, classes, self.c_)
        return self

    def scores_features(self, features: Sequence[Feature]) -> Array:
        """Log-probabilities, or votes: shape (n, m)."""
        require_fitted(self, "standardise_")
        x = stack_features(features)
        if self.classifier == "knn":
            return vote_scores(1 - unit_rows(x) @ self.x_.T, self.labels_, len(self.models_), self.k)
        return self.linear_.log_probabilities(self.span_(self.standardise_(x)))

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """The features, standardised by the pictures that it was fitted on."""
        require_fitted(self, "standardise_")
        return self.standardise_(stack_features(features)).astype(np.float32)


def unit_rows(x: Array) -> Array:
    """Rows of length 1; a zero row stays."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1.0)
