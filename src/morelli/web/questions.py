"""What all questions about images share: who may ask, the way in, the work, the record, the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from morelli.errors import InputError, MorelliError
from morelli.web.answers import LINES, Answer, response
from morelli.web.audit_log import Entry
from morelli.web.desk import Desk
from morelli.web.forms import FIELD, Form, Options, Upload, form_schema, parse_options, read_form
from morelli.web.images import Images
from morelli.web.problems import RefusedError, status_of
from morelli.web.schemas import errors
from morelli.web.settings import Settings
from morelli.web.shelf import learning
from morelli.web.tokens import Caller

#: Statuses that any question may be answered with.
STATUSES = (401, 403, 408, 409, 413, 415, 422, 429, 500, 503)


@dataclass
class Visit:
    """One request on its way.

    Attributes
    ----------
    started : float
        On the monotonic clock.
    route : str
        Method and path.
    caller : Caller or None
        None until it is known.
    who : str
        Whose rate and share of the places it counts against: a token's, or an address's; "" until that is known.
    recorded : bool
        The audit log has it.
    """

    route: str
    started: float = field(default_factory=time.monotonic)
    caller: Caller | None = None
    who: str = ""
    recorded: bool = False

    @property
    def milliseconds(self) -> float:
        return 1000.0 * (time.monotonic() - self.started)

    def entry(self, answer: Answer) -> Entry:
        """The line of the audit log for an answer."""
        name = self.caller.name or None if self.caller is not None else None
        return Entry(name, self.route, answer.status, answer.sha256, answer.decision, self.milliseconds)


@dataclass(frozen=True)
class Question:
    """A route that takes images and options.

    Attributes
    ----------
    path, summary : str
    options : type of Options
    ask : callable
        ``ask(desk, images, options)`` gives the answers, in the request's own thread.
    verdict : type of BaseModel
        Describes an answer.
    least, most : int or None
        How many images it takes; None: as many as the server allows.
    lines : bool
        Several images give JSON lines.
    role : str
    seconds : callable
        Of the settings, those that a request has until it is answered.
    busy : callable
        ``busy(desk, options)``: whether another request learns what this one needs. It is asked again and again, and
        the request has no turn, and no image in memory, until it does not hold.
    """

    path: str
    summary: str
    options: type[Options]
    ask: Callable[[Desk, Images, Any], Iterable[Answer]]
    verdict: type[BaseModel]
    least: int = 1
    most: int | None = None
    lines: bool = True
    role: str = "read"
    seconds: Callable[[Settings], float] = lambda settings: settings.seconds
    busy: Callable[[Desk, Any], bool] = lambda desk, options: False

    def register(self, router: APIRouter, desk: Desk) -> None:
        """Add the route."""
        most = self.most or desk.settings.max_images

        async def handle(request: Request) -> Response:
            return await self._handle(request, desk, most)

        good: dict[str, Any] = {"model": self.verdict, "description": "The answer; of several images JSON lines."}
        if self.lines:
            good["content"] = {LINES: {"schema": {"type": "string"}}}
        router.add_api_route(
            self.path,
            handle,
            methods=["POST"],
            summary=self.summary,
            operation_id=self.path.rpartition("/")[2],
            response_model=None,
            responses={200: good, **errors(STATUSES)},
            openapi_extra={"requestBody": form_schema(self.options, self.least, most)},
        )

    async def _handle(self, request: Request, desk: Desk, most: int) -> Response:
        visit: Visit = request.state.visit
        require(visit, self.role)
        found: list[Answer] = []  # filled by the request's thread
        uploads: Sequence[Upload] = ()
        try:
            async with desk.admission.enter(visit.started + desk.settings.seconds, visit.who) as seat:
                try:
                    form = await read_form(request, desk.settings)
                except ClientDisconnect:  # nobody is there to be answered
                    raise RefusedError(408, "the client went away.") from None
                try:
                    options = parse_options(self.options, form.fields)
                    self._check_count(form, most)
                    uploads = form.images
                    seat.prolong(visit.started + self.seconds(desk.settings))
                    if not await seat.wait(partial(self.busy, desk, options), request.is_disconnected):
                        raise learning()
                    images = desk.images(uploads, seat)
                    work = partial(self._answer, desk, images, options, found)
                    await seat.run(work, request.is_disconnected)
                finally:
                    await form.close()
            answers = found
        except MorelliError as error:
            answers = self._rest(error, list(found), uploads)
        for answer in answers:
            desk.metrics.images.labels(answer.outcome).inc()
        visit.recorded = True
        desk.audit.write([visit.entry(answer) for answer in answers])
        return response(answers)

    def _answer(self, desk: Desk, images: Images, options: Options, found: list[Answer]) -> None:
        for answer in self.ask(desk, images, options):
            found.append(answer)  # one by one: those that are there are given also where the others come too late

    def _rest(self, error: MorelliError, found: list[Answer], uploads: Sequence[Upload]) -> list[Answer]:
        """The answers that were found before the server had no more time, and the error in the place of the others.

        Raises
        ------
        MorelliError
            The error itself: it is another one, or there was no answer yet.
        """
        if not found or status_of(error) != 503:
            raise error
        missing = uploads[len(found) :] if self.lines else ()
        return [*found, *(Answer.failed(error, upload.name) for upload in missing)]

    def _check_count(self, form: Form, most: int) -> None:
        if self.least <= len(form.images) <= most:
            return
        wanted = str(most) if self.least == most else f"{self.least} to {most}"
        message = f"{wanted} {'image is' if wanted == '1' else 'images are'} needed, and {len(form.images)} came."
        raise InputError(message, argument=FIELD, fix=f"Send each as a file in the field {FIELD}.")


def require(visit: Visit, role: str) -> None:
    """Refuse a caller without that role.

    Raises
    ------
    RefusedError
        403.
    """
    caller = visit.caller
    if caller is None or not caller.may(role):
        raise RefusedError(403, f"this needs a token with the role {role!r}.", argument="Authorization")


def record_refusal(desk: Desk, visit: Visit, error: MorelliError) -> None:
    """Put a request that had no answer into the audit log, once."""
    if not visit.recorded:
        visit.recorded = True
        desk.audit.write([visit.entry(Answer.failed(error))])
