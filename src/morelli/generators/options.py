"""Options of a generator: what a file or the command line gives becomes a checked, frozen record."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from morelli.errors import InputError, UnknownNameError
from morelli.generators.base import Setting

O = TypeVar("O")  # noqa: E741 - the options' class

_SECRETS = ("key", "token", "secret", "password")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list of texts"}


def read_options(kind: type[O], values: Mapping[str, Any], where: str) -> O:
    """An options record from a table of a file.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are annotated with str, int, float, bool or tuple[str, ...], or one of them or None.
    values : mapping of str to object
        A single text stands for a tuple of one.
    where : str
        Names the generator in messages.

    Raises
    ------
    UnknownNameError
        An option that there is none of; the nearest are suggested.
    InputError
        A value of another type, or a key in a file.
    """
    hints = typing.get_type_hints(kind)
    known = {each.name for each in fields(typing.cast("Any", kind))}
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            if any(word in name.lower() for word in _SECRETS):
                raise InputError(
                    f"{name!r} is no option: keys are read from the environment only.",
                    argument=where,
                    fix="Take it out of the file, and set HF_TOKEN or OPENAI_API_KEY instead.",
                )
            error = UnknownNameError("option", name, known)
            error.argument = where
            raise error
        chosen[name] = _value(name, value, hints[name], where)
    return kind(**chosen)


def _value(name: str, value: Any, hint: Any, where: str) -> Any:
    kinds = [each for each in typing.get_args(hint) if each is not type(None)] if _is_union(hint) else [hint]
    wanted = list if typing.get_origin(kinds[0]) is tuple else kinds[0]
    if wanted is list:
        items = [value] if isinstance(value, str) else value
        if isinstance(items, list | tuple) and all(isinstance(item, str) and item for item in items):
            return tuple(items)
    elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool)):
        return value
    raise InputError(f"{name} must be {_WORDS[wanted]}, and is {value!r}.", argument=where)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def check_range(where: str, name: str, value: float | None, low: float, high: float | None = None) -> None:
    """Refuse a number outside ``low`` to ``high``; None, an option that was not given, passes.

    Raises
    ------
    InputError
        It is outside, or not finite.
    """
    if value is None or (value >= low and (value <= high if high is not None else value < float("inf"))):
        return
    bounds = f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"
    raise InputError(f"{name} must be {bounds}, and is {value:g}.", argument=where)


def scalar_settings(**given: Any) -> dict[str, Setting]:
    """The settings that were given."""
    return {name: value for name, value in given.items() if value is not None}
