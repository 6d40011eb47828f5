"""Work over processes of this machine, each on a pipe of its own.

An executor of the standard library lets its processes write into one pipe, and a thread reads it: a process that is
ended amid an answer leaves that thread, and with it the program's end, waiting for the rest for ever. Here a process
that is gone is the end of its own pipe, and there is no thread.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from morelli.engine.base import HELD_BACK, Answer, answer, failed, held_back, in_order
from morelli.engine.orphans import end_with_parent
from morelli.errors import EngineError, InputError, WorkerLostError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

#: Processes that may end one after the other before they have begun, until nothing more is expected of them.
STARTS = 3


class ProcessEngine:
    """Works in processes that each call of `map` begins and ends.

    Interrupts (SIGINT) are for the process that began them: when its loop over the answers ends, however it ends, they
    are killed, and what they were at is not waited for. They are daemons: the work may begin no process by
    `multiprocessing` itself. A program's own script must guard its work by ``if __name__ == "__main__":``.

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
        """As `morelli.engine.base.Engine.map`. An item whose process dies is not tried again; another goes on.

        Raises
        ------
        EngineError
            Also where no process can be begun.
        """
        work = _packed((self.begin, function, shared), "the work")
        answers = self._answers(work, items, HELD_BACK if ordered else None)
        try:
            yield from in_order(answers) if ordered else answers
        finally:
            answers.close()

    def _answers(self, work: bytes, items: Iterable[Any], most: int | None) -> Generator[Answer[Any], None, None]:
        """Answers as they are ready."""
        team = _Team(work)
        source, more = iter(enumerate(items)), True
        found: list[Answer[Any]] = []
        try:
            while True:
                while more and len(team.busy) < self.workers and not held_back(team.places(), most, self.workers):
                    index, item = next(source, (-1, None))
                    if index < 0:
                        more = False
                    else:
                        team.give(index, _packed(item, "an item"))
                yield from found  # now, so that nobody's next item waits for who reads them
                if not team.busy:
                    return
                found = team.answers()
        finally:
            team.end()

    def close(self) -> None:
        """Nothing stays between two calls of `map`."""


class _Team:
    """Processes, and what each is at.

    Attributes
    ----------
    busy : dict
        Worker → the place of its item, and the item as it is sent.
    """

    def __init__(self, work: bytes) -> None:
        self.busy: dict[_Worker, tuple[int, bytes]] = {}
        self._work = work
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._stillborn = 0

    def places(self) -> list[int]:
        """Of the items under way."""
        return [index for index, _ in self.busy.values()]

    def give(self, index: int, item: bytes) -> None:
        """An item for one that waits, or for a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.running():
                break
            self._drop(worker)
        else:
            worker = _Worker(self._all)
        self.busy[worker] = index, item
        if worker.ready:
            worker.send(item)

    def answers(self) -> list[Answer[Any]]:
        """Wait for some process, and what it says; nothing where one only said that it has begun."""
        found: list[Answer[Any]] = []
        at: dict[Any, _Worker] = {}
        for worker in self.busy:
            at[worker.connection] = at[worker.sentinel] = worker
        for worker in dict.fromkeys(at[handle] for handle in wait(list(at))):
            index, item = self.busy[worker]
            data = worker.receive()
            if data is not None and not worker.ready:
                worker.ready, self._stillborn = True, 0
                worker.send(self._work)
                worker.send(item)
                continue
            del self.busy[worker]
            if data is not None:
                self._idle.append(worker)
                found.append(_opened(index, data))
                continue
            how = worker.ended()
            self._drop(worker)
            if worker.ready:
                error = WorkerLostError(
                    f"the process that worked on an item was gone: it {how}.",
                    fix="Give it more memory, or begin fewer processes.",
                )
                found.append(Answer(index, error=error))
            else:
                self._again(index, item, how)
        return found

    def _again(self, index: int, item: bytes, how: str) -> None:
        """An item whose process never began is another's."""
        self._stillborn += 1
        if self._stillborn == STARTS:
            raise EngineError(
                f"no process could be begun: the last of {STARTS} {how}.",
                argument="engine",
                fix='What it printed says why. A script must guard its work by if __name__ == "__main__":',
            )
        self.give(index, item)

    def _drop(self, worker: _Worker) -> None:
        worker.kill()
        worker.join()
        self._all.remove(worker)

    def end(self) -> None:
        """Of all of them; no join comes before the last kill, for it may be interrupted."""
        for worker in self._all:
            worker.kill()
        for worker in self._all:
            worker.join()


class _Worker:
    """One process; ``everyone`` holds it from before it is there.

    Attributes
    ----------
    ready : bool
        Whether it has said that it is there, so that something may be sent: nobody would read it otherwise.
    """

    def __init__(self, everyone: list[_Worker]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        # As a daemon it ends with a program that never closed its loop as well.
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.ready = False
        everyone.append(self)
        with _interrupts_held():
            self._process.start()
        theirs.close()
        self.sentinel = self._process.sentinel

    def send(self, data: bytes) -> None:
        """Something to read; that it is gone shows in `receive`."""
        with suppress(OSError):
            self.connection.send_bytes(data)

    def receive(self) -> bytes | None:
        """What it says, which is waited for; None where it is gone."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            return None

    def running(self) -> bool:
        """Whether it can be given an item."""
        return self._process.is_alive()

    def ended(self) -> str:
        """How it ended, in words; it has closed its pipe, and has little left to do."""
        self._process.join(5)
        code = self._process.exitcode
        if code is None:
            return "closed its pipe"
        return f"ended with {code}" if code >= 0 else f"was ended by signal {-code}"

    def kill(self) -> None:
        """End it, whatever it is at."""
        if self._process.pid is not None:
            self._process.kill()

    def join(self) -> None:
        """Wait for a process that was killed."""
        if self._process.pid is not None:
            self._process.join()
        self.connection.close()


def _serve(connection: Connection) -> None:
    """What the process does: its work first, then one answer for each item, until nobody gives it any more."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):  # nobody listens any more
        connection.send_bytes(b"here")
        ready = _ready(connection.recv_bytes())
        while True:
            connection.send_bytes(_told(ready, connection.recv_bytes()))


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


def _opened(index: int, data: bytes) -> Answer[Any]:
    """An answer as it came; one that cannot be read is an item that failed."""
    try:
        value, error = pickle.loads(data)  # noqa: S301 - from our own process
    except Exception as error:  # noqa: BLE001 - told by name in the answer
        return Answer(index, error=failed(error))
    return Answer(index, value, error)


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
    """A process that begins in the block never sees an interrupt; this thread heeds one after the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it unblocks interrupts where it begins
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
