"""Cells measured in parallel processes, with an estimate of the time left and an end that is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from benchmarks.papers.results import Results

from morelli.errors import MorelliError, WorkerLostError

#: What a cell holds where its method could not be run.
FAILED = "failed"
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
    """The time left, from estimates corrected by how long cells took."""

    def __init__(self, jobs: Sequence[Job], processes: int, hours: float | None) -> None:
        self._left = {job.key: job.seconds for job in jobs}
        self._processes = processes
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
        return sum(self._left.values()) * self.pace / self._processes

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
    say: Callable[[str], None] = print,
) -> list[str]:
    """Measure what is not measured yet; the keys for which the time did not suffice.

    A method that cannot be run is kept as such and tried again by the next run.
    """
    missing = []
    for job in jobs:
        known = results.get(job.key, job.words)
        if results.stale(job.key, job.words):
            say(f"{job.key}: there is a result of another version or other settings; it is measured again.")
        if known is None or FAILED in known:
            missing.append(job)
    say(f"{len(jobs) - len(missing)} of {len(jobs)} cells are there.")
    clock = Clock(missing, processes, hours)
    late: list[str] = []
    for number, (job, result, seconds) in enumerate(_finished(missing, perform, out, processes, clock, late), start=1):
        results.add(job.key, job.words, result | {"seconds": seconds})
        clock.done(job, seconds)
        what = f"not run: {result[FAILED]}" if FAILED in result else f"{seconds:.0f} s"
        say(f"{number + len(late)} of {len(missing)}: {job.key}, {what}; about {clock.left() / 60:.0f} min left.")
    for key in late:
        say(f"{key}: not measured, for it would end after --hours.")
    return late


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
    waiting = list(jobs)
    made = partial(ProcessPoolExecutor, mp_context=get_context("spawn"), initializer=_share, initargs=(processes,))
    with made(processes) as pool:
        running: dict[Future[tuple[dict[str, Any], float]], Job] = {}
        while waiting or running:
            while waiting and len(running) < processes:
                job = waiting.pop(0)
                if clock.too_late(job):
                    late.append(job.key)
                else:
                    running[pool.submit(attempt, perform, job.words, out)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    yield (running.pop(future), *future.result())
                except BrokenProcessPool as error:
                    raise WorkerLostError(
                        "a process was ended from outside, for want of memory perhaps.",
                        argument="--processes",
                        fix="Run it again with fewer; finished cells are kept.",
                    ) from error


def _share(processes: int) -> None:
    """Each process computes in its share of the cores."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // processes))


def attempt(perform: Perform, words: Mapping[str, Any], out: str) -> tuple[dict[str, Any], float]:
    """One cell and its seconds; what the project foresees that can go wrong is written into the cell."""
    start = time.monotonic()
    try:
        result = perform(words, out)
    except MorelliError as error:
        result = {FAILED: " ".join(str(error).split())}
    return result, time.monotonic() - start
