"""What can go wrong between a request and its image, whoever the host is: may it be asked again, was it charged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from morelli.errors import (
    BadGenerationError,
    CredentialsError,
    GeneratorError,
    HostError,
    RefusedContentError,
    UnknownModelError,
)

Kind = Literal[
    "unreachable", "busy", "broken", "timeout", "cut", "key", "quota", "model", "refused", "request", "answer"
]

#: Kinds that pass: the same request may succeed later.
PASSING = frozenset({"unreachable", "busy", "broken", "timeout", "cut"})
#: Kinds for which the host certainly made no image; all others stay counted, for it may have charged.
FREE = frozenset({"unreachable", "busy", "key", "quota", "model", "refused", "request"})

_BUSY = frozenset({408, 409, 425, 429})
_QUOTA_CODES = ("insufficient_quota", "billing", "credit")
_MODEL_CODES = ("model_not_found", "model not found", "does not exist")
_REFUSED = re.compile(
    r"content[ _-]?(policy|filter|moderation|violation)|moderation|safety|nsfw|not allowed by|flagged|sensitive",
    re.IGNORECASE,
)


class Trouble(Exception):
    """One request failed. It never leaves this package: it becomes one of the named errors.

    Parameters
    ----------
    kind : str
        See `Kind`.
    message : str
        What the host or the network said.
    retry_after : float, optional
        Seconds that the host asks to wait.
    """

    def __init__(self, kind: Kind, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.retry_after = retry_after


def from_status(status: int, code: str, message: str, headers: Mapping[str, str]) -> Trouble:
    """What an HTTP status of 400 or more means.

    Parameters
    ----------
    status : int
    code : str
        The host's own word for it, "" where there is none.
    message : str
        What the host says.
    headers : mapping of str to str
        Of the answer; ``retry-after`` is read.
    """
    text = f"{code} {message}".lower()
    said = f"status {status}: {message}".rstrip(": ")
    if status == 402 or any(word in code.lower() for word in _QUOTA_CODES):
        return Trouble("quota", said)
    if status == 401:
        return Trouble("key", f"status {status}")  # hosts echo parts of a wrong key, so their words stay out
    if status in _BUSY:
        return Trouble("busy", said, retry_after(headers.get("retry-after")))
    if status >= 500:
        return Trouble("broken", said, retry_after(headers.get("retry-after")))
    if status in (400, 403, 422, 451) and _REFUSED.search(text):
        return Trouble("refused", said)
    if status in (404, 410) or any(word in text for word in _MODEL_CODES):
        return Trouble("model", said)
    return Trouble("key", f"status {status}") if status == 403 else Trouble("request", said)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait from a ``Retry-After`` header, a number of seconds or a date; None where it is neither."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if seconds < float("inf") else None


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next try, seconds.

    Attributes
    ----------
    first : float
        Before the second try; doubled each time, up to ``longest``.
    longest : float
    patience : float
        The most that a host may ask for; a longer ``Retry-After`` ends the tries.
    """

    first: float = 1.0
    longest: float = 60.0
    patience: float = 300.0

    def seconds(self, tried: int, asked: float | None, chance: float) -> float:
        """Wait after ``tried`` failures.

        Parameters
        ----------
        tried : int
            At least 1.
        asked : float or None
            What the host asked for, seconds: waited in full, and a little more.
        chance : float
            Uniform in 0–1: spreads the tries of many clients over time.
        """
        if asked is not None:
            return asked + chance * min(1.0, self.first)
        return min(self.longest, self.first * 2 ** (tried - 1)) * (0.5 + chance / 2)


def to_error(trouble: Trouble, generator: str, host: str, key: str, tries: int) -> GeneratorError:
    """The named error of a trouble that stays.

    Parameters
    ----------
    generator, host : str
        Its id, and where it asks.
    key : str
        Name of the environment variable that holds the key.
    tries : int
        How often it was tried.
    """
    said = " ".join(trouble.message.split())[:300].rstrip(". ")
    again = f" after {tries} tries" if tries > 1 else ""
    kept = "Everything made so far is kept; run the same command again later."
    kinds: dict[str, tuple[type[GeneratorError], str, str]] = {
        "unreachable": (HostError, f"cannot reach {host}{again} ({said}).", f"Check the network. {kept}"),
        "busy": (HostError, f"{host} is too busy{again} ({said}).", f"Lower the rate. {kept}"),
        "broken": (HostError, f"{host} fails{again} ({said}).", kept),
        "timeout": (HostError, f"{host} did not answer in time{again} ({said}).", f"Raise the timeout. {kept}"),
        "cut": (BadGenerationError, f"{host} sent an image that is cut off{again} ({said}).", kept),
        "key": (CredentialsError, f"{host} refuses the key ({said}).", f"Set {key} to a key that it accepts."),
        "quota": (CredentialsError, f"{host} says that the account may spend no more ({said}).", "Top it up there."),
        "model": (UnknownModelError, f"{host} knows no such model ({said}).", "Check the model's id and the provider."),
        "refused": (RefusedContentError, f"{host} refuses the prompt ({said}).", "Change the prompt."),
        "request": (GeneratorError, f"{host} does not accept the request ({said}).", "Check the options."),
        "answer": (BadGenerationError, f"{host} answered with something that is no image ({said}).", "Check the URL."),
    }
    kind, message, fix = kinds[trouble.kind]
    return kind(message, argument=generator, fix=fix)
