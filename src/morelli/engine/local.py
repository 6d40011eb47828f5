"""The engine that is always there: this process, one item after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from morelli.engine.base import Answer, answer

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class LocalEngine:
    """Works in this process.

    >>> engine = LocalEngine()
    >>> [each.value for each in engine.map(lambda shared, item: shared + item, [1, 2], shared=10)]
    [11, 12]
    """

    name = "local"
    remote = False

    def map(
        self,
        function: Callable[[S, T], R],
        items: Iterable[T],
        *,
        shared: S,
        ordered: bool = True,
    ) -> Generator[Answer[R], None, None]:
        """As `morelli.engine.base.Engine.map`; answers are always in order."""
        for index, item in enumerate(items):
            yield answer(function, shared, index, item)

    def close(self) -> None:
        """There is nothing to let go of."""
