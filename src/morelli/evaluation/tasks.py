"""The tasks of a protocol on given data, and what protocol that is where none was named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation import protocols
from morelli.evaluation.identification import identification
from morelli.evaluation.plan import Plan
from morelli.evaluation.second_dataset import second_dataset
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import PROTOCOLS, Settings

if TYPE_CHECKING:
    from morelli.types import LabelledEmbeddings


def plan_tasks(sets: Sets, settings: Settings) -> tuple[str, Plan[protocols.Task]]:
    """The protocol that is run, and its tasks, with notes of what the data did not allow.

    Raises
    ------
    NotEnoughReferencesError
        Where the data do not allow the protocol that was named; any-prompt where none was.
    """
    if settings.protocol == "robustness":
        base, plan = plan_tasks(sets, replace(settings, protocol=_robust_base(sets, settings)))
        return settings.protocol, _with_note(plan, f"Queries and references meet as under {base}.")
    first, data = settings.protocol or PROTOCOLS[0], sets.queries.embeddings
    few = settings.protocol is None and sets.second is None and 0 < _in_pairs(data) < 0.5
    if few:  # they would speak for all
        note = "The protocol is any-prompt, for most images are the only one of their prompt by their model."
        return "any-prompt", _with_note(_tasks(sets, settings, "any-prompt"), note)
    try:
        return first, _tasks(sets, settings, first)
    except NotEnoughReferencesError as error:
        if settings.protocol is not None:
            raise
        note = f"The protocol is any-prompt, for same-prompt cannot be run: {error.message}"
        return "any-prompt", _with_note(_tasks(sets, settings, "any-prompt"), note)


def _in_pairs(data: LabelledEmbeddings) -> float:
    """Share of the images whose model has another image of the same prompt."""
    cells = np.char.add(np.char.add(data.models, "\x1f"), data.prompts)
    _, inverse, counts = np.unique(cells, return_inverse=True, return_counts=True)
    return float(np.mean((counts[inverse] > 1) & (data.prompts != "")))


def _robust_base(sets: Sets, settings: Settings) -> str | None:
    """What the data allow: None is same-prompt."""
    data = sets.queries.embeddings
    if sets.second is not None:
        return None
    return None if same_prompt_k(data, settings.k, optional=True) else "any-prompt"


def same_prompt_k(data: LabelledEmbeddings, k: int | None, *, optional: bool = False) -> int:
    """``k``, or all but the query: one less than the most images that a model has of one prompt.

    Where that is ``optional``, 0 unless models have, as a rule, two images of one prompt.
    """
    known = data.prompts != ""
    cells = np.char.add(np.char.add(data.models[known], "\x1f"), data.prompts[known])
    counts = np.unique(cells, return_counts=True)[1]
    most = int(counts.max()) if known.any() else 0
    if optional and (most < 2 or np.median(counts) < 2):
        return 0
    return k or max(1, most - 1)


def _tasks(sets: Sets, settings: Settings, protocol: str) -> Plan[protocols.Task]:
    k, seed, data = settings.k, settings.seed, sets.queries.embeddings
    if sets.second is not None:
        plan = second_dataset(data, sets.second.embeddings, protocol, k, seed)
        if protocol in ("same-prompt", "any-prompt"):
            return plan
        return _with_note(plan, f"With a second dataset {protocol} compares without the prompt.")
    if protocol == "any-prompt":
        return protocols.any_prompt(data, k, seed)
    if protocol == "identification":
        return identification(data, k, seed)
    if protocol == "open-set":
        return protocols.open_set(data, same_prompt_k(data, k, optional=True), seed, k)
    return protocols.same_prompt(data, same_prompt_k(data, k), seed)


def _with_note(plan: Plan[protocols.Task], note: str) -> Plan[protocols.Task]:
    return replace(plan, notes=(note, *plan.notes))
