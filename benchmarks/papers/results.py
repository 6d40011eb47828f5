"""What was measured, a cell a line, in a file that an interrupted run goes on with.

Other than `benchmarks.zoo.cells`, settings may change between runs: each cell carries a hash of what decided it, and
one of another version, method, budget or data set is measured again.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.zoo.cells import read_cell, whole_lines

from morelli.encoders.weights import short_hash
from morelli.errors import InputError

SCHEMA = "morelli.papers/1"
# The folder of a text tower among a method's options.
_TOWER = re.compile(r"\btext=[^+]*[/\\]")


class Results:
    """JSON lines: the settings first, then a cell a line; the last line of a key counts.

    Parameters
    ----------
    path : Path
        Made where it does not exist.
    settings : mapping
        Of this run, for the reader; another run's cells are kept as far as they still hold.
    schema : str
        Of the file.
    clock : RunClock, optional
        Of this run; each cell is kept with what it shows then. By default it begins now.

    Raises
    ------
    InputError
        The file is no file of cells.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], schema: str = SCHEMA, clock: RunClock | None = None
    ) -> None:
        self.path, self.clock = path, clock or RunClock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cells: dict[str, dict[str, Any]] = {}
        lines = whole_lines(path)
        if path.exists() and path.stat().st_size and (not lines or read_cell(lines[0], path).get("schema") != schema):
            raise InputError("is no file of cells.", argument=str(path), fix="Choose another --out.")
        for line in lines[1:]:
            cell = read_cell(line, path)
            if not {"cell", "words", "result"} <= set(cell):
                raise InputError("holds a line that is no cell.", argument=str(path), fix="Choose another --out.")
            self._cells[cell["cell"]] = cell
        head = {"schema": schema, "settings": dict(settings)}
        kept = [json.dumps(each) for each in (head, *self._cells.values())]
        new = path.with_suffix(".new")
        new.write_text("\n".join(kept) + "\n", encoding="utf-8")
        new.replace(path)

    def get(self, key: str, words: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was measured for a key by those very words; None where nothing was, or by others."""
        cell = self._cells.get(key)
        return cell["result"] if cell is not None and cell["words"] == fingerprint(words) else None

    def stale(self, key: str, words: Mapping[str, Any]) -> bool:
        """Whether there is a cell of that key that other words decided."""
        return key in self._cells and self.get(key, words) is None

    def add(self, key: str, words: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a cell, on disk before this returns."""
        line = json.dumps(
            {"cell": key, "words": fingerprint(words), "result": dict(result), "run": self.clock.to_json()}
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._cells[key] = json.loads(line)

    def runs(self, cells: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[list[dict[str, Any]], int]:
        """The runs that measured some cells, by keys and words.

        Returns
        -------
        runs : list of dict
            id, processes, seconds by the clock until the last of these cells, and cells; in the order of their ids.
        unknown : int
            Cells that do not say.
        """
        found: dict[str, dict[str, Any]] = {}
        unknown = 0
        for key, words in cells:
            if self.get(key, words) is None:
                continue
            run = self._cells[key].get("run")
            if run is None:
                unknown += 1
                continue
            known = found.setdefault(run["id"], {**run, "cells": 0})
            known["seconds"] = max(known["seconds"], run["seconds"])
            known["cells"] += 1
        return [found[name] for name in sorted(found)], unknown


class RunClock:
    """What a run of the bench takes by the clock.

    Parameters
    ----------
    processes : int
        That measure cells.
    """

    def __init__(self, processes: int = 1) -> None:
        self.processes, self._since = processes, time.monotonic()
        self.id = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}-{secrets.token_hex(2)}"

    def to_json(self) -> dict[str, Any]:
        """The run's id, its processes, and seconds since it began."""
        return {"id": self.id, "processes": self.processes, "seconds": round(time.monotonic() - self._since, 1)}


def fingerprint(words: Mapping[str, Any]) -> str:
    """A short hash of what decides a cell.

    Where things lie does not: a data set is known by its contents and a text tower by its revision, both of which are
    among the words, so that their folders are left out.
    """
    found = json.loads(json.dumps(dict(words)))
    if "source" in found:
        del found["source"]["folder"]
    if "spec" in found:
        found["spec"] = _TOWER.sub("text=", found["spec"])
    return short_hash(found)
