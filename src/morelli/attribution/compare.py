"""Queries against a gallery's references: with their prompt or without, and never against themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import Attributor
from morelli.attribution.calibration import CalibrationPair
from morelli.attribution.learned import Learned, free_references
from morelli.attribution.leave_out import refit
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.errors import NotEnoughReferencesError
from morelli.types import LabelledEmbeddings, Reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors

#: References from which on one of them is not seen in covariances: an image is closer to its own model's mean under
#: those that it was learnt from by about d/n, with d = 320 directions of n images. Of fewer all is learnt anew.
LARGE = 20_000
#: Learning anew takes hundreds of MiB for a moment, and uses all cores: threads that want to take turns.
_LEARNS_ANEW = threading.Lock()
WITHOUT_PROMPT = "To compare without the prompt, leave --prompt out, or pass --prompt-free where the command has it."


@dataclass(frozen=True, eq=False)
class Comparison:
    """What queries are compared with.

    Attributes
    ----------
    attributor : Attributor
        Fitted.
    calibration : CalibrationPair or None
    learned : Learned
        What the whole gallery teaches.
    rows : ndarray of int
        Its rows that queries are compared with.
    references : LabelledEmbeddings or None
        What is handed to the attributor for them.
    prompt : str or None
        The queries' prompt id, where it is used.
    k : int
        Same-prompt references a model; 0 without a prompt.
    notes : tuple of str
    """

    attributor: Attributor
    calibration: CalibrationPair | None
    learned: Learned
    rows: NDArray[np.intp]
    references: LabelledEmbeddings | None = None
    prompt: str | None = None
    k: int = 0
    notes: tuple[str, ...] = ()

    @cached_property
    def models(self) -> list[str]:
        """The models that compete: the columns of `scores`."""
        return self.attributor.candidates(self.references).tolist()

    def scores(self, vectors: Vectors) -> NDArray[np.float64]:
        """Scores of n queries: shape (n, models)."""
        return self.attributor.scores(vectors, self.references, self.prompt)

    def is_degraded(self, vectors: Vectors) -> NDArray[np.bool_]:
        """Which of n queries look degraded, and are compared and calibrated accordingly: shape (n,)."""
        return self.attributor.is_degraded(vectors)

    def condition(self, vectors: Vectors) -> str:
        """The degradation that the first query seems to have been through, "" for none."""
        return self.attributor.conditions_of({name: values[:1] for name, values in vectors.items()})[0]

    def nearest(self, vectors: Vectors, count: int) -> list[tuple[int, float]]:
        """Row in the gallery and distance of the references nearest to the first query, nearest first."""
        query = self.learned.place({name: values[:1] for name, values in vectors.items()})
        return self.learned.nearest.find(query, count, self.rows)


class Comparer:
    """Makes comparisons with one gallery under one attributor.

    Parameters
    ----------
    references : sequence of Reference
    data : LabelledEmbeddings
        Embeddings of the same rows.
    learned : Learned
        Of these data.
    where : str
        The gallery's name, for messages.
    """

    def __init__(self, references: Sequence[Reference], data: LabelledEmbeddings, learned: Learned, where: str) -> None:
        self.references = references
        self.data = data
        self.learned = learned
        self.where = where
        self._free_of: tuple[Attributor, LabelledEmbeddings | None] | None = None

    def compare(
        self,
        prompts: Sequence[str] = (),
        *,
        fall_back: bool = False,
        on_learn: Callable[[], None] = lambda: None,
        notes: tuple[str, ...] = (),
    ) -> Comparison:
        """A comparison with the references of a prompt, or without a prompt with all.

        Parameters
        ----------
        prompts : sequence of str
            Ids of the prompt, taken as one; none: unknown.
        fall_back : bool
            Compare without the prompt where a model has no reference of it.
        on_learn : callable
            Called before something is learnt.
        notes : tuple of str
            Put before its own.

        Raises
        ------
        NotEnoughReferencesError
            One model only, models without a reference of the prompt, or too few references for the attributor.
        """
        models = self._models
        if len(models) < 2:
            raise NotEnoughReferencesError(
                f"holds references of one model only, {models[0]}.",
                argument=self.where,
                fix="Add references of another model, or ask one-vs-many: morelli check.",
            )
        if not prompts:
            attributor, calibration = self.learned.get(0, None, None, on_learn)
            references = self._free(attributor)
            return Comparison(attributor, calibration, self.learned, np.arange(len(self.data)), references, notes=notes)
        rows = np.flatnonzero(np.isin(self.data.prompts, prompts))
        lacking = np.setdiff1d(models, self.data.models[rows])
        if len(lacking):
            missing = f"no reference of the prompt {prompts[0]!r} for {', '.join(lacking)}."
            if not fall_back:
                raise NotEnoughReferencesError(missing, argument="prompt", fix=WITHOUT_PROMPT)
            note = f"Compared without the prompt: there is {missing}"
            return self.compare(on_learn=on_learn, notes=(*notes, note))
        references = self._of_one_prompt(rows, prompts[0])
        k = int(np.median(np.unique(references.models, return_counts=True)[1]))
        attributor, calibration = self.learned.get(k, references, prompts[0], on_learn)
        return Comparison(attributor, calibration, self.learned, rows, references, prompts[0], k, notes)

    def without(self, comparison: Comparison, row: int, *, fall_back: bool = False) -> Comparison:
        """The comparison for a query that is itself a reference: its row has no part in means and covariances.

        Raises
        ------
        NotEnoughReferencesError
            Its model has no other reference (of the prompt, unless ``fall_back``), so that one model is left or one
            that should compete could not.
        """
        known = self.references[row]
        told = f"This very picture is a reference of {known.model} ({known.name}); it was left out."
        base = replace(comparison, notes=(*comparison.notes, told))
        rows = base.rows[base.rows != row]
        if base.prompt is not None and known.model not in self.data.models[rows]:
            missing = f"{known.model} has no other reference of the prompt {base.prompt!r} than this very picture."
            if not fall_back:
                raise NotEnoughReferencesError(missing, argument=known.name, fix=WITHOUT_PROMPT)
            base = self.compare(notes=(*base.notes, f"Compared without the prompt: {missing}"))
            rows = base.rows[base.rows != row]
        attributor, references = self._without(base.attributor, row)
        if base.prompt is not None:
            references = self._of_one_prompt(rows, base.prompt)
        notes = base.notes
        if (self.data.models == known.model).sum() == 1:
            notes = (*notes, f"{known.model} has no other reference, and is no candidate here.")
        return replace(base, attributor=attributor, rows=rows, references=references, notes=notes)

    def _without(self, attributor: Attributor, row: int) -> tuple[Attributor, LabelledEmbeddings | None]:
        """The attributor without one row, and what to hand to it where the prompt is unknown."""
        others = np.flatnonzero(self.data.models == self.data.models[row])
        others = others[others != row]
        if (
            isinstance(attributor, LikelihoodAttributor)
            and attributor.bank_ is not None
            and len(self.data) > LARGE
            and len(others)
        ):
            first = np.unique(self.data.models, return_index=True)[1]
            # Which models compete is all that these say; none of them is the query.
            return attributor.without(self.data.take(others)), self.data.take(np.where(first == row, others[0], first))
        with _LEARNS_ANEW:
            kept = self.data.take(np.arange(len(self.data)) != row)
            fresh = refit(attributor, kept)
        return fresh, free_references(fresh, kept)

    @cached_property
    def _models(self) -> NDArray[np.str_]:
        return np.unique(self.data.models)

    def _free(self, attributor: Attributor) -> LabelledEmbeddings | None:
        """`free_references` of all the data, found once for an attributor: sorting a million labels takes a second."""
        if self._free_of is None or self._free_of[0] is not attributor:
            self._free_of = attributor, free_references(attributor, self.data)
        return self._free_of[1]

    def _of_one_prompt(self, rows: NDArray[np.intp], prompt: str) -> LabelledEmbeddings:
        """Rows of the gallery under one prompt id, whichever of its ids they have."""
        return replace(self.data.take(rows), prompts=np.full(len(rows), prompt))
