"""A file that lists generators with their options.

In TOML::

    [[generator]]
    id = "diffusers:stabilityai/sdxl-turbo"
    steps = 2
    guidance = 0.0

    [[generator]]
    id = "zoo/unet"

JSON and YAML hold the same: ``{"generator": [{"id": …}, …]}``, or the list alone. Paths in it are relative to the
file's own folder.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morelli.errors import InputError, MissingExtraError

SUFFIXES = (".toml", ".json", ".yaml", ".yml")


def read_generators_file(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Ids, and the options of each.

    Raises
    ------
    InputError
        The file cannot be read, or does not have the form above.
    MissingExtraError
        A YAML file, and PyYAML is not installed.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8.", argument=str(file), fix="Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error}).", argument=str(file)) from error
    found = _parse(file, text)
    if isinstance(found, Mapping):
        extra = [name for name in found if name != "generator"]
        if extra:
            raise _wrong(file, f"{extra[0]!r} is no part of it")
        found = found.get("generator")
    if not isinstance(found, list) or not found:
        raise _wrong(file, "it lists no generator")
    return [_entry(file, number, each) for number, each in enumerate(found, start=1)]


def _parse(file: Path, text: str) -> Any:
    kind = file.suffix.lower()
    try:
        if kind == ".toml":
            return tomllib.loads(text)
        if kind == ".json":
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is malformed ({error}).", argument=str(file)) from error
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("generators", "A YAML file") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"is malformed ({' '.join(str(error).split())}).", argument=str(file)) from error


def _entry(file: Path, number: int, each: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(each, Mapping) or not isinstance(each.get("id"), str):
        raise _wrong(file, f"generator {number} has no id")
    options = {str(name): value for name, value in each.items() if name != "id"}
    named = options.get("lora")
    if isinstance(named, str | list):
        options["lora"] = [_relative(file, one) for one in ([named] if isinstance(named, str) else named)]
    kind, colon, argument = each["id"].partition(":")
    if kind in ("diffusers", "folder"):
        argument = _relative(file, argument)
    return f"{kind}{colon}{argument}", options


def _relative(file: Path, name: Any) -> Any:
    """A path below the file's folder where there is something, else the name as it stands: a hub id."""
    if not isinstance(name, str):
        return name
    beside = file.parent / name
    there = beside.exists() or (file.parent / name.partition("#")[0]).exists()
    return str(beside) if name and there else name


def _wrong(file: Path, why: str) -> InputError:
    return InputError(
        f"is no list of generators: {why}.",
        argument=str(file),
        fix='Write a table [[generator]] for each, with its id, such as id = "zoo/unet".',
    )
