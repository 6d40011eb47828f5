"""Case 2 of one-vs-many as rows of the table: a row for each rule at each α."""

from __future__ import annotations

from typing import Any

from morelli.evaluation.one_vs_many import case_two
from morelli.evaluation.protocols import SAME_PROMPT_FOLDS
from morelli.evaluation.scored import FIGURES
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import Settings
from morelli.evaluation.splits import prompt_folds, same_prompt_trials
from morelli.evaluation.tasks import same_prompt_k


def case_two_rows(sets: Sets, settings: Settings, encoder: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of Case 2, which needs no method: only the target's references of the prompt count.

    Parameters
    ----------
    sets : Sets
    settings : Settings
    encoder : str
        Its id.

    Returns
    -------
    rows : list of dict
    notes : list of str
        Why there are none.
    """
    if sets.second is not None:
        return [], ["Case 2 needs references and queries in one dataset; it was not run."]
    data, seed = sets.queries.embeddings, settings.seed
    folds = prompt_folds(data.prompts, SAME_PROMPT_FOLDS, seed)
    trials = same_prompt_trials(data.models, data.prompts, same_prompt_k(data, settings.k), folds, seed)
    found = case_two(data, trials.items, seed=seed)
    common = {"encoder": encoder, "references_used": None, "background": "none"}
    rows = [{"method": f"case 2, {row['rule']}", **dict.fromkeys(FIGURES), **common, **row} for row in found]
    return rows, [] if rows else ["Case 2 needs two references of the target of one prompt; it was not run."]
