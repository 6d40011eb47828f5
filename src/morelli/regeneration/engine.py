"""A query and its prompt, or prompts, against what each model makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from morelli.encoders.cache import default_folder
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.generators.base import Generator
from morelli.generators.catalogue import check_consent
from morelli.images.load import Picture
from morelli.regeneration.candidates import Candidates, regenerate
from morelli.regeneration.similarity import Compared, Similarity
from morelli.regeneration.stopwatch import Stopwatch

#: Candidates a model; the paper leaves the number open.
DEFAULT_GAMMA = 10
#: Folder for regenerated images, below the cache's.
FOLDER = "regenerations"

_ALLOW = "Regeneration sends a description of the image. Say --yes-send to allow it, or choose local generators."

#: Called with the stage, how much is done and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Regenerated:
    """The candidates of one prompt, and how a query compares with them."""

    candidates: Candidates
    compared: Compared


class Regeneration:
    """Compares queries with fresh images of their prompts.

    Parameters
    ----------
    generators : sequence of Generator
        Of two different models at least.
    similarity : Similarity
    gamma : int
        Candidates a model.
    seed : int
        Of the first candidate; the others follow.
    cache : str or Path, optional
        Folder below which candidates are kept; by default `default_folder`.
    allow_send : bool
        Whether prompts may leave this machine, for hosted generators.

    Raises
    ------
    ConsentError
        A generator is hosted, and prompts may not leave.
    NotEnoughReferencesError
        One generator only.
    InputError
        Two generators of one model, or fewer candidates than the similarity needs.
    """

    def __init__(
        self,
        generators: Sequence[Generator],
        similarity: Similarity,
        *,
        gamma: int = DEFAULT_GAMMA,
        seed: int = 0,
        cache: str | Path | None = None,
        allow_send: bool = False,
    ) -> None:
        check_consent(generators, allow_send, _ALLOW)
        names = Counter(each.model for each in generators)
        if len(names) < len(generators):
            twice = names.most_common(1)[0][0]
            raise InputError(f"two generators are called {twice!r}.", argument="generators", fix="List each once.")
        if len(names) < 2:
            raise NotEnoughReferencesError(
                f"regeneration compares models, and here is {len(names)}.",
                argument="generators",
                fix="List another generator, or zoo for all built-in models.",
            )
        if gamma < similarity.least:
            raise InputError(
                f"{similarity.name} needs at least {similarity.least} candidates a model, and γ is {gamma}.",
                argument="gamma",
                fix="Raise it, give a gallery to learn from, or take clip-cosine." if gamma > 0 else "Raise it.",
            )
        self.generators = tuple(generators)
        self.similarity = similarity
        self.gamma = gamma
        self.seed = seed
        self.folder = (default_folder() if cache is None else Path(cache)) / FOLDER

    def compare(
        self,
        queries: Sequence[Picture],
        prompts: str | Sequence[str],
        *,
        progress: Progress | None = None,
        watch: Stopwatch | None = None,
    ) -> Regenerated:
        """Compare forms of one query (itself first, then degraded copies) with what the models make of a prompt.

        Of several prompts, the likeliest first, each gets its share of the γ images (`regenerate`).

        Raises
        ------
        GeneratorError, StorageError
            A generator or the disk refuses; what was made is kept.
        ImageError, ArrayError
            The query cannot be compared.
        """
        clock = Stopwatch() if watch is None else watch
        stage = f"regenerating, γ = {self.gamma}, {len(self.generators)} models"
        with clock("generate"):
            candidates = regenerate(
                self.generators,
                prompts,
                self.gamma,
                self.folder,
                seed=self.seed,
                without=queries[0].content,
                progress=None if progress is None else lambda done, total: progress(stage, done, total),
            )
        return Regenerated(candidates, self.similarity.compare(queries, candidates, clock))
