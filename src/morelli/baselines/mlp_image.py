"""A perceptron on image embeddings (baseline ``mlp-image``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.attribution.image import FeatureAttributor
from morelli.baselines.frozen import encode_pictures
from morelli.baselines.labels import NO_RECIPE, Standardiser, encode_labels, require_fitted, stack_features
from morelli.baselines.perceptron import fit_perceptron
from morelli.encoders.catalogue import DEFAULT_ENCODER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]


class MlpImage(FeatureAttributor):
    """The supervised classifier on image embeddings that paper 000 compares with.

    The paper gives neither the perceptron nor its training. Here it has one hidden layer of 512 with dropout 0.5, over
    standardised embeddings, and AdamW trains it for 50 epochs in batches of 64. Its embedding is the hidden layer. As
    nobody knows what a full training of it would be, it counts as under-trained.

    Deviations: the encoder is the embedded one, with all its vectors of three views; name a LAION CLIP for theirs
    (``hf:laion/CLIP-ViT-bigG-14-laion2B-39B-b160k@projected``).

    Parameters
    ----------
    encoder : str
        As ``morelli.encoders.catalogue.load_encoder`` takes it.
    hidden, epochs, batch, seed : int
    cache : str, optional
        Folder where the encoder's vectors are kept, which methods of one encoder share.

    Attributes
    ----------
    network_ : Module
    curve_ : Curve
        Losses over the training.
    """

    joins_references = False

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        hidden: int = 512,
        epochs: int = 50,
        batch: int = 64,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        self.encoder, self.hidden, self.epochs, self.batch, self.seed = encoder, hidden, epochs, batch, seed
        self.cache = cache

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """The encoder's vectors, side by side."""
        return list(encode_pictures(self.encoder, images, self.cache))

    def fit_features(self, features: Sequence[Feature], models: NDArray[np.str_]) -> Self:
        """Train the perceptron."""
        x = stack_features(features)
        self.models_, labels = encode_labels(models, len(x))
        self.standardise_ = Standardiser(x)
        self.network_, self.curve_ = fit_perceptron(
            self.standardise_(x), labels, len(self.models_),
            hidden=self.hidden, epochs=self.epochs, batch=self.batch, seed=self.seed,
        )  # fmt: skip
        self.under_trained = f"{NO_RECIPE}: {self.epochs} epochs in batches of {self.batch}"
        return self

    def scores_features(self, features: Sequence[Feature]) -> Array:
        """Log-probabilities, shape (n, m)."""
        return self._run(features, whole=True).astype(np.float64)

    def embed_features(self, features: Sequence[Feature]) -> NDArray[np.float32]:
        """The hidden layer, shape (n, hidden)."""
        return self._run(features, whole=False)

    def _run(self, features: Sequence[Feature], *, whole: bool) -> NDArray[np.float32]:
        import torch

        require_fitted(self, "network_")
        x = torch.from_numpy(self.standardise_(stack_features(features)).astype(np.float32))
        layers = list(self.network_.children())
        with torch.inference_mode():
            for layer in layers if whole else layers[:2]:
                x = layer(x)
            return (x.log_softmax(1) if whole else x).numpy()
