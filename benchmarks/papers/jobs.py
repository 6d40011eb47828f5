"""The cells of tables 000 and 002, with what each is estimated to cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.papers.plan import RULES, ZERO_SHOT, Plan
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import Source

from morelli import __version__
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.evaluation.groups import BUDGETS, budgeted
from morelli.evaluation.protocols import ANY_PROMPT_FOLDS

# Processor seconds an image that each method takes beside its training, roughly: they only shape the estimate.
_SECONDS = {"marra": 0.1, "dzanic": 0.05, "gram": 0.05, "probe": 0.3, "mlp-image": 0.3, "mlp-image-text": 0.3}
_USUAL = 0.03


def table_jobs(plan: Plan, sources: Sequence[Source]) -> list[Job]:
    """Cells of tables 000 and 002, the quick ones first so that every table soon has rows."""
    jobs: list[Job] = []
    for source in sources:
        if "000" in plan.tables:
            jobs += _main(plan, source)
        if "002" in plan.tables:
            jobs += _zero_shot(plan, source)
    return sorted(jobs, key=lambda job: job.seconds)


def _main(plan: Plan, source: Source) -> Iterator[Job]:
    seconds = plan.training("000")
    for method in [*filter(plan.wants, RULES), *plan.pictures_methods()]:
        spec = budgeted(method, source.models, seconds) if method not in RULES else method
        words = _words("main", plan, source, method, spec) | {"encoder": DEFAULT_ENCODER}
        trainings = ANY_PROMPT_FOLDS if method in BUDGETS else 0
        yield Job(f"000/{source.name}/{method}", words, _cost(method, source) + trainings * seconds)


def _zero_shot(plan: Plan, source: Source) -> Iterator[Job]:
    seconds = plan.training("002")
    asked = {"k": plan.k, "unseen": plan.unseen, "pairs": plan.pairs}
    for rule, encoder in ZERO_SHOT:
        if plan.wants(rule):
            name = f"{rule}, {encoder}"
            words = _words("zero-shot", plan, source, name, rule) | {"encoder": encoder, "part": 1.0, **asked}
            yield Job(f"002/{source.name}/{name}", words, _cost("", source))
    seen = max(2, round((1 - plan.unseen) * source.models))
    for method in plan.pictures_methods():
        for part in plan.fractions if method in BUDGETS else (1.0,):
            spec = budgeted(method, seen, part * seconds)
            words = _words("zero-shot", plan, source, method, spec)
            words |= {"encoder": DEFAULT_ENCODER, "part": part, **asked}
            key = f"002/{source.name}/{method}" + ("" if part == 1 else f"@{part:g}")
            trained = part * seconds if method in BUDGETS else 0.0
            yield Job(key, words, _cost(method, source) + trained)


def _words(kind: str, plan: Plan, source: Source, method: str, spec: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "version": __version__,
        "source": asdict(source),
        "method": method,
        "spec": spec,
        "seed": plan.seed,
    }


def _cost(method: str, source: Source) -> float:
    return 10 + source.images * _SECONDS.get(method, _USUAL)


def spec_with(words: Mapping[str, Any], out: str) -> str:
    """The method's spec with a folder for its trainings, where it has any."""
    spec = str(words["spec"])
    return f"{spec}+checkpoint={out}/trained" if spec.partition("@")[0] in BUDGETS else spec
