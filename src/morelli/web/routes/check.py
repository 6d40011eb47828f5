"""``POST /v1/check``: is each image from one given model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from morelli.errors import InputError
from morelli.web.answers import Answer
from morelli.web.desk import Desk
from morelli.web.forms import Options
from morelli.web.images import Images
from morelli.web.options import TEXT, EncoderField, GalleryField, MethodField, PromptField, PromptFreeField
from morelli.web.questions import Question
from morelli.web.schemas import CheckBody

if TYPE_CHECKING:
    from morelli.images.load import Picture


class CheckOptions(Options):
    """Named as the options of ``morelli check``."""

    model: Annotated[str, Field(min_length=1, max_length=TEXT, description="The model that is asked about.")]
    gallery: GalleryField = None
    prompt: PromptField = None
    prompt_free: PromptFreeField = False
    method: MethodField = None
    encoder: EncoderField = None
    alpha: Annotated[
        float, Field(gt=0, lt=1, allow_inf_nan=False, description="Share of the model's own images to be accepted.")
    ] = 0.9
    case: Annotated[
        Literal["auto", "1", "2"],
        Field(description="1: with the references of all models; 2: of this one alone; auto: both, if possible."),
    ] = "auto"


def ask(desk: Desk, images: Images, options: CheckOptions) -> Iterable[Answer]:
    """One answer an image."""
    if options.case == "2" and "method" in options.model_fields_set:
        raise InputError("plays no part in Case 2, which asks no attributor.", argument="method", fix="Leave it out.")

    def check(picture: Picture) -> Iterable[Any]:
        with desk.facades.identifier(
            options.gallery,
            options.encoder,
            options.method,
            images.seat.until,
            prompt=options.prompt,
            fall_back=options.prompt_free,
        ) as identifier:
            return identifier.check(
                [picture], options.model, alpha=options.alpha, prompt=options.prompt, case=options.case
            )

    return images.each(check)


def register(router: APIRouter, desk: Desk) -> None:
    """Add the route."""
    summary = "Is each image from one given model?"
    Question("/v1/check", summary, CheckOptions, ask, CheckBody, busy=_busy).register(router, desk)


def _busy(desk: Desk, options: CheckOptions) -> bool:
    return desk.facades.is_busy("identify", options.gallery, options.method, "model")
