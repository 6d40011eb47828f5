"""The contract that every engine keeps: a function and items in, one answer an item out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from morelli.errors import MorelliError, WorkFailedError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

#: Characters of a foreign error's text that are quoted.
QUOTED = 500
#: In order, answers may wait for one that is late; so many for each worker, and no new item is begun.
HELD_BACK = 8


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """What became of one item.

    Attributes
    ----------
    index : int
        Place of the item among those given, from 0.
    value : R or None
        What the function returned; None where it failed.
    error : MorelliError or None
        What the function raised: a `MorelliError` as it was, any other error as `WorkFailedError`; or
        `WorkerLostError` where the process that worked on it died as often as it was tried.
    """

    index: int
    value: R | None = None
    error: MorelliError | None = None

    def get(self) -> R:
        """The value.

        Raises
        ------
        MorelliError
            The item's error, where it has one.
        """
        if self.error is not None:
            raise self.error
        return self.value  # pyright: ignore[reportReturnType] - None only where the function returned it


@runtime_checkable
class Engine(Protocol):
    """Applies a function to items, here or elsewhere.

    A function's answer may depend on the shared object and the item alone, so that every engine gives the same.
    """

    @property
    def name(self) -> str:
        """What `morelli.engine.catalogue.open_engine` takes, of an engine that it makes."""
        ...

    @property
    def remote(self) -> bool:
        """Whether the function runs in other processes: it, the items and the answers must then be picklable."""
        ...

    def map(
        self,
        function: Callable[[S, T], R],
        items: Iterable[T],
        *,
        shared: S,
        ordered: bool = True,
    ) -> Generator[Answer[R], None, None]:
        """``function(shared, item)`` for each item, as the answers come.

        Parameters
        ----------
        function : callable
        items : iterable
            Read as the work goes on: no more of them are under way than the workers can soon begin.
        shared : object
            What all calls have in common, such as a network; sent to each worker once and not with every item.
        ordered : bool
            Answers in the order of the items. Otherwise as they are ready; their ``index`` tells which they are.

        Yields
        ------
        Answer
            One an item. An item that fails stops no other.

        Raises
        ------
        EngineError
            Nothing can be done at all: no cluster, a cluster without Morelli or with another version of it, work that
            cannot be sent.

        Closing the generator drops what is not done yet.
        """
        ...

    def close(self) -> None:
        """Let go of the workers that this engine started. It may not be used afterwards."""
        ...


def answer(function: Callable[[S, T], R], shared: S, index: int, item: T) -> Answer[R]:
    """Do one item's work; whatever it raises becomes the item's error, and only an interrupt passes."""
    try:
        return Answer(index, function(shared, item))
    except MorelliError as error:
        return Answer(index, error=error)
    except Exception as error:  # noqa: BLE001 - told by name in the answer: one bad item must not stop the others
        return Answer(index, error=failed(error))


def failed(error: BaseException) -> WorkFailedError:
    """A foreign error as one of Morelli's that crosses processes; the first is kept as its cause."""
    text: Any = " ".join(str(error).split())
    told = WorkFailedError(
        f"the work on one item failed: {type(error).__name__}: {text[:QUOTED] or 'no message'}",
        fix="If it is not the item, please report it.",
    )
    told.__cause__ = error
    return told


def in_order(answers: Iterator[Answer[R]]) -> Iterator[Answer[R]]:
    """Answers in the order of their items."""
    early: dict[int, Answer[R]] = {}
    due = 0
    for each in answers:
        early[each.index] = each
        while due in early:
            yield early.pop(due)
            due += 1


def held_back(under_way: Iterable[int], most: int | None, workers: int) -> bool:
    """Whether the oldest item under way keeps too many answers from being told: those between it and the newest.

    Parameters
    ----------
    under_way : iterable of int
        Places of the items.
    most : int or None
        Answers that may wait, for each worker; None where they need not wait for one another.
    workers : int
    """
    places = list(under_way)
    return most is not None and bool(places) and max(places) - min(places) >= most * workers
