"""What a question gives for each image, and how it is sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from morelli.errors import MorelliError
from morelli.report.plain import error_json, plain
from morelli.web.problems import headers_of, status_of

JSON, LINES = "application/json", "application/x-ndjson"


@dataclass(frozen=True)
class Answer:
    """One answer, about one image or, of ``verify``, about two.

    Attributes
    ----------
    body : mapping
        A verdict's JSON, or an error's.
    status : int
        200, or the error's.
    sha256 : tuple of str
        Of the files.
    decision : str or None
    headers : mapping of str to str
        Of an error.
    outcome : str
        For counting: "answered", or the error's class.
    """

    body: dict[str, Any]
    status: int
    sha256: tuple[str, ...]
    decision: str | None
    headers: dict[str, str]
    outcome: str = "answered"

    @classmethod
    def of(cls, verdict: Any, sha256: Sequence[str]) -> Answer:
        """From a verdict with ``to_json`` and ``decision``."""
        return cls(plain(verdict.to_json()), 200, tuple(sha256), verdict.decision, {})

    @classmethod
    def failed(cls, error: MorelliError, image: str | None = None, sha256: Sequence[str] = ()) -> Answer:
        """From an error."""
        told = error_json(error, image)
        return cls(told, status_of(error), tuple(sha256), None, headers_of(error), type(error).__name__)


def response(answers: Sequence[Answer]) -> Response:
    """One answer as a JSON object with its status; several as JSON lines, one an image, as the command line does."""
    if len(answers) == 1:
        return json_response(answers[0].body, answers[0].status, answers[0].headers)
    lines = "".join(json.dumps(answer.body, allow_nan=False) + "\n" for answer in answers)
    return Response(lines, media_type=LINES)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON object."""
    return Response(json.dumps(plain(body), allow_nan=False), status, headers, media_type=JSON)


def error_response(error: MorelliError, image: str | None = None) -> Response:
    """``morelli.error/1`` with the status and the headers that belong to it."""
    return json_response(error_json(error, image), status_of(error), headers_of(error))
