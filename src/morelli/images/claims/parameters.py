"""What a generating tool wrote about how it made the picture, in one form for all tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from morelli.images.claims.limits import quoted, word
from morelli.types import Claim

MAX_MODELS = 6


@dataclass(frozen=True, slots=True)
class Parameters:
    """One tool's record.

    Attributes
    ----------
    tool : str
        Who is said to have written it.
    models : tuple of str
        As the tool names them: a file, a hub id, a hash; the first made the picture where several are named.
    adapters : tuple of str
        LoRAs and the like.
    prompt : str
    details : tuple of (name, value)
        Seed, steps, sampler, …: plain words.
    """

    tool: str
    models: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    prompt: str = ""
    details: tuple[tuple[str, str], ...] = ()

    def claim(self, where: str) -> Claim:
        """As a claim; whoever can write a file can write this."""
        parts = [f"model {_names(self.models)}" if self.models else "no model named"]
        if self.adapters:
            parts.append(f"LoRA {_names(self.adapters)}")
        parts += [f"{name} {value}" for name, value in self.details if value]
        if self.prompt.strip():
            parts.append(f"prompt {quoted(self.prompt, 240)}")
        return Claim(f"parameters of {self.tool} ({where})", "; ".join(parts), signed=False)


def details(values: Mapping[str, Any], names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Scalars of a record that are worth telling.

    Parameters
    ----------
    values : mapping
        Of the record.
    names : mapping of str to str
        Key in the record → what it is called in a statement.
    """
    return tuple((shown, word(values.get(key), 60)) for key, shown in names.items())


def strings(*values: Any) -> tuple[str, ...]:
    """Those of the values that are texts, or name one under ``name`` or ``model_name``; none twice."""
    out: dict[str, None] = {}
    for value in values:
        if isinstance(value, dict):
            value = value.get("model_name") or value.get("name")
        if isinstance(value, str) and value.strip():
            out[value.strip()] = None
    return tuple(out)


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(quoted(name) for name in names[:MAX_MODELS])
    return shown if len(names) <= MAX_MODELS else f"{shown} and {len(names) - MAX_MODELS} more"
