"""What hosted images cost: counted before a request is sent, kept on disk, and never past the cap."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from morelli.errors import InputError, SpendingCapError, StorageError
from morelli.generators.files import append

# How every entry begins; what a crash left of one is known by it.
_BEGINNINGS = (b'{"entry": ', b'{"release": ')


def money(value: float | str | Decimal, argument: str) -> Decimal:
    """An amount as a decimal, so that ten times 0.1 is 1.

    Raises
    ------
    InputError
        Not a number, negative, or not finite.
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise InputError(f"must be an amount, and is {value!r}.", argument=argument) from error
    if not amount.is_finite() or amount < 0:
        raise InputError(f"must be an amount of at least 0, and is {value}.", argument=argument)
    return amount


class Ledger:
    """What was spent, by generator.

    Parameters
    ----------
    file : Path, optional
        JSON lines, one an entry; what it holds already counts. Without a file the ledger lasts as long as the object.
    cap : Decimal, optional
        What all generators together may spend.

    Notes
    -----
    An entry is on the disk before its request is sent, so a process that is killed in between has counted too much,
    never too little. One process at a time may write to a file.
    """

    def __init__(self, file: Path | None = None, cap: Decimal | None = None) -> None:
        self.file = file
        self.cap = cap
        self._open: dict[int, tuple[str, Decimal]] = {}
        self._totals: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._next = 0
        if file is not None:
            self._read(file)

    def total(self, generator: str | None = None) -> Decimal:
        """Currency units spent by one generator, or by all."""
        if generator is not None:
            return self._totals.get(generator, Decimal(0))
        return sum(self._totals.values(), Decimal(0))

    def reserve(self, generator: str, price: Decimal, cap: Decimal | None = None) -> int | None:
        """Count one image before it is asked for.

        Parameters
        ----------
        generator : str
            Its id.
        price : Decimal
            Of the image.
        cap : Decimal, optional
            What this generator may spend, beside the ledger's own cap for all.

        Returns
        -------
        int or None
            Number of the entry, for `release`; None where the image is free.

        Raises
        ------
        SpendingCapError
            The image would pass a cap; nothing was counted.
        StorageError
            The entry cannot be written; nothing was counted.
        """
        for limit, spent in ((self.cap, self.total()), (cap, self.total(generator))):
            if limit is not None and spent + price > limit:
                raise SpendingCapError(
                    f"the spending cap of {limit:f} is reached: {spent:f} is spent, and an image costs {price:f}.",
                    argument=generator,
                    fix="Everything made so far is kept; raise the cap and run the same command again.",
                )
        if not price:
            return None
        number = self._next
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"entry": number, "generator": generator, "price": f"{price:f}", "time": now})
        self._apply_entry(number, generator, price)
        return number

    def release(self, number: int | None) -> None:
        """Take back an entry whose request was certainly not charged.

        Raises
        ------
        StorageError
            It cannot be written; the entry stays counted.
        """
        if number is not None:
            self._write({"release": number})
            self._apply_release(number)

    def _apply_entry(self, number: int, generator: str, price: Decimal) -> None:
        self._open[number] = (generator, price)
        self._totals[generator] += price
        self._next = number + 1

    def _apply_release(self, number: int) -> None:
        generator, price = self._open.pop(number)
        self._totals[generator] -= price

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self.file is not None:
            append(self.file, json.dumps(entry).encode() + b"\n")

    def _read(self, file: Path) -> None:
        try:
            data = file.read_bytes() if file.exists() else b""
        except OSError as error:
            raise StorageError(f"cannot be read ({error.strerror or error}).", argument=str(file)) from error
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if "release" in entry:
                    self._apply_release(entry["release"])
                else:
                    price = money(entry["price"], "price")
                    self._apply_entry(int(entry["entry"]), str(entry["generator"]), price)
            except (ValueError, KeyError, TypeError) as error:
                raise _no_entry(file, number) from error
        if whole == len(data):
            return
        if not any(data[whole:].startswith(each) or each.startswith(data[whole:]) for each in _BEGINNINGS):
            raise _no_entry(file, len(lines) + 1)
        try:
            os.truncate(file, whole)  # a line cut off by a crash: its request was never sent
        except OSError as error:
            raise StorageError(f"cannot be written ({error.strerror or error}).", argument=str(file)) from error


def _no_entry(file: Path, number: int) -> InputError:
    return InputError(
        f"line {number} is no entry of a ledger, so what was spent is not known.",
        argument=str(file),
        fix="Restore the file, or choose another folder.",
    )
