"""Cells measured in parallel processes or on an engine, with an estimate of the time left and an end that is kept.

A cell that fails, and a process that dies over one, cost that cell alone.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.papers.results import Results

from morelli.engine.base import Engine
from morelli.engine.orphans import end_with_parent
from morelli.errors import MorelliError

#: What a cell holds where its method could not be run: why. `CRASHED` stands beside it where nobody foresaw that.
FAILED, CRASHED = "failed", "crashed"
LOST = "its process was ended from outside, for want of memory perhaps; run it again with fewer --processes"
Perform = Callable[[Mapping[str, Any], str], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """One cell.

    Attributes
    ----------
    key : str
        ``table/data set/method``, and what else tells cells apart.
    words : mapping
        Everything that decides the cell; what `Perform` is given.
    seconds : float
        Of one processor, estimated.
    """

    key: str
    words: Mapping[str, Any]
    seconds: float


class Clock:
    """The time left, from estimates corrected by how long cells took.

    Parameters
    ----------
    jobs : sequence of Job
    processes : int or None
        How many work at once; None: as many as what was done in the time since shows.
    hours : float or None
        Until the deadline.
    """

    def __init__(self, jobs: Sequence[Job], processes: int | None, hours: float | None) -> None:
        self._left = {job.key: job.seconds for job in jobs}
        self._processes, self._began = processes, time.monotonic()
        self._deadline = None if hours is None else time.monotonic() + 3600 * hours
        self._estimated = self._taken = 0.0

    @property
    def pace(self) -> float:
        """Seconds taken for each that was estimated; 1 before anything is known."""
        return self._taken / self._estimated if self._estimated else 1.0

    def done(self, job: Job, seconds: float) -> None:
        """A cell was measured."""
        self._left.pop(job.key)
        self._estimated += job.seconds
        self._taken += seconds

    def left(self) -> float:
        """Seconds until the end."""
        return sum(self._left.values()) * self.pace / (self._processes or self._shown())

    def _shown(self) -> float:
        """Processes that would have done the same in this time; one at least."""
        return max(1.0, self._taken / max(time.monotonic() - self._began, 1e-9))

    def too_late(self, job: Job) -> bool:
        """Whether a cell that begins now would end after the deadline."""
        return self._deadline is not None and time.monotonic() + job.seconds * self.pace > self._deadline


def run(
    jobs: Sequence[Job],
    results: Results,
    perform: Perform,
    out: str,
    *,
    processes: int = 1,
    hours: float | None = None,
    engine: Engine | None = None,
    say: Callable[[str], None] = print,
) -> list[str]:
    """Measure what is not measured yet; the keys for which the time did not suffice.

    A cell that could not be measured is kept with the reason, and tried again by the next run.

    Parameters
    ----------
    jobs : sequence of Job
    results : Results
        Written by this process alone.
    perform : callable
        Measures a cell from its words and ``out``; picklable where cells are measured by other processes.
    out : str
        Folder of what cells keep; other machines must find it under the same path.
    processes : int
        Of this machine, without a remote engine.
    hours : float, optional
        Begin no cell that would end later. An engine is given some cells ahead, and they are judged then.
    engine : Engine, optional
        A remote one measures the cells in its workers; by default, and with the local one, ``processes`` do.
    say : callable

    Raises
    ------
    EngineError
        The engine cannot go on; what was measured until then is kept.
    """
    missing = []
    for job in jobs:
        known = results.get(job.key, job.words)
        if results.stale(job.key, job.words):
            say(f"{job.key}: there is a result of another version or other settings; it is measured again.")
        if known is None or FAILED in known:
            missing.append(job)
    say(f"{len(jobs) - len(missing)} of {len(jobs)} cells are there.")
    late: list[str] = []
    if engine is not None and engine.remote:
        clock = Clock(missing, None, hours)
        finished = _on_engine(missing, perform, out, engine, clock, late)
    else:
        clock = Clock(missing, processes, hours)
        finished = _finished(missing, perform, out, processes, clock, late)
    for number, (job, result, seconds) in enumerate(finished, start=1):
        results.add(job.key, job.words, result | {"seconds": seconds})
        clock.done(job, seconds)
        what = reason(result) or f"{seconds:.0f} s"
        say(f"{number + len(late)} of {len(missing)}: {job.key}, {what}; about {clock.left() / 60:.0f} min left.")
    for key in late:
        say(f"{key}: not measured, for it would end after --hours.")
    return late


Measured = tuple[dict[str, Any], float]
Finished = tuple[Job, dict[str, Any], float]


def _finished(
    jobs: Sequence[Job], perform: Perform, out: str, processes: int, clock: Clock, late: list[str]
) -> Iterator[Finished]:
    if processes == 1:
        for job in jobs:
            if clock.too_late(job):
                late.append(job.key)
            else:
                yield (job, *attempt(perform, job.words, out))
        return
    waiting: list[Job] = list(jobs)
    running: dict[Future[Measured], tuple[Job, _Lane]] = {}
    lanes = [_Lane(processes) for _ in range(processes)]
    idle = list(lanes)
    try:
        while waiting or running:
            while waiting and idle:
                job = waiting.pop(0)
                if clock.too_late(job):
                    late.append(job.key)
                else:
                    lane = idle.pop()
                    running[lane.submit(perform, job.words, out)] = job, lane
            for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                job, lane = running.pop(future)
                found = lane.result(future)
                idle.append(lane)
                yield (job, *found)
    finally:
        for lane in lanes:
            lane.close()


def _on_engine(
    jobs: Sequence[Job], perform: Perform, out: str, engine: Engine, clock: Clock, late: list[str]
) -> Iterator[Finished]:
    """Cells as an engine's workers have measured them."""
    sent: list[tuple[Job, float]] = []

    def words() -> Iterator[Mapping[str, Any]]:
        for job in jobs:
            if clock.too_late(job):
                late.append(job.key)
            else:
                sent.append((job, time.monotonic()))
                yield job.words

    with closing(engine.map(_cell, words(), shared=(perform, out), ordered=False)) as answers:
        for answer in answers:
            job, since = sent[answer.index]
            if answer.error is None:
                yield (job, *answer.get())
            else:  # of the worker or of the way to it: what a cell raises is in its value already
                why = " ".join(str(answer.error).split())
                yield job, {FAILED: why, CRASHED: True}, time.monotonic() - since


def _cell(shared: tuple[Perform, str], words: Mapping[str, Any]) -> Measured:
    """`attempt`, as an engine calls it."""
    perform, out = shared
    return attempt(perform, words, out)


class _Lane:
    """One process that measures cell after cell: if it dies, we know over which."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None
        self._began = 0.0

    def submit(self, perform: Perform, words: Mapping[str, Any], out: str) -> Future[Measured]:
        self._began = time.monotonic()
        try:
            return self._process().submit(attempt, perform, words, out)
        except BrokenProcessPool:  # it died between two cells
            self.close()
            return self._process().submit(attempt, perform, words, out)

    def _process(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_share, initargs=(self._processes,))
        return self._pool

    def result(self, future: Future[Measured]) -> Measured:
        """What the process found; where it is no more, the next cell gets a new one."""
        try:
            return future.result()
        except BrokenProcessPool:
            self.close()
            return {FAILED: LOST, CRASHED: True}, time.monotonic() - self._began

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _share(processes: int) -> None:
    """Each process computes in its share of the cores."""
    import torch

    end_with_parent()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


def attempt(perform: Perform, words: Mapping[str, Any], out: str) -> Measured:
    """One cell and its seconds; what goes wrong is written into the cell, foreseen or not."""
    start = time.monotonic()
    try:
        result = perform(words, out)
        json.dumps(result)
    except MorelliError as error:
        result = {FAILED: " ".join(str(error).split())}
    except Exception as error:  # noqa: BLE001 - a defect in one cell must not cost the others
        result = {FAILED: describe(error), CRASHED: True, "trace": "".join(traceback.format_exception(error))}
    return result, time.monotonic() - start


def describe(error: Exception) -> str:
    """What kind of error it is, what it says, and the line that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f", at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{place}".split())


def reason(result: Mapping[str, Any]) -> str:
    """Why a cell has no figures, as a phrase; "" where it has."""
    if FAILED not in result:
        return ""
    return f"{'failed' if result.get(CRASHED) else 'not run'}: {result[FAILED]}"
