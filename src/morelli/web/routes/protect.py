"""``POST /v1/protect``: images that give their model away less."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from morelli.defence.files import png_bytes
from morelli.errors import InputError, MorelliError
from morelli.identify import Failure
from morelli.protect import PerturbSettings, Protected
from morelli.report.page import data_uri
from morelli.web.answers import Answer
from morelli.web.desk import Desk
from morelli.web.forms import Options
from morelli.web.images import Images
from morelli.web.options import TEXT, EncoderField, GalleryField, MethodField, PromptField
from morelli.web.problems import busy
from morelli.web.questions import Question
from morelli.web.schemas import ProtectBody

if TYPE_CHECKING:
    from morelli.images.load import Picture
    from morelli.web.admission import Seat

#: Steps, or seconds of them, after which it is clear what all of them take.
FEW, ENOUGH = 4, 2.0
#: How far that must be above the time that is left: what others ask for meanwhile makes steps slower and quicker.
MARGIN = 1.2
#: Part of a request's time that the steps of one image can have; the rest is for judging it before and after.
USABLE = 0.8


class ProtectOptions(Options):
    """Named as the options of ``morelli protect``."""

    gallery: GalleryField = None
    defence: Annotated[
        Literal["pgd", "eot", "collide", "canonical"],
        Field(description="canonical: one common form, quick; the others: gradients, seconds an image."),
    ] = "pgd"
    epsilon: Annotated[
        float, Field(ge=1, le=32, allow_inf_nan=False, description="Largest change of a sample, levels of 255.")
    ] = 2.0
    steps: Annotated[int, Field(ge=1, le=200, description="Gradient steps.")] = 50
    seed: Annotated[
        int | None,
        Field(ge=0, lt=2**63, description="Decides the draws. By default a secret one, which is told."),
    ] = None
    model: Annotated[
        str | None, Field(max_length=TEXT, description="The model that made the images; by default found out.")
    ] = None
    prompt: PromptField = None
    method: MethodField = None
    encoder: EncoderField = None


def ask(desk: Desk, images: Images, options: ProtectOptions) -> Iterable[Answer]:
    """One answer an image, with the protected image inside."""
    idle = sorted({"epsilon", "steps", "seed"} & options.model_fields_set) if options.defence == "canonical" else []
    if idle:
        raise InputError("plays no part in canonical.", argument=idle[0], fix="Leave it out.")
    seed = secrets.randbits(63) if options.seed is None else options.seed
    settings = PerturbSettings(epsilon=options.epsilon, steps=options.steps, seed=seed)
    several, limit = len(images.uploads) > 1, desk.settings.protect_seconds

    def protect(picture: Picture) -> Iterator[Any]:
        watched = _Watch(images.seat, limit, several)
        for made in desk.facades.protect(
            picture, options.gallery, options.encoder, images.seat.until, defence=options.defence, settings=settings,
            method=options.method, model=options.model, prompt=options.prompt, progress=watched,
        ):  # fmt: skip
            yield Failure(picture.name, made) if isinstance(made, MorelliError) else _Shown(made)

    return images.each(protect)


class _Watch:
    """Looks at the clock after each step of one image, and ends what cannot be done in time.

    Parameters
    ----------
    seat : Seat
        Of the request.
    limit : float
        Seconds that such a request has in all.
    several : bool
        The request has more images.
    """

    def __init__(self, seat: Seat, limit: float, several: bool) -> None:
        self._seat, self._limit, self._several = seat, limit, several
        self._begun = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """As facades call it.

        Raises
        ------
        RefusedError
            Nobody waits any more, or it would have been quick enough at another time.
        InputError
            That many steps take longer than a request has.
        """
        now = time.monotonic()
        if self._seat.abandoned.is_set() or now > self._seat.until:
            raise busy("that takes too long at the moment.")
        if done <= 1:  # the first step also loads what the others need
            self._begun = now
        elif done >= FEW or now - self._begun > ENOUGH:
            self._compare((now - self._begun) / (done - 1), done, total, self._seat.until - now)

    def _compare(self, pace: float, done: int, total: int, left: float) -> None:
        if pace * (total - done) <= MARGIN * left:
            return
        fit = int(USABLE * self._limit / pace)
        if fit >= total and not self._several:  # it came late to its turn
            raise busy("that takes too long at the moment.")
        said = (
            f"{total} steps take about {math.ceil(pace * total)} seconds an image at present, a request has "
            f"{self._limit:g}, and {max(left, 0):.0f} of them are left."
        )
        other = "defence=canonical, which needs none"
        if fit >= total:
            fix = "Ask for fewer images at a time."
        elif fit:
            alone = ", and one image at a time" if self._several else ""
            fix = f"Ask for {fit} {'step' if fit == 1 else 'steps'} at most{alone}; or for {other}."
        else:
            fix = f"Ask for {other}."
        raise InputError(said, argument="steps", fix=fix)


class _Shown:
    """A protected image as `Answer.of` takes it: its ``output`` is the PNG file itself, as a data URI."""

    def __init__(self, made: Protected) -> None:
        data = png_bytes(made.after)
        self.decision = made.report["after"]["decision"]
        self._made = replace(made, output=data_uri(data, "image/png"), output_sha256=hashlib.sha256(data).hexdigest())

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.protect/1``."""
        return self._made.to_json()


def register(router: APIRouter, desk: Desk) -> None:
    """Add the route."""
    summary = "Images changed a little, so that their model is recognised less."
    Question(
        "/v1/protect", summary, ProtectOptions, ask, ProtectBody, seconds=lambda settings: settings.protect_seconds,
        busy=lambda desk, options: desk.facades.is_busy("protect", options.gallery, options.method),
    ).register(router, desk)  # fmt: skip
