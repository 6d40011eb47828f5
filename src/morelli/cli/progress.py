"""A progress bar, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with how many are done and how many there are.
Report = Callable[[int, int], None]


@contextmanager
def progress(label: str) -> Iterator[Report]:
    """A bar on stderr while the block runs; where stderr is no terminal, nothing is drawn.

    Parameters
    ----------
    label : str
        What is being done: "embedding".

    Yields
    ------
    callable
        ``report(done, total)``; both count the same things, and ``total`` may grow.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Transient: the bar is gone when the answer is printed.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
