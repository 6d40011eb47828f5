"""The cells of a run in a file small enough to be published, and back: to check a table, or to go on with it.

::

    python -m benchmarks.papers.archive pack OUT/papers.jsonl FILE.xz
    python -m benchmarks.papers.archive unpack FILE.xz OUT/papers.jsonl

Scores of pairs are kept as their places in order, from which areas under curves and their differences follow exactly;
which pairs they are of is kept once. Table 001's scores are rounded, and folders are left out. A cell that was unpacked
holds where its data set, settings and code are the same, as any other, wherever the data set and the cells lie.
"""

from __future__ import annotations

import argparse
import base64
import json
import lzma
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from morelli.errors import InputError
from morelli.generators.files import write_whole

SCHEMA = "morelli.papers-archive/1"
#: Of table 001's scores.
DIGITS = 5
_KEPT = re.compile(r"\+?(?:checkpoint|cache)=[^+\s,:]+")


def pack(lines: list[str]) -> bytes:
    """Lines of ``papers.jsonl`` as a compressed file."""
    out: list[dict[str, Any]] = []
    pairs: dict[str, dict[str, Any]] = {}
    read = [json.loads(line) for line in lines]
    # Of a cell that was measured twice the last counts.
    for cell in {each.get("cell", ""): each for each in read}.values():
        for source in cell.get("settings", {}).get("sources", []):
            source["folder"] = source["name"]
        for record in _records(cell):
            shared = {"names": record.pop("names"), "models": record.pop("models")}
            known = pairs.setdefault(record["state"], shared)
            if known != shared:
                raise InputError("holds one state with two sets of pairs.", argument="papers.jsonl")
            record["places"] = _places(record.pop("scores"))
        if cell.get("cell", "").startswith("001/"):
            cell["result"] = _rounded(cell["result"])
        out.append(_placeless(cell))
    text = "\n".join(json.dumps(each) for each in ({"schema": SCHEMA, "pairs": pairs}, *out))
    return lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)


def unpack(data: bytes) -> list[str]:
    """The lines again, with places in order as scores.

    Raises
    ------
    InputError
        No such file.
    """
    try:
        head, *cells = [json.loads(line) for line in lzma.decompress(data).decode().splitlines()]
    except (lzma.LZMAError, ValueError) as error:
        raise InputError(f"is no archive of cells ({error}).", argument="FILE") from error
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        raise InputError(f"is not of the schema {SCHEMA}.", argument="FILE")
    for cell in cells:
        for record in _records(cell):
            places = [_read(text, np.uint16).astype(np.float32) for text in record.pop("places")]
            record |= head["pairs"][record["state"]] | {"scores": [_text(each) for each in places]}
    return [json.dumps(cell) for cell in cells]


def _rounded(value: Any) -> Any:
    """Scores of table 001, of each query and model under each attack, with `DIGITS` significant digits."""
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _placeless(value: Any) -> Any:
    """The same without the folders in which trainings and vectors were kept, which notes may name."""
    if isinstance(value, dict):
        return {name: _placeless(each) for name, each in value.items()}
    if isinstance(value, list) and any(isinstance(each, str | dict | list) for each in value):
        return [_placeless(each) for each in value]
    return _KEPT.sub("", value) if isinstance(value, str) else value


def _records(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a cell keeps of its pairs, for each group of models."""
    for group in (cell.get("result", {}).get("groups") or {}).values():
        record = group.get("verification", {}).get("pairs")
        if record is not None:
            yield record


def _places(texts: list[str]) -> list[str]:
    """Scores of both kinds of pairs as their common places in order, equal scores in one."""
    scores = [_read(text, np.float32) for text in texts]
    values, places = np.unique(np.concatenate(scores), return_inverse=True)
    if len(values) > np.iinfo(np.uint16).max:
        raise InputError("has more pairs than can be packed.", argument="papers.jsonl")
    return [_text(each.astype(np.uint16)) for each in np.split(places, [len(scores[0])])]


def _read(text: str, kind: type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    asked = parser.parse_args(arguments)
    if asked.way == "unpack" and asked.target.exists():
        parser.error(f"{asked.target} exists already")
    asked.target.parent.mkdir(parents=True, exist_ok=True)
    if asked.way == "pack":
        data = pack(asked.source.read_text(encoding="utf-8").splitlines())
    else:
        data = "".join(f"{line}\n" for line in unpack(asked.source.read_bytes())).encode()
    write_whole(asked.target, data)
    print(f"wrote {asked.target}: {len(data):,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
