"""The experiments' images: made once, in several processes, kept where regeneration finds them."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from morelli.engine.processes import ProcessEngine
from morelli.errors import BadGenerationError, PromptError
from morelli.generators.base import Generator
from morelli.generators.produce import produce
from morelli.generators.store import ImageStore
from morelli.regeneration.candidates import Candidate, cache_folder, regenerate

#: First seeds of what must never be the same image.
REFERENCES, QUERIES, BACKGROUND = 0, 10_000, 20_000
#: Wrong with one prompt, as a caption that a network wrote may be; everything else ends the experiment.
OF_THE_PROMPT = (PromptError, BadGenerationError)
_SAY_EVERY = 200


@dataclass(frozen=True)
class Order:
    """Images of one prompt by one generator, with the seeds ``seed`` to ``seed + count - 1``."""

    generator: Generator
    prompt: str
    count: int
    seed: int


def make(orders: Iterable[Order], folder: Path, processes: int = 1) -> list[str]:
    """Make what is not there yet.

    Parameters
    ----------
    orders : iterable of Order
    folder : Path
        Of the images; each generator id has a folder of its own below it, which one process at a time may hold.
    processes : int

    Returns
    -------
    list of str
        What could not be made, in words: prompts that a model cannot read.

    Raises
    ------
    GeneratorError, WeightsError, StorageError
        As the generator or the disk says; what was made is kept.
    """
    groups: dict[Path, list[Order]] = defaultdict(list)
    for order in orders:
        groups[cache_folder(folder, order.generator)].append(order)
    listed = sorted(groups.items(), key=lambda item: -sum(order.count for order in item[1]))
    if processes == 1:
        return [line for place, group in listed for line in _make_group(group, place)]
    answers = ProcessEngine(processes).map(_make_shared, listed, shared=None)
    return [line for each in answers for line in each.get()]


def _make_shared(_: None, listed: tuple[Path, list[Order]]) -> list[str]:
    place, group = listed
    return _make_group(group, place)


def _make_group(orders: Sequence[Order], folder: Path) -> list[str]:
    failed: list[str] = []
    total, done, fresh = sum(order.count for order in orders), 0, 0
    with ImageStore(folder) as store:
        for order in orders:
            try:
                for each in produce(order.generator, order.prompt, order.count, order.seed, store=store):
                    fresh += each.fresh
                    if each.fresh and fresh % _SAY_EVERY == 0:
                        print(f"{folder.name}: {fresh} images made, {done} of {total} done", file=sys.stderr)
                    done += 1
            except OF_THE_PROMPT as error:
                failed.append(f"{order.generator.model}, {order.prompt!r}: {error}")
    return failed


def images(generator: Generator, prompt: str, count: int, seed: int, folder: Path) -> tuple[Candidate, ...]:
    """The images of an order, in the order of their seeds; made where they are not there."""
    return regenerate([generator], prompt, count, folder, seed=seed).images
