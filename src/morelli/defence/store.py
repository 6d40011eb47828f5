"""A protected dataset on disk: a dataset at every moment, taken up where it was left, and nothing replaced unasked.

::

    DIR/metadata.csv       the dataset's rows, with the protected files' names
    DIR/<file name>.png    of the original's name, in the same sub-folder
    DIR/protected.jsonl    what was asked, then a report (``morelli.protect/1``) an image

A report is written before its image, and the image's row after it. Whatever a process that is killed leaves, an image
counts as protected only where its report and its file agree.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from morelli.defence.files import write_file
from morelli.errors import InputError, StorageError
from morelli.generators.files import append, locked, write_whole
from morelli.images.metadata import METADATA_NAMES
from morelli.types import PROTECT_SCHEMA, Item

RUN_SCHEMA = "morelli.protect-run/1"
METADATA, REPORTS = "metadata.csv", "protected.jsonl"
#: Of pictures that are no dataset.
PICTURE_REPORTS = "reports.jsonl"
COLUMNS = ("file_name", "model", "family", "base", "decoder", "prompt_id", "prompt", "category", "seed", "source",
           "licence")  # fmt: skip
_ELSEWHERE = "Name another place, or add --overwrite to begin anew."
_OTHER = "Name another place."
# What a run needs of a report.
_REPORTED = ("file_name", "sha256", "output_sha256")


class ProtectedStore:
    """A folder of protected images; held for this process alone while it is open.

    Parameters
    ----------
    folder : Path
        Made where it does not exist. One that this class wrote with the same settings is taken up where it was left.
    root : Path
        The original dataset.
    items : sequence of Item
        Of the original dataset.
    settings : mapping
        What the images depend on: defence, gallery and its version. JSON.
    overwrite : bool
        Begin anew: what an earlier run wrote goes, and other files that stand in the way are replaced.

    Raises
    ------
    InputError
        The folder lies in the dataset or the dataset in it, holds images that were protected otherwise or files that
        are not from here, two images would be written to one place, or another process writes there.
    StorageError
        The disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        items: Sequence[Item],
        settings: Mapping[str, Any],
        *,
        overwrite: bool = False,
    ) -> None:
        self.folder, self.items = folder, tuple(items)
        self._head: dict[str, Any] = json.loads(json.dumps({"schema": RUN_SCHEMA, **settings}))
        self._overwrite = overwrite
        self._names = _outputs(items)
        # The report of each protected file that is there, and whether it is of the original as it is now.
        self._reports: dict[str, dict[str, Any]] = {}
        self._done: set[str] = set()
        check_apart(folder, root)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be made: {error.strerror or error}.", argument=str(folder)) from error
        self._stack = ExitStack()
        self._stack.enter_context(locked(folder))
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ProtectedStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        self._stack.close()

    def path(self, item: Item) -> Path:
        """Where an image's protected form is, or will be."""
        return self.folder.joinpath(*PurePosixPath(self._names[item.name]).parts)

    def missing(self) -> list[Item]:
        """The images that are yet to be protected: those without a report and a file, and those that changed since."""
        return [item for item in self.items if item.name not in self._done]

    def reports(self) -> Iterator[dict[str, Any]]:
        """The report of each image that is there, in the dataset's order."""
        return (self._reports[item.name] for item in self.items if item.name in self._done)

    def add(self, item: Item, data: bytes, report: Mapping[str, Any]) -> None:
        """Keep an image: its report, the file, its row.

        Parameters
        ----------
        item : Item
        data : bytes
            The protected file.
        report : mapping
            Of schema ``morelli.protect/1``, with ``sha256`` of the original and ``output_sha256`` of ``data``.

        Raises
        ------
        StorageError
            The disk refuses; what was there stays.
        """
        known, listed = item.name in self._reports, item.name in self._done
        line = json.loads(json.dumps({"file_name": item.name, **report}, allow_nan=False, default=float))
        append(self.folder / REPORTS, (json.dumps(line) + "\n").encode())
        write_file(self.path(item), data, overwrite=known or self._overwrite)
        self._reports[item.name] = line
        self._done.add(item.name)
        if not listed:
            append(self.folder / METADATA, _row(self._names[item.name], item).encode())

    def finish(self) -> None:
        """Bring the rows into the dataset's order."""
        rows = [_row(self._names[item.name], item) for item in self.items if item.name in self._done]
        write_whole(self.folder / METADATA, "".join([",".join(COLUMNS) + "\n", *rows]).encode())

    # -- what is there ------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        lines = _whole_lines(self.folder / REPORTS)
        head = lines[0] if lines else None
        ours = head is not None and head.get("schema") == RUN_SCHEMA
        if ours and any(not isinstance(line.get(name), str) for line in lines[1:] for name in _REPORTED):
            raise InputError(f"{REPORTS} holds what is no report.", argument=str(self.folder), fix=_OTHER)
        if self._overwrite:
            self._clear(lines[1:], ours)
        elif lines and head != self._head:
            fix = _ELSEWHERE if ours else _OTHER
            raise InputError(f"holds {_difference(head, self._head)}.", argument=str(self.folder), fix=fix)
        else:
            self._match(lines[1:])
            self._check_free(lines)
        # From the reports anew: half a row, or one that was not written any more, does not matter.
        write_whole(
            self.folder / REPORTS,
            "".join(json.dumps(line) + "\n" for line in [self._head, *self._reports.values()]).encode(),
        )
        self.finish()

    def _match(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Find the report of each file that is there.

        A process that is killed may leave a report whose image was not written any more, beside an older image of the
        same name: the file is then known by the older report.
        """
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for line in lines:
            told.setdefault(line["file_name"], {})[line["output_sha256"]] = dict(line)
        for item in self.items:
            path = self.path(item)
            report = told.get(item.name, {}).get(_sha256(path)) if item.name in told and path.is_file() else None
            if report is not None:
                self._reports[item.name] = report
                if report["sha256"] == _sha256(item.path):
                    self._done.add(item.name)

    def _check_free(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Refuse, before the work, whatever would have to be replaced and is not as this class left it."""
        others = [name for name in METADATA_NAMES if (self.folder / name).exists() and (name != METADATA or not lines)]
        if others:
            raise InputError(f"{self.folder / others[0]} exists already.", argument="out", fix=_OTHER)
        files = [self.path(item) for item in self.items if item.name not in self._reports and self.path(item).exists()]
        if files:
            raise InputError(f"{files[0]} exists already.", argument="out", fix=_ELSEWHERE)

    def _clear(self, lines: Sequence[Mapping[str, Any]], ours: bool) -> None:
        """Take away what an earlier run wrote, and nothing else."""
        mine = (REPORTS, METADATA) if ours else ()
        foreign = [name for name in (REPORTS, *METADATA_NAMES) if name not in mine and (self.folder / name).exists()]
        if foreign:
            raise InputError(f"holds a {foreign[0]} that is not from here.", argument=str(self.folder), fix=_OTHER)
        try:
            for line in lines:
                path = self.folder.joinpath(*PurePosixPath(output_name(line["file_name"])).parts)
                if path.is_file() and _sha256(path) == line["output_sha256"]:
                    path.unlink()
            for name in (METADATA, REPORTS):  # the reports last: by them the folder is known
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot be cleared: {error.strerror or error}.", argument=str(self.folder)) from error


def seed_of(folder: Path) -> int | None:
    """The seed of a run that a folder holds; None where there is none, or it had no use for one."""
    lines = _whole_lines(folder / REPORTS)
    found = lines[0].get("defence") if lines and lines[0].get("schema") == RUN_SCHEMA else None
    return found.get("seed") if isinstance(found, dict) else None


def check_reports(file: Path) -> None:
    """Refuse a file that holds anything but reports of protected pictures: it would be added to.

    Raises
    ------
    InputError
    """
    lines: list[Any] = _whole_lines(file)
    if any(not isinstance(line, dict) or line.get("schema") != PROTECT_SCHEMA for line in lines):
        raise InputError(f"{file} holds what is no report of a protected picture.", argument="out", fix=_OTHER)


def keep_report(file: Path, report: Mapping[str, Any]) -> None:
    """Add a report to a file of JSON lines.

    Raises
    ------
    StorageError
        The disk refuses.
    """
    append(file, (json.dumps(dict(report), allow_nan=False, default=float) + "\n").encode())


def last_reports(file: Path) -> None:
    """Of the reports of one output leave the last.

    Raises
    ------
    InputError
        The file is none of reports.
    StorageError
        The disk refuses.
    """
    lines = _whole_lines(file)
    last = {line.get("output"): line for line in lines}
    if len(last) < len(lines):
        write_whole(file, "".join(json.dumps(line) + "\n" for line in last.values()).encode())


def check_apart(folder: Path, root: Path) -> None:
    """Refuse a folder within the dataset, or around it: one would take the other's images for its own.

    Raises
    ------
    InputError
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder.", argument="out", fix="Name a folder.")
    here, there = folder.resolve(), root.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise InputError(f"{folder} and the dataset {root} lie in one another.", argument="out",
                         fix="Name a folder beside it.")  # fmt: skip


def _outputs(items: Sequence[Item]) -> dict[str, str]:
    """Name of the protected file of each image."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for item in items:
        name = output_name(item.name)
        if name in taken:
            raise InputError(
                f"{taken[name]} and {item.name} would both be written to {name}.", argument="out",
                fix="Rename one of them.",
            )  # fmt: skip
        names[item.name], taken[name] = name, item.name
    return names


def output_name(file_name: str) -> str:
    return PurePosixPath(file_name).with_suffix(".png").as_posix()


def _row(file_name: str, item: Item) -> str:
    line = io.StringIO()
    values = [file_name, *(getattr(item, name) for name in COLUMNS[1:])]
    csv.writer(line, lineterminator="\n").writerow(["" if value is None else value for value in values])
    return line.getvalue()


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Objects of a file of JSON lines, but for half of one at the end; none without a file."""
    try:
        data = path.read_bytes() if path.exists() else b""
        found = [json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no file of reports ({error}).", argument="out", fix=_OTHER) from error
    if not all(isinstance(line, dict) for line in found):
        raise InputError(f"{path} is no file of reports.", argument="out", fix=_OTHER)
    return found


def _difference(found: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> str:
    if found is None or found.get("schema") != asked["schema"]:
        return f"a {REPORTS} that is not from here"
    changed = [name for name in asked if found.get(name) != asked[name]]
    return f"images that were protected otherwise ({', '.join(changed)})"


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # what cannot be read is protected anew, and refused then with its reason
        return ""
