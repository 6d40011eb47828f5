"""Which row the others are compared with, pair by pair: the reference of ``lift``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from morelli.attribution.catalogue import attributor_names
from morelli.attribution.image import IMAGE_REGISTRY, is_image_attributor
from morelli.errors import UnknownNameError

if TYPE_CHECKING:
    from morelli.evaluation.rows import RowMaker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Against:
    """A reference row, by its encoder and its method.

    Attributes
    ----------
    encoder : str or None
        Id of an encoder of the evaluation; None: that of the row that is compared.
    method : str or None
        None: that of the row that is compared.
    """

    encoder: str | None = None
    method: str | None = None

    def of(self, encoder: str, method: str) -> tuple[str, str]:
        """Encoder and method of the row that a row is compared with."""
        return self.encoder or encoder, self.method or method

    def to_json(self) -> dict[str, Any]:
        """The object ``against`` of a result."""
        return {"encoder": self.encoder, "method": self.method}

    def require(self, encoders: Sequence[str]) -> None:
        """Refuse an encoder that is not evaluated, and a method that there is not.

        Raises
        ------
        UnknownNameError
        """
        if self.encoder is not None and self.encoder not in encoders:
            raise UnknownNameError("encoder of this evaluation", self.encoder, encoders)
        if self.method is not None and not _is_method(self.method):
            raise UnknownNameError("attributor", self.method, [*attributor_names(), *IMAGE_REGISTRY])


def _is_method(name: str) -> bool:
    return is_image_attributor(name) or name in attributor_names()


def parse_against(text: str, encoders: Mapping[str, str]) -> Against:
    """``ENCODER``, ``ENCODER:METHOD`` or ``METHOD`` as a reference.

    Parameters
    ----------
    text : str
    encoders : mapping of str to str
        What each encoder of the evaluation may be called → its id.

    Raises
    ------
    UnknownNameError
        It names none of them, or no method.

    Examples
    --------
    >>> parse_against("hf:a/b:lda", {"hf:a/b": "hf:a/b"})
    Against(encoder='hf:a/b', method='lda')
    """
    text = text.strip()
    for name in sorted(encoders, key=len, reverse=True):  # names may hold colons, and one may begin another
        if text == name:
            return Against(encoders[name])
        if text.startswith(f"{name}:"):
            found = Against(encoders[name], text.removeprefix(f"{name}:").strip())
            found.require([encoders[name]])
            return found
    if not _is_method(text):
        raise UnknownNameError("encoder or method of this evaluation", text, [*encoders, *attributor_names()])
    return Against(method=text)


class Scores(Generic[T]):
    """What each method scored under each encoder on the same tasks, computed when first asked for, and kept.

    Parameters
    ----------
    makers : sequence of RowMaker
        One an encoder.
    against : Against
    score : callable
        ``score(make, method)``.
    """

    def __init__(self, makers: Sequence[RowMaker], against: Against, score: Callable[[RowMaker, str], T]) -> None:
        self._makers = {make.encoder: make for make in makers}
        self._first = makers[0].encoder
        self._against, self._score = against, score
        self._known: dict[tuple[str, str], T] = {}

    def get(self, encoder: str, method: str) -> T:
        """By one method under one encoder."""
        key = self._key(encoder, method)
        if key not in self._known:
            self._known[key] = self._score(self._makers[key[0]], method)
        return self._known[key]

    def pair(self, encoder: str, method: str) -> tuple[T, T]:
        """By a row's method under its encoder, and by those of its reference; one object twice for the reference."""
        return self.get(encoder, method), self.get(*self._against.of(encoder, method))

    def _key(self, encoder: str, method: str) -> tuple[str, str]:
        # What sees pictures scores the same whatever the encoder.
        return (self._first if is_image_attributor(method) else encoder), method
