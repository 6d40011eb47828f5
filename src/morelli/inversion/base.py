"""The contract that every inverter keeps: an image in, a prompt out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Called with how many steps are done and how many there are.
Steps = Callable[[int, int], None]


@dataclass(frozen=True)
class Inverted:
    """A prompt for an image.

    Attributes
    ----------
    prompt : str
        One line, not empty.
    kind : str
        How it was found: "given", "blip", "pez", or what an installed package adds.
    details : mapping of str to str, int or float
        What the method says of its result, such as "similarity", the cosine that PEZ reached.
    others : tuple of str
        Further prompts that it may have been, the likelier first; none equals another or the first.
    """

    prompt: str
    kind: str
    details: Mapping[str, str | int | float] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def prompts(self) -> tuple[str, ...]:
        """All of them, the likeliest first."""
        return self.prompt, *self.others


@runtime_checkable
class Inverter(Protocol):
    """Finds a prompt that an image may have been made from."""

    @property
    def id(self) -> str:
        """What `morelli.inversion.catalogue.load_inverter` takes; messages name it."""
        ...

    @property
    def revision(self) -> str:
        """Of the weights; "" where there are none."""
        ...

    def invert(self, pixels: NDArray[np.uint8], *, progress: Steps | None = None) -> Inverted:
        """A prompt for one image; the same image gives the same prompt.

        Parameters
        ----------
        pixels : ndarray, shape (height, width, 3), uint8
            sRGB.
        progress : callable, optional
            ``progress(done, total)``, where inverting takes many steps.

        Raises
        ------
        InputError
            No word was found for this image.
        """
        ...
