"""An engine that works here and behaves as if it did not: everything crosses a pickle, and workers can be lost."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable
from typing import Any

from morelli.engine.base import Answer, answer
from morelli.errors import WorkerLostError


class PickledEngine:
    """Items and answers cross a pickle, as between processes. ``loses`` says which items no worker survives.

    Answers come in order; ``batches`` keeps what was asked for.
    """

    name = "pickled"
    remote = True

    def __init__(self, loses: Callable[[Any], bool] = lambda item: False) -> None:
        self.loses = loses
        self.items: list[Any] = []
        self.closed = 0

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], *, shared: Any, ordered: bool = True
    ) -> Generator[Answer[Any], None, None]:
        try:
            for index, item in enumerate(items):
                self.items.append(item)
                sent = pickle.loads(pickle.dumps(item))  # noqa: S301 - our own
                if self.loses(item):
                    yield Answer(index, error=WorkerLostError("the process was gone."))
                else:
                    found = answer(function, shared, index, sent)
                    yield pickle.loads(pickle.dumps(found))  # noqa: S301
        finally:
            self.closed += 1

    def close(self) -> None:
        """Nothing."""
