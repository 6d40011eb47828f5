"""The figures of one fold: the same queries, references and pairs under the zero-shot and the fine-tuned extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.against import Against
from morelli.evaluation.data import EvaluationSet
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.metrics import topk_hits
from morelli.evaluation.rows import RowMaker
from morelli.evaluation.scored import Scored
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import Settings
from morelli.evaluation.tasks import plan_tasks
from morelli.evaluation.verification import verification_table

ZERO_SHOT = "zero-shot"
#: Protocols with queries, and the methods that answer them.
TASKS = (("identification", "cosine"), ("any-prompt", "cosine"), ("any-prompt", "lda"))


def measure(sets: Mapping[str, EvaluationSet], names: Sequence[str], seed: int) -> dict[str, Any]:
    """Figures and answers of each extractor.

    Parameters
    ----------
    sets : mapping of str to EvaluationSet
        The same images in the same order under each extractor, `ZERO_SHOT` among them: lifts are over it.
    names : sequence of str
        Of the images.
    seed : int

    Returns
    -------
    dict
        ``test``: names of the images. ``figures``: "PROTOCOL METHOD" → extractor → row of an evaluation; of
        verification a list of rows, one for each kind of pairs; ``{"why": …}`` where the images do not allow the
        protocol. ``queries``: "PROTOCOL METHOD" → names, prompts and truth of the queries, and for each extractor the
        model in the first place (``said``) and whether the right one is there (``hit``; a tie is none).

    Raises
    ------
    NotEnoughReferencesError
        Identification or verification cannot be run.
    """
    figures: dict[str, Any] = {}
    queries: dict[str, Any] = {}
    for protocol, method in TASKS:
        name = f"{protocol} {method}"
        try:
            figures[name], queries[name] = _answered(sets, names, Settings(protocol, (method,), seed=seed), method)
        except NotEnoughReferencesError as error:
            if protocol != "any-prompt":
                raise
            figures[name] = {"why": str(error)}
    against = Against(ZERO_SHOT, "cosine")
    pairs = verification_table(sets, methods=("cosine",), against=against, seed=seed).rows
    figures["verification cosine"] = {name: [row for row in pairs if row["encoder"] == name] for name in sets}
    return {"test": list(names), "figures": figures, "queries": queries}


def _answered(
    sets: Mapping[str, EvaluationSet], names: Sequence[str], settings: Settings, method: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    makers = {name: RowMaker(Sets(data), settings, name, Sets(data).families) for name, data in sets.items()}
    tasks = plan_tasks(makers[ZERO_SHOT].sets, settings)[1].items
    scored = {name: make.score(method, tasks, calibrate=False) for name, make in makers.items()}
    rows = {name: make.row(method, scored[name], scored[ZERO_SHOT], tasks, "all") for name, make in makers.items()}
    for name, row in rows.items():
        f1 = f1_interval(scored[name], settings.seed)
        row |= {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high}
    first = scored[ZERO_SHOT]
    asked = {
        "names": [names[row] for row in first.rows],
        "prompts": first.prompts.tolist(),
        "truth": first.models[first.truth].tolist(),
    }
    return rows, asked | {name: _answers(each) for name, each in scored.items()}


def _answers(scored: Scored) -> dict[str, Any]:
    hits = topk_hits(scored.scores, scored.truth, (1,))[1]
    return {"said": scored.models[np.argmax(scored.scores, axis=1)].tolist(), "hit": hits.astype(int).tolist()}
