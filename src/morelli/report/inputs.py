"""What ``morelli report`` reads: answers of other commands, told apart by their schema."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morelli.errors import InputError
from morelli.types import ERROR_SCHEMA, EVALUATION_SCHEMA, EXPOSURE_SCHEMA, VERDICT_SCHEMA

#: The name of a training's log, whose lines have a step and no schema.
LOG = "training log"
KNOWN = (VERDICT_SCHEMA, ERROR_SCHEMA, EVALUATION_SCHEMA, EXPOSURE_SCHEMA)
#: Bytes of one input.
MOST = 256 * 2**20
# What a report cannot do without; a field of another type is told by the section that needs it.
_NEEDED = {
    VERDICT_SCHEMA: ("image", "decision", "ranking", "candidates", "method", "evidence", "claims", "stability"),
    ERROR_SCHEMA: ("message",),
    EVALUATION_SCHEMA: ("protocol", "dataset", "encoder", "rows", "leaks", "notes"),
    EXPOSURE_SCHEMA: ("dataset", "encoder", "prompts", "models", "curves", "encoders", "votes", "cost"),
}


@dataclass(frozen=True)
class Given:
    """One file.

    Attributes
    ----------
    name : str
    sha256 : str
    schema : str
        `LOG`, or that of its first object that is no error.
    objects : tuple of mapping
        Several only of verdicts (with errors between them) and of a log.
    """

    name: str
    sha256: str
    schema: str
    objects: tuple[Mapping[str, Any], ...]


def read_input(path: Path) -> Given:
    """Read a file of one JSON object, or of JSON lines.

    Raises
    ------
    InputError
        It cannot be read, is no JSON, has an unknown schema or lacks fields, or mixes what does not belong together.
    """
    try:
        if path.stat().st_size > MOST:
            raise InputError(f"is larger than {MOST} bytes.", argument=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error}).", argument=str(path)) from error
    objects = _objects(data, str(path))
    schemas = [_schema(each, str(path), line) for line, each in enumerate(objects, start=1)]
    kinds = list(dict.fromkeys(schema for schema in schemas if schema != ERROR_SCHEMA)) or [ERROR_SCHEMA]
    if len(kinds) > 1 or (len(objects) > 1 and kinds[0] in (EVALUATION_SCHEMA, EXPOSURE_SCHEMA)):
        raise InputError(
            f"holds {len(objects)} objects ({', '.join(kinds)}), and only verdicts and logs may come in lines.",
            argument=str(path),
            fix="Give each its own file.",
        )
    return Given(path.name, hashlib.sha256(data).hexdigest(), kinds[0], tuple(objects))


def verdicts_of(given: Iterable[Given]) -> list[Mapping[str, Any]]:
    """All verdicts of the inputs, in order."""
    return [one for each in given for one in each.objects if one.get("schema") == VERDICT_SCHEMA]


def log_parts(given: Given) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """A training log's lines in two: those that say what made the training, and those with its figures.

    The first kind has a version. A log has one at its beginning, and one wherever another version went on with it; one
    written before there were such lines has none.
    """
    heads = [each for each in given.objects if "version" in each]
    return heads, [each for each in given.objects if "version" not in each]


def _objects(data: bytes, name: str) -> list[Mapping[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is no JSON: it is not UTF-8.", argument=name) from error
    try:
        found = [json.loads(text)]
    except (ValueError, RecursionError):
        try:
            found = [json.loads(line) for line in io.StringIO(text, newline=None) if line.strip()]
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"is no JSON, and no JSON lines ({error}).", argument=name, fix="Write it with: … --json > FILE"
            ) from error
    if not found:
        raise InputError("is empty.", argument=name, fix="Write it with: … --json > FILE")
    odd = next((each for each in found if not isinstance(each, dict)), None)
    if odd is not None:
        raise InputError(f"must hold objects, and holds a {type(odd).__name__}.", argument=name)
    return found


def _schema(value: Mapping[str, Any], name: str, line: int) -> str:
    schema = value.get("schema")
    if schema is None and isinstance(value.get("step"), int):
        return LOG
    if schema not in KNOWN:
        known = ", ".join((*KNOWN, "a training's log.jsonl"))
        told = "has no schema" if schema is None else f"has the unknown schema {schema!r}"
        raise InputError(f"line {line} {told}.", argument=name, fix=f"Known: {known}.")
    missing = [field for field in _NEEDED[schema] if field not in value]
    if missing:
        raise InputError(f"line {line} says that it is {schema}, and has no {missing[0]!r}.", argument=name)
    return schema
