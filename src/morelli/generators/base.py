"""The contract that every generator keeps: prompt in, images out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from morelli.errors import BadGenerationError
from morelli.images.pixels import check_pixels, is_blank

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Setting = str | int | float

#: Seeds of local models are below it: PyTorch's CPU generator reads no more than 32 bits.
SEEDS = 2**32


@dataclass(frozen=True, eq=False)
class Generated:
    """One image that a generator made, and how.

    Attributes
    ----------
    pixels : ndarray, shape (height, width, 3), uint8
        sRGB.
    model : str
        The model's name, as datasets write it.
    family : str
        Models that share weights or lineage; "" where not known.
    revision : str
        Of the weights; "" where the host does not tell.
    prompt : str
    seed : int
    settings : mapping of str to str, int or float
        Whatever else shapes the image: steps, guidance, scheduler, size.
    cost : float
        Currency units that this image was priced at; 0 for a local model.
    """

    pixels: NDArray[np.uint8]
    model: str
    family: str
    revision: str
    prompt: str
    seed: int
    settings: Mapping[str, Setting] = field(default_factory=dict)
    cost: float = 0.0


@runtime_checkable
class Generator(Protocol):
    """Asks one model for images.

    A generator that makes several images at once faster than one by one may also have an attribute ``batch`` (int):
    how many to ask it for in one call. Callers that keep images as they come ask for one at a time otherwise. One that
    knows which model its own was derived from may have an attribute ``base`` (str), which datasets then tell.
    """

    @property
    def id(self) -> str:
        """What `morelli.generators.catalogue.load_generators` takes; messages name it."""
        ...

    @property
    def model(self) -> str:
        """Name of the model, as datasets write it."""
        ...

    @property
    def family(self) -> str:
        """Models that share weights or lineage; "" where not known."""
        ...

    @property
    def revision(self) -> str:
        """Of the weights; "" where the host does not tell."""
        ...

    @property
    def hosted(self) -> bool:
        """Whether a prompt leaves this machine."""
        ...

    @property
    def host(self) -> str | None:
        """Where the prompt goes, for the user to read; None where it stays."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What was asked of the model beside the prompt and the seed."""
        ...

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        """Images of a prompt.

        Parameters
        ----------
        prompt : str
        count : int
            How many, at least 1.
        seed : int
            Image ``i`` has the seed ``seed + i``. A local generator makes the same image for the same prompt and
            seed, whatever the count and whatever else is in the batch.

        Raises
        ------
        GeneratorError
            The subclass says what went wrong; its ``argument`` is the generator's id.
        PromptError
            The model cannot use this prompt; it is asked for others still.
        """
        ...


def check_generated(made: Generated, generator: Generator) -> Generated:
    """The image itself, if it can be one.

    Parameters
    ----------
    made : Generated
    generator : Generator
        Its ``settings`` may hold "width" and "height", pixels; the image must then have that size.

    Raises
    ------
    ArrayError
        The pixels are no array of pixels.
    BadGenerationError
        The image is blank or of the wrong size.
    """
    pixels = check_pixels(made.pixels, generator.id)
    where = f"for seed {made.seed}"
    height, width, _ = pixels.shape
    wanted = [generator.settings.get(side, found) for side, found in (("width", width), ("height", height))]
    if wanted != [width, height]:
        raise BadGenerationError(
            f"gave an image of {width}×{height} pixels {where}; {wanted[0]}×{wanted[1]} were asked for.",
            argument=generator.id,
            fix="Ask for a size that the model can make, or leave the size out.",
        )
    if is_blank(pixels):
        fix = (
            "The host may blank what its filter refuses: change the prompt or the seed."
            if generator.hosted
            else "Take another seed; for a diffusers pipeline in half precision try dtype = float32."
        )
        raise BadGenerationError(f"gave a blank image {where}.", argument=generator.id, fix=fix)
    return made
