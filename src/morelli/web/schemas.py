"""The JSON of answers, as OpenAPI describes it. The records in `morelli.types` make it; tests hold the two together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = float


class _Body(BaseModel):
    """Every field is always there, and no other."""

    model_config = ConfigDict(extra="forbid")


class Ranked(_Body):
    """One line of a ranking."""

    model: str
    family: str
    probability: Fraction
    score: float | None


class Unknown(_Body):
    """Whether any known model may have made it."""

    p_value: Fraction | None
    rejected: bool


class Degraded(_Body):
    """Who comes first after one degradation."""

    name: str
    model: str


class Stability(_Body):
    """How firm the first place is."""

    agreement: Fraction | None
    degradations: list[Degraded]


class Method(_Body):
    """How the answer came about; ``gallery`` is the name that the server gives it."""

    name: str
    encoder: str
    encoder_revision: str
    gallery: str
    gallery_version: int
    k: int
    prompt_used: str | None


class Near(_Body):
    """A reference near the query."""

    reference: str
    model: str
    distance: float


class Said(_Body):
    """What the file says of itself; ``signed``: below a root that the operator named."""

    source: str
    statement: str
    signed: bool


class VerdictBody(_Body):
    """``morelli.verdict/1``: which model made this image."""

    image: str
    sha256: str
    schema_: Literal["morelli.verdict/1"] = Field(alias="schema")
    version: str
    decision: str
    calibrated: bool
    ranking: list[Ranked]
    candidates: list[str]
    epsilon: Fraction
    unknown: Unknown
    stability: Stability
    method: Method
    evidence: list[Near]
    claims: list[Said]
    claims_read: bool
    notes: list[str]


class CaseOne(_Body):
    """Against the references of all models."""

    accepted: bool
    first: bool
    top_model: str
    probability: Fraction
    p_value: Fraction | None
    known_p_value: Fraction | None
    calibrated: bool


class Published(_Body):
    """The published rule."""

    accepted: bool
    ratio: float | None


class Conformal(_Body):
    """The conformal rule."""

    accepted: bool
    p_value: Fraction
    attainable: bool


class CaseTwo(_Body):
    """Against the model's own references alone."""

    references: int
    published: Published
    conformal: Conformal


class CheckBody(_Body):
    """``morelli.check/1``: is this image from that model."""

    image: str
    sha256: str
    schema_: Literal["morelli.check/1"] = Field(alias="schema")
    version: str
    model: str
    family: str
    decision: Literal["yes", "no", "unsure"]
    alpha: Fraction
    case_1: CaseOne | None
    case_2: CaseTwo | None
    method: Method
    notes: list[str]


class VerifiedFile(_Body):
    """One of the two images."""

    image: str
    sha256: str


class PairMethod(_Body):
    """How two images were compared."""

    name: str
    encoder: str
    encoder_revision: str
    gallery: str
    gallery_version: int


class VerificationBody(_Body):
    """``morelli.verification/1``: did one model make both."""

    images: list[VerifiedFile]
    schema_: Literal["morelli.verification/1"] = Field(alias="schema")
    version: str
    decision: Literal["same", "different", "unsure"]
    probability: Fraction | None
    calibrated: bool
    prior: Fraction
    score: float | None
    similarity: float | None
    method: PairMethod
    notes: list[str]


class Subject(_Body):
    """Whose image it counts as: told, known from the gallery, or attributed."""

    name: str
    from_: Literal["told", "gallery", "attributed"] = Field(alias="from")


class Recognised(_Body):
    """How recognisable one version of an image is; ``rank``: of the true model, null where nobody told it."""

    decision: str
    first: str
    probability: Fraction
    rank: int | None


class Quality(_Body):
    """What a defence cost; ``psnr`` in dB, null where nothing changed."""

    psnr: float | None
    ms_ssim: float
    lpips: float | None
    largest_change: int
    changed: Fraction


class ProtectMethod(_Body):
    """How it was judged."""

    name: str
    encoder: str
    encoder_revision: str
    gallery: str
    gallery_version: int
    unseen_encoder: bool


class ProtectBody(_Body):
    """``morelli.protect/1``: a protected image; ``output`` is a PNG as a data URI, ``noise`` absent for canonical."""

    image: str
    sha256: str
    schema_: Literal["morelli.protect/1"] = Field(alias="schema")
    version: str
    output: str
    output_sha256: str
    defence: dict[str, Any]
    before: Recognised
    after: Recognised
    noise: Recognised | None = None
    method: ProtectMethod
    notes: list[str]
    model: Subject
    quality: Quality


class ModelLine(_Body):
    """References of one model."""

    model: str
    family: str
    references: int
    prompts: int


class EncoderLine(_Body):
    """References with embeddings of one encoder."""

    encoder: str
    revision: str
    preprocessing: str
    dims: dict[str, int]
    references: int


class GalleryBody(_Body):
    """``morelli.gallery/1``: a gallery at a glance."""

    schema_: Literal["morelli.gallery/1"] = Field(alias="schema")
    gallery: str
    version: int
    references: int
    prompts: int
    size_bytes: int | None
    models: list[ModelLine]
    encoders: list[EncoderLine]


class GalleriesBody(_Body):
    """``morelli.galleries/1``: what may be named as ``gallery``; the first is asked where none is named."""

    schema_: Literal["morelli.galleries/1"] = Field(alias="schema")
    version: str
    galleries: list[GalleryBody]


class HealthBody(_Body):
    """``morelli.health/1``."""

    schema_: Literal["morelli.health/1"] = Field(alias="schema")
    version: str
    status: Literal["ok"]


class ErrorBody(_Body):
    """``morelli.error/1``: what is wrong, and what to do."""

    schema_: Literal["morelli.error/1"] = Field(alias="schema")
    image: str | None
    argument: str | None
    message: str
    fix: str | None


_WHY = {
    401: "No token, or not a known one.",
    403: "The token's role is not enough; without tokens, a foreign host name or a foreign page.",
    408: "The request did not arrive in time.",
    409: "The gallery, as it is, does not allow the question.",
    413: "Too many bytes or pixels, or decoding takes too long.",
    415: "The body is no multipart form.",
    422: "An image that cannot be read, or a wrong option.",
    429: "Too many requests of this caller; see Retry-After.",
    500: "A mistake of the server.",
    503: "Not now; see Retry-After.",
}


def errors(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """Responses that tell an error, for OpenAPI."""
    wait = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
    out: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        out[status] = {"model": ErrorBody, "description": _WHY[status]}
        if status in (429, 503):
            out[status]["headers"] = wait
    return out
