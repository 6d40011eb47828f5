"""``POST /v1/protect``: images that give their model away less."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from morelli.defence.files import png_bytes
from morelli.errors import MorelliError
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


class ProtectOptions(Options):
    """Named as the options of ``morelli protect``."""

    gallery: GalleryField = None
    defence: Annotated[
        Literal["pgd", "eot", "canonical"],
        Field(description="canonical: one common form, quick; pgd and eot: gradients, seconds an image."),
    ] = "pgd"
    epsilon: Annotated[
        float, Field(ge=1, le=32, allow_inf_nan=False, description="Largest change of a sample, levels of 255.")
    ] = 2.0
    steps: Annotated[int, Field(ge=1, le=200, description="Gradient steps.")] = 50
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Decides the random start and the draws.")] = 0
    model: Annotated[
        str | None, Field(max_length=TEXT, description="The model that made the images; by default found out.")
    ] = None
    prompt: PromptField = None
    method: MethodField = None
    encoder: EncoderField = None


def ask(desk: Desk, images: Images, options: ProtectOptions) -> Iterable[Answer]:
    """One answer an image, with the protected image inside."""
    settings = PerturbSettings(epsilon=options.epsilon, steps=options.steps, seed=options.seed)

    def watched(stage: str, done: int, total: int) -> None:
        if images.seat.abandoned.is_set() or time.monotonic() > images.seat.until:
            raise busy("that takes too long at the moment.")

    def protect(picture: Picture) -> Iterator[Any]:
        for made in desk.facades.protect(
            picture, options.gallery, options.encoder, images.seat.until, defence=options.defence, settings=settings,
            method=options.method, model=options.model, prompt=options.prompt, progress=watched,
        ):  # fmt: skip
            yield Failure(picture.name, made) if isinstance(made, MorelliError) else _Shown(made)

    return images.each(protect)


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
    Question("/v1/protect", summary, ProtectOptions, ask, ProtectBody).register(router, desk)
