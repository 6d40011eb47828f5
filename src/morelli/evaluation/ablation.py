"""Second rows: what a method reaches where no candidate's images are in the background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.against import Scores
from morelli.evaluation.protocols import without_candidates
from morelli.evaluation.rows import RowMaker
from morelli.evaluation.settings import BASELINE, learning

if TYPE_CHECKING:
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.scored import Scored

_NO_ROW = "without the candidates in the background"


def ablated_rows(
    makers: Sequence[RowMaker], scored: Sequence[tuple[str, str]], tasks: Sequence[Task]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows without the candidates in the background, each with its lift over the reference on the same candidates.

    Parameters
    ----------
    makers : sequence of RowMaker
        One an encoder.
    scored : sequence of (encoder, method)
        The first rows. Methods that learn nothing from a background get no second row, save the baseline, for
        comparison.
    tasks : sequence of Task
        As the first rows were scored.

    Returns
    -------
    rows : list of dict
    notes : list of str
        Why a row is missing.
    """
    names = list(dict.fromkeys(name for _, name in scored))
    learnt = learning(names)
    if not learnt:
        return [], []
    first = makers[0]
    try:
        reduced = list(without_candidates(first.sets.queries.embeddings, tasks, first.settings.seed))
    except InputError as error:
        return [], [f"No row {_NO_ROW}: {error}"]
    if not reduced:
        return [], [f"No row {_NO_ROW}: too few models or prompts."]
    scores = Scores(makers, first.settings.reference, lambda make, name: make.score(name, reduced))
    rows, notes = [], []
    for make in makers:
        for name in [BASELINE, *learnt] if BASELINE in names else learnt:
            if (make.encoder, name) not in scored:
                continue
            try:
                found = scores.get(make.encoder, name)
            except NotEnoughReferencesError as error:
                # Half of the models may be too few for statistics that all of them gave.
                notes.append(f"No row of {name} {_NO_ROW}: {error}")
                continue
            rows.append(make.row(name, found, _reference(scores, make, name), reduced, "without candidates"))
    return rows, list(dict.fromkeys(notes))


def _reference(scores: Scores[Scored], make: RowMaker, name: str) -> Scored | None:
    try:
        return scores.pair(make.encoder, name)[1]
    except NotEnoughReferencesError:
        return None  # its own row is missing then, and a note says why
