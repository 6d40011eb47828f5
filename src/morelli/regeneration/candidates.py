"""Fresh images of one prompt by each model, kept on disk and made once.

Each generator has a folder of its own below the cache, named after its id and host. An image is found again by model,
revision, settings, prompt and seed (`morelli.generators.store`), whichever query asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import BadGenerationError, NotEnoughReferencesError, PromptError, RefusedContentError
from morelli.generators.base import Generator
from morelli.generators.hosted import attach
from morelli.generators.produce import produce
from morelli.generators.spending import Ledger
from morelli.generators.store import LEDGER, ImageStore, folder_name
from morelli.images.pixels import content_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is wrong with one prompt, or with the images that a model makes of it, and with nothing else.
OF_THE_PROMPT = (PromptError, RefusedContentError, BadGenerationError, NotEnoughReferencesError)


@dataclass(frozen=True)
class Candidate:
    """One regenerated image.

    Attributes
    ----------
    model, family : str
    seed : int
    path : Path
        The file in the cache.
    content : str
        Content hash of the pixels.
    width, height : int
        Pixels.
    """

    model: str
    family: str
    seed: int
    path: Path
    content: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a query is compared with: c images of one prompt by m models.

    Attributes
    ----------
    prompt : str
        The likeliest, where the images are of several that a query may have been made from.
    images : tuple of Candidate
    notes : tuple of str
        What was left out.
    """

    prompt: str
    images: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """Model of each image, shape (c,)."""
        return np.array([image.model for image in self.images])

    @cached_property
    def models(self) -> NDArray[np.str_]:
        """The models, sorted, shape (m,)."""
        return np.unique(self.labels)

    @cached_property
    def families(self) -> dict[str, str]:
        """Family of each model; the model's own name where none is known."""
        return {image.model: image.family or image.model for image in self.images}

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over each model's images: shape (n, c) to (n, m)."""
        return np.stack([values[:, self.labels == model].mean(axis=1) for model in self.models], axis=1)


def regenerate(
    generators: Sequence[Generator],
    prompts: str | Sequence[str],
    gamma: int,
    folder: Path,
    *,
    seed: int = 0,
    without: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Candidates:
    """γ images of the prompt by each generator, from the cache as far as it has them.

    Several prompts share γ as evenly as it goes, the first ones getting one more.

    Parameters
    ----------
    generators : sequence of Generator
        Of different models.
    prompts : str or sequence of str
        The likeliest first. Another one than the first that some model does not take is left out, with a note.
    gamma : int
        Images a model, of each prompt with the seeds from ``seed`` on.
    folder : Path
        Of the cache; made where it does not exist.
    without : str, optional
        Content hash of the query. A model that makes this very picture gets the next seed in place of it: an image
        must not be its own reference.
    progress : callable, optional
        ``progress(done, total)``, both in images of all generators.

    Raises
    ------
    GeneratorError, NotEnoughReferencesError, InputError, StorageError
        As `morelli.generators.produce.produce` says. What was made before is kept, and found again.
    """
    images: list[Candidate] = []
    notes: list[str] = []
    listed = [prompts] if isinstance(prompts, str) else list(prompts)
    start = 0
    for generator in generators:
        for prompt, count in share_out(listed, gamma).items():

            def done(made: int, start: int = start) -> None:
                if progress is not None:
                    progress(start + made, len(generators) * gamma)

            try:
                made, told = _of_one(generator, prompt, count, seed, folder, without, done)
            except OF_THE_PROMPT as error:
                if prompt == listed[0]:
                    raise
                # All models get the same prompts: what the others made of this one stays in the cache.
                rest = [each for each in listed if each != prompt]
                less = regenerate(generators, rest, gamma, folder, seed=seed, without=without, progress=progress)
                return replace(less, notes=(f"The prompt {prompt!r} was left out: {error.message}", *less.notes))
            start += count
            images += made
            notes += told
    return Candidates(listed[0], tuple(images), tuple(notes))


def share_out(prompts: Sequence[str], gamma: int) -> dict[str, int]:
    """How many of γ images each prompt gets, in order; later prompts than the γ-th get none.

    Examples
    --------
    >>> share_out(["a cat", "a dog", "a cow"], 10)
    {'a cat': 4, 'a dog': 3, 'a cow': 3}
    """
    each, more = divmod(gamma, len(prompts))
    shares = {prompt: each + (number < more) for number, prompt in enumerate(prompts)}
    return {prompt: count for prompt, count in shares.items() if count}


def cache_folder(folder: Path, generator: Generator) -> Path:
    """Where one generator's images are kept."""
    # The name is for people; the hash keeps apart what names do not: another host under the same id.
    digest = hashlib.sha256(f"{generator.id}\0{generator.host or ''}".encode(errors="surrogateescape")).hexdigest()
    return folder / f"{folder_name(generator.id)}-{digest[:8]}"


def _of_one(
    generator: Generator,
    prompt: str,
    gamma: int,
    seed: int,
    folder: Path,
    without: str | None,
    done: Callable[[int], None],
) -> tuple[list[Candidate], list[str]]:
    found: list[Candidate] = []
    notes: list[str] = []
    with ImageStore(cache_folder(folder, generator)) as store:
        if generator.hosted:
            attach([generator], Ledger(store.folder / LEDGER))

        def ask(first: int, count: int) -> None:
            for each in produce(generator, prompt, count, first, store=store):
                image = each.image
                height, width, _ = image.pixels.shape
                content = content_hash(image.pixels)
                if content == without:
                    notes.append(
                        f"{image.model} makes this very picture of the prompt with the seed {image.seed}; it was left "
                        "out of the comparison."
                    )
                else:
                    path = store.path(generator, prompt, image.seed)
                    found.append(Candidate(image.model, image.family, image.seed, path, content, width, height))
                done(min(len(found) + len(notes), gamma))

        ask(seed, gamma)
        if len(found) < gamma:
            try:
                ask(seed + gamma, 1)
            except NotEnoughReferencesError:  # a folder of images has no more: one fewer will do
                if not found:
                    raise
    return found, notes
