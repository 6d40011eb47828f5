"""A progress bar, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with how many are done and how many there are.
Report = Callable[[int, int], None]
#: The same with the name of the stage first.
StageReport = Callable[[str, int, int], None]


@contextmanager
def staged_progress() -> Iterator[StageReport]:
    """Bars on stderr while the block runs, one a stage; where stderr is no terminal, nothing is drawn.

    Yields
    ------
    callable
        ``report(stage, done, total)``; a stage's bar appears with its first report, and ``total`` may grow.
    """
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    # Transient: the bars are gone when the answer is printed.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """One bar, as in `staged_progress`.

    Parameters
    ----------
    label : str
        What is being done: "embedding".

    Yields
    ------
    callable
        ``report(done, total)``; both count the same things.
    """
    with staged_progress() as report:
        yield lambda done, total: report(label, done, total)
