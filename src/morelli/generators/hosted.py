"""What all hosted generators share: consent, keys, price, cap, rate, and asking again."""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal

from morelli.errors import CredentialsError, ImageError, InputError, TruncatedImageError
from morelli.generators.base import Generated, Generator, Setting
from morelli.generators.hosted_options import HostedOptions
from morelli.generators.prompts import clean
from morelli.generators.spending import Ledger, money
from morelli.generators.trouble import FREE, PASSING, Backoff, Trouble, to_error
from morelli.images.load import Picture, load_image

# A host that cannot be reached is seldom there a minute later; the user should hear of it soon.
_TRIES_UNREACHABLE = 3


class HostedGenerator(ABC):
    """A model on somebody else's machine.

    The key is read from the environment when it is needed, handed to the client, and kept nowhere else.

    Attributes
    ----------
    ledger : Ledger
        Where prices are counted; one in memory unless another is set.
    backoff : Backoff
        How long to wait between tries.
    """

    kind = ""
    key_name = ""
    revision = ""
    hosted = True

    def __init__(self, name: str, options: HostedOptions) -> None:
        self.id = f"{self.kind}:{name}"
        if not name:
            raise InputError("must be followed by the model's id.", argument=self.id)
        self.name = name
        self.model = options.model or name
        self.family = options.family or ""
        self.base = options.base or ""
        self.ledger = Ledger()
        self.backoff = Backoff()
        self._timeout = options.timeout
        self._retries = options.retries
        options.check(self.id)
        self.base_url = options.base_url
        self._size = (options.width, options.height) if options.width and options.height else None
        self.price = None if options.price is None else money(options.price, self.id)
        self.cap = None if options.cap is None else money(options.cap, self.id)
        self._interval = 60 / options.rate if options.rate else 0.0
        self._next_request = 0.0

    @property
    @abstractmethod
    def host(self) -> str:
        """Where prompts go."""

    @property
    @abstractmethod
    def settings(self) -> Mapping[str, Setting]:
        """What was asked of the model beside prompt and seed."""

    @abstractmethod
    def _request(self, prompt: str, seed: int, key: str | None) -> bytes | Picture:
        """One image, by one request; raises `Trouble`."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} at {self.host}>"

    def key(self) -> str | None:
        """The key from the environment; None where an own server may do without.

        Raises
        ------
        CredentialsError
            It is not set.
        """
        key = os.environ.get(self.key_name, "").strip()
        if not key and self.base_url is None:
            raise CredentialsError(
                f"needs a key for {self.host}, and {self.key_name} is not set.",
                argument=self.id,
                fix=f"Set {self.key_name} in the environment.",
            )
        return key or None

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        """Images of a prompt, one request each; see `Generator`. Ask for one at a time to keep each as it comes.

        Raises
        ------
        SpendingCapError
            The next request could pass the cap; it was not sent.
        CredentialsError, HostError, UnknownModelError, RefusedContentError, BadGenerationError, GeneratorError
            What the host said, after as many tries as ``retries`` allows.
        """
        text, key = clean(prompt), self.key()
        return [self._one(text, seed + number, key) for number in range(count)]

    def _one(self, prompt: str, seed: int, key: str | None) -> Generated:
        tried = 0
        while True:
            try:
                picture = self._try(prompt, seed, key)
                cost = float(self.price or 0)
                settings = dict(self.settings)
                return Generated(picture.pixels, self.model, self.family, "", prompt, seed, settings, cost)
            except Trouble as trouble:
                tried += 1
                wait = self._wait(trouble, tried)
                if wait is None:
                    trouble.message = redact(trouble.message, key)
                    # Without its cause: a client's own error may quote what was sent.
                    raise to_error(trouble, self.id, self.host, self.key_name, tried) from None
            self._sleep(wait)

    def _wait(self, trouble: Trouble, tried: int) -> float | None:
        """Seconds until the next try; None where there is none."""
        limit = min(self._retries + 1, _TRIES_UNREACHABLE) if trouble.kind == "unreachable" else self._retries + 1
        if trouble.kind not in PASSING or tried >= limit or (trouble.retry_after or 0) > self.backoff.patience:
            return None
        return self.backoff.seconds(tried, trouble.retry_after, random.random())  # noqa: S311 - jitter, no secret

    def _try(self, prompt: str, seed: int, key: str | None) -> Picture:
        """One request, counted before it is sent."""
        self._sleep(self._next_request - self._now())
        entry = self.ledger.reserve(self.id, self.price or Decimal(0), self.cap)
        self._next_request = self._now() + self._interval
        try:
            answer = self._request(prompt, seed, key)
            return answer if isinstance(answer, Picture) else load_image(answer, name=f"the answer of {self.host}")
        except TruncatedImageError as error:
            raise Trouble("cut", error.message) from error
        except ImageError as error:
            raise Trouble("answer", error.message) from error
        except Trouble as trouble:
            if trouble.kind in FREE:
                self.ledger.release(entry)
            raise

    def _now(self) -> float:
        return time.monotonic()

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


def attach(generators: Sequence[Generator], ledger: Ledger) -> None:
    """Count what hosted generators spend in one ledger.

    Raises
    ------
    InputError
        The ledger has a cap, and a generator has no price or cannot be counted.
    """
    for each in generators:
        counted = isinstance(each, HostedGenerator)
        if each.hosted and ledger.cap is not None and not (counted and each.price is not None):
            why = "has no price" if counted else "does not say what it spends"
            raise InputError(
                f"{why}, so the cap cannot be kept.", argument=each.id, fix="Give the price of one image with --price."
            )
        if counted:
            each.ledger = ledger


def redact(text: str, key: str | None) -> str:
    """The text without the key."""
    return text.replace(key, "[key]") if key else text
