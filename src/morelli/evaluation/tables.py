"""The table of each protocol: rows, notes, and what pictures and tests of it need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from morelli.attribution.catalogue import DEFAULT_METHOD
from morelli.evaluation.ablation import ablated_rows
from morelli.evaluation.case_two import case_two_rows
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.lineage import at_base, derived_summary, derived_tests, left_out_tasks, require_bases
from morelli.evaluation.one_vs_many import case_one
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.robustness import DEGRADATIONS, UNTOUCHED, degraded_versions, robustness_rows
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import BASELINE, Settings, default_methods
from morelli.evaluation.sweep import expand
from morelli.evaluation.tasks import plan_tasks
from morelli.evaluation.verification import verification_table
from morelli.evaluation.zero_shot_table import split_rows, wants_split

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
    if settings.protocol is not None and wants_split(settings):
        rows, notes = split_rows(make)
        return Table(settings.protocol, rows, {}, notes)
    if settings.protocol == "verification":
        found = verification_table(
            sets.queries,
            make.encoder,
            methods=_pair_methods(settings),
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
    baseline = make.score(BASELINE, plan.items, calibrate=False)
    rows = []
    for name in table.scored:
        again = partial(make.score, name, plan.items, calibrate=False)
        found = baseline if name == BASELINE else make.attempt(name, again)
        if found is not None:
            rows.append(make.row(name, found, baseline, plan.items, LEFT_OUT))
    tests = derived_tests(queries.embeddings, bases)
    summary = derived_summary(tests)
    notes = [*table.notes, *plan.notes, *([summary] if summary else []), *make.skipped]
    return Table(table.protocol, table.rows + rows, table.scored, notes, derived=tests, families=based.families)


def _table(make: RowMaker, protocol: str, plan: Plan[Task]) -> Table:
    settings, tasks = make.settings, plan.items
    prompt_known = all(task.prompt is not None for task in tasks)
    methods = list(dict.fromkeys(default_methods(prompt_known) if settings.methods is None else settings.methods))
    baseline = make.score(BASELINE, tasks)
    scored = _score(make, methods, tasks, baseline)
    rows = [make.row(name, found, baseline, tasks, "all") for name, found in scored.items()]
    more, notes = [], []
    if protocol == "one-vs-many":
        for row, found in zip(rows, scored.values(), strict=True):
            row |= case_one(found)
        more, notes = case_two_rows(make.sets, settings, make.encoder)
    elif settings.ablate and protocol in ("same-prompt", "any-prompt") and make.sets.second is None:
        more, notes = ablated_rows(make, list(scored), tasks)
    if protocol == "identification":
        for row, found in zip(rows, scored.values(), strict=True):
            f1 = f1_interval(found, settings.seed)
            row |= {"f1": f1.point, "f1_low": f1.low, "f1_high": f1.high}
    return Table(protocol, rows + more, scored, [*plan.notes, *notes, *make.skipped])


def _score(make: RowMaker, methods: Sequence[str], tasks: Sequence[Task], baseline: Scored) -> dict[str, Scored]:
    """What each method scored, without those of a group that could not be run."""
    found = {
        name: baseline if name == BASELINE else make.attempt(name, partial(make.score, name, tasks)) for name in methods
    }
    return {name: scored for name, scored in found.items() if scored is not None}


def _pair_methods(settings: Settings) -> Sequence[str] | None:
    """Those that compare pairs; a group has others too."""
    if settings.methods is None:
        return None
    return [name for name in settings.methods if name in PAIR_METHODS or name not in settings.optional]


def _robust(make: RowMaker, plan: Plan[Task], encoder: Encoder, cache: EmbeddingCache | None) -> Table:
    settings, tasks = make.settings, plan.items
    steps = expand(settings.degrade or DEGRADATIONS)
    queries = make.sets.queries
    versions = [queries, *degraded_versions(queries, tasks, steps, encoder, cache, make.progress)]
    methods = list(dict.fromkeys(settings.methods or [BASELINE, DEFAULT_METHOD]))
    rows = robustness_rows(make, methods, tasks, BASELINE, versions, [UNTOUCHED, *steps])
    return Table("robustness", rows, {}, [*plan.notes, *make.skipped])
