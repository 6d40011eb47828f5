"""A progress bar that also says what was spent, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from morelli.generators.produce import Step


@contextmanager
def spending_progress() -> Iterator[Callable[[Step], None]]:
    """One bar on stderr while the block runs; where stderr is no terminal, nothing is drawn.

    Yields
    ------
    callable
        Takes each `Step` of a run.
    """
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cost]}"),
    )
    # Transient: the bar is gone when the answer is printed.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("generating", total=None, cost="")

        def report(step: Step) -> None:
            cost = f"{step.cost:.2f} spent" if step.cost else ""
            bars.update(task, description=step.model, completed=step.done, total=step.total, cost=cost)

        yield report
