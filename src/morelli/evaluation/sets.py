"""Where an evaluation's queries and references come from: one dataset, or two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.data import EvaluationSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from morelli.evaluation.protocols import Task


@dataclass(frozen=True, eq=False)
class Sets:
    """Queries, and the second dataset where there is one.

    Attributes
    ----------
    queries : EvaluationSet
    second : EvaluationSet or None
        Where references and background come from; None: from the queries' own dataset.
    """

    queries: EvaluationSet
    second: EvaluationSet | None = None

    @property
    def source(self) -> EvaluationSet:
        """Where references and background come from."""
        return self.queries if self.second is None else self.second

    @property
    def families(self) -> dict[str, str]:
        """Family of each model; the second dataset's word counts."""
        found: dict[str, str] = {}
        for part in (self.queries, self.source):
            found |= dict(zip(part.embeddings.models.tolist(), part.embeddings.families.tolist(), strict=True))
        return found

    def without_shared(self) -> tuple[Sets, tuple[str, ...]]:
        """The sets without the queries that are among the references as well, and a note of how many those were.

        Raises
        ------
        NotEnoughReferencesError
            Where that leaves no query.
        """
        if self.second is None:
            return self, ()
        shared = np.isin(self.queries.contents, self.second.contents)
        if not shared.any():
            return self, ()
        if shared.all():
            raise NotEnoughReferencesError(
                "all of its images are among the references too, so that no query is left.",
                argument="dataset",
                fix="Leave --references out to evaluate a dataset on itself.",
            )
        note = f"{int(shared.sum())} queries are also references and were left out."
        return replace(self, queries=self.queries.take(np.flatnonzero(~shared))), (note,)

    def require_known(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks without a single query whose model the references have."""
        queries, known = self.queries.embeddings.models, self.source.embeddings.models
        if not any(np.isin(queries[task.queries], known).any() for task in tasks):
            raise NotEnoughReferencesError(
                "no query is of a model that the references have, so there is nothing to get right.",
                argument="dataset",
                fix="Check how the models are called in both datasets.",
            )
