"""Small tables that people write by hand: the rows of a CSV file, or what is wrong with it."""

from __future__ import annotations

import csv
from pathlib import Path

from morelli.errors import DatasetError


def read_csv_rows(path: str | Path) -> list[tuple[int, list[str]]]:
    """Rows that are not empty, each with the number of its line: cells without blanks at their ends.

    Raises
    ------
    DatasetError
        No such file, not UTF-8, or no CSV.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as opened:
            lines = csv.reader(opened, strict=True)
            return [(lines.line_num, [cell.strip() for cell in fields]) for fields in lines if fields]
    except UnicodeDecodeError as error:
        raise DatasetError(f"is not UTF-8 ({error.reason}).", argument=str(path), fix="Save it as UTF-8.") from error
    except csv.Error as error:
        raise DatasetError(f"is no CSV file ({error}).", argument=str(path)) from error
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror or error}).", argument=str(path)) from error
