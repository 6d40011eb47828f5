"""Second rows: what a method reaches where no candidate's images are in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.protocols import without_candidates
from morelli.evaluation.rows import RowMaker
from morelli.evaluation.settings import BASELINE, learning

if TYPE_CHECKING:
    from morelli.evaluation.protocols import Task

_NO_ROW = "without the candidates in the background"


def ablated_rows(
    make: RowMaker, methods: Sequence[str], tasks: Sequence[Task]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows without the candidates in the background, each with its lift over the baseline on the same candidates.

    Parameters
    ----------
    make : RowMaker
    methods : sequence of str
        Those that learn nothing from a background get no second row, save the baseline, for comparison.
    tasks : sequence of Task
        As the first rows were scored.

    Returns
    -------
    rows : list of dict
    notes : list of str
        Why a row is missing.
    """
    learnt = learning(methods)
    if not learnt:
        return [], []
    try:
        reduced = list(without_candidates(make.sets.queries.embeddings, tasks, make.settings.seed))
    except InputError as error:
        return [], [f"No row {_NO_ROW}: {error}"]
    if not reduced:
        return [], [f"No row {_NO_ROW}: too few models or prompts."]
    baseline = make.score(BASELINE, reduced)
    rows, notes = [], []
    for name in [BASELINE, *learnt] if BASELINE in methods else learnt:
        try:
            scored = baseline if name == BASELINE else make.score(name, reduced)
        except NotEnoughReferencesError as error:
            # Half of the models may be too few for statistics that all of them gave.
            notes.append(f"No row of {name} {_NO_ROW}: {error}")
            continue
        rows.append(make.row(name, scored, baseline, reduced, "without candidates"))
    return rows, notes
