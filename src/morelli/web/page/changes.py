"""What changes a gallery leaves two lines in the audit log: that it was begun, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from morelli.errors import MorelliError
from morelli.web.audit_log import Entry
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place
from morelli.web.problems import status_of
from morelli.web.tokens import Caller

#: HTTP's word for what is begun and not yet answered.
BEGUN = 102


@dataclass(eq=False)
class Change:
    """One change, as the block that makes it reports it.

    Attributes
    ----------
    made : mapping of str to int
        What the gallery says that it did, and its version afterwards; empty until the block has set it.
    """

    made: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def recorded(
    place: Place, caller: Caller, job: Job, tab: str, gallery: str, model: str, digests: Sequence[str] = ()
) -> Iterator[Change]:
    """Write that a change is begun, let the block make it, and write whether it is done.

    The first line comes before anything is changed: what decides verdicts must not change without a trace. A server
    that is killed in between leaves that line alone, and the gallery's version says how it ended.

    Parameters
    ----------
    place : Place
    caller : Caller
    job : Job
        Told that the failure is recorded, so that it is so once.
    tab : str
        Names the route: ``PAGE`` and this.
    gallery, model : str
        What is changed, and of which model.
    digests : sequence of str
        SHA-256 of the files that are added.

    Raises
    ------
    StorageError
        The log cannot be written: before the block, so that nothing is changed; or after it, when the change is made.
    """
    change, started = Change(), time.monotonic()
    told = {"id": secrets.token_hex(4), "gallery": gallery, "model": model}

    def write(state: str, status: int, decision: str | None, **more: int) -> None:
        took = 1000.0 * (time.monotonic() - started)
        entry = Entry(caller.name or None, f"PAGE {tab}", status, tuple(digests), decision, took)
        place.desk.audit.write([entry.about({**told, "state": state, **more})])

    write("begun", BEGUN, None)
    try:
        yield change
    except BaseException as error:
        if isinstance(error, MorelliError):
            _by_name(error, place.desk.galleries.places[gallery], gallery)
        write("failed", status_of(error) if isinstance(error, MorelliError) else 500, None)
        job.recorded = True
        raise
    write("done", 200, model, **change.made)
    place.desk.metrics.images.labels("changed").inc(len(digests))


def _by_name(error: MorelliError, path: str, name: str) -> None:
    """Let an error call a gallery by its name: where it lies is no visitor's business."""
    error.message = error.message.replace(path, name)
    error.argument = None if error.argument is None else error.argument.replace(path, name)
    error.fix = None if error.fix is None else error.fix.replace(path, name)


def numbers(report: Any) -> dict[str, int]:
    """The counts of an `AddReport`, as the audit log tells them."""
    return {name: getattr(report, name) for name in ("version", "added", "updated", "unchanged")}
