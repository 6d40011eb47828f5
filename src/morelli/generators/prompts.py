"""Prompts from a file: one a line, or a table with the column ``prompt``."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morelli.errors import InputError, PromptError


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and its id where it has one ("" stands for the text itself)."""

    text: str
    id: str = ""


def clean(text: str, argument: str = "prompt") -> str:
    """The prompt on one line: runs of white space become one space.

    Raises
    ------
    PromptError
        Nothing is left, or it holds control characters or text that is no Unicode.
    """
    line = " ".join(text.split())
    if not line:
        raise PromptError("the prompt is empty.", argument=argument, fix="Say what the image should show.")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in line):
        raise PromptError(f"the prompt holds control characters or broken text: {line!r}.", argument=argument)
    return line


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a file, each once, in order.

    Parameters
    ----------
    path : Path
        ``.csv`` or ``.jsonl`` with the column ``prompt`` and, if there is one, ``prompt_id``; any other file is text
        with one prompt a line, blank lines left out.

    Raises
    ------
    InputError
        The file cannot be read, holds no prompt, or gives one id to two prompts.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8.", argument=str(path), fix="Save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error}).", argument=str(path)) from error
    found = list(_rows(path, text))
    if not found:
        raise InputError("holds no prompt.", argument=str(path))
    texts: dict[str, str] = {}
    for prompt in found:
        if prompt.id and texts.setdefault(prompt.id, prompt.text) != prompt.text:
            raise InputError(f"gives the id {prompt.id!r} to two prompts.", argument=str(path))
    return list(dict.fromkeys(found))


def _rows(path: Path, text: str) -> Iterator[Prompt]:
    kind = path.suffix.lower()
    if kind == ".csv":
        try:
            yield from _table(path, enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), start=2))
        except csv.Error as error:
            raise InputError(f"is malformed ({error}).", argument=str(path)) from error
    elif kind == ".jsonl":
        yield from _table(path, _json_lines(path, text))
    else:
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            if line.strip():
                yield Prompt(clean(line, f"{path}, line {number}"))


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Not str.splitlines: JSON may hold U+2028 and its like within a text.
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"line {number} is no JSON ({error}).", argument=str(path)) from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} is no JSON object.", argument=str(path))
        yield number, row


def _table(path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> Iterator[Prompt]:
    for number, row in rows:
        text, name = row.get("prompt"), row.get("prompt_id")
        if not isinstance(text, str):
            raise InputError(f"line {number} has no column 'prompt'.", argument=str(path))
        yield Prompt(clean(text, f"{path}, line {number}"), "" if name is None else str(name).strip())
