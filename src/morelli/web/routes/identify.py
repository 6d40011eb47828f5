"""``POST /v1/identify``: which model made each image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter
from pydantic import Field

from morelli.web.answers import Answer
from morelli.web.desk import Desk
from morelli.web.forms import Options
from morelli.web.images import Images
from morelli.web.options import EncoderField, GalleryField, MethodField, PromptField, PromptFreeField
from morelli.web.questions import Question
from morelli.web.schemas import VerdictBody

if TYPE_CHECKING:
    from morelli.identify import Failure
    from morelli.images.load import Picture
    from morelli.types import Verdict


class IdentifyOptions(Options):
    """Named as the options of ``morelli identify``."""

    gallery: GalleryField = None
    prompt: PromptField = None
    prompt_free: PromptFreeField = False
    level: Annotated[
        Literal["model", "base"], Field(description="Attribute to each model, or to the base that it derives from.")
    ] = "model"
    method: MethodField = None
    encoder: EncoderField = None
    epsilon: Annotated[
        float, Field(gt=0, lt=1, allow_inf_nan=False, description="Candidates have a conformal p-value above this.")
    ] = 0.1
    stability: Annotated[bool, Field(description="Also compare degraded copies of each image.")] = True
    claims: Annotated[bool, Field(description="Also tell what each file says of itself.")] = True


def identify(desk: Desk, images: Images, options: IdentifyOptions, picture: Picture) -> Iterable[Verdict | Failure]:
    """What the options ask of one picture."""
    with desk.facades.identifier(
        options.gallery,
        options.encoder,
        options.method,
        images.seat.until,
        prompt=options.prompt,
        level=options.level,
        epsilon=options.epsilon,
        stability=options.stability,
        fall_back=options.prompt_free,
    ) as identifier:
        return identifier.identify([picture], prompt=options.prompt)


def ask(desk: Desk, images: Images, options: IdentifyOptions) -> Iterable[Answer]:
    """One verdict an image."""
    return images.each(lambda picture: identify(desk, images, options, picture), claims=options.claims)


def register(router: APIRouter, desk: Desk) -> None:
    """Add the route."""
    summary = "Which model made each image, how sure that is, and what the evidence is."
    Question("/v1/identify", summary, IdentifyOptions, ask, VerdictBody, busy=_busy).register(router, desk)


def _busy(desk: Desk, options: IdentifyOptions) -> bool:
    return desk.facades.is_busy("identify", options.gallery, options.method, options.level)
