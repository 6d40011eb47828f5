"""``blip:SOURCE``: a caption by BLIP, as DE-FAKE and regeneration-based attribution use it.

Source: Li et al., *BLIP* (2022); the decoding settings are those of Sha et al., *DE-FAKE* (2023): beam search with 3
beams, 5 to 60 tokens, no sampling. They take the best caption alone (``captions=1``); the beams hold further ones,
which by default are given too, as one wrong word puts every fresh image as far from the query as the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from morelli.devices import choose_device
from morelli.errors import InputError
from morelli.generators.prompts import clean
from morelli.images.pixels import check_pixels
from morelli.inversion.base import Inverted, Steps
from morelli.inversion.checkpoint import find_text_checkpoint, load_network, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BlipOptions:
    """Options of ``blip``.

    Attributes
    ----------
    beams : int
    min_length, max_length : int
        Tokens of a caption, its start included.
    captions : int
        Different captions at most, of the beams that ended best, so no more than beams; 1 as published.
    device : str
        "auto" takes CUDA where torch has it.
    """

    beams: int = 3
    min_length: int = 5
    max_length: int = 60
    captions: int = 3
    device: str = "auto"


class BlipInverter:
    """Captions an image with a `BlipForConditionalGeneration`.

    Parameters
    ----------
    source : str
        A folder in the transformers layout, a hub id, or "zoo", the mini-captioner of the built-in models.
    options : BlipOptions

    Raises
    ------
    InputError
        An option is out of range.
    WeightsError
        The checkpoint is absent, damaged, or no BLIP captioner.
    MissingExtraError
        transformers is not installed.
    """

    Options = BlipOptions

    def __init__(self, source: str, options: BlipOptions = BlipOptions()) -> None:
        self.id = f"blip:{source}"
        if not (min(options.beams, options.captions) >= 1 and 1 <= options.min_length <= options.max_length):
            raise InputError("needs beams ≥ 1, captions ≥ 1 and 1 ≤ min_length ≤ max_length.", argument=self.id)
        checkpoint = find_text_checkpoint(source, "captioner", "blip")
        self.revision = checkpoint.revision
        self.options = options
        self._model = load_network("BlipForConditionalGeneration", checkpoint.folder)
        self._tokenizer = load_tokenizer(checkpoint.folder)
        # Here and not above: they need torch, which find_text_checkpoint's errors do not.
        from morelli.encoders.vision_tower import load_preprocess

        self._preprocess, _ = load_preprocess(checkpoint.folder)
        self._device = choose_device(options.device)
        self._model.to(self._device)

    def invert(self, pixels: NDArray[np.uint8], *, progress: Steps | None = None) -> Inverted:
        """The caption, and what else the beams held.

        Raises
        ------
        InputError
            The caption is empty.
        """
        import torch

        text = self._model.config.text_config
        inputs = self._preprocess(Image.fromarray(check_pixels(pixels)))["pixel_values"].to(self._device)
        with torch.inference_mode():
            rows = self._model.generate(
                pixel_values=inputs,
                do_sample=False,
                num_beams=self.options.beams,
                num_return_sequences=min(self.options.captions, self.options.beams),
                min_length=self.options.min_length,
                max_length=min(self.options.max_length, text.max_position_embeddings),
            ).tolist()
        captions = {clean(caption, self.id): None for caption in map(self._decode, rows) if caption.strip()}
        if not captions:
            raise InputError("found no words for this picture.", argument=self.id, fix="Give the prompt, if known.")
        first, *others = captions
        return Inverted(first, "blip", {"tokens": len(self._words(rows[0]))}, tuple(others))

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(self._words(ids), skip_special_tokens=True)

    def _words(self, ids: list[int]) -> list[int]:
        """To its end token, without the start token, which need not be one of the tokenizer's special ones."""
        text = self._model.config.text_config
        held = ids[1:] if ids[0] == text.bos_token_id else ids
        return held[: held.index(text.sep_token_id) + 1] if text.sep_token_id in held else held
