"""Work over the processes of a Ray cluster: one that runs already, or one started here for the occasion."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from morelli._version import __version__
from morelli.engine import worker
from morelli.engine.base import HELD_BACK, Answer, failed, held_back, in_order
from morelli.errors import EngineError, InputError, MissingExtraError, WorkerLostError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

#: Items under way for each that can be worked on at once: the next one waits at the worker already.
AHEAD = 2
#: Seconds between two looks at how large the cluster is: it may grow while it works.
LOOK = 5.0
#: Times that a Ray is started here before it is given up.
STARTS = 3
#: Seconds in which the cluster must have begun a process; it may have to start a machine for it.
FIRST = 600.0
#: Seconds in which a cluster's address must answer.
KNOCK = 10.0


class RayEngine:
    """Works in the processes of a Ray cluster.

    An item whose process dies (killed, out of memory, its machine gone) is given to another one, ``retries`` times.
    A worker needs the same version of Morelli, and whatever files the items name under the same paths.

    Parameters
    ----------
    address : str, optional
        Of a running cluster: "auto" (this machine's), "host:6379" or "ray://host:10001". None: Ray is started on this
        machine, and stopped by `close`. Where this process is connected already, that connection is used and kept.
    workers : int, optional
        Processes that work at once; of a cluster's, all that fit. By default one a core.
    cpus, gpus : float
        What one item takes of a machine.
    retries : int
        How often an item is given to another process after one died with it.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    InputError
        A number that cannot be.
    EngineError
        No cluster at that address, or one whose processes cannot import Morelli.
    """

    name = "ray"
    remote = True

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        retries: int = 3,
    ) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"must be 1 or more; got {workers}.", argument="workers")
        if min(cpus, gpus, retries) < 0 or cpus + gpus <= 0:
            raise InputError(
                "must not be negative, and an item takes some of a machine.", argument="cpus, gpus, retries"
            )
        self.workers, self.cpus, self.gpus, self.retries = workers, cpus, gpus, retries
        self._ray = _import_ray(retries)
        self._owned = _connect(self._ray, address, workers)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop Ray, if this engine started it, or leave the cluster that it joined."""
        if self._owned:
            self._owned = False
            self._ray.shutdown()

    def map(
        self,
        function: Callable[[S, T], R],
        items: Iterable[T],
        *,
        shared: S,
        ordered: bool = True,
    ) -> Generator[Answer[R], None, None]:
        """As `morelli.engine.base.Engine.map`."""
        answers = self._answers(function, items, shared, HELD_BACK if ordered else None)
        try:
            yield from in_order(answers) if ordered else answers
        finally:
            answers.close()

    def _answers(
        self, function: Callable[[S, T], R], items: Iterable[T], shared: S, most: int | None
    ) -> Generator[Answer[R], None, None]:
        """Answers as they are ready."""
        box, key, task = [self._send((function, shared))], uuid.uuid4().hex, self._task(worker.work)
        waiting: dict[Any, int] = {}
        source, more, looked, slots = iter(enumerate(items)), True, -LOOK, 1
        try:
            while more or waiting:
                if time.monotonic() - looked > LOOK:
                    slots, looked = self._slots(), time.monotonic()
                while more and len(waiting) < AHEAD * slots and not held_back(waiting.values(), most, slots):
                    index, item = next(source, (-1, None))
                    if index < 0:
                        more = False
                    else:
                        waiting[self._start(task, key, box, index, item)] = index
                for reference in self._ray.wait(list(waiting), timeout=LOOK)[0] if waiting else ():
                    yield self._answer(reference, waiting.pop(reference))
        finally:
            for reference in waiting:
                # By force: an item may take minutes, and nobody waits for its answer any more.
                self._ray.cancel(reference, force=True)

    def _answer(self, reference: Any, index: int) -> Answer[Any]:
        errors = self._ray.exceptions
        try:
            found = self._ray.get(reference)
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.LocalRayletDiedError,
        ) as error:
            lost = WorkerLostError(
                f"the process that worked on an item was gone, {self.retries + 1} times ({type(error).__name__}).",
                fix="Give each item more memory, or look into the cluster's logs.",
            )
            lost.__cause__ = error
            return Answer(index, error=lost)
        except errors.RayTaskError as error:  # outside the function: its arguments or its answer could not be read
            return Answer(index, error=failed(error.cause if error.cause is not None else error))
        except errors.RayError as error:
            raise _trouble("Ray gave up on the work", error) from error
        if isinstance(found, str):
            raise _other_version(found)
        return found

    def _task(self, function: Callable[..., Any]) -> Any:
        remote = self._ray.remote(function)
        return remote.options(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=self.retries, retry_exceptions=False)

    def _send(self, what: object) -> Any:
        try:
            return self._ray.put(what)
        except (TypeError, AttributeError, ValueError, RuntimeError) as error:
            raise _trouble("the work cannot be sent to another process", error, "Say --engine local.") from error

    def _start(self, task: Any, key: str, box: list[Any], index: int, item: object) -> Any:
        try:
            return task.remote(__version__, key, box, index, item)
        except (TypeError, AttributeError, ValueError) as error:
            raise _trouble("an item cannot be sent to another process", error, "Say --engine local.") from error

    def _slots(self) -> int:
        """Items that the cluster can work on at once."""
        there = self._ray.cluster_resources()
        needs = (("CPU", self.cpus), ("GPU", self.gpus))
        slots = min(int(there.get(name, 0.0) / each) for name, each in needs if each > 0)
        return max(1, slots if self.workers is None else min(slots, self.workers))

    def _check(self) -> None:
        """One process of the cluster is asked for its version before anything is sent."""
        there = self._ray.cluster_resources()
        if there.get("CPU", 0.0) < self.cpus or there.get("GPU", 0.0) < self.gpus:
            raise EngineError(
                f"an item takes {self.cpus:g} CPUs and {self.gpus:g} GPUs, and the cluster has "
                f"{there.get('CPU', 0.0):g} and {there.get('GPU', 0.0):g} in all.",
                argument="engine",
            )
        try:
            found = self._ray.get(self._task(worker.version).remote(), timeout=FIRST)
        except self._ray.exceptions.OutOfMemoryError as error:
            fix = "Free some of the machine's memory, or take a larger one."
            raise _trouble("the cluster has no memory left to begin with", error, fix) from error
        except self._ray.exceptions.GetTimeoutError as error:
            fix = "Look at what else the cluster does (ray status), and into its logs."
            raise _trouble(f"no process of the cluster began within {FIRST:g} s", error, fix) from error
        except self._ray.exceptions.RayError as error:
            fix = f"Install morelli {__version__} with the same extras on every machine of the cluster."
            raise _trouble("the cluster's processes cannot run Morelli", error, fix) from error
        if found != __version__:
            raise _other_version(found)


def _import_ray(retries: int) -> Any:
    # Ray reports how it is used to its makers unless it is told not to; a user may still say otherwise.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What ran out of memory it would give to another process for ever, with nobody told.
    os.environ.setdefault("RAY_task_oom_retries", str(retries))
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MissingExtraError("ray", "The engine ray") from error
    return ray


def _connect(ray: Any, address: str | None, workers: int | None) -> bool:
    """Connect to a cluster; whether the connection is this engine's to close."""
    if ray.is_initialized():
        return False
    if address is None:
        _start_here(ray, workers)
        return True
    _knock(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error
    return True


def _start_here(ray: Any, workers: int | None) -> None:
    """Start Ray on this machine; on one so busy that Ray's own processes come too late, again."""
    for attempt in range(STARTS):
        try:
            # "local" and not None, which would look for a cluster in the environment.
            ray.init("local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="warning")
        except Exception as error:  # Ray raises this very class
            ray.shutdown()
            if attempt + 1 == STARTS or "timed out during startup" not in str(error):
                raise _trouble("Ray could not be started", error) from error
        else:
            return


def _knock(address: str) -> None:
    """Refuse an address where nothing listens: Ray would try it for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto", or a name that Ray resolves itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: BaseException) -> EngineError:
    fix = "Start one: ray start --head. One that asks for a token needs RAY_AUTH_MODE=token in the environment."
    return _trouble(f"Ray could not be reached at {address}", error, fix)


def _trouble(what: str, error: BaseException, fix: str | None = None) -> EngineError:
    text = " ".join(str(error).split())
    return EngineError(f"{what}: {text[:500] or type(error).__name__}", argument="engine", fix=fix)


def _other_version(found: str) -> EngineError:
    return EngineError(
        f"the cluster has morelli {found}, and this is {__version__}.",
        argument="engine",
        fix=f"Install morelli {__version__} on every machine of the cluster.",
    )
