"""``morelli check``: is this image from that model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from morelli.cli import asking

if TYPE_CHECKING:
    from morelli.types import CheckVerdict


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(check)


def check(
    images: asking.ImagesArgument,
    model: Annotated[str, typer.Option(help="The model that is asked about.", show_default=False)],
    gallery: asking.GalleryOption = None,
    prompt: asking.PromptOption = None,
    prompt_free: asking.PromptFreeOption = False,
    method: asking.MethodOption = None,
    encoder: asking.EncoderOption = None,
    alpha: Annotated[float, typer.Option(help="Share of the model's own images that should be accepted.")] = 0.9,
    case: Annotated[
        str, typer.Option(help="1: with the references of all models; 2: of this one alone; auto: both, if possible.")
    ] = "auto",
    as_json: asking.JsonOption = False,
) -> None:
    """Say whether each image is from one given model.

    Case 1 compares with the references of all models, Case 2 with the given model's alone.
    """
    where = asking.required_gallery(gallery)
    if case == "2" and method is not None:
        raise typer.BadParameter("plays no part in Case 2, which asks no attributor.", param_hint="--method")

    def ask(files: list[Path], stages: asking.Stages) -> Iterable[Any]:
        from morelli.identify import Identifier

        identifier = Identifier(where, fall_back=prompt_free, **asking.method_options(method, encoder))
        return identifier.check(files, model, alpha=alpha, prompt=prompt, case=cast("Any", case), progress=stages)

    asking.answer(ask, images, show, as_json)


def show(verdict: CheckVerdict) -> None:
    """An answer for people."""
    print(f"{verdict.image}: {verdict.decision} (is it {verdict.model}?)")
    for name, text in _lines(verdict):
        print(f"{name:15} {text}")
    print()


def _lines(verdict: CheckVerdict) -> Iterable[tuple[str, str]]:
    first, second = verdict.case_1, verdict.case_2
    if first is not None:
        place = "first place" if first["first"] else f"first place to {first['top_model']}"
        p_value = "" if first["p_value"] is None else f", p = {first['p_value']:.3f}"
        yield "against all", f"{_word(first['accepted'])}: probability {first['probability']:.3f}{p_value}, {place}"
    if second is not None:
        published, exact = second["published"], second["conformal"]
        count = f"{second['references']} references"
        word = _word(exact["accepted"]) if exact["attainable"] else "too few references to refuse anything"
        yield "its own alone", f"{word}: p = {exact['p_value']:.3f} ({count}, α = {verdict.alpha:g})"
        yield "as published", f"{_word(published['accepted'])}: {published['ratio']:.3f} of the threshold distance"
    for note in verdict.notes:
        yield "note", note


def _word(accepted: bool) -> str:
    return "accepted" if accepted else "refused"
