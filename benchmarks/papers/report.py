"""The run's tables as Markdown and as one HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.papers import tables
from benchmarks.papers.attack_table import COLUMNS as ATTACK_COLUMNS
from benchmarks.papers.attacks import small_plan
from benchmarks.papers.chosen_on import is_chosen_on
from benchmarks.papers.maps import curve_figure, draw_maps
from benchmarks.papers.plan import Plan
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import Job
from benchmarks.papers.sources import ZOO, Source
from benchmarks.zoo.plan import ATTACKS

from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.report.page import Page, figure, figures, listing, paragraph, table
from morelli.report.svg import svg_text
from morelli.report.table import Column, render_rows

INTRO = (
    "All methods saw the same images under the same protocol. Columns named after a paper are its own figures, on its "
    "own data and models: they are no comparison with ours. A method marked (under-trained) had less than its "
    "published training, or nobody has published one; its row is no figure of the method. Intervals: 95 %, by "
    "bootstrap over prompts, of verification over models; that of a best accuracy holds its threshold."
)


STANDING_IN = (
    "No image was regenerated: stored images of the query's prompt by each model, none of them a query, stand in for "
    "what the model would be asked for, with the true prompt. Without a CLIP of photographs the published cosine is of "
    f"{DEFAULT_ENCODER}'s vectors."
)
NOTHING_STORED = (
    "Models have one image of a prompt: there is nothing that could stand in for regenerated ones, and so no plug-in."
)
#: A leak test and notes.
Told = tuple[Mapping[str, Any], Sequence[str]]
Table = tuple[str, Sequence[Mapping[str, Any]], Sequence[Column]]


@dataclass
class Part:
    """One section: a title, sentences, tables (caption, rows, columns), and pictures as HTML."""

    name: str
    title: str
    sentences: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def write(
    results: Results,
    plan: Plan,
    sources: Sequence[Source],
    jobs: Sequence[Job],
    out: Path,
    *,
    skipped: Mapping[str, str],
    attacked: Mapping[str, Sequence[Mapping[str, Any]]] = MappingProxyType({}),
    told: Mapping[str, Told] = MappingProxyType({}),
    reasons: Sequence[str] = (),
) -> tuple[Path, Path]:
    """``papers.md`` and ``papers.html``.

    Parameters
    ----------
    skipped : mapping of str to str
        What of the run could not be measured at all, and why: said first.
    attacked : mapping of str to sequence of mapping
        Rows of table 001, by data set.
    told : mapping of str to (mapping, sequence of str)
        Leak test and notes of table 001, by data set.
    reasons : sequence of str
        Why methods of table 001 were not run.
    """
    parts = [_skipped(skipped)] if skipped else []
    for source in sources:
        if "000" in plan.tables:
            parts.append(_main(results, plan, source, tables.jobs_of(jobs, "000", source.name)))
        if "002" in plan.tables:
            parts.append(_zero_shot(results, plan, source, tables.jobs_of(jobs, "002", source.name), out))
    if "001" in plan.tables:
        for source in sources:
            if source.name in attacked and source.name != ZOO:
                shown = tables.jobs_of(jobs, "001", source.name)
                parts.append(_stored(results, plan, source, shown, attacked[source.name], told.get(source.name)))
        if ZOO in attacked or "001" in skipped:
            parts.append(_attacks(plan, attacked.get(ZOO, ()), skipped.get("001"), [*_told(told.get(ZOO)), *reasons]))
    parts.append(_costs(results, jobs))
    markdown, page = out / "papers.md", out / "papers.html"
    markdown.write_text(_markdown(parts), encoding="utf-8")
    page.write_text(_page(parts), encoding="utf-8")
    return markdown, page


def _skipped(skipped: Mapping[str, str]) -> Part:
    lines = [f"NOT MEASURED, {name}: {why}" for name, why in skipped.items()]
    return Part("skipped", "What was not measured", lines)


def _main(results: Results, plan: Plan, source: Source, jobs: Sequence[Job]) -> Part:
    part = Part(f"main-{source.name}", f"Paper 000: naming the model, {source.name}")
    found = tables.first_measured(results, jobs)
    why = tables.reasons(results, jobs)
    if found is None:
        part.sentences += ["Nothing was measured.", *why]
        return part
    references = found["row"].get("references_used")
    k = f"all ({references:.1f} a model on average)" if found["k"] is None and references else found["k"]
    part.sentences += [
        f"{found['protocol']}, references: {k}; {found['n_queries']} queries, {found['n_models']} models (chance "
        f"{100 / found['n_models']:.1f} %), {found['n_prompts']} prompts.",
        tables.leak_sentence(found["leaks"]),
        _encoder(),
        *_chosen(source),
        f"Every training has {plan.training('000'):g} processor seconds, and eight steps at least.",
        *tables.all_notes(results, jobs),
        *tables.lacking(results, jobs),
        *why,
    ]
    part.tables += [
        ("Top-1, top-2 and top-3", tables.main_rows(results, jobs), tables.MAIN_COLUMNS),
        ("Ours and theirs, query by query", tables.main_lifts(results, jobs, plan.seed), tables.LIFT_COLUMNS),
    ]
    return part


def _encoder() -> str:
    return (
        f"Rules and baselines over vectors look at {DEFAULT_ENCODER} as this project shows pictures to it, in three "
        "views and many layers. The papers' have one vector of a large CLIP or DINO."
    )


def _chosen(source: Source) -> list[str]:
    """What of ours was chosen on a data set."""
    if not is_chosen_on(source):
        return []
    return [
        f"Views, layers and constants of ours were chosen with {source.name} at hand (decisions 0002, 0004, 0010), "
        "prompts held out, models not: expect somewhat less of them on other models. No baseline had that."
    ]


def _zero_shot(results: Results, plan: Plan, source: Source, jobs: Sequence[Job], out: Path) -> Part:
    part = Part(f"zero-shot-{source.name}", f"Paper 002: models seen and unseen in training, {source.name}")
    found = tables.first_measured(results, jobs)
    if found is None:
        part.sentences += ["Nothing was measured.", *tables.reasons(results, jobs)]
        return part
    part.sentences += [
        f"{found['models']['seen']} seen and {found['models']['unseen']} unseen models, one split by seed {plan.seed}; "
        f"{found['training_images']} training images; up to {plan.k} references a model; every training has "
        f"{plan.training('002'):g} processor seconds (for the curves a quarter and half of them), eight steps at "
        "least.",
        *(f"{group}: {', '.join(names)}." for group, names in found["members"].items()),
        tables.leak_sentence(found["leaks"]),
        *_weights(plan),
        _encoder(),
        *_chosen(source),
        *tables.all_notes(results, jobs),
        *tables.lacking(results, jobs),
        "Seen and unseen models are other candidates and, in number, may be other chances.",
        *tables.reasons(results, jobs),
    ]
    curves = tables.curve_rows(results, jobs)
    part.tables += [
        ("Table VIII: identification", tables.identification_rows(results, jobs), tables.IDENTIFICATION_COLUMNS),
        *_lifts(results, plan, jobs, "identification"),
        ("Table IX: verification", tables.verification_rows(results, jobs), tables.VERIFICATION_COLUMNS),
        *_lifts(results, plan, jobs, "verification"),
        ("Learning curves", curves, tables.CURVE_COLUMNS),
        ("What full scale would take", tables.scale_rows(results, jobs), tables.SCALE_COLUMNS),
    ]
    if curves:
        text = "Accuracy of identification after parts of the training."
        part.pictures.append(figure(svg_text(curve_figure(curves), name=f"curves-{source.name}", alt=text), text))
    current = [job.words["method"] for job in tables.whole(jobs) if tables.measured(results, job)[0] is not None]
    drawn = draw_maps(out, source.name, current, plan.seed)
    if drawn is not None:
        part.pictures.append(_picture(drawn, "After figure 13: embeddings of seen and of unseen models, by t-SNE."))
    return part


def _lifts(results: Results, plan: Plan, jobs: Sequence[Job], task: str) -> list[Table]:
    """Ours beside theirs, for both groups."""
    what = {"identification": "accuracy, query by query", "verification": "AUC, on the same pairs"}[task]
    return [
        (f"Ours and theirs, {group} models: {what}", tables.group_lifts(results, jobs, task, group, plan.seed),
         tables.LIFT_COLUMNS)
        for group in ("seen", "unseen")
    ]  # fmt: skip


def _weights(plan: Plan) -> list[str]:
    """Which weights the encoder fingerprint has."""
    if not plan.fingerprint:
        return []
    return [f"fingerprint has the weights of {Path(plan.fingerprint).name}, SHA-256 {plan.fingerprint_sha256}."]


def _costs(results: Results, jobs: Sequence[Job]) -> Part:
    part = Part("costs", "What the cells took")
    part.sentences.append(
        "Seconds, as measured where a cell was measured, with a training that was read from its checkpoint counting "
        "nothing; a cell that shares its cores with another takes longer. The estimates are of one processor."
    )
    part.sentences += _clock(results, jobs)
    part.tables.append(("By method, the dearest first", tables.cost_rows(results, jobs), tables.COST_COLUMNS))
    return part


def _clock(results: Results, jobs: Sequence[Job]) -> list[str]:
    """What the runs of the bench took by the clock."""
    runs, unknown = results.runs((job.key, job.words) for job in jobs)
    if not runs:
        return []
    hours = sum(each["seconds"] for each in runs) / 3600
    said = "; ".join(
        f"{each['cells']} cells in {each['seconds'] / 60:,.0f} min by {each['processes']} "
        f"{'process' if each['processes'] == 1 else 'processes'}"
        for each in runs
    )
    missing = f" {unknown} cells are of runs that did not say." if unknown else ""
    return [
        f"By the clock, each run from its beginning to the last of its cells here, making and embedding pictures "
        f"included: {hours:.2f} hours in {len(runs)} {'run' if len(runs) == 1 else 'runs'} ({said}).{missing}"
    ]


def _stored(
    results: Results,
    plan: Plan,
    source: Source,
    jobs: Sequence[Job],
    rows: Sequence[Mapping[str, Any]],
    told: Told | None,
) -> Part:
    part = Part(f"attacks-{source.name}", f"Paper 001: methods under attacks, {source.name}")
    plugged = any("likeness" in job.words["kind"] for job in jobs)
    part.sentences += [
        STANDING_IN if plugged else NOTHING_STORED,
        "Methods are not told the prompt and learn from other prompts. Ours have degraded copies of some of these "
        "images, as a gallery has; others learn from them as published.",
        *_told(told),
        *_chosen(source),
        _strengths(source),
        f"Every training has {plan.training('001'):g} processor seconds, and eight steps at least.",
        *tables.reasons(results, jobs),
    ]
    part.tables.append(("Top-1 under attacks", rows, ATTACK_COLUMNS))
    return part


def _told(told: Told | None) -> list[str]:
    return [] if told is None else [tables.leak_sentence(told[0]), *told[1]]


def _strengths(source: Source | None = None) -> str:
    told = "; ".join(f"{name} is {text.replace('+', ', then ')}" for name, text in ATTACKS.items() if text)
    where = "" if source is None else f" of {source.megapixels:.2g} megapixels"
    return f"Attacks, on pictures{where or ' of 64 pixels a side'}: {told}."


def _attacks(plan: Plan, rows: Sequence[Mapping[str, Any]], why: str | None, reasons: Sequence[str]) -> Part:
    part = Part("attacks", "Paper 001: methods under attacks, with and without regeneration as a plug-in, zoo")
    if why is not None:
        part.sentences.append(f"NOT MEASURED: {why}")
        return part
    part.sentences += [
        "The built-in models, prompt known to regeneration, not to the methods. Weights of the plug-in are learnt from "
        "background prompts of which the method has seen nothing, unattacked.",
        *_attacked_sizes(plan),
        f"Every training has {plan.training('001'):g} processor seconds, and eight steps at least.",
        *reasons,
    ]
    part.tables.append(("Top-1 under attacks", rows, ATTACK_COLUMNS))
    return part


def _attacked_sizes(plan: Plan) -> list[str]:
    sizes = small_plan(plan)
    return [
        f"{sizes.subset} queries of {sizes.prompts} prompts, γ = {sizes.gamma} regenerated images a model; the methods "
        f"learn from {sizes.background_images} images of each model for each of two thirds of {sizes.background} other "
        "prompts; ours have degraded copies of some, as a gallery has.",
        _strengths(),
        "Which of paper 001's four conditions is unattacked its text does not say; the first is taken to be.",
    ]


def _markdown(parts: Sequence[Part]) -> str:
    lines = ["# The papers' tables", INTRO]
    for part in parts:
        lines += [f"## {part.title}", *part.sentences]
        for caption, rows, columns in part.tables:
            if rows:
                lines += [f"### {caption}", render_rows(rows, columns)]
    return "\n\n".join(lines) + "\n"


def _page(parts: Sequence[Part]) -> str:
    page = Page("The papers' tables", INTRO)
    for part in parts:
        shown = [table(rows, columns, caption) for caption, rows, columns in part.tables]
        first, rest = part.sentences[:1], part.sentences[1:]
        page.section(part.name, part.title, *map(paragraph, first), listing(rest), *shown, figures(*part.pictures))
    return page.render()


def _picture(path: Path, caption: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    text = escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" style="max-width:100%" src="data:image/png;base64,{content}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
