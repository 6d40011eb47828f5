"""Prompts found for pictures, in several processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from morelli.engine.orphans import end_with_parent
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
    with ProcessPoolExecutor(processes, get_context("spawn"), _open, (load,)) as pool:
        yield from pool.map(_mine, pictures)


def _found(inverter: Inverter, path: Path) -> Found:
    pixels = load_image(path).pixels
    start = time.perf_counter()
    try:
        prompts = inverter.invert(pixels).prompts
    except InputError as error:  # of the picture: no words were found for it
        print(f"{path}: {error}", file=sys.stderr)
        prompts = ()
    return Found(prompts, time.perf_counter() - start)


_inverter: Inverter


def _open(load: Callable[[], Inverter]) -> None:
    """Begin a process: one inverter, one core."""
    global _inverter
    import torch

    end_with_parent()
    torch.set_num_threads(1)
    _inverter = load()


def _mine(path: Path) -> Found:
    return _found(_inverter, path)
