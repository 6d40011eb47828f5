"""Work over processes of this machine, each on a pipe of its own.

An executor of the standard library lets its processes write into one pipe, and a thread reads it: a process that is
ended amid an answer leaves that thread, and with it the program's end, waiting for the rest for ever. Here a process
that is gone is the end of its own pipe, and there is no thread.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from morelli.engine.base import HELD_BACK, Answer, answer, failed, held_back, in_order
from morelli.engine.orphans import end_with_parent
from morelli.errors import EngineError, InputError, WorkerLostError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class ProcessEngine:
    """Works in processes that each call of `map` begins and ends.

    Interrupts (SIGINT) are for the process that began them: when its loop over the answers ends, however it ends, they
    are killed, and what they were at is not waited for.

    Parameters
    ----------
    workers : int
        Processes that work at once.
    begin : callable, optional
        Called first in each of them; picklable.

    Raises
    ------
    InputError
        No process.
    """

    name = "processes"
    remote = True

    def __init__(self, workers: int, begin: Callable[[], object] | None = None) -> None:
        if workers < 1:
            raise InputError(f"must be 1 or more; got {workers}.", argument="workers")
        self.workers, self.begin = workers, begin

    def map(
        self,
        function: Callable[[S, T], R],
        items: Iterable[T],
        *,
        shared: S,
        ordered: bool = True,
    ) -> Generator[Answer[R], None, None]:
        """As `morelli.engine.base.Engine.map`. An item whose process dies is not tried again; another goes on."""
        work = _packed((self.begin, function, shared), "the work")
        answers = self._answers(work, items, HELD_BACK if ordered else None)
        try:
            yield from in_order(answers) if ordered else answers
        finally:
            answers.close()

    def _answers(self, work: bytes, items: Iterable[Any], most: int | None) -> Generator[Answer[Any], None, None]:
        """Answers as they are ready."""
        source, more = iter(enumerate(items)), True
        busy: dict[Any, tuple[_Worker, int]] = {}
        idle: list[_Worker] = []
        try:
            while more or busy:
                while more and len(busy) < self.workers:
                    if held_back((index for _, index in busy.values()), most, self.workers):
                        break
                    index, item = next(source, (-1, None))
                    if index < 0:
                        more = False
                        break
                    sent = _packed(item, "an item")
                    worker = _living(idle) or _Worker(work)
                    busy[worker.connection] = worker, index
                    worker.give(sent)
                for connection in wait(list(busy)) if busy else ():
                    worker, index = busy.pop(connection)
                    found = worker.take(index)
                    if worker.alive:
                        idle.append(worker)
                    yield found
        finally:
            for worker in (*(worker for worker, _ in busy.values()), *idle):
                worker.kill()

    def close(self) -> None:
        """Nothing stays between two calls of `map`."""


class _Worker:
    """One process that waits for items; given its work at once."""

    def __init__(self, work: bytes) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        # As a daemon it ends with a program that was left without `kill` as well.
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _interrupts_held():
            self._process.start()
        theirs.close()
        self.alive = True
        self.give(work)

    def give(self, data: bytes) -> None:
        """Send it something; that it is gone shows in `take`."""
        try:
            self.connection.send_bytes(data)
        except OSError:
            self.alive = False

    def take(self, index: int) -> Answer[Any]:
        """Its answer for an item, which is waited for; where it is gone, that."""
        try:
            value, error = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - from our own process
        except (EOFError, OSError):
            self.kill()
            ended = self._process.exitcode
            how = f"ended with {ended}" if ended is None or ended >= 0 else f"was ended by signal {-ended}"
            lost = WorkerLostError(
                f"the process that worked on an item was gone: it {how}.",
                fix="Give it more memory, or begin fewer processes.",
            )
            return Answer(index, error=lost)
        return Answer(index, value, error)

    def running(self) -> bool:
        """Whether it can be given an item."""
        return self.alive and self._process.is_alive()

    def kill(self) -> None:
        """End it, whatever it is at."""
        self.alive = False
        self._process.kill()
        self._process.join()
        self.connection.close()


def _living(idle: list[_Worker]) -> _Worker | None:
    """One that waits for an item, taken from the list; those that died meanwhile are let go of."""
    while idle:
        worker = idle.pop()
        if worker.running():
            return worker
        worker.kill()
    return None


def _serve(connection: Connection) -> None:
    """What the process does: its work first, then one answer for each item, until nobody gives it any more."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ready = _ready(connection.recv_bytes())
        while True:
            data = connection.recv_bytes()
            connection.send_bytes(_told(ready, data))
    except (EOFError, OSError):
        return


def _ready(work: bytes) -> Callable[[bytes], Answer[Any]]:
    """A function from an item as it was sent to its answer; what cannot be begun fails for each of them."""
    try:
        begin, function, shared = pickle.loads(work)  # noqa: S301 - from our own process
        if begin is not None:
            begin()
    except Exception as error:  # noqa: BLE001 - told with every item
        told = failed(error)
        return lambda data: Answer(0, error=told)
    return lambda data: answer(lambda _, sent: function(shared, pickle.loads(sent)), None, 0, data)  # noqa: S301


def _told(ready: Callable[[bytes], Answer[Any]], data: bytes) -> bytes:
    """Value and error of one item, packed; an answer that cannot be sent is an item that failed."""
    found = ready(data)
    try:
        return pickle.dumps((found.value, found.error), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - told by name in the answer
        return pickle.dumps((None, failed(error)))


def _packed(what: object, name: str) -> bytes:
    # Not as `Connection.send` does it: torch would send each tensor as an open file.
    try:
        return pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise EngineError(
            f"{name} cannot be sent to another process: {text[:500] or type(error).__name__}",
            argument="engine",
            fix="Work in one process.",
        ) from error


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process that begins in the block never sees an interrupt; one for this process is heeded after the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it unblocks interrupts where it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
