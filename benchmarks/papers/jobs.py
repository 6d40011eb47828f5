"""The cells of tables 000 and 002, with what each is estimated to cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.papers.costs import main_cell, zero_shot_cell
from benchmarks.papers.methods import versions
from benchmarks.papers.plan import ALSO, RULES, SAME_EMBEDDING, ZERO_SHOT, Plan
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import ZOO, Source
from benchmarks.papers.tuned import tuned_jobs

from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.evaluation.groups import BUDGETS, budgeted
from morelli.evaluation.protocols import ANY_PROMPT_FOLDS


def table_jobs(plan: Plan, sources: Sequence[Source], weights: Path) -> list[Job]:
    """Cells of tables 000 and 002, the quick ones first so that every table soon has rows.

    Parameters
    ----------
    plan : Plan
    sources : sequence of Source
    weights : Path
        Of the zoo, whose CLIP reads its prompts.
    """
    jobs: list[Job] = []
    for source in sources:
        if "000" in plan.tables:
            jobs += _main(plan, source, weights)
        if "002" in plan.tables:
            jobs += [*_zero_shot(plan, source, weights), *tuned_jobs(plan, source)]
    return sorted(jobs, key=lambda job: job.seconds)


def _main(plan: Plan, source: Source, weights: Path) -> Iterator[Job]:
    seconds = plan.training("000")
    for method in [*filter(plan.wants, RULES), *plan.pictures_methods()]:
        spec = _spec(method, source, source.models, seconds, weights) if method not in RULES else method
        words = _words("main", plan, source, method, spec, DEFAULT_ENCODER)
        cost = main_cell(method, source, ANY_PROMPT_FOLDS, seconds)
        yield Job(f"000/{source.name}/{method}", words, cost)
    for rule, encoder in ALSO:
        if plan.wants(rule):
            name = f"{rule}, {encoder}"
            words = _words("main", plan, source, name, rule, encoder)
            yield Job(f"000/{source.name}/{name}", words, main_cell(rule, source, ANY_PROMPT_FOLDS, seconds))


def _zero_shot(plan: Plan, source: Source, weights: Path) -> Iterator[Job]:
    seconds = plan.training("002")
    asked = {"k": plan.k, "unseen": plan.unseen, "pairs": plan.pairs}
    for rule, named in ZERO_SHOT:
        if plan.wants(rule):
            name = f"{rule}, {named}"
            words = _words("zero-shot", plan, source, name, rule, plan.encoder(named)) | {"part": 1.0, **asked}
            if named == "fingerprint":
                words["weights"] = plan.fingerprint_sha256
            yield Job(f"002/{source.name}/{name}", words, zero_shot_cell(rule, source, plan.unseen, 0.0))
    seen = max(2, round((1 - plan.unseen) * source.models))
    for method in plan.pictures_methods():
        if method in SAME_EMBEDDING:
            continue
        for part in plan.fractions if method in BUDGETS else (1.0,):
            spec = _spec(method, source, seen, part * seconds, weights)
            words = _words("zero-shot", plan, source, method, spec, DEFAULT_ENCODER) | {"part": part, **asked}
            key = f"002/{source.name}/{method}" + ("" if part == 1 else f"@{part:g}")
            trained = part * seconds if method in BUDGETS else 0.0
            yield Job(key, words, zero_shot_cell(method, source, plan.unseen, trained))


def _spec(method: str, source: Source, models: int, seconds: float, weights: Path) -> str:
    """A method as small as the budget makes it; the zoo's prompts are read by the zoo's own CLIP."""
    name, _, form = method.partition("@")
    tower = f"text={(weights / 'clip').resolve()}" if source.name == ZOO and name == "mlp-image-text" else ""
    return budgeted(name, models, seconds, form or tower)


def _words(kind: str, plan: Plan, source: Source, method: str, spec: str, encoder: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "versions": versions(kind, spec, encoder),
        "source": asdict(source),
        "method": method,
        "spec": spec,
        "encoder": encoder,
        "seed": plan.seed,
    }
