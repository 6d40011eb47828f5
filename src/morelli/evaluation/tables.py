"""The table of each protocol: rows, notes, and what pictures and tests of it need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.evaluation.ablation import ablated_rows
from morelli.evaluation.against import Scores
from morelli.evaluation.case_two import case_two_rows
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.lineage import at_base, derived_summary, derived_tests, left_out_tasks, require_bases
from morelli.evaluation.one_vs_many import case_one
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.robustness import (
    DEGRADATIONS,
    UNTOUCHED,
    degraded_versions,
    failures_note,
    robustness_rows,
    without,
)
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import BASELINE, Settings, default_methods
from morelli.evaluation.sweep import expand
from morelli.evaluation.tasks import plan_tasks
from morelli.evaluation.verification import verification_table
from morelli.evaluation.zero_shot_table import split_rows, wants_split

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.evaluation.data import EvaluationSet
    from morelli.evaluation.plan import Plan
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.rows import RowMaker
    from morelli.evaluation.scored import Scored
    from morelli.evaluation.verification import Case

#: Rows whose queries are of models without any reference, as their ``background``.
LEFT_OUT = "without the model"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, what each method scored, notes, and what pictures and tests of the protocol need.

    Attributes
    ----------
    protocol : str
    rows : list of dict
        Those of the first encoder before those of the second, for each background.
    scored : mapping of (encoder, method) to Scored
    notes : sequence of str
    cases : sequence of Case
    derived : list of dict or None
    families : mapping of str to str
        Where they are not those of the models.
    """

    protocol: str
    rows: list[dict[str, Any]]
    scored: Mapping[tuple[str, str], Scored]
    notes: Sequence[str]
    cases: Sequence[Case] = ()
    derived: list[dict[str, Any]] | None = None
    families: Mapping[str, str] = field(default_factory=dict)


def measure(makers: Sequence[RowMaker], encoders: Sequence[Encoder], cache: EmbeddingCache | None) -> Table:
    """The table of the protocol that is asked for.

    Parameters
    ----------
    makers : sequence of RowMaker
        One an encoder, of the same images in the same order.
    encoders : sequence of Encoder
    cache : EmbeddingCache or None
    """
    first = makers[0]
    settings, sets = first.settings, first.sets
    if settings.protocol is not None and wants_split(settings):
        rows, notes = split_rows(makers)
        return Table(settings.protocol, rows, {}, notes)
    if settings.protocol == "verification":
        found = verification_table(
            {make.encoder: make.sets.queries for make in makers},
            methods=_pair_methods(settings),
            against=settings.reference,
            count=settings.pairs,
            seed=settings.seed,
            progress=first.progress,
        )
        return Table("verification", found.rows, {}, found.notes, found.cases)
    if settings.level == "base":
        return _base_table(makers)
    protocol, plan = plan_tasks(sets, settings)
    sets.require_known(plan.items)
    if protocol == "robustness":
        return _robust(makers, plan, encoders, cache)
    return _table(makers, protocol, plan)


def _base_table(makers: Sequence[RowMaker]) -> Table:
    """Bases in the place of models: with each model's own images among the references of its base, and without."""
    first = makers[0]
    queries, settings = first.sets.queries, first.settings
    models, bases = queries.embeddings.models, require_bases(queries)
    lifted = []
    for make in makers:
        based = Sets(at_base(make.sets.queries))
        changed = replace(make.settings, ablate=False)
        lifted.append(replace(make, sets=based, families=based.families, settings=changed, skipped=[]))
    based = lifted[0].sets
    table = _table(lifted, *plan_tasks(based, replace(settings, protocol="any-prompt")))
    plan = left_out_tasks(models, bases, queries.embeddings.prompts, settings.seed)
    # A calibration for each fit would take many minutes, and ranks need none.
    scores = Scores(lifted, settings.reference, lambda make, name: make.score(name, plan.items, calibrate=False))
    scored = _attempt_all(lifted, scores, [name for _, name in table.scored])
    rows = [make.row(name, *both, plan.items, LEFT_OUT) for make, name, both in scored]
    tests, summaries = [], []
    for make in makers:
        stated = make.sets.queries.bases
        own = derived_tests(make.sets.queries.embeddings, bases if stated is None else stated)
        tests += [{"encoder": make.encoder, **test} for test in own]
        if summary := derived_summary(own):
            summaries.append(summary if len(makers) == 1 else f"{make.encoder}: {summary}")
    notes = [*table.notes, *plan.notes, *summaries, *_skipped(lifted)]
    return Table(table.protocol, table.rows + rows, table.scored, notes, derived=tests, families=based.families)


def _table(makers: Sequence[RowMaker], protocol: str, plan: Plan[Task]) -> Table:
    settings, tasks = makers[0].settings, plan.items
    prompt_known = all(task.prompt is not None for task in tasks)
    scores = Scores(makers, settings.reference, lambda make, name: make.score(name, tasks))
    scored: dict[tuple[str, str], Scored] = {}
    rows, more, notes = [], [], []
    for make, name, (found, reference) in _attempt_all(makers, scores, default_methods(prompt_known)):
        row = make.row(name, found, reference, tasks, "all")
        if protocol == "one-vs-many":
            row |= case_one(found)
        if protocol == "identification":
            f1 = f1_interval(found, settings.seed)
            row |= {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high}
        rows.append(row)
        scored[make.encoder, name] = found
    if protocol == "one-vs-many":
        for make in makers:
            own, notes = case_two_rows(make.sets, settings, make.encoder)
            more += own
    elif settings.ablate and protocol in ("same-prompt", "any-prompt") and makers[0].sets.second is None:
        more, notes = ablated_rows(makers, list(scored), tasks)
    return Table(protocol, rows + more, scored, [*plan.notes, *notes, *_skipped(makers)])


def _attempt_all(
    makers: Sequence[RowMaker], scores: Scores[Scored], usual: Sequence[str]
) -> Iterable[tuple[RowMaker, str, tuple[Scored, Scored]]]:
    """Each method under each encoder, with what it and its reference scored; without those that could not be run."""
    for make in makers:
        for name in make.chosen(usual):
            found = make.attempt(name, partial(scores.pair, make.encoder, name))
            if found is not None:
                yield make, name, found


def _skipped(makers: Sequence[RowMaker]) -> list[str]:
    return list(dict.fromkeys(why for make in makers for why in make.skipped))


def _pair_methods(settings: Settings) -> Sequence[str] | None:
    """Those that compare pairs; a group has others too."""
    if settings.methods is None:
        return None
    return [name for name in settings.methods if name in PAIR_METHODS or name not in settings.optional]


def _robust(
    makers: Sequence[RowMaker], plan: Plan[Task], encoders: Sequence[Encoder], cache: EmbeddingCache | None
) -> Table:
    settings, tasks = makers[0].settings, plan.items
    steps = expand(settings.degrade or DEGRADATIONS)
    versions: dict[str, list[EvaluationSet]] = {}
    failed: dict[int, str] = {}
    for make, encoder in zip(makers, encoders, strict=True):
        queries = make.sets.queries
        degraded, troubles = degraded_versions(queries, tasks, steps, encoder, cache, make.progress)
        versions[make.encoder] = [queries, *degraded]
        failed = troubles | failed
    # All rows are of the same queries: else degradations could not be compared.
    kept = without(tasks, failed)
    rows = robustness_rows(makers, [BASELINE, DEFAULT_METHOD], kept, versions, [UNTOUCHED, *steps])
    notes = failures_note(makers[0].sets.queries, failed)
    return Table("robustness", rows, {}, [*plan.notes, *notes, *_skipped(makers)])
