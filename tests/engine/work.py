"""Work for engines' tests: it must lie in a module, as workers import it."""

from __future__ import annotations

import os
import signal
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.errors import BadGenerationError, InputError
from morelli.generators.base import Generated

from ..encoders.toys import ToyEncoder


def scaled(shared: int, item: int) -> int:
    """Sleeps the less the later, so that answers overtake each other."""
    time.sleep(max(0.0, 0.05 - item / 200))
    return shared * item


def picky(shared: None, item: int) -> int:
    """Fails by a named error, by a foreign one, or not."""
    if item == 1:
        raise InputError("one is not for me.", argument="item", fix="Take two.")
    if item == 2:
        raise ZeroDivisionError("division by zero")
    return item


def whoami(shared: None, item: int) -> tuple[int, int]:
    time.sleep(0.2)
    return item, os.getpid()


def suicidal(marks: Path, item: int) -> int:
    """Items below 0 kill their process always, those from 10 the first time; each attempt leaves a mark."""
    attempt = len(list(marks.glob(f"{item}-*")))
    (marks / f"{item}-{attempt}").touch()
    if item < 0 or (item >= 10 and attempt == 0):
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def dying_amid_its_answer(shared: None, item: int) -> bytes:
    """Item 1 is killed when half of its answer is written."""
    if item != 1:
        return b"whole"
    from multiprocessing.connection import Connection

    def half(self: Any, data: Any) -> None:
        self._send(struct.pack("!i", len(data)))
        self._send(bytes(data)[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send_bytes = half  # type: ignore[attr-defined]
    return bytes(1000)


def leaving(shared: None, item: int) -> int:
    """Ends its process as a program ends, with the item for its status; 0 stays."""
    if item:
        sys.exit(item)
    return item


class Unreadable(Exception):
    """It can be pickled, and not be read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def unreadable(shared: None, item: int) -> object:
    return Unreadable(1, 2) if item else item


def mark_begun() -> None:
    os.environ["MORELLI_TEST_BEGUN"] = "yes"


def begun(shared: None, item: int) -> str | None:
    return os.environ.get("MORELLI_TEST_BEGUN")


def large(shared: None, item: int) -> bytes:
    return bytes(3_000_000)


def unsendable(shared: None, item: int) -> object:
    return (value for value in [item])


def together(marks: Path, item: int) -> int:
    """Waits for the other of two items: they must be worked on at the same time."""
    (marks / str(item)).touch()
    deadline = time.monotonic() + 90
    while not (marks / str(1 - item)).exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the other item was not begun")
        time.sleep(0.02)
    return os.getpid()


def cell(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """A cell of a bench: one that kills its process, one with a defect, and sound ones."""
    if words["name"] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if words["name"] == "defect":
        return {"value": 1 / 0}
    return {"value": len(words["name"])}


class Heavy:
    """Counts in files how often it was brought into a process."""

    def __init__(self, marks: Path) -> None:
        self.marks = marks

    def __setstate__(self, state: dict[str, Path]) -> None:
        self.__dict__.update(state)
        (self.marks / f"{os.getpid()}-{time.monotonic_ns()}").touch()


def touch(shared: Heavy, item: int) -> int:
    return item


class SlowEncoder(ToyEncoder):
    """Writes the id of each process that runs it, and takes its time."""

    def __init__(self, marks: Path) -> None:
        super().__init__()
        self.marks = marks

    def encode(self, prepared: Sequence[NDArray[np.float64]]) -> Mapping[str, NDArray[np.float32]]:
        (self.marks / str(os.getpid())).touch()
        time.sleep(0.15)
        return super().encode(prepared)


class CrashingEncoder(ToyEncoder):
    """A black picture kills the process; a white one raises what nobody foresaw."""

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        if pixels.max() == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if pixels.min() == 255:
            raise RuntimeError("out of white")
        return super().prepare(pixels)


class ToyGenerator:
    """Pictures that follow from prompt and seed; "bad" fails from the second seed on, "mad" raises a foreign error."""

    hosted = False
    host: str | None = None
    id, model, family, revision = "toy", "toy", "toys", "r"
    base = "toy-base"

    def __init__(self, batch: int = 2, hosted: bool = False) -> None:
        self.batch = batch
        self.hosted = hosted
        self.asked: list[tuple[str, int, int]] = []

    @property
    def settings(self) -> Mapping[str, str | int | float]:
        return {"steps": 3}

    def generate(self, prompt: str, count: int, seed: int) -> list[Generated]:
        self.asked.append((prompt, count, seed))
        if "bad" in prompt and seed > 0:
            raise BadGenerationError("not this one.", argument=self.id)
        if "mad" in prompt:
            raise ZeroDivisionError("mad")
        rng = [np.random.default_rng([len(prompt), sum(prompt.encode()), seed + i]) for i in range(count)]
        return [
            Generated(r.integers(0, 255, (24, 24, 3), np.uint8), "toy", "toys", "r", prompt, seed + i, self.settings)
            for i, r in enumerate(rng)
        ]
