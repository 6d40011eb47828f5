"""Ask generators for images one prompt at a time, check each, and keep it before the next is asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from morelli.engine.base import Engine
from morelli.errors import (
    BadGenerationError,
    EngineError,
    MorelliError,
    NotEnoughReferencesError,
    PromptError,
    RefusedContentError,
    StorageError,
    WorkerLostError,
    WorkFailedError,
)
from morelli.generators.across import ahead
from morelli.generators.base import Generated, Generator, check_generated
from morelli.generators.prompts import Prompt
from morelli.generators.store import ImageStore
from morelli.images.pixels import content_hash


@dataclass(frozen=True)
class Produced:
    """One image, and whether it was made now or was there already."""

    image: Generated
    fresh: bool


def produce(
    generator: Generator,
    prompt: str,
    count: int,
    seed: int = 0,
    *,
    store: ImageStore | None = None,
    prompt_id: str = "",
) -> Iterator[Produced]:
    """Images of a prompt with the seeds ``seed`` to ``seed + count - 1``, in that order.

    Parameters
    ----------
    generator : Generator
        Asked for ``generator.batch`` images at once where it has that attribute and is not hosted, else for one.
    store : ImageStore, optional
        Images that it has are not made again; each new one is kept there before it is yielded.

    Raises
    ------
    BadGenerationError
        An image is blank, of the wrong size, or the same as one with another seed. Those before it are kept.
    GeneratorError, StorageError
        As the generator or the disk says.
    """
    seen: dict[str, int] = {}
    batch = 1 if generator.hosted else max(1, int(getattr(generator, "batch", 1)))
    each, end = seed, seed + count
    while each < end:
        there = store.get(generator, prompt, each, prompt_id) if store is not None else None
        if there is not None:
            seen.setdefault(content_hash(there.pixels), each)
            yield Produced(there, False)
            each += 1
            continue
        stop = each + 1
        while stop < min(each + batch, end) and not _is_there(store, generator, prompt, stop):
            stop += 1
        images = generator.generate(prompt, stop - each, each)
        if len(images) != stop - each:
            raise BadGenerationError(
                f"gave {len(images)} images where {stop - each} were asked for.", argument=generator.id
            )
        for number, image in enumerate(images, start=each):
            _check(generator, image, number, seen)
            if store is not None:
                store.add(generator, image, prompt_id)
            yield Produced(image, True)
        each = stop


def _is_there(store: ImageStore | None, generator: Generator, prompt: str, seed: int) -> bool:
    return store is not None and store.path(generator, prompt, seed).is_file()


def _check(generator: Generator, image: Generated, seed: int, seen: dict[str, int]) -> None:
    check_generated(image, generator)
    if image.seed != seed:
        raise BadGenerationError(
            f"gave an image of the seed {image.seed} where {seed} was asked for.", argument=generator.id
        )
    earlier = seen.setdefault(content_hash(image.pixels), seed)
    if earlier != seed:
        fix = "It seems to ignore the seed: ask for one image a prompt, or for other prompts."
        raise BadGenerationError(
            f"gave the same image for the seeds {earlier} and {seed}.", argument=generator.id, fix=fix
        )


@dataclass(frozen=True)
class Step:
    """How far a run is: images done of all, by which model, and what the run has cost."""

    done: int
    total: int
    model: str
    cost: float


@dataclass
class Outcome:
    """What a run did. Counts are of images, by model.

    Attributes
    ----------
    made, there : Counter of str
        Made now; there already.
    cost : dict of str to float
        Price of what was made now.
    failed : list of (str, str, MorelliError)
        Model, prompt, and what went wrong.
    seconds : float
    """

    made: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    cost: dict[str, float] = field(default_factory=dict)
    failed: list[tuple[str, str, MorelliError]] = field(default_factory=list)
    seconds: float = 0.0


# What is wrong with one prompt or one image; a generator that raises anything else is not asked again in this run.
_OF_THE_PROMPT = (PromptError, RefusedContentError, BadGenerationError, NotEnoughReferencesError, WorkFailedError,
                  WorkerLostError)  # fmt: skip


def run(
    generators: Sequence[Generator],
    prompts: Sequence[Prompt],
    count: int,
    store: ImageStore,
    *,
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
    outcome: Outcome | None = None,
    engine: Engine | None = None,
) -> Outcome:
    """Images of every prompt by every generator; a failure stops no other prompt or generator.

    Parameters
    ----------
    count : int
        Images of each prompt by each generator.
    outcome : Outcome, optional
        Filled as the run goes, so that a caller who is interrupted knows how far it came.
    engine : Engine, optional
        Where local generators make their images, several prompts at once; they come in the same order. By default here.

    Raises
    ------
    StorageError
        The disk refuses: nothing more can be kept, so the run ends. Everything kept before stays.
    EngineError
        The engine as a whole cannot go on; one prompt whose worker was lost counts as failed instead.
    """
    found = Outcome() if outcome is None else outcome
    start = time.monotonic()
    total = len(generators) * len(prompts) * count
    for place, generator in enumerate(generators):
        name = generator.model
        with ahead(generator, prompts, count, seed, store, engine) as asked:
            for number, prompt in enumerate(prompts, start=place * len(prompts)):
                try:
                    images = produce(asked, prompt.text, count, seed, store=store, prompt_id=prompt.id)
                    for done, each in enumerate(images, start=number * count + 1):
                        _count(found, name, each)
                        progress(Step(done, total, name, sum(found.cost.values())))
                except _OF_THE_PROMPT as error:
                    found.failed.append((name, prompt.text, error))
                except (StorageError, EngineError):
                    raise
                except MorelliError as error:
                    found.failed.append((name, prompt.text, error))
                    break
    found.seconds = time.monotonic() - start
    return found


def _count(found: Outcome, name: str, each: Produced) -> None:
    if each.fresh:
        found.made[name] += 1
        found.cost[name] = found.cost.get(name, 0.0) + each.image.cost
    else:
        found.there[name] += 1
