"""What the tabs share: the server, who asks, and the record of each answer."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from starlette.datastructures import Headers

from morelli.errors import InputError, MorelliError
from morelli.web.answers import Answer
from morelli.web.audit_log import Entry
from morelli.web.desk import Desk
from morelli.web.forms import Upload
from morelli.web.gate import who_asks
from morelli.web.page.jobs import Job, Jobs, StoppedError
from morelli.web.page.sessions import Sessions
from morelli.web.page.uploads import Uploads
from morelli.web.page.words import hint, problem, progress, shown
from morelli.web.problems import RefusedError, broken
from morelli.web.tokens import Caller


@dataclass(frozen=True, eq=False)
class Place:
    """One server's page.

    Attributes
    ----------
    desk : Desk
    sessions : Sessions
    uploads : Uploads
    jobs : Jobs
    datasets : mapping of str to str
        What the operator lets visitors measure the exposure of: name to folder.
    """

    desk: Desk
    sessions: Sessions
    uploads: Uploads
    jobs: Jobs
    datasets: dict[str, str]

    def caller(self, request: gr.Request, role: str = "read") -> Caller:
        """Who asks.

        Raises
        ------
        RefusedError
            Nobody known, or without that role.
        """
        caller = self.sessions.caller(Headers({"cookie": request.headers.get("cookie", "")}))
        if caller is None:
            raise RefusedError(401, "the session is over.", fix="Load the page anew.")
        if not caller.may(role):
            raise RefusedError(403, f"this needs a token with the role {role!r}.")
        return caller

    def who(self, request: gr.Request, caller: Caller) -> str:
        """Whose rate, and whose share of the places, a visitor's work counts against."""
        return who_asks(caller, {"client": (request.client.host,)} if request.client else {})

    def files(self, paths: Sequence[str] | str | None, least: int = 1, most: int | None = None) -> list[Upload]:
        """The images that a visitor chose.

        Raises
        ------
        InputError
            Too few or too many, or they are gone.
        """
        chosen = [paths] if isinstance(paths, str) else list(paths or ())
        most = self.desk.settings.max_images if most is None else most
        if not least <= len(chosen) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise InputError(f"{wanted} images are needed, and {len(chosen)} came.", fix="Drop them into the field.")
        return [self.uploads.read(path, number) for number, path in enumerate(chosen, start=1)]

    def record(self, caller: Caller, tab: str, answer: Answer, started: float) -> None:
        """Count an answer, and put it into the audit log before anybody sees it; raises where that fails."""
        self.desk.metrics.images.labels(answer.outcome).inc()
        took = 1000.0 * (time.monotonic() - started)
        entry = Entry(caller.name or None, f"PAGE {tab}", answer.status, answer.sha256, answer.decision, took)
        self.desk.audit.write([entry])


def visitor_of(request: gr.Request) -> str:
    """The visitor's browser tab."""
    return str(request.session_hash)


async def watch(
    place: Place,
    request: gr.Request,
    tab: str,
    work: Callable[[Job], None],
    *,
    role: str = "read",
    seconds: float | None = None,
) -> AsyncIterator[tuple[str, Any, Any]]:
    """Do work and give what the tab shows meanwhile: HTML, and the states of its two buttons (ask, cancel)."""
    busy, free = (gr.update(interactive=False), gr.update(interactive=True)), (gr.update(interactive=True),
                                                                              gr.update(interactive=False))  # fmt: skip
    done: list[str] = []
    try:
        who = place.who(request, place.caller(request, role))
        async for job in place.jobs.follow(visitor_of(request), tab, work, seconds, who):
            done = job.shown
            yield shown("".join(done) + progress(job)), *busy
    except StoppedError:
        yield shown("".join(done) + '<p role="status">Cancelled.</p>'), *free
    except MorelliError as error:
        yield shown("".join(done) + problem(error)), *free
    except Exception:
        yield shown("".join(done) + problem(broken())), *free
        raise  # Gradio writes it to the log; the visitor is told nothing of it
    else:
        yield (shown("".join(done)) if done else hint("There is nothing to show.")), *free
