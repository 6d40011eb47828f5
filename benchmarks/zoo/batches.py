"""A model of the zoo that makes several images of a prompt at once."""

from __future__ import annotations

from typing import Any, cast

from morelli.generators.base import Generated, Generator, check_generated
from morelli.generators.zoo.generator import ZooGenerator


def in_batches(generator: Generator, batch: int) -> Generator:
    """A model of the zoo that makes so many images at once; any other generator as it is."""
    # What it does not have itself, its generator has.
    return cast("Generator", InBatches(generator, batch)) if isinstance(generator, ZooGenerator) else generator


class InBatches:
    """Keeps the contract of a generator, and its id, revision and settings.

    Its images are not bit for bit those of ``generate``: a product of other matrices may round otherwise in the last
    bit. A transformer of tokens is eight times as quick so, U-Nets up to twice.

    Parameters
    ----------
    generator : ZooGenerator
    batch : int
        Images at once, at least 1.
    """

    def __init__(self, generator: ZooGenerator, batch: int) -> None:
        self.generator = generator
        self.batch = batch

    def __getattr__(self, name: str) -> Any:
        # What pickle asks for before there is a generator must not be looked for in it.
        if name.startswith("__") or name == "generator":
            raise AttributeError(name)
        return getattr(self.generator, name)

    def generate(self, prompt: str, count: int, seed: int) -> list[Generated]:
        """Images with the seeds ``seed`` to ``seed + count - 1``; errors are those of `ZooGenerator`."""
        model = self.generator
        seeds = range(seed, seed + count)
        made = model.pixels([prompt] * count, seeds)
        common = {"model": model.model, "family": model.family, "revision": model.revision, "settings": model.settings}
        return [
            check_generated(Generated(pixels=pixels, prompt=prompt, seed=each, **common), model)
            for pixels, each in zip(made, seeds, strict=True)
        ]
