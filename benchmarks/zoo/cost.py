"""Time by stage and memory of one attribution by regeneration, with nothing kept from before."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from morelli.engine.processes import ProcessEngine
from morelli.generators.base import Generator
from morelli.images.load import Picture, load_image
from morelli.inversion.base import Inverter
from morelli.regeneration.engine import Regeneration
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.stopwatch import Stopwatch


def measure(
    generators: Sequence[Generator],
    similarity: Similarity,
    inverter: Inverter,
    pictures: Sequence[Picture],
    prompts: Sequence[str],
    gamma: int,
    folder: Path,
) -> dict[str, Any]:
    """Seconds a query by stage, weights read, and the process's peak memory in MiB.

    Parameters
    ----------
    prompts : sequence of str
        Of each picture; candidates are made of these, so that a bad caption does not end it. All different.
    folder : Path
        Empty: what is there is not made again.
    """
    for generator in generators:
        load: Callable[[], None] | None = getattr(generator, "load", None)
        if load is not None:
            load()
    inverter.invert(pictures[0].pixels)  # the first call sets much up, once
    engine, watch = Regeneration(generators, similarity, gamma=gamma, cache=folder), Stopwatch()
    for picture, prompt in zip(pictures, prompts, strict=True):
        with watch("invert"):
            inverter.invert(picture.pixels)
        engine.compare([picture], prompt, watch=watch)
    seconds = {stage: each / len(pictures) for stage, each in watch.seconds.items()}
    return {"gamma": gamma, "models": len(generators), "queries": len(pictures), "seconds": seconds, "mib": peak()}


def peak() -> float:
    """The largest memory that this process held at once, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would also count the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


def measure_alone(
    generators: Sequence[Generator], weights: Path, similarity: str, queries: Sequence[tuple[Path, str]], gamma: int
) -> dict[str, Any]:
    """`measure` of files and their prompts in a process of its own and an empty folder, with the zoo's captioner."""
    (answer,) = ProcessEngine(1).map(_alone, [gamma], shared=(generators, weights, similarity, queries))
    return answer.get()


def _alone(asked: tuple[Sequence[Generator], Path, str, Sequence[tuple[Path, str]]], gamma: int) -> dict[str, Any]:
    from morelli.inversion.catalogue import load_inverter
    from morelli.regeneration.catalogue import load_similarity

    generators, weights, similarity, queries = asked
    inverter = load_inverter(f"blip:{weights / 'captioner'}")
    with tempfile.TemporaryDirectory() as folder:
        measured = load_similarity(similarity, cache=folder)
        pictures, prompts = [load_image(path) for path, _ in queries], [prompt for _, prompt in queries]
        return measure(generators, measured, inverter, pictures, prompts, gamma, Path(folder))
