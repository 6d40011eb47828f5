"""``pez:SOURCE``: a prompt whose hard tokens a CLIP finds as near to the image as the search gets them."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from morelli.devices import choose_device
from morelli.errors import InputError, WeightsError
from morelli.generators.prompts import clean
from morelli.images.pixels import check_pixels
from morelli.inversion.base import Inverted, Steps
from morelli.inversion.checkpoint import find_text_checkpoint, load_network, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class PezOptions:
    """Options of ``pez``; the defaults are the authors', see `morelli.inversion.hard_prompt.SearchSettings`.

    Attributes
    ----------
    length, iterations, seed : int
    learning_rate, weight_decay : float
    device : str
        "auto" takes CUDA where torch has it.
    """

    length: int = 16
    iterations: int = 3000
    learning_rate: float = 0.1
    weight_decay: float = 0.1
    seed: int = 0
    device: str = "auto"


class PezInverter:
    """Searches for a hard prompt with a `CLIPModel`.

    The text tower sees the start token, the prompt's slots and the end token. Padding behind the end, which the
    authors add, cannot be seen from the end in a causal tower, so it is left out. Special tokens take no part in the
    search: inside a prompt they would end it.

    Parameters
    ----------
    source : str
        A folder in the transformers layout, a hub id, or "zoo", the mini-CLIP of the built-in models.
    options : PezOptions

    Raises
    ------
    InputError
        An option is out of range; the prompt would be longer than the text tower reads.
    WeightsError
        The checkpoint is absent, damaged, or no CLIP.
    MissingExtraError
        transformers is not installed.
    """

    Options = PezOptions

    def __init__(self, source: str, options: PezOptions = PezOptions()) -> None:
        self.id = f"pez:{source}"
        _check(options, self.id)
        checkpoint = find_text_checkpoint(source, "clip", "clip")
        self.revision = checkpoint.revision
        self.options = options
        self._model = load_network("CLIPModel", checkpoint.folder)
        self._tokenizer = load_tokenizer(checkpoint.folder)
        from morelli.encoders.vision_tower import load_preprocess

        self._preprocess, _ = load_preprocess(checkpoint.folder)
        self._device = choose_device(options.device)
        self._model.to(self._device)
        self._start, self._end = self._tokenizer.bos_token_id, self._tokenizer.eos_token_id
        if self._start is None or self._end is None:
            raise WeightsError("its tokenizer has no start or no end token.", argument=source)
        longest = self._model.config.text_config.max_position_embeddings - 2
        if options.length > longest:
            raise InputError(
                f"reads prompts of at most {longest} tokens; length is {options.length}.", argument=self.id
            )
        rows = min(len(self._embedding.weight), len(self._tokenizer))
        special = set(self._tokenizer.all_special_ids)
        self._allowed = [token for token in range(rows) if token not in special]

    @property
    def _embedding(self) -> Any:
        return self._model.text_model.embeddings.token_embedding

    def invert(self, pixels: NDArray[np.uint8], *, progress: Steps | None = None) -> Inverted:
        """The best hard prompt, as text.

        ``details`` has "similarity", the cosine that the tokens reach, and "similarity_as_text", that of the prompt
        once it is text and read by the tokenizer anew, which may cut it into other tokens.

        Raises
        ------
        InputError
            The tokens make no text.
        """
        import torch

        from morelli.inversion.hard_prompt import SearchSettings, search

        image = self._image(pixels)
        vocabulary = self._embedding.weight[torch.tensor(self._allowed, device=self._device)].detach()
        wanted = {name: value for name, value in asdict(self.options).items() if name != "device"}
        found = search(lambda hard: self._text(hard) @ image, vocabulary, SearchSettings(**wanted), progress)
        tokens = [self._allowed[row] for row in found.tokens]
        text = _plain(self._tokenizer.decode(tokens, skip_special_tokens=True))
        if not text.strip():
            raise InputError("found no words for this picture.", argument=self.id, fix="Take another seed.")
        prompt = clean(text, self.id)
        again = self._embedding.weight[torch.tensor(self._read(prompt), device=self._device)]
        with torch.inference_mode():
            as_text = float(self._text(again) @ image)
        details = {"similarity": found.similarity, "similarity_as_text": as_text, "step": found.step}
        return Inverted(prompt, "pez", details)

    def _image(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Unit-norm image features, shape (d,)."""
        import torch

        inputs = self._preprocess(Image.fromarray(check_pixels(pixels)))["pixel_values"].to(self._device)
        with torch.no_grad():
            pooled = self._model.vision_model(pixel_values=inputs).pooler_output
            return torch.nn.functional.normalize(self._model.visual_projection(pooled)[0], dim=-1)

    def _text(self, slots: Tensor) -> Tensor:
        """Unit-norm text features of a prompt whose slots have these embeddings, shape (length, d): shape (d,)."""
        import torch

        # The tower wants ids: they say where the end is, and the slots' embeddings are put in place of theirs.
        ids = [self._start, *[self._allowed[0]] * len(slots), self._end]
        handle = self._embedding.register_forward_hook(
            lambda _module, _inputs, rows: torch.cat([rows[:, :1], slots[None], rows[:, -1:]], dim=1)
        )
        try:
            pooled = self._model.text_model(input_ids=torch.tensor([ids], device=self._device)).pooler_output
        finally:
            handle.remove()
        return torch.nn.functional.normalize(self._model.text_projection(pooled)[0], dim=-1)

    def _read(self, prompt: str) -> list[int]:
        longest = self._model.config.text_config.max_position_embeddings - 2
        return self._tokenizer(prompt, add_special_tokens=False)["input_ids"][:longest]


def _check(options: PezOptions, argument: str) -> None:
    if options.length < 1 or options.iterations < 1:
        raise InputError("length and iterations must be at least 1.", argument=argument)
    if not options.learning_rate > 0 or options.weight_decay < 0:
        raise InputError("learning_rate must be above 0 and weight_decay not below.", argument=argument)


def _plain(text: str) -> str:
    """The text without control characters and halves of characters, which tokens of single bytes may make."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text)
