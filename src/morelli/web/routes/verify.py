"""``POST /v1/verify``: did one model make both images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from morelli.errors import MorelliError
from morelli.web.answers import Answer
from morelli.web.desk import Desk
from morelli.web.forms import Options
from morelli.web.images import Images
from morelli.web.options import EncoderField, GalleryField
from morelli.web.questions import Question
from morelli.web.schemas import VerificationBody


class VerifyOptions(Options):
    """Named as the options of ``morelli verify``."""

    gallery: GalleryField = None
    encoder: EncoderField = None
    prior: Annotated[
        float, Field(gt=0, lt=1, allow_inf_nan=False, description="Share of such pairs that are of one model.")
    ] = 0.5


def ask(desk: Desk, images: Images, options: VerifyOptions) -> Iterator[Answer]:
    """One answer about the two images, or what is wrong with the first that cannot be read."""
    pictures, digests = [], []
    for upload in images.uploads:
        digest, read = images.read(upload)
        digests.append(digest)
        if isinstance(read, MorelliError):
            yield Answer.failed(read, upload.name, digests)
            return
        pictures.append(read.picture)
    found = desk.facades.verify(pictures, options.gallery, options.encoder, images.seat.until, options.prior)
    yield Answer.of(found, digests)


def register(router: APIRouter, desk: Desk) -> None:
    """Add the route."""
    Question(
        "/v1/verify", "Did one model make both images?", VerifyOptions, ask, VerificationBody, least=2, most=2,
        lines=False, busy=lambda desk, options: desk.facades.is_busy("verify", options.gallery),
    ).register(router, desk)  # fmt: skip
