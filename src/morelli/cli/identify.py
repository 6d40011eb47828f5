"""``morelli identify``: which model made this image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import asking

if TYPE_CHECKING:
    from morelli.types import Verdict

BAR = 10  # characters of a probability of 1
UNSURE, NONE = "unsure", "none"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(identify)


def identify(
    images: asking.ImagesArgument,
    gallery: asking.GalleryOption = None,
    prompt: asking.PromptOption = None,
    prompt_free: asking.PromptFreeOption = False,
    method: asking.MethodOption = None,
    encoder: asking.EncoderOption = None,
    epsilon: Annotated[
        float, typer.Option(help="Candidates are the models with a conformal p-value above this.")
    ] = 0.1,
    stability: Annotated[
        bool, typer.Option("--stability/--no-stability", help="Also compare degraded copies of each image.")
    ] = True,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table; JSON has all.")] = 5,
    as_json: asking.JsonOption = False,
) -> None:
    """Say which model made each image, how sure that is, and what the evidence is.

    Without --prompt an image is compared with the references of all prompts. The first run on a gallery learns its
    statistics, which takes a minute; they are kept.
    """
    where = asking.required_gallery(gallery)

    def ask(files: list[Path], stages: asking.Stages) -> Iterable[Any]:
        from morelli.identify import Identifier

        options = asking.method_options(method, encoder)
        identifier = Identifier(where, epsilon=epsilon, stability=stability, fall_back=prompt_free, **options)
        return identifier.identify(files, prompt=prompt, progress=stages)

    asking.answer(ask, images, lambda verdict: show(verdict, top), as_json)


def show(verdict: Verdict, top: int) -> None:
    """A verdict for people: the decision, the ranking as a table, and what stands behind it."""
    from morelli.report.table import Column, print_table

    print(f"{verdict.image}: {_headline(verdict)}")
    rows = [
        {
            "rank": number,
            "model": line.model,
            "family": line.family,
            "probability": line.probability,
            "bar": "█" * round(BAR * line.probability),
        }
        for number, line in enumerate(verdict.ranking[:top], start=1)
    ]
    columns: list[Column | str] = [Column("rank", form="count"), "model"]
    if any(line.family != line.model for line in verdict.ranking):
        columns.append("family")
    print_table(rows, [*columns, Column("probability", "probability, %", "percent"), Column("bar", " ")])
    for name, text in _lines(verdict):
        print(f"{name:11} {text}")
    print()


def _headline(verdict: Verdict) -> str:
    if verdict.decision == UNSURE:
        return f"unsure, perhaps {verdict.ranking[0].model}"
    return "none of the known models" if verdict.decision == NONE else verdict.decision


def _lines(verdict: Verdict) -> Iterable[tuple[str, str]]:
    if verdict.calibrated:
        yield "candidates", f"{', '.join(verdict.candidates) or 'no model'} (p > {verdict.epsilon:g})"
    if verdict.p_value is not None:
        told = "none of the known models fits" if verdict.rejected else "a known model may have made it"
        yield "unknown", f"{told} (p = {verdict.p_value:.3f})"
    if verdict.agreement is not None:
        kept = sum(each.model == verdict.ranking[0].model for each in verdict.degradations)
        flips = [f"{each.name} gives {each.model}" for each in verdict.degradations]
        flips = [text for text in flips if not text.endswith(f" gives {verdict.ranking[0].model}")]
        yield "stability", f"{kept} of {len(verdict.degradations)} keep the first place{_listed(flips)}"
    for number, each in enumerate(verdict.evidence):
        yield "" if number else "nearest", f"{each.distance:.3f}  {each.model}  {each.reference}"
    prompt = verdict.method["prompt_used"]
    how = "without the prompt" if prompt is None else f"prompt {prompt}, k = {verdict.method['k']}"
    yield "method", f"{verdict.method['name']}, {verdict.method['encoder']}, {how}"
    for note in verdict.notes:
        yield "note", note


def _listed(texts: list[str]) -> str:
    return f"; {', '.join(texts)}" if texts else ""
