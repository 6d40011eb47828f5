"""``hub-inference:MODEL``: models that Hugging Face's inference providers, or an endpoint of yours, run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from morelli.errors import CredentialsError, MissingExtraError
from morelli.generators.base import Setting
from morelli.generators.hosted import HostedGenerator
from morelli.generators.hosted_options import HostedOptions
from morelli.generators.options import scalar_settings
from morelli.generators.transport import transport_trouble
from morelli.generators.trouble import Trouble, from_status
from morelli.images.load import Picture, from_array


@dataclass(frozen=True)
class HubInferenceOptions(HostedOptions):
    """Options of ``hub-inference``, beside those of `HostedOptions`.

    Attributes
    ----------
    provider : str, optional
        "fal-ai", "replicate", "together", …; by default the first of your account that has the model.
    steps : int, optional
    guidance : float, optional
    negative_prompt, scheduler : str, optional
        Passed on; not every provider heeds them.
    base_url : str, optional
        Address of an inference endpoint, to which the request is posted as it stands.
    """

    provider: str | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None


class HubInferenceGenerator(HostedGenerator):
    """Asks through `huggingface_hub.InferenceClient`."""

    kind = "hub-inference"
    key_name = "HF_TOKEN"
    Options = HubInferenceOptions

    def __init__(self, name: str, options: HubInferenceOptions) -> None:
        super().__init__(name, options)
        self._provider = options.provider
        width, height = self._size or (None, None)
        self._parameters: dict[str, Any] = scalar_settings(
            width=width,
            height=height,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            negative_prompt=options.negative_prompt,
            scheduler=options.scheduler,
        )

    @property
    def host(self) -> str:
        """The endpoint, or Hugging Face's router and the provider behind it."""
        if self.base_url:
            return urlsplit(self.base_url).netloc
        behind = self._provider or "the first provider of your account"
        return f"{urlsplit(self._hub().constants.INFERENCE_PROXY_TEMPLATE).netloc} (and {behind})"

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What was asked for, and the provider."""
        return {**self._parameters, **scalar_settings(provider=self._provider)}

    def key(self) -> str | None:
        """See `HostedGenerator.key`; only a token of Hugging Face goes through its router."""
        key = super().key()
        if key and not self.base_url and not key.startswith("hf_"):
            raise CredentialsError(
                "HF_TOKEN is no token of Hugging Face, so it would go to the provider itself.",
                argument=self.id,
                fix="Set HF_TOKEN to a token that begins with hf_.",
            )
        return key

    def _hub(self) -> Any:
        try:
            import huggingface_hub
            import huggingface_hub.constants
            import huggingface_hub.errors
        except ImportError as error:
            raise MissingExtraError("hosted", self.id) from error
        return huggingface_hub

    def _request(self, prompt: str, seed: int, key: str | None) -> bytes | Picture:
        hub = self._hub()
        # Without a key the client would take one that was stored by a log-in; the empty header keeps it here.
        headers: Any = None if key else {"authorization": None}
        client = hub.InferenceClient(token=key, timeout=self._timeout, provider=self._provider, headers=headers)
        try:
            model = self.base_url or self.name
            return _content(client.text_to_image(prompt, model=model, seed=seed, **self._parameters))
        except hub.errors.HfHubHTTPError as error:
            raise _status_trouble(error, hub) from error
        except hub.errors.OfflineModeIsEnabled as error:
            raise Trouble("unreachable", "HF_HUB_OFFLINE is set") from error
        except Exception as error:
            raise _other_trouble(error) from error


def _status_trouble(error: Any, hub: Any) -> Trouble:
    """A status with which the host, or the hub that was asked for the providers, refused."""
    if isinstance(error, hub.errors.RepositoryNotFoundError):
        return Trouble("model", "the hub has no such repository, or the token may not see it")
    response = error.response
    try:
        body = response.json()
    except Exception:  # noqa: BLE001 - whatever is no JSON is text, also one that the connection cut off
        body = None
    said = body.get("error") if isinstance(body, dict) else None
    code = said.get("code") or said.get("type") if isinstance(said, dict) else None
    words = said.get("message") if isinstance(said, dict) else said
    text = str(words or error.server_message or response.reason_phrase)
    return from_status(response.status_code, str(code or ""), text, response.headers)


def _other_trouble(error: Exception) -> Trouble:
    """Pillow knows no image in the answer, or the client does not understand the request or the answer."""
    if isinstance(error, ValueError) and "not supported" in str(error):
        return Trouble("model", str(error))
    if type(error).__module__.startswith("PIL") or isinstance(error, ValueError | KeyError | IndexError | TypeError):
        return Trouble("answer", str(error).split("<_io")[0])
    return transport_trouble(error)


def _content(image: Any) -> bytes | Picture:
    """The bytes as they came: the client opens them and reads no further, so a cut can still be told."""
    file = getattr(image, "fp", None)
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    import numpy as np

    return from_array(np.asarray(image.convert("RGB")), "the answer")
