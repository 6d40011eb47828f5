"""One method over the tasks of a protocol becomes one row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.image import is_image_attributor, load_image_attributor
from morelli.errors import InputError, MissingExtraError, WeightsError
from morelli.evaluation.pictures import run_on_pictures
from morelli.evaluation.protocols import run_tasks, run_versions
from morelli.evaluation.scored import figures
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import Settings

if TYPE_CHECKING:
    from morelli.evaluation.data import EvaluationSet
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.scored import Scored

#: What keeps a method that a group named from running, and is then a note. Anything else ends the evaluation.
PREVENTS = (InputError, MissingExtraError, WeightsError)
T = TypeVar("T")
#: Called with the stage, how much is done and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class RowMaker:
    """Scores methods, and makes rows of what they score.

    Attributes
    ----------
    sets : Sets
    settings : Settings
    encoder : str
        Its id.
    families : mapping of str to str
        Family of each model.
    first : bool
        Whether it is of the first encoder, beside which stand the methods that see pictures and need none.
    progress : callable or None
        Told of each method as a stage.
    cache : str
        Folder of the embeddings that were computed before, for methods that see pictures and embed them; "": none.
    skipped : list of str
        Methods of a group that could not be run, with their reasons; grows as methods are attempted.
    """

    sets: Sets
    settings: Settings
    encoder: str
    families: Mapping[str, str]
    first: bool = True
    progress: Progress | None = None
    cache: str = ""
    skipped: list[str] = field(default_factory=list)

    def chosen(self, usual: Sequence[str]) -> list[str]:
        """The methods of this encoder's rows, none twice: those that are asked for, or the usual ones."""
        named = usual if self.settings.methods is None else self.settings.methods
        return [name for name in dict.fromkeys(named) if self.first or not is_image_attributor(name)]

    @property
    def folders(self) -> dict[str, str]:
        """Where methods that see pictures keep what they compute, by option."""
        found = {"checkpoint": self.settings.keep or "", "cache": self.cache}
        return {option: folder for option, folder in found.items() if folder}

    def attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """What ``work`` gives; None where a method that a group named cannot be run, and ``skipped`` then says why."""
        if name not in self.settings.optional:
            return work()
        try:
            return work()
        except PREVENTS as error:
            self.skipped.append(f"{name} was not run: {error}")
            return None

    def score(self, name: str, tasks: Sequence[Task], *, calibrate: bool | None = None) -> Scored:
        """All queries of the tasks, scored by the method of that name; calibrated as the settings say, or as told."""
        sets = self.sets
        report = partial(self.progress, name) if self.progress else None
        if is_image_attributor(name):
            made = partial(load_image_attributor, name, self.folders)
            return run_on_pictures(made, [sets.queries], tasks, sets.source, progress=report)[0]
        make, source = partial(load_attributor, name), sets.source.embeddings
        data, wanted = sets.queries.embeddings, self.settings.calibrate if calibrate is None else calibrate
        return run_tasks(make, data, tasks, source=source, progress=report, calibrate=wanted)

    def score_versions(self, name: str, tasks: Sequence[Task], versions: Sequence[EvaluationSet]) -> list[Scored]:
        """The same with each version of the queries: as they are, and degraded."""
        source = self.sets.source
        report = partial(self.progress, name) if self.progress else None
        if is_image_attributor(name):
            made = partial(load_image_attributor, name, self.folders)
            return run_on_pictures(made, versions, tasks, source, progress=report)
        data = [version.embeddings for version in versions]
        make, wanted = partial(load_attributor, name), self.settings.calibrate
        return run_versions(make, data, tasks, source=source.embeddings, progress=report, calibrate=wanted)

    def row(
        self, name: str, scored: Scored, reference: Scored | None, tasks: Sequence[Task], background: str
    ) -> dict[str, Any]:
        """The row of a method, its lift over the reference on the same tasks included.

        Parameters
        ----------
        name : str
            Of the method.
        scored : Scored
            By the method.
        reference : Scored or None
            By the reference (`morelli.evaluation.against`): the same object for the reference's own row, which has no
            lift; None where it cannot be scored.
        tasks : sequence of Task
            What was scored.
        background : {"all", "without candidates"}
        """
        settings = self.settings
        found = figures(scored, self.families, baseline=reference, epsilon=settings.epsilon, seed=settings.seed)
        row = {
            "method": name,
            "encoder": self.encoder,
            **found,
            "references_used": self._references_used(tasks),
            "background": background,
        }
        # A method that sees pictures uses no encoder of the table's, and its training may fall short of the published.
        return row | {"encoder": None, "under_trained": scored.under_trained} if is_image_attributor(name) else row

    def _references_used(self, tasks: Sequence[Task]) -> float:
        """Mean references a candidate."""
        models = self.sets.source.embeddings.models
        counts = []
        for task in tasks:
            rows = task.background if task.references is None else task.references
            if rows is not None and len(rows):
                counts.append(len(rows) / len(np.unique(models[rows])))
        return float(np.mean(counts)) if counts else 0.0
