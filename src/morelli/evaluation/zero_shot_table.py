"""The tables of identification and verification where models are split: a row a method and group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from morelli.attribution.image import is_image_attributor
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.model_split import DEFAULT_UNSEEN, ModelSplit, split_models
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.scored import figures
from morelli.evaluation.settings import BASELINE, default_methods
from morelli.evaluation.zero_shot import identify, learn
from morelli.evaluation.zero_shot_pairs import draw_group_pairs, pair_rows

if TYPE_CHECKING:
    from morelli.evaluation.rows import RowMaker
    from morelli.evaluation.settings import Settings
    from morelli.evaluation.zero_shot import Learnt


def wants_split(settings: Settings) -> bool:
    """Whether models are split: where that is asked, and where verification has methods that see pictures."""
    if settings.unseen is not None:
        return True
    named = any(is_image_attributor(name) for name in settings.methods or ())
    return settings.protocol == "verification" and named


def split_rows(make: RowMaker) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and notes of the protocol, each method for the seen and for the unseen models.

    Raises
    ------
    InputError, NotEnoughReferencesError
        Where the data do not allow the split, or a method that was named by itself.
    """
    settings, data = make.settings, make.sets.queries
    share = DEFAULT_UNSEEN if settings.unseen is None else settings.unseen
    split = split_models(data.embeddings, share, settings.seed)
    pairs = settings.protocol == "verification"
    usual = PAIR_METHODS if pairs else default_methods(prompt_known=False)
    methods = list(dict.fromkeys(usual if settings.methods is None else settings.methods))
    one = _Pairs(make, split) if pairs else _Identities(make, split)
    rows: list[dict[str, Any]] = []
    notes = [*split.notes, *one.notes]
    for name in methods:
        if pairs and name in settings.optional and not is_image_attributor(name) and name not in PAIR_METHODS:
            notes.append(f"{name} was not run: it compares no pairs.")
            continue
        rows += make.attempt(name, partial(_method_rows, name, make, split, one)) or []
    return rows, [*notes, *make.skipped]


def _method_rows(name: str, make: RowMaker, split: ModelSplit, one: _Pairs | _Identities) -> list[dict[str, Any]]:
    report = partial(make.progress, name) if make.progress else None
    learnt = learn(name, make.sets.queries, split, report)
    return [_labelled(name, make, learnt, row) for row in one.rows(learnt)]


def _labelled(name: str, make: RowMaker, learnt: Learnt, row: dict[str, Any]) -> dict[str, Any]:
    own = {"method": name, "encoder": make.encoder if learnt.encoder else None, **row}
    return own if learnt.encoder else own | {"under_trained": learnt.under_trained}


class _Identities:
    """Rows of identification."""

    def __init__(self, make: RowMaker, split: ModelSplit) -> None:
        self._make, self._split = make, split
        settings, data = make.settings, make.sets.queries
        euclid = learn(BASELINE, data, split)
        self._baseline = {g: identify(euclid, split, g, settings.k, settings.seed) for g in split.tested}
        self.notes: Sequence[str] = [
            f"{group}: {note}" for group, (_, plan) in self._baseline.items() for note in plan.notes
        ]

    def rows(self, learnt: Learnt) -> list[dict[str, Any]]:
        settings = self._make.settings
        out = []
        for group in self._split.tested:
            scored, plan = identify(learnt, self._split, group, settings.k, settings.seed)
            baseline = self._baseline[group][0]
            same = learnt.encoder and learnt.rule == BASELINE
            found = figures(
                scored,
                self._make.families,
                baseline=scored if same else baseline,
                epsilon=settings.epsilon,
                seed=settings.seed,
            )
            f1 = f1_interval(scored, settings.seed)
            (task,) = plan.items
            used = 0 if task.references is None else len(task.references)
            row = {"models": group, **found, "references_used": used / len(scored.models), "background": "seen models"}
            out.append(row | {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high})
        return out


class _Pairs:
    """Rows of verification."""

    def __init__(self, make: RowMaker, split: ModelSplit) -> None:
        self._make, self._split = make, split
        settings = make.settings
        self._drawn = draw_group_pairs(make.sets.queries.embeddings, split, settings.pairs, settings.seed)
        self.notes: Sequence[str] = [
            "Accuracy is at the best threshold for the other group's pairs: a group's models have no part in their own."
        ]

    def rows(self, learnt: Learnt) -> list[dict[str, Any]]:
        found = pair_rows(learnt, self._split, self._drawn, self._make.settings.seed)
        return [{"models": group, "pairs": "all", **row} for group, row in found.items()]
