"""Prompts found for pictures, in several processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from morelli.engine.processes import ProcessEngine
from morelli.errors import InputError
from morelli.images.load import load_image
from morelli.inversion.base import Inverter


@dataclass(frozen=True)
class Found:
    """Prompts, the likeliest first and none where the inverter has none for the picture, and the seconds it took."""

    prompts: tuple[str, ...]
    seconds: float


def invert(load: Callable[[], Inverter], pictures: Sequence[Path], processes: int = 1) -> Iterator[Found]:
    """A prompt for each picture, in their order.

    Parameters
    ----------
    load : callable
        Gives the inverter; called once a process, and not at all without pictures. With several it must be picklable.
    pictures : sequence of Path
    processes : int

    Raises
    ------
    MorelliError
        The inverter cannot be loaded, or a picture not be read.
    """
    if not pictures:
        return
    if processes == 1:
        inverter = load()
        yield from (_found(inverter, path) for path in pictures)
        return
    for answer in ProcessEngine(processes, _one_core).map(_found_by, pictures, shared=load):
        yield answer.get()


def _found(inverter: Inverter, path: Path) -> Found:
    pixels = load_image(path).pixels
    start = time.perf_counter()
    try:
        prompts = inverter.invert(pixels).prompts
    except InputError as error:  # of the picture: no words were found for it
        print(f"{path}: {error}", file=sys.stderr)
        prompts = ()
    return Found(prompts, time.perf_counter() - start)


def _one_core() -> None:
    import torch

    torch.set_num_threads(1)


@cache
def _loaded(load: Callable[[], Inverter]) -> Inverter:
    """Once in each process, which is sent the function once."""
    return load()


def _found_by(load: Callable[[], Inverter], path: Path) -> Found:
    return _found(_loaded(load), path)
