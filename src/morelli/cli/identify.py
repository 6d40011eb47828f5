"""``morelli identify``: which model made this image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli import asking, identify_regeneration
from morelli.cli.claims import TrustOption, claim_lines
from morelli.cli.identify_regeneration import Question, RegenerationOptions
from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.types import Verdict

BAR = 10  # characters of a probability of 1
UNSURE, NONE = "unsure", "none"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(identify)


def identify(
    context: typer.Context,
    images: asking.ImagesArgument,
    gallery: asking.GalleryOption = None,
    prompt: asking.PromptOption = None,
    prompt_free: asking.PromptFreeOption = False,
    level: Annotated[
        str, typer.Option(help="Attribute to each model, or to each base that the gallery's models derive from.")
    ] = "model",
    method: asking.MethodOption = None,
    encoder: asking.EncoderOption = None,
    epsilon: Annotated[
        float, typer.Option(help="Candidates are the models with a conformal p-value above this.")
    ] = 0.1,
    stability: Annotated[
        bool, typer.Option("--stability/--no-stability", help="Also compare degraded copies of each image.")
    ] = True,
    top: Annotated[int, typer.Option(min=1, help="Rows of the table; JSON has all.")] = 5,
    generators: identify_regeneration.GeneratorsOption = None,
    inverter: identify_regeneration.InverterOption = None,
    gamma: identify_regeneration.GammaOption = None,
    similarity: identify_regeneration.SimilarityOption = None,
    yes_send: identify_regeneration.YesSendOption = False,
    claims: Annotated[
        bool, typer.Option("--claims/--no-claims", help="Also tell what each file says of itself.")
    ] = True,
    trust: TrustOption = None,
    as_json: asking.JsonOption = False,
) -> None:
    """Say which model made each image, how sure that is, and what the evidence is.

    Without --prompt an image is compared with the references of all prompts. The first run on a gallery learns its
    statistics, which takes a minute; they are kept. With --generators no gallery is needed: the models are asked for
    fresh images of the same prompt (--method regeneration).
    """
    options = RegenerationOptions(generators, inverter, gamma, similarity, yes_send)
    if identify_regeneration.is_asked(method, options):
        if prompt_free:
            raise InputError("regeneration always has a prompt.", argument="--prompt-free", fix="Leave it out.")
        if level != "model":
            raise InputError("regeneration names generators, not bases.", argument="--level", fix="Leave it out.")
        # A gallery only adds statistics here: one that the environment names for other commands is not meant.
        named = context.get_parameter_source("gallery")
        background = gallery if named is not None and named.name == "COMMANDLINE" else None
        question = Question(background, prompt, encoder, epsilon, stability, claims, trust)
        asking.answer(
            lambda files, stages: identify_regeneration.ask(options, question, files, stages),
            images,
            lambda verdict: show(verdict, top),
            as_json,
        )
        return
    where = asking.required_gallery(gallery)

    def ask(files: list[Path], stages: asking.Stages) -> Iterable[Any]:
        from morelli.identify import Identifier

        chosen = asking.method_options(method, encoder)
        identifier = Identifier(
            where,
            epsilon=epsilon,
            stability=stability,
            fall_back=prompt_free,
            level=level,
            claims=claims,
            trust=trust,
            **chosen,
        )
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
    yield from _method(verdict.method)
    yield from claim_lines(verdict.claims)
    for note in verdict.notes:
        yield "note", note


def _method(method: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    prompt = method["prompt_used"]
    if method["name"] == identify_regeneration.METHOD:
        with_ = method["similarity"] if method["encoder"] is None else f"{method['similarity']}, {method['encoder']}"
        yield "method", f"regeneration, γ = {method['gamma']}, {with_}"
        yield "prompt", f"{prompt} ({method['inverter']})"
        yield "seconds", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in method["seconds"].items())
        return
    how = "without the prompt" if prompt is None else f"prompt {prompt}, k = {method['k']}"
    yield "method", f"{method['name']}, {method['encoder']}, {how}"


def _listed(texts: list[str]) -> str:
    return f"; {', '.join(texts)}" if texts else ""
