"""A generator whose images are made by an engine's workers, ahead of the prompts' turns."""

from __future__ import annotations

from collections.abc import Generator as Iterating
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from morelli.engine.base import Answer, Engine
from morelli.errors import MorelliError
from morelli.generators.base import Generated, Generator
from morelli.generators.prompts import Prompt
from morelli.generators.store import ImageStore


@contextmanager
def ahead(
    generator: Generator, prompts: Sequence[Prompt], count: int, seed: int, store: ImageStore, engine: Engine | None
) -> Iterator[Generator]:
    """The generator, asked on an engine for what a store lacks of these prompts; the same images come, sooner.

    A hosted generator stays here: what it may spend and how often it may ask is counted in one process.

    Yields
    ------
    Generator
        The given one where there is nothing to spread. Otherwise it is to be asked for the prompts in their order.
    """
    if engine is None or not engine.remote or generator.hosted:
        yield generator
        return
    jobs: dict[str, _Job] = {}
    for prompt in prompts:
        lacking = [s for s in range(seed, seed + count) if not store.path(generator, prompt.text, s).is_file()]
        if lacking:
            jobs.setdefault(prompt.text, _Job(prompt.text, tuple(lacking)))
    with closing(engine.map(_make, jobs.values(), shared=generator)) as answers:
        # What it lacks of the contract it takes from the generator.
        yield cast("Generator", _Ahead(generator, engine, list(jobs.values()), answers))


@dataclass(frozen=True, slots=True)
class _Job:
    """Images to make: one prompt, some seeds, ascending."""

    prompt: str
    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class _Made:
    """First seed of a run of images → the images; and what stopped the generator before it made the others."""

    runs: dict[int, Sequence[Generated]]
    error: MorelliError | None = None


def _make(generator: Generator, job: _Job) -> _Made:
    """What a worker does: ask for runs of seeds, as many at once as the generator likes, until one fails."""
    batch = max(1, int(getattr(generator, "batch", 1)))
    made: dict[int, Sequence[Generated]] = {}
    left = list(job.seeds)
    while left:
        run = 1
        while run < min(batch, len(left)) and left[run] == left[0] + run:
            run += 1
        try:
            made[left[0]] = generator.generate(job.prompt, run, left[0])
        except MorelliError as error:
            return _Made(made, error)
        left = left[run:]
    return _Made(made)


class _Ahead:
    """Keeps the contract of `Generator`: hands out what workers made, prompt by prompt and run by run."""

    def __init__(
        self, generator: Generator, engine: Engine, jobs: Sequence[_Job], answers: Iterating[Answer[_Made], None, None]
    ) -> None:
        self._generator, self._engine, self._answers = generator, engine, answers
        self._jobs = jobs
        self._seeds = {job.prompt: job.seeds for job in jobs}
        self._now: tuple[str, _Made] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        """As the generator's, whose errors are raised for the first run that it did not make."""
        if seed not in self._seeds.get(prompt, ()):
            # It was there when the work was dealt out, and cannot be read.
            job = _Job(prompt, tuple(range(seed, seed + count)))
            with closing(self._engine.map(_make, [job], shared=self._generator)) as answers:
                return _run(next(answers).get(), seed)
        return _run(self._of(prompt), seed)

    def _of(self, prompt: str) -> _Made:
        """What was made for a prompt; what was made for those before it is let go."""
        while self._now is None or self._now[0] != prompt:
            answer = next(self._answers)
            made = _Made({}, answer.error) if answer.value is None else answer.value
            self._now = self._jobs[answer.index].prompt, made
        return self._now[1]


def _run(made: _Made, seed: int) -> Sequence[Generated]:
    if seed not in made.runs and made.error is not None:
        raise made.error
    return made.runs[seed]
