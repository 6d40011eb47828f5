"""The natural prompt: somebody knows what the image was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from morelli.generators.prompts import clean
from morelli.inversion.base import Inverted, Steps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GivenInverter:
    """Answers with the prompt that it was given, whatever the image.

    Parameters
    ----------
    prompt : str

    Raises
    ------
    InputError
        It is empty, or holds control characters.
    """

    id = "given"
    revision = ""

    def __init__(self, prompt: str) -> None:
        self.prompt = clean(prompt)

    def invert(self, pixels: NDArray[np.uint8], *, progress: Steps | None = None) -> Inverted:
        """The given prompt."""
        return Inverted(self.prompt, "given")
