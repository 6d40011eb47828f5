"""The table of each protocol: rows, notes, and what pictures and tests of it need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.evaluation.ablation import ablated_rows
from morelli.evaluation.case_two import case_two_rows
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.lineage import at_base, derived_summary, derived_tests, left_out_tasks, require_bases
from morelli.evaluation.one_vs_many import case_one
from morelli.evaluation.robustness import DEGRADATIONS, UNTOUCHED, degraded_versions, robustness_rows
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import BASELINE, default_methods
from morelli.evaluation.sweep import expand
from morelli.evaluation.tasks import plan_tasks
from morelli.evaluation.verification import verification_table

if TYPE_CHECKING:
    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.evaluation.plan import Plan
    from morelli.evaluation.protocols import Task
    from morelli.evaluation.rows import RowMaker
    from morelli.evaluation.scored import Scored
    from morelli.evaluation.verification import Case

#: Rows whose queries are of models without any reference, as their ``background``.
LEFT_OUT = "without the model"


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, what each method scored, notes, and what pictures and tests of the protocol need."""

    protocol: str
    rows: list[dict[str, Any]]
    scored: Mapping[str, Scored]
    notes: Sequence[str]
    cases: Sequence[Case] = ()
    derived: list[dict[str, Any]] | None = None
    families: Mapping[str, str] | None = None


def measure(make: RowMaker, encoder: Encoder, cache: EmbeddingCache | None) -> Table:
    """The table of the protocol that is asked for."""
    settings, sets = make.settings, make.sets
    if settings.protocol == "verification":
        found = verification_table(
            sets.queries,
            make.encoder,
            methods=settings.methods,
            count=settings.pairs,
            seed=settings.seed,
            progress=make.progress,
        )
        return Table("verification", found.rows, {}, found.notes, found.cases)
    if settings.level == "base":
        return _base_table(make)
    protocol, plan = plan_tasks(sets, settings)
    sets.require_known(plan.items)
    if protocol == "robustness":
        return _robust(make, plan, encoder, cache)
    return _table(make, protocol, plan)


def _base_table(make: RowMaker) -> Table:
    """Bases in the place of models: with each model's own images among the references of its base, and without."""
    queries, settings = make.sets.queries, make.settings
    models, bases = queries.embeddings.models, require_bases(queries)
    based = Sets(at_base(queries))
    make = replace(make, sets=based, families=based.families, settings=replace(settings, ablate=False))
    table = _table(make, *plan_tasks(based, replace(settings, protocol="any-prompt")))
    plan = left_out_tasks(models, bases, queries.embeddings.prompts, settings.seed)
    # A calibration for each fit would take many minutes, and ranks need none.
    scored = {name: make.score(name, plan.items, calibrate=False) for name in {BASELINE: None, **table.scored}}
    baseline = scored[BASELINE]
    rows = [make.row(name, scored[name], baseline, plan.items, LEFT_OUT) for name in table.scored]
    tests = derived_tests(queries.embeddings, bases)
    summary = derived_summary(tests)
    notes = [*table.notes, *plan.notes, *([summary] if summary else [])]
    return Table(table.protocol, table.rows + rows, table.scored, notes, derived=tests, families=based.families)


def _table(make: RowMaker, protocol: str, plan: Plan[Task]) -> Table:
    settings, tasks = make.settings, plan.items
    prompt_known = all(task.prompt is not None for task in tasks)
    methods = list(dict.fromkeys(default_methods(prompt_known) if settings.methods is None else settings.methods))
    baseline = make.score(BASELINE, tasks)
    scored = {name: baseline if name == BASELINE else make.score(name, tasks) for name in methods}
    rows = [make.row(name, found, baseline, tasks, "all") for name, found in scored.items()]
    more, notes = [], []
    if protocol == "one-vs-many":
        for row, found in zip(rows, scored.values(), strict=True):
            row |= case_one(found)
        more, notes = case_two_rows(make.sets, settings, make.encoder)
    elif settings.ablate and protocol in ("same-prompt", "any-prompt") and make.sets.second is None:
        more, notes = ablated_rows(make, methods, tasks)
    if protocol == "identification":
        for row, found in zip(rows, scored.values(), strict=True):
            f1 = f1_interval(found, settings.seed)
            row |= {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high}
    return Table(protocol, rows + more, scored, [*plan.notes, *notes])


def _robust(make: RowMaker, plan: Plan[Task], encoder: Encoder, cache: EmbeddingCache | None) -> Table:
    settings, tasks = make.settings, plan.items
    steps = expand(settings.degrade or DEGRADATIONS)
    queries = make.sets.queries
    versions = [queries, *degraded_versions(queries, tasks, steps, encoder, cache, make.progress)]
    methods = list(dict.fromkeys(settings.methods or [BASELINE, DEFAULT_METHOD]))
    rows = robustness_rows(make, methods, tasks, BASELINE, versions, [UNTOUCHED, *steps])
    return Table("robustness", rows, {}, plan.notes)
