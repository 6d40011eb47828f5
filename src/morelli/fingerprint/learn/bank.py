"""What is made once and read in every step: a file of all slots of all classes, mapped into memory.

::

    FOLDER/KIND-KEY.json     what it holds: classes, slots, shape, type, and the digests that its key is made of
    FOLDER/KIND-KEY.bin      the array (classes, slots, …), raw
    FOLDER/KIND-KEY.done     numbers of the classes that are filled, one a line

An interrupted filling goes on where it stopped. Another store, other photographs or other settings have another key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.devices import give_back_memory
from morelli.encoders.weights import short_hash
from morelli.errors import InputError, StorageError
from morelli.generators.files import append, locked, storage_error, write_whole

Integers = NDArray[np.int64]
Progress = Callable[[int, int], None]
GIB = 1 << 30
# Pictures that are made at a time; bounds memory.
_RUN = 32


def slots_that_fit(wanted: int, classes: int, entry: int, budget: int, least: int) -> int:
    """How many slots a class gets: ``wanted``, or as many as ``budget`` bytes hold.

    Parameters
    ----------
    entry : int
        Bytes of one slot of one class.
    least : int
        Slots without which nothing can be learnt.

    Raises
    ------
    InputError
        Not even the least fits.
    """
    fitting = min(wanted, budget // (classes * entry))
    if fitting < least:
        raise InputError(
            f"{classes} classes × {least} slots take {classes * least * entry / GIB:.1f} GiB, and "
            f"{budget / GIB:.1f} are allowed.",
            argument="cache",
            fix="Allow more, or cache nothing.",
        )
    return fitting


class Bank:
    """An array (classes, slots, …) on disk, filled class by class.

    Parameters
    ----------
    folder : Path
    kind : str
        First part of the files' names.
    make : callable
        Classes (n,) and slots (n,) to a tensor (n, …) of the type that is kept.
    classes, slots : int
    shape : tuple of int
        Of one entry.
    dtype : {"uint8", "float16", "float32"}
    key : sequence
        All that decides the values.

    Raises
    ------
    StorageError
        The disk refuses, or has not the room.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        make: Callable[[Integers, Integers], Tensor],
        *,
        classes: int,
        slots: int,
        shape: tuple[int, ...],
        dtype: str,
        key: Sequence[Any],
    ) -> None:
        self.folder, self.make, self.classes, self.slots = folder, make, classes, slots
        header = {"classes": classes, "slots": slots, "shape": list(shape), "dtype": dtype, "key": list(key)}
        self.digest = short_hash(header)
        self._file = folder / f"{kind}-{self.digest}.bin"
        self._full = (classes, slots, *shape)
        self.size = int(np.prod(self._full, dtype=np.int64)) * np.dtype(dtype).itemsize
        self._dtype, self._header = dtype, header
        self._array: NDArray[Any] | None = None

    @property
    def filled(self) -> set[int]:
        """Classes whose slots are all there."""
        file = self._file.with_suffix(".done")
        # A crash can cut the last line: only whole ones count.
        return {int(line) for line in file.read_text().split("\n")[:-1]} if file.is_file() else set()

    def fill(self, progress: Progress | None = None) -> None:
        """Make what is not there yet.

        Raises
        ------
        StorageError
            The disk refuses, or has not the room.
        InputError
            Another process fills the same folder.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.folder, error) from error
        if self._present == self.size and self.filled == set(range(self.classes)):
            self._array = np.memmap(self._file, self._dtype, "r", shape=self._full)
            return
        with locked(self.folder):
            done = self._begin()
            array = np.memmap(self._file, self._dtype, "r+", shape=self._full)
            for number in sorted(set(range(self.classes)) - done):
                if progress is not None:
                    progress(len(done), self.classes)
                for at in range(0, self.slots, _RUN):
                    slots = np.arange(at, min(at + _RUN, self.slots))
                    array[number, slots] = self.make(np.full(len(slots), number), slots).cpu().numpy()
                array.flush()
                give_back_memory()
                append(self._file.with_suffix(".done"), f"{number}\n".encode())
                done.add(number)
        self._array = np.memmap(self._file, self._dtype, "r", shape=self._full)

    @property
    def _present(self) -> int:
        return self._file.stat().st_size if self._file.is_file() else 0

    def _begin(self) -> set[int]:
        """The header and a file of the full size, which must fit onto the disk; the classes that are filled."""
        there, list_ = self._present, self._file.with_suffix(".done")
        if there == self.size:
            done = self.filled
            # Without the piece of a line that a crash may have left: the next line would be glued to it.
            write_whole(list_, "".join(f"{number}\n" for number in sorted(done)).encode())
            return done
        free = shutil.disk_usage(self.folder).free
        if self.size - there > free:
            raise StorageError(
                f"{self.size / GIB:.1f} GiB are needed and {free / GIB:.1f} are free.",
                argument=str(self.folder),
                fix="Allow a smaller cache, or choose another place.",
            )
        list_.unlink(missing_ok=True)
        write_whole(self._file.with_suffix(".json"), json.dumps(self._header, indent=1).encode() + b"\n")
        try:
            with self._file.open("wb") as file:
                file.truncate(self.size)
        except OSError as error:
            raise storage_error(self._file, error) from error
        return set()

    def take(self, classes: Integers, slots: Integers) -> Tensor:
        """Entries (n, …) of classes (n,) and slots (n,), in the type that is kept.

        Raises
        ------
        InputError
            It was not filled.
        """
        if self._array is None:
            raise InputError("is read before it was filled.", argument="bank")
        return torch.from_numpy(self._array[classes, slots])
