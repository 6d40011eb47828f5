"""The exposure report: one HTML file with figures, tables, the map and what the figures mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from morelli.exposure.simulation import typical, undefended
from morelli.report import exposure as columns
from morelli.report.exposure_figures import exposure_figures
from morelli.report.page import Page, details, figure, figures, heat_table, listing, paragraph, table, tiles
from morelli.report.svg import svg_text
from morelli.report.table import format_percent
from morelli.report.thumbnail_map import legend, model_inks, thumbnail_map
from morelli.report.votes import VOTES, vote_rows, votes_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from morelli.evaluation.data import EvaluationSet

_LARGEST_MATRIX = 60


def exposure_page(
    result: Mapping[str, Any],
    data: EvaluationSet | None = None,
    made: Mapping[str, tuple[Figure, str]] | None = None,
) -> str:
    """The report as HTML.

    Parameters
    ----------
    result : mapping
        Schema ``morelli.exposure/1``.
    data : EvaluationSet, optional
        Images for the map; without them the page has none.
    made : mapping, optional
        What `exposure_figures` gave for this result, where it is at hand.
    """
    name = str(result["dataset"]).rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    page = Page(
        f"Exposure of {name}",
        f"{result['n_images']} images: {result['n_models']} models, {result['n_prompts']} prompts. The attacker has "
        f"k = {result['k']} images of each model for the prompt of a battle, the encoder {result['encoder']['id']} and "
        f"the attributor {result['method']}.",
    )
    fill_exposure(page, result, data, made)
    return page.render()


def fill_exposure(
    page: Page,
    result: Mapping[str, Any],
    data: EvaluationSet | None = None,
    made: Mapping[str, tuple[Figure, str]] | None = None,
    name: str = "",
) -> None:
    """Add the report's sections to a page.

    Parameters
    ----------
    page : Page
        Or whatever else has its ``section``.
    result, data, made
        As in `exposure_page`.
    name : str
        Begins every id inside the figures, where a page has several such results.
    """
    shown = exposure_figures(result) if made is None else made
    drawn = {key: figure(svg_text(one, name=f"{name}{key}", alt=text), text) for key, (one, text) in shown.items()}
    leaks = columns.leak_line(result)
    said = [*([leaks[0].upper() + leaks[1:]] if leaks else []), *(f"Note: {note}" for note in result["notes"])]
    page.section("summary", "Summary", _tiles(result), listing(said))
    _prompts(page, result, drawn)
    _separability(page, result, drawn, data)
    _attack(page, result, drawn)
    _consequence(page, result, drawn)


def _tiles(result: Mapping[str, Any]) -> str:
    attack = result["encoders"][0]["attacks"][-1]
    share = result["encoders"][0]
    separable = sum(row["d"] >= 1 - 1e-9 for row in result["prompts"])
    entries = [
        ("Images named right", f"{format_percent(attack['top1'])} %",
         f"{_ends(attack)}chance {100 / result['n_models']:.1f}\u00a0%"),
        ("Mean exposure D(i)", f"{format_percent(share['mean_d'])} %",
         f"{separable} of {result['n_prompts']} prompts separate all models, τ = {result['tau']:g}"),
        ("Variance between models", f"{format_percent(share['share'])} %", "of between + within, same prompt"),
        ("One battle costs", f"${result['cost']['per_battle']:.2f}", f"{result['cost']['images_per_battle']} images"),
    ]  # fmt: skip
    votes = typical(undefended((result["votes"] or {}).get("rows", ())), "votes")
    if votes is not None:
        entries.append(("Votes to move one place", f"{votes:.0f}", "median target; simulation, see Votes"))
    return tiles(entries)


def _ends(row: Mapping[str, Any]) -> str:
    """ "84.1–92.0 %; ", or nothing where there is no interval."""
    text = format_percent(row["top1"], row["low"], row["high"])
    return f"{text.partition('(')[2].rstrip(')')}\u00a0%; " if "(" in text else ""


def _prompts(page: Page, result: Mapping[str, Any], drawn: Mapping[str, str]) -> None:
    rows = columns.prompt_rows(result)
    page.section(
        "prompts",
        "Which prompts give models away",
        paragraph(
            "D(i) is the share of the models whose images of prompt i mostly lie nearest to another image of the same "
            f"model. Expected accuracy is what the references alone promise: {_held(result)}."
        ),
        figures(drawn["ranking"], drawn["bands"], drawn.get("chosen", ""), drawn.get("categories", "")),
        table(rows[:10], columns.PROMPTS, "The ten most exposing prompts"),
        table(rows[-10:], columns.PROMPTS, "The ten least exposing prompts") if len(rows) > 20 else "",
        details("All prompts", table(rows, columns.PROMPTS, "All prompts, most exposing first")),
        table(columns.correlation_rows(result), columns.CORRELATIONS,
              "What predicts the attack's success on a prompt (95 % intervals over prompts). Same: of the images that "
              "are attacked, as published. Held out: from other images than those."),
        details(
            "The figures as tables",
            table(result["curves"]["band"], columns.BANDS, "Top-1 by D(i) of the references"),
            table(result["curves"]["chosen"], columns.CHOSEN,
                  "Prompts that the attacker picks by the references, judged on other images"),
            table(result["curves"].get("filtered", []), columns.FILTERED,
                  "Without the prompts that the references call most exposing, judged on other images"),
            table(result["curves"]["category"], columns.CATEGORIES, "Categories"),
        ),
    )  # fmt: skip


def _held(result: Mapping[str, Any]) -> str:
    """How expected accuracy is measured, as part of a sentence."""
    inside = result.get("k_expected")  # absent from results of earlier versions, None where it was not measured
    text = "a part of them held out from the rest"
    if inside is None:
        return text
    few = f"{inside} reference{'s' * (inside != 1)} a model"
    return f"{text}, so that it is measured with {few} where the attack's accuracy is with {result['k']}"


def _separability(page: Page, result: Mapping[str, Any], drawn: Mapping[str, str], data: EvaluationSet | None) -> None:
    unit = "embeddings at unit length"
    form = unit if result.get("unit", True) else f"D(i) of embeddings as they come, variances and pairs of {unit}"
    page.section(
        "separability",
        "How models stand apart",
        table(columns.encoder_rows(result), columns.ENCODERS, f"Encoders side by side; {form}"),
        figures(drawn["distances"], drawn["tau"], drawn.get("encoders", "")),
        *(_maps(result, data) if data is not None else ()),
        table(result["models"], columns.MODELS, "Models"),
        _confusion(result),
    )


def _maps(result: Mapping[str, Any], data: EvaluationSet) -> list[str]:
    inks = model_inks([row["model"] for row in result["models"]])
    rows = columns.prompt_rows(result)
    shown = []
    for row, word in ((rows[0], "most"), (rows[-1], "least")):
        svg = thumbnail_map(data, row["prompt_id"], inks, seed=result["seed"])
        if svg is not None:
            about = row["prompt"] or row["prompt_id"]
            shown.append(figure(svg, f"A prompt that exposes {word} (D(i) = {100 * row['d']:.0f} %): {about}"))
    if not shown:
        return []
    words = "Images of one prompt, near each other where their embeddings are (t-SNE); number and frame name the model."
    return [paragraph(words), figures(*shown), legend(inks)]


def _confusion(result: Mapping[str, Any]) -> str:
    labels, counts = result["confusion"]["labels"], result["confusion"]["matrix"]
    if len(labels) > _LARGEST_MATRIX:
        return paragraph(f"The confusion matrix of {len(labels)} models is in the JSON.")
    shares = [[value / max(sum(row), 1) for value in row] for row in counts]
    return heat_table(labels, shares, "Confusion, %: rows made the image, columns were named")


def _attack(page: Page, result: Mapping[str, Any], drawn: Mapping[str, str]) -> None:
    curves = result["curves"]
    page.section(
        "attack",
        "What the attack needs",
        figures(drawn["k"], drawn["pool"]),
        paragraph(
            "Diamonds are paper 000's figures on its own 22 models, for orientation; they are not of these images. "
            "Pools are drawn at random; statistics of learning attributors come from all models' images of other "
            "prompts."
        ),
        table(result["battle"], columns.BATTLES, "The battle itself: two images of one prompt by two different models"),
        table(columns.one_vs_many_rows(result), columns.ONE_VS_MANY,
              "Is it from this model? With every model's references (Case 1, by method) and with the target's alone "
              "(Case 2)"),
        details("The figures as tables", table(curves["k"], columns.K, "Top-1 against k"),
                table(curves["pool"], columns.POOL, "Top-1 against the pool")),
    )  # fmt: skip


def _consequence(page: Page, result: Mapping[str, Any], drawn: Mapping[str, str]) -> None:
    line = columns.cost_line(result)
    page.section(
        "cost",
        "Cost",
        paragraph(line[0].upper() + line[1:] + "."),
        figures(drawn["cost"]),
        paragraph("Both images of a battle are compared with the same references. Storage and people are not counted."),
    )
    found = result["votes"]
    if found is None:
        return
    page.section(
        "votes",
        "Votes",
        paragraph(f"A simulation with the measured confusion matrix: {votes_title(found)}."),
        paragraph(
            "A vote is aimed where exactly one of two images looks like the target's. Votes, battles and the share "
            "that moved are over the simulations in which the target had a place to move to. Caught: the share of the "
            "attacker's votes that lie in accounts which a simple watch flags; false alarms: the share of the honest "
            "accounts that it flags. How far places lie apart, how many vote and how long a vote takes are "
            "assumptions; put in your own with: morelli simulate-votes."
        ),
        figures(drawn["votes"]) if "votes" in drawn else "",
        table(vote_rows(found), VOTES, "Votes that move each target one place (median and 95 % interval)"),
        listing([f"Note: {note}" for note in found.get("notes", ())]),
    )
