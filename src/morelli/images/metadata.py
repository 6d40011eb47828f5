"""Read a dataset's metadata file: CSV, JSON lines or Parquet, every row checked and every fault placed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from morelli.errors import DatasetError
from morelli.names import refuse_reserved

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_REQUIRED = ("file_name", "model")
_TEXT = ("model", "family", "prompt_id", "prompt", "source", "licence", "base", "decoder", "category")
_COLUMNS = (*_REQUIRED, "family", "prompt_id", "prompt", "seed", "source", "licence", "base", "decoder", "category")


@dataclass(frozen=True, slots=True)
class Row:
    """One checked row.

    Attributes
    ----------
    item_name : str
        ``file_name``, relative to the folder, POSIX separators, no "." or "..".
    text : mapping of str to str
        model, family, prompt_id, prompt, source, licence, base, decoder, category; "" where not given.
    seed : int or None
    """

    item_name: str
    text: Mapping[str, str]
    seed: int | None


def read_rows(path: Path) -> list[Row]:
    """All rows of a metadata file.

    Raises
    ------
    DatasetError
        A file that cannot be read, a required column that is missing, or a malformed row, with its line.
    ReservedNameError
        A model or a base has a name that verdicts give to no model.
    """
    readers = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
    try:
        return [_check(path.name, where, values) for where, values in readers[path.suffix](path)]
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8 ({error.reason}).", argument=path.name, fix="Save it as UTF-8.") from error
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror or error}).", argument=path.name) from error


def _csv(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            _check_columns(path.name, header)
            for fields in lines:
                if not fields:
                    continue
                if len(fields) != len(header):
                    raise DatasetError(
                        f"line {lines.line_num} has {len(fields)} fields where the header has {len(header)}.",
                        argument=path.name,
                        fix="Put text that holds a comma in double quotes.",
                    )
                yield f"line {lines.line_num}", dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise DatasetError(f"line {lines.line_num} is malformed ({error}).", argument=path.name) from error


def _jsonl(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"line {number} is no JSON ({error}).", argument=path.name) from error
            if not isinstance(values, dict):
                raise DatasetError(f"line {number} is no JSON object.", argument=path.name)
            _check_columns(path.name, values, f"line {number}")
            yield f"line {number}", values


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        _check_columns(path.name, names)
        rows = file.read(columns=[name for name in _COLUMNS if name in names]).to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"is no readable Parquet file ({error}).", argument=path.name) from error
    for number, values in enumerate(rows, 1):
        yield f"row {number}", values


def _check_columns(name: str, columns: Any, where: str = "") -> None:
    present = list(columns)
    for column in _REQUIRED:
        if column not in present:
            place = f" in {where}" if where else ""
            raise DatasetError(
                f"has no column {column!r}{place}; it has {', '.join(map(str, present)) or 'none'}.",
                argument=name,
                fix="Name the columns file_name, model and, where known, family, prompt_id, prompt, seed.",
            )
    twice = {column for column in present if column in _COLUMNS and present.count(column) > 1}
    if twice:
        raise DatasetError(f"has the column {', '.join(sorted(twice))} twice.", argument=name)


def _check(name: str, where: str, values: Mapping[str, Any]) -> Row:
    file_name = _text(name, where, "file_name", values["file_name"])
    text = {column: _text(name, where, column, values.get(column)) for column in _TEXT}
    for column, value in (("file_name", file_name), ("model", text["model"])):
        if not value:
            raise DatasetError(f"{where} has no {column}.", argument=name)
    for column in ("model", "base"):
        refuse_reserved(text[column], f"{name}, {where}", column)
    return Row(_relative(name, where, file_name), text, _seed(name, where, values.get("seed")))


def _text(name: str, where: str, column: str, value: Any) -> str:
    if value is None or value != value:  # NaN stands for "empty" in tables that pandas wrote
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise DatasetError(f"{where}: {column} must be text, not {type(value).__name__}.", argument=name)
    return str(value).strip()


def _relative(name: str, where: str, file_name: str) -> str:
    path = PurePosixPath(file_name)
    windows = PureWindowsPath(file_name)
    if path.is_absolute() or windows.drive or windows.root or ".." in path.parts or ".." in windows.parts:
        raise DatasetError(
            f"{where}: file_name {file_name!r} points outside the folder.",
            argument=name,
            fix="Use paths below the folder that holds the metadata file.",
        )
    if not path.parts or "\0" in file_name:
        raise DatasetError(f"{where}: file_name {file_name!r} is no file name.", argument=name)
    return path.as_posix()


def _seed(name: str, where: str, value: Any) -> int | None:
    text = _text(name, where, "seed", value)
    if not text:
        return None
    try:
        number = float(text)
        if number == int(number):
            return int(text) if text.lstrip("+-").isdigit() else int(number)
    except (ValueError, OverflowError):
        pass
    raise DatasetError(f"{where}: seed must be a whole number or empty; got {text!r}.", argument=name)
