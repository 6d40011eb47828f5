"""An evaluation's rows as a table, for a terminal or for Markdown."""

from __future__ import annotations

from typing import Any

from morelli.report.table import Column, print_table, render_rows

_COMMON = (
    Column("method"),
    Column("background"),
    Column("n_candidates", "models", "text"),
    Column("top1", "top-1 %", "percent", "top1_low", "top1_high"),
    Column("top3", "top-3 %", "percent"),
    Column("top5", "top-5 %", "percent"),
    Column("family_top1", "family %", "percent"),
    Column("lift", "lift over euclid", "lift", "lift_low", "lift_high"),
    Column("ece", "ECE", "number"),
    Column("ece_floor", "ECE if perfect", "number"),
    Column("coverage", "coverage %", "percent"),
    Column("set_size", "set size", "number"),
)
_UNKNOWN = (Column("auroc", "AUROC", "number"), Column("oscr", "OSCR", "number"), Column("fpr95", "FPR95", "number"))
ONE_VS_MANY = (
    Column("method"),
    Column("alpha", "α", "text"),
    Column("tpr", "TPR %", "percent", "tpr_low", "tpr_high"),
    Column("fpr", "FPR %", "percent"),
    Column("balanced_accuracy", "balanced acc. %", "percent"),
    Column("auroc", "AUROC", "number"),
)


_VERIFICATION = (
    Column("method"),
    Column("pairs"),
    Column("n_same", "same", "count"),
    Column("n_different", "different", "count"),
    Column("auroc", "AUC %", "percent", "auroc_low", "auroc_high"),
    Column("accuracy", "accuracy %, threshold of other models", "percent", "accuracy_low", "accuracy_high"),
    Column("best_accuracy", "best threshold % (optimistic)", "percent"),
)
_IDENTIFICATION = (
    Column("method"),
    Column("n_candidates", "models", "text"),
    Column("top1", "accuracy %", "percent", "top1_low", "top1_high"),
    Column("f1", "macro-F1 %", "percent", "f1_low", "f1_high"),
    Column("top5", "top-5 %", "percent"),
    Column("family_top1", "family %", "percent"),
    Column("lift", "lift over euclid", "lift", "lift_low", "lift_high"),
)


def evaluation_columns(result: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that an evaluation of that protocol fills."""
    if result["protocol"] == "one-vs-many":
        return ONE_VS_MANY
    if result["protocol"] in ("verification", "identification"):
        columns = _VERIFICATION if result["protocol"] == "verification" else _IDENTIFICATION
        split = any("models" in row for row in result["rows"])
        return (columns[0], Column("models", "seen in training"), *columns[1:]) if split else columns
    if result["protocol"] == "robustness":
        return (Column("degradation"), *_COMMON)
    unknown = any(row.get("auroc") is not None for row in result["rows"])
    return _COMMON + (_UNKNOWN if unknown else ())


def shown_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as tables show them: counts as text, and what to know of a method beside its name."""
    rows = []
    for row in result["rows"]:
        shown = dict(row)
        count = row.get("n_candidates")
        shown["n_candidates"] = None if count is None else f"{count:.0f}" if count == round(count) else f"{count:.1f}"
        if row.get("attainable") is False:
            shown["method"] = f"{row['method']} (k too small for α)"
        if row.get("under_trained"):
            shown["method"] = f"{row['method']} (under-trained)"
        rows.append(shown)
    return rows


def evaluation_title(result: dict[str, Any]) -> str:
    """What was measured, in one line."""
    k = "all" if result["k"] is None else str(result["k"])
    asked = f"k = {k}, {result['n_queries']} queries, "
    if result["protocol"] == "verification":
        asked = ""
    elif result.get("level", "model") != "model":
        asked = f"level {result['level']}, {asked}"
    return (
        f"{result['dataset']}: {result['protocol']}, {asked}"
        f"{result['n_models']} models, {result['n_prompts']} prompts, encoder {result['encoder']['id']}"
    )


def print_evaluation(result: dict[str, Any]) -> None:
    """The table on standard output, with the leak test below it."""
    print_table(shown_rows(result), evaluation_columns(result), title=evaluation_title(result))
    leaks = result["leaks"]
    if "accuracy" in leaks:
        words = ", ".join(leaks.get("sources") or []) or "none"
        print(
            f"leak test: size, format and tables alone name {100 * leaks['accuracy']:.1f} % "
            f"(chance {100 * leaks['chance']:.1f} %); leaking: {words}"
        )


def render_evaluation(result: dict[str, Any]) -> str:
    """The same table in Markdown."""
    return render_rows(shown_rows(result), evaluation_columns(result))
