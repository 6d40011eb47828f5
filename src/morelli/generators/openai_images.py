"""``openai:MODEL``: OpenAI's images, or any server that speaks the same protocol."""

from __future__ import annotations

import base64
import binascii
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from morelli.errors import InputError, MissingExtraError
from morelli.generators.base import Setting
from morelli.generators.hosted import HostedGenerator
from morelli.generators.hosted_options import HostedOptions
from morelli.generators.options import scalar_settings
from morelli.generators.transport import transport_trouble
from morelli.generators.trouble import Trouble, from_status
from morelli.images.header import Limits

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class OpenAIOptions(HostedOptions):
    """Options of ``openai``, beside those of `HostedOptions`.

    Attributes
    ----------
    base_url : str, optional
        Of another server; the path of OpenAI's ends in ``/v1``.
    quality, style, background, moderation : str, optional
        Passed on.
    response_format : str, optional
        "b64_json" or "url", for models that have the choice.
    send_seed : bool
        Send the seed too. OpenAI's own models take none; several compatible servers do.
    """

    quality: str | None = None
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    response_format: str | None = None
    send_seed: bool = False


class OpenAIGenerator(HostedGenerator):
    """Asks through the ``openai`` client's ``images.generate``.

    Where no seed is sent, the seed only numbers the images of a prompt.
    """

    kind = "openai"
    key_name = "OPENAI_API_KEY"
    Options = OpenAIOptions

    def __init__(self, name: str, options: OpenAIOptions) -> None:
        super().__init__(name, options)
        if options.response_format not in (None, "b64_json", "url"):
            raise InputError("response_format must be b64_json or url.", argument=self.id)
        self._send_seed = options.send_seed
        self._format = options.response_format
        self._parameters: dict[str, Any] = scalar_settings(
            size=f"{self._size[0]}x{self._size[1]}" if self._size else None,
            quality=options.quality,
            style=options.style,
            background=options.background,
            moderation=options.moderation,
        )

    @property
    def host(self) -> str:
        """Name and port of the server."""
        return urlsplit(self.base_url or OPENAI_URL).netloc

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What was asked for; and that no seed was sent, where none was."""
        width, height = self._size or (None, None)
        shown = {name: value for name, value in self._parameters.items() if name != "size"}
        seed = None if self._send_seed else "not sent"
        return {**shown, **scalar_settings(width=width, height=height, seed=seed)}

    def _request(self, prompt: str, seed: int, key: str | None) -> bytes:
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError("hosted", self.id) from error
        # The address is always given: without it the client would take one from the environment, which nobody was
        # warned of. Asking again is ours to do, for each try is counted.
        with openai.OpenAI(
            api_key=key or "none", base_url=self.base_url or OPENAI_URL, timeout=self._timeout, max_retries=0
        ) as client:
            more = {"response_format": self._format} if self._format else {}
            body = {"seed": seed} if self._send_seed else None
            try:
                answer = client.images.generate(
                    model=self.name, prompt=prompt, n=1, extra_body=body, **more, **self._parameters
                )
            except openai.APIStatusError as error:
                headers = {name.lower(): value for name, value in error.response.headers.items()}
                raise from_status(error.status_code, *_words(error), headers) from error
            except openai.APIConnectionError as error:
                raise transport_trouble(error) from error
            except (openai.APIError, ValueError) as error:
                raise Trouble("answer", str(error)) from error
            except Exception as error:
                raise transport_trouble(error) from error
        return _image(answer, self._timeout)


def _words(error: Any) -> tuple[str, str]:
    """The host's own code, and its message."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error")
    said = inner if isinstance(inner, dict) else body
    code = error.code or said.get("code") or said.get("type") or ""
    message = said.get("message") or (inner if isinstance(inner, str) else None) or error.response.reason_phrase
    return str(code), str(message)


def _image(answer: Any, timeout: float) -> bytes:
    """The first image of an answer: in it as base64, or behind its URL."""
    data = getattr(answer, "data", None)
    if not isinstance(data, list) or not data:
        raise Trouble("answer", "no image in the answer")
    encoded, url = getattr(data[0], "b64_json", None), getattr(data[0], "url", None)
    if not encoded and isinstance(url, str) and url.startswith("data:"):
        encoded = url.partition(",")[2]
    if encoded:
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise Trouble("cut", f"broken base64: {error}") from error
    if isinstance(url, str) and urlsplit(url).scheme in ("http", "https"):
        return _fetch(url, timeout)
    raise Trouble("answer", f"neither b64_json nor url, but {json.dumps(sorted(vars(data[0])))}")


def _fetch(url: str, timeout: float) -> bytes:
    """What is behind a URL that the host gave; no key is sent there."""
    limit = Limits().max_bytes
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310 - http and https only
            content = response.read(limit + 1)
    except urllib.error.HTTPError as error:
        raise Trouble("broken", f"status {error.code} for the image's own URL") from error
    except Exception as error:
        raise transport_trouble(error) from error
    if len(content) > limit:
        raise Trouble("answer", "the image is too large")
    return content
