"""The contract of a generator, as a check that a plug-in's own tests can call."""

from __future__ import annotations

from collections.abc import Sequence

from morelli.errors import MorelliError
from morelli.generators.base import Generated, Generator, check_generated
from morelli.images.pixels import content_hash


def check_generator(generator: Generator, prompts: Sequence[str] = ("a red cat", "a blue dog"), seed: int = 3) -> None:
    """Hold a local generator to the contract of `morelli.generators.base.Generator`.

    Parameters
    ----------
    generator : Generator
        Not hosted: a host need not make the same image again.
    prompts : sequence of str
        Two that it can draw.
    seed : int
        Of the first image.

    Raises
    ------
    AssertionError
        Names the first rule that is broken: names and settings are what they should be; as many images come as were
        asked for, none blank, each with its prompt, seed, model, revision and settings; the same prompt and seed give
        the same pixels again, whatever the count; another seed and another prompt give others.
    """
    _check_names(generator)
    first, second = prompts
    three = _ask(generator, first, 3, seed)
    again = _ask(generator, first, 1, seed + 2)[0]
    _require(_same(again, three[2]), "an image depends on its prompt and seed alone, not on the count or the batch")
    _require(_same(_ask(generator, first, 1, seed)[0], three[0]), "the same prompt and seed give the same image again")
    _require(len({content_hash(each.pixels) for each in three}) == 3, "another seed gives another image")
    _require(not _same(_ask(generator, second, 1, seed)[0], three[0]), "another prompt gives another image")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"broken rule: {rule}")


def _check_names(generator: Generator) -> None:
    _require(isinstance(generator, Generator), "it has every attribute of Generator")
    _require(bool(generator.id) and bool(generator.model), "it has an id and a model's name")
    _require(not generator.hosted and generator.host is None, "it is local, and names no host")
    _require(bool(generator.revision), "a local generator has a revision")
    plain = all(isinstance(value, str | int | float) for value in generator.settings.values())
    _require(plain, "settings are texts and numbers")
    batch = getattr(generator, "batch", 1)
    _require(isinstance(batch, int) and batch >= 1, "a batch is a whole number of at least 1")


def _ask(generator: Generator, prompt: str, count: int, seed: int) -> Sequence[Generated]:
    images = generator.generate(prompt, count, seed)
    _require(len(images) == count, "as many images come as were asked for")
    for number, image in enumerate(images, start=seed):
        try:
            check_generated(image, generator)
        except MorelliError as error:
            raise AssertionError(f"broken rule: an image is one: {error}") from error
        _require((image.prompt, image.seed) == (prompt, number), "image i has the prompt and the seed plus i")
        labels = (image.model, image.family, image.revision, dict(image.settings))
        own = (generator.model, generator.family, generator.revision, dict(generator.settings))
        _require(labels == own, "an image carries the generator's model, family, revision and settings")
        _require(image.cost == 0, "a local image costs nothing")
    return images


def _same(one: Generated, other: Generated) -> bool:
    return content_hash(one.pixels) == content_hash(other.pixels)
