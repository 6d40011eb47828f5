"""What the tabs share: the server, who asks, and the record of each answer."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

_LOG = logging.getLogger(__name__)

#: HTTP's word, as the API's, for a client that went away before its answer.
GONE = 408


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
        require(caller, role)
        return caller

    def may(self, request: gr.Request, role: str) -> bool:
        """Whether who asks has that role."""
        try:
            return self.caller(request, role) is not None
        except RefusedError:
            return False

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

    def record(
        self,
        caller: Caller,
        tab: str,
        answer: Answer,
        started: float,
        *,
        exposure: Mapping[str, Any] | None = None,
        image: bool = True,
    ) -> None:
        """Put an answer into the audit log before anybody sees it; raises where that fails.

        Parameters
        ----------
        caller : Caller
        tab : str
            Names the route: ``PAGE`` and this.
        answer : Answer
        started : float
            On the monotonic clock.
        exposure : mapping, optional
            As `Entry` has it.
        image : bool
            Whether it is about an image, which is then counted.
        """
        if image:
            self.desk.metrics.images.labels(answer.outcome).inc()
        took = 1000.0 * (time.monotonic() - started)
        name, route = caller.name or None, f"PAGE {tab}"
        entry = Entry(name, route, answer.status, answer.sha256, answer.decision, took, exposure=exposure)
        self.desk.audit.write([entry])


def require(caller: Caller, role: str) -> None:
    """Refuse a visitor without that role.

    Raises
    ------
    RefusedError
        403.
    """
    if not caller.may(role):
        raise RefusedError(403, f"this needs a token with the role {role!r}.")


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
    """Do work and give what the tab shows meanwhile: HTML, and the states of its two buttons (ask, cancel).

    What the work answers it records itself; that it was refused, failed or was given up is recorded here.
    """
    busy, free = (gr.update(interactive=False), gr.update(interactive=True)), (gr.update(interactive=True),
                                                                              gr.update(interactive=False))  # fmt: skip
    done: list[str] = []
    question = _Question(place, tab)
    try:
        question.caller = place.caller(request)
        require(question.caller, role)
        who = place.who(request, question.caller)
        async for job in place.jobs.follow(visitor_of(request), tab, work, seconds, who):
            question.job, done = job, job.shown
            yield shown("".join(done) + progress(job)), *busy
    except StoppedError:
        question.failed(RefusedError(GONE, "this was cancelled."))
        yield shown("".join(done) + '<p role="status">Cancelled.</p>'), *free
    except MorelliError as error:
        question.failed(error)
        yield shown("".join(done) + problem(error)), *free
    except Exception:
        question.failed(broken())
        yield shown("".join(done) + problem(broken())), *free
        raise  # Gradio writes it to the log; the visitor is told nothing of it
    except BaseException:  # the visitor has left, or the server ends
        question.failed(RefusedError(GONE, "the visitor has left."))
        raise
    else:
        yield (shown("".join(done)) if done else hint("There is nothing to show.")), *free


@dataclass(eq=False)
class _Question:
    """What one press of a tab's button asks, for the record of those that end without an answer."""

    place: Place
    tab: str
    started: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    job: Job | None = None

    def failed(self, error: MorelliError) -> None:
        """Put the failure into the audit log, unless the work has done so; who asked is told of it in any case."""
        if self.caller is None or (self.job is not None and self.job.recorded):
            return
        try:
            self.place.record(self.caller, self.tab.replace("-", " "), Answer.failed(error), self.started, image=False)
        except MorelliError as refused:
            _LOG.error("%s", refused)
