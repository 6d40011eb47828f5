"""What an experiment measured, cell by cell, in a file that an interrupted run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from morelli.errors import InputError

SCHEMA = "morelli.zoo-experiment/1"


class Cells:
    """JSON lines: the settings first, then a cell a line. A cell that is there is not measured again.

    Parameters
    ----------
    path : Path
        Made where it does not exist.
    settings : mapping
        What the cells depend on: prompts, seeds, models and their revisions.

    Raises
    ------
    InputError
        The file holds cells of other settings, or is no such file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        head = json.loads(json.dumps({"schema": SCHEMA, "settings": dict(settings)}))
        self.cells: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = whole_lines(path)
        if not lines:
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")
            return
        found = read_cell(lines[0], path)
        if found != head:
            changed = [key for key, value in head["settings"].items() if found.get("settings", {}).get(key) != value]
            raise InputError(
                f"holds cells of other settings ({', '.join(changed) or 'another version'}).",
                argument=str(path),
                fix="Choose another --out; images and embeddings there are found again if they are copied along.",
            )
        for line in lines[1:]:
            cell = read_cell(line, path)
            self.cells[cell.pop("cell")] = cell
        # Only now is it known to be ours: half a line goes, or the next cell would be written behind it.
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return key in self.cells

    def add(self, key: str, cell: Mapping[str, Any]) -> None:
        """Keep a cell, on disk before this returns."""
        line = json.dumps({"cell": key, **cell})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.cells[key] = json.loads(json.dumps(dict(cell)))

    def of(self, table: str) -> list[dict[str, Any]]:
        """The cells whose key begins with that table's name and a slash, in the order of their keys' making."""
        return [cell for key, cell in self.cells.items() if key.startswith(f"{table}/")]


def whole_lines(path: Path) -> list[str]:
    """A file's lines but for half of one, which a killed process may have left; none without a file."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace").splitlines()


def read_cell(line: str, path: Path) -> dict[str, Any]:
    """An object of JSON.

    Raises
    ------
    InputError
        It is none; the path is named.
    """
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"is no file of cells: {error}.", argument=str(path), fix="Choose another --out.") from error
    if not isinstance(found, dict):
        raise InputError("is no file of cells.", argument=str(path), fix="Choose another --out.")
    return found
