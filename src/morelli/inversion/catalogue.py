"""The inverters that there are, and how a text becomes one.

A *spec* is what the command line's ``--inverter`` takes: ``given``; ``blip:SOURCE`` or ``pez:SOURCE``, where the
source is a folder, a hub id, or ``zoo``; and ``NAME:SOURCE`` of an installed package. Options follow an ``@``:
``pez:zoo@iterations=500,length=8``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from morelli.errors import InputError, UnknownNameError
from morelli.generators.options import read_options
from morelli.inversion.base import Inverter
from morelli.inversion.given import GivenInverter
from morelli.registry import Registry

GIVEN = "given"
GROUP = "morelli.inverters"

#: Kind → class with ``Options``, a frozen dataclass, made as ``Kind(source, options)``.
REGISTRY: Registry[Any] = Registry(
    "inverter",
    {"blip": "morelli.inversion.blip:BlipInverter", "pez": "morelli.inversion.pez:PezInverter"},
    GROUP,
)


def load_inverter(spec: str, prompt: str | None = None) -> Inverter:
    """The inverter of a spec, with its weights read.

    Parameters
    ----------
    spec : str
        See the module's text.
    prompt : str, optional
        What ``given`` gives; nothing else takes one.

    Raises
    ------
    UnknownNameError
        No inverter, or option, is called that; the nearest are suggested.
    InputError
        ``given`` without a prompt, a prompt with another inverter, or an option that is malformed or out of range.
    WeightsError, MissingExtraError
        The network cannot be read.
    """
    kind, _, rest = spec.partition(":")
    if kind == GIVEN:
        if prompt is None:
            raise InputError("no prompt was given.", argument=GIVEN, fix="Give it, or name an inverter: blip:, pez:.")
        return GivenInverter(prompt)
    if kind not in REGISTRY:
        raise UnknownNameError("inverter", kind, [GIVEN, *REGISTRY])
    if prompt is not None:
        raise InputError("inverts, so it takes no prompt.", argument=spec, fix="Leave one of the two out.")
    source, options = _split(rest)
    if not source:
        raise InputError(f"must be {kind}:SOURCE.", argument=spec, fix="Name a folder, a hub id, or zoo.")
    factory = REGISTRY.get(kind)
    return factory(source, read_options(factory.Options, options, spec))


def inverter_names() -> tuple[str, ...]:
    """What a spec may begin with."""
    return (GIVEN, *REGISTRY)


def _split(text: str) -> tuple[str, dict[str, Any]]:
    """Source and options; an ``@`` inside a folder's name is no separator."""
    if "@" not in text or Path(text).expanduser().is_dir():
        return text, {}
    source, _, listed = text.rpartition("@")
    out: dict[str, Any] = {}
    for part in listed.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name:
            raise InputError(f"options are NAME=VALUE, and one is {part!r}.", argument="inverter")
        try:
            out[name] = json.loads(value)
        except ValueError:
            out[name] = value
    return source, out
