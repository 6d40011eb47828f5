"""The tables of identification and verification where models are split: a row a method and group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.image import is_image_attributor
from morelli.evaluation.against import Scores
from morelli.evaluation.identification import f1_interval, identification
from morelli.evaluation.model_split import DEFAULT_UNSEEN, ModelSplit, split_models
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.scored import figures
from morelli.evaluation.settings import default_methods
from morelli.evaluation.zero_shot import identify, learn
from morelli.evaluation.zero_shot_pairs import draw_group_pairs, pair_rows

if TYPE_CHECKING:
    from morelli.evaluation.plan import Plan
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.rows import RowMaker
    from morelli.evaluation.scored import Scored
    from morelli.evaluation.settings import Settings
    from morelli.evaluation.zero_shot import Learnt


def wants_split(settings: Settings) -> bool:
    """Whether models are split: where that is asked, and where verification has methods that see pictures."""
    if settings.unseen is not None:
        return True
    names = [*(settings.methods or ()), settings.reference.method or ""]
    return settings.protocol == "verification" and any(is_image_attributor(name) for name in names)


def split_rows(makers: Sequence[RowMaker]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and notes of the protocol, each method under each encoder for the seen and for the unseen models.

    Raises
    ------
    InputError, NotEnoughReferencesError
        Where the data do not allow the split, or a method that was named by itself.
    """
    first = makers[0]
    settings, data = first.settings, first.sets.queries
    share = DEFAULT_UNSEEN if settings.unseen is None else settings.unseen
    split = split_models(data.embeddings, share, settings.seed)
    pairs = settings.protocol == "verification"
    one = _Pairs(first, split) if pairs else _Identities(first, split)
    scores = Scores(makers, settings.reference, partial(_learn, split))
    rows: list[dict[str, Any]] = []
    notes = [*split.notes, *one.notes]
    for make in makers:
        for name in make.chosen(PAIR_METHODS if pairs else default_methods(prompt_known=False)):
            if pairs and name in settings.optional and not is_image_attributor(name) and name not in PAIR_METHODS:
                notes.append(f"{name} was not run: it compares no pairs.")
                continue
            rows += make.attempt(name, partial(_method_rows, name, make, scores, one)) or []
    return rows, list(dict.fromkeys([*notes, *(why for make in makers for why in make.skipped)]))


def _learn(split: ModelSplit, make: RowMaker, name: str) -> Learnt:
    report = partial(make.progress, name) if make.progress else None
    return learn(name, make.sets.queries, split, report, make.folders)


def _method_rows(name: str, make: RowMaker, scores: Scores[Learnt], one: _Pairs | _Identities) -> list[dict[str, Any]]:
    learnt, reference = scores.pair(make.encoder, name)
    rows = one.rows(learnt, None if reference is learnt else reference)
    return [_labelled(name, make, learnt, row) for row in rows]


def _labelled(name: str, make: RowMaker, learnt: Learnt, row: dict[str, Any]) -> dict[str, Any]:
    own = {"method": name, "encoder": make.encoder if learnt.encoder else None, **row}
    return own if learnt.encoder else own | {"under_trained": learnt.under_trained}


class _Identities:
    """Rows of identification."""

    def __init__(self, make: RowMaker, split: ModelSplit) -> None:
        self._make, self._split = make, split
        self._known: dict[tuple[int, str], tuple[Learnt, Scored, Plan[Task]]] = {}
        settings, data = make.settings, make.sets.queries.embeddings
        plans = {
            group: identification(data.take(rows), settings.k, settings.seed) for group, rows in split.tested.items()
        }
        self.notes: Sequence[str] = [f"{group}: {note}" for group, plan in plans.items() for note in plan.notes]

    def rows(self, learnt: Learnt, reference: Learnt | None) -> list[dict[str, Any]]:
        """A row a group; lifts are over what the reference learnt."""
        settings = self._make.settings
        out = []
        for group in self._split.tested:
            scored, plan = self._identify(learnt, group)
            baseline = None if reference is None else self._identify(reference, group)[0]
            families = self._make.families
            found = figures(scored, families, baseline=baseline, epsilon=settings.epsilon, seed=settings.seed)
            f1 = f1_interval(scored, settings.seed)
            used = np.mean([0 if task.references is None else len(task.references) for task in plan])
            each = float(used) / int(np.isfinite(scored.scores).any(axis=0).sum())
            row = {"models": group, **found, "references_used": each, "background": "seen models"}
            out.append(row | {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high})
        return out

    def _identify(self, learnt: Learnt, group: str) -> tuple[Scored, Plan[Task]]:
        key = id(learnt), group
        if key not in self._known:
            settings = self._make.settings
            # What was learnt is kept beside it, so that its id stays its own.
            self._known[key] = learnt, *identify(learnt, self._split, group, settings.k, settings.seed)
        return self._known[key][1:]


class _Pairs:
    """Rows of verification."""

    def __init__(self, make: RowMaker, split: ModelSplit) -> None:
        self._make, self._split = make, split
        settings = make.settings
        self._drawn = draw_group_pairs(make.sets.queries.embeddings, split, settings.pairs, settings.seed)
        self.notes: Sequence[str] = [
            "Accuracy is at the best threshold for the other group's pairs: a group's models have no part in their own."
        ]

    def rows(self, learnt: Learnt, reference: Learnt | None) -> list[dict[str, Any]]:
        """A row a group; lifts are over what the reference learnt."""
        found = pair_rows(learnt, self._split, self._drawn, self._make.settings.seed, reference)
        return [{"models": group, "pairs": "all", **row} for group, row in found.items()]
