"""Cells measured in parallel processes or on an engine, with an estimate of the time left and an end that is kept.

A cell that fails, and a process that dies over one, cost that cell alone.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.papers.results import Results

from morelli.engine.base import Engine
from morelli.engine.processes import ProcessEngine
from morelli.errors import MorelliError

#: What a cell holds where its method could not be run: why. `CRASHED` stands beside it where nobody foresaw that.
FAILED, CRASHED = "failed", "crashed"
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
    elif processes > 1:
        clock = Clock(missing, processes, hours)
        several = ProcessEngine(processes, partial(_share, processes))
        finished = _on_engine(missing, perform, out, several, clock, late)
    else:
        clock = Clock(missing, 1, hours)
        finished = _here(missing, perform, out, clock, late)
    with closing(finished):
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


def _here(
    jobs: Sequence[Job], perform: Perform, out: str, clock: Clock, late: list[str]
) -> Generator[Finished, None, None]:
    for job in jobs:
        if clock.too_late(job):
            late.append(job.key)
        else:
            yield (job, *attempt(perform, job.words, out))


def _on_engine(
    jobs: Sequence[Job], perform: Perform, out: str, engine: Engine, clock: Clock, late: list[str]
) -> Generator[Finished, None, None]:
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


def _share(processes: int) -> None:
    """Each process computes in its share of the cores."""
    import torch

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
