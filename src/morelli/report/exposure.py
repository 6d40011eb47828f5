"""An exposure audit as tables for a terminal; its columns are the report's too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from morelli.report.evaluation import ONE_VS_MANY
from morelli.report.table import Column, print_table

ENCODERS = (
    Column("encoder"),
    Column("within", "variance within", "number"),
    Column("between", "between", "number"),
    Column("share", "between, % of both", "percent", "share_low", "share_high"),
    Column("pair_auroc", "pairs: AUROC", "number"),
    Column("mean_d", "mean D(i) %", "percent"),
    Column("published", "euclid top-1 %", "percent", "published_low", "published_high"),
    Column("asked", "attack top-1 %", "percent", "asked_low", "asked_high"),
)
MODELS = (
    Column("model"),
    Column("accuracy", "attack top-1 %", "percent"),
    Column("separable", "separable prompts %", "percent"),
)
PROMPTS = (
    Column("prompt_id", "prompt"),
    Column("text", "text"),
    Column("d", "D(i) %", "percent"),
    Column("accuracy", "attack top-1 %", "percent"),
    Column("expected_accuracy", "expected %", "percent"),
    Column("accuracy_published", "euclid top-1 %", "percent"),
)
CORRELATIONS = (
    Column("predictor"),
    Column("images"),
    Column("attack"),
    Column("pearson_text", "Pearson"),
    Column("spearman_text", "Spearman"),
)
K = (Column("method"), Column("k", "k", "count"), Column("top1", "top-1 %", "percent", "low", "high"))
POOL = (Column("method"), Column("models", "models", "count"), Column("top1", "top-1 %", "percent", "low", "high"))
BANDS = (
    Column("band", "D(i)"),
    Column("prompts", "prompts", "count"),
    Column("top1", "top-1 % on held-out images", "percent", "low", "high"),
)
CATEGORIES = (
    Column("category"),
    Column("prompts", "prompts", "count"),
    Column("mean_d", "mean D(i) %", "percent"),
    Column("top1", "top-1 %", "percent", "low", "high"),
)
CHOSEN = (
    Column("m", "prompts picked"),
    Column("by_d", "by D(i) %", "percent", "by_d_low", "by_d_high"),
    Column("by_expected", "by expected accuracy %", "percent", "by_expected_low", "by_expected_high"),
    Column("all_prompts", "all prompts %", "percent"),
)
FILTERED = (
    Column("dropped", "prompts left out", "count"),
    Column("kept", "kept", "count"),
    Column("by_d", "by D(i) %", "percent"),
    Column("by_d_lift", "less all prompts", "lift", "by_d_lift_low", "by_d_lift_high"),
    Column("by_expected", "by expected accuracy %", "percent"),
    Column("by_expected_lift", "less all prompts", "lift", "by_expected_lift_low", "by_expected_lift_high"),
    Column("oracle", "best possible %", "percent"),
)
BATTLES = (
    Column("method"),
    Column("battles", "battles", "count"),
    Column("both_alone", "both right, one by one %", "percent"),
    Column("both_together", "together %", "percent"),
    Column("lift", "lift", "lift", "lift_low", "lift_high"),
    Column("image_alone", "an image, one by one %", "percent"),
    Column("image_together", "together %", "percent"),
)
_SHOWN = 5


def encoder_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Encoders, with the attacks' accuracies side by side."""
    out = []
    for row in result["encoders"]:
        shown = dict(row)
        for name, attack in (("published", row["attacks"][0]), ("asked", row["attacks"][-1])):
            shown |= {name: attack["top1"], f"{name}_low": attack["low"], f"{name}_high": attack["high"]}
        out.append(shown)
    return out


def prompt_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Prompts, most exposing first, long texts shortened."""
    order = sorted(result["prompts"], key=lambda row: (-row["d"], -(row["accuracy"] or 0.0), row["prompt_id"]))
    texts = [row["prompt"] if row["prompt"] != row["prompt_id"] else "" for row in order]
    return [
        dict(row, text=text if len(text) <= 70 else text[:68] + "…") for row, text in zip(order, texts, strict=True)
    ]


def correlation_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Coefficients with their intervals as text: "0.61 (0.45 to 0.74)"."""
    words = {"d": "D(i)", "mean_frac": "mean frac(i, j)", "expected_accuracy": "expected accuracy"}
    out = []
    for row in result["correlation"]:
        shown = dict(row, predictor=words[row["predictor"]])
        for name in ("pearson", "spearman"):
            point, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
            known = point is not None and point == point
            shown[f"{name}_text"] = f"{point:.2f} ({low:.2f} to {high:.2f})".replace("-", "−") if known else None
        out.append(shown)
    return out


def one_vs_many_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of both cases; those where k references cannot refuse anything say so."""
    weak = " (k too small for α)"
    return [dict(row, method=row["method"] + weak * (row.get("attainable") is False)) for row in result["one_vs_many"]]


def exposure_title(result: Mapping[str, Any]) -> str:
    """What was measured, in one line."""
    return (
        f"{result['dataset']}: {result['n_models']} models, {result['n_prompts']} prompts, k = {result['k']}, "
        f"attack {result['method']}, encoder {result['encoder']['id']}, τ = {result['tau']:g}"
    )


def leak_line(result: Mapping[str, Any]) -> str:
    """How well the files' form alone names the model, in one sentence; empty where that was not measured."""
    leaks = result["leaks"]
    if "accuracy" not in leaks:
        return ""
    words = ", ".join(leaks.get("sources") or []) or "none"
    return (
        f"leak test: size, format and tables alone name {100 * leaks['accuracy']:.1f} % "
        f"(chance {100 * leaks['chance']:.1f} %); leaking: {words}"
    )


def cost_line(result: Mapping[str, Any]) -> str:
    """The cost of one battle and of a campaign, in one sentence."""
    found = result["cost"]
    line = f"one battle: {found['images_per_battle']} images, ${found['per_battle']:.2f}"
    if found["campaign"] is not None:
        line += (
            f"; one place on the leaderboard: {found['campaign_battles']:.0f} battles viewed, "
            f"${found['campaign']:,.0f} (${found['campaign_of_these_prompts']:,.0f} where prompts repeat)"
        )
    return line


def print_exposure(result: Mapping[str, Any]) -> None:
    """The audit on standard output."""
    from morelli.report.votes import VOTES, vote_rows

    print(exposure_title(result))
    prompts = prompt_rows(result)
    few = prompts if len(prompts) <= 2 * _SHOWN else [*prompts[:_SHOWN], *prompts[-_SHOWN:]]
    curves, inside = result["curves"], result.get("k_expected")
    which = f"prompts: the {_SHOWN} most and least exposing" if len(few) < len(prompts) else "prompts"
    if inside is not None:
        which += f" (expected: with {inside} reference{'s' * (inside != 1)} a model, not {result['k']})"
    tables: list[tuple[str, list[Any], tuple[Column, ...]]] = [
        ("encoders", encoder_rows(result), ENCODERS),
        ("models", result["models"], MODELS),
        (which, few, PROMPTS),
        ("what predicts the attack's success on a prompt", correlation_rows(result), CORRELATIONS),
        ("top-1 by D(i) of the references", curves["band"], BANDS),
        ("references a model", curves["k"], K),
        ("models in the pool", curves["pool"], POOL),
        ("categories", curves["category"], CATEGORIES),
        ("prompts that the attacker picks", curves["chosen"], CHOSEN),
        ("top-1 on held-out images without the most exposing prompts", curves.get("filtered", []), FILTERED),
        ("battles: two images of one prompt by two models", result["battle"], BATTLES),
        ("one-vs-many", one_vs_many_rows(result), ONE_VS_MANY),
        ("votes that move one place", vote_rows(result["votes"]) if result["votes"] else [], VOTES),
    ]
    for title, rows, columns in tables:
        if rows:
            print()
            print_table(rows, columns, title=title)
    print(f"\n{leak_line(result)}\n{cost_line(result)}")
