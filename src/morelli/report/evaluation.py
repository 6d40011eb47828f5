"""An evaluation's rows as a table, for a terminal or for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from morelli.report.table import Column, print_table, render_rows

LIFT = Column("lift", "lift over euclid", "lift", "lift_low", "lift_high")
_COMMON = (
    Column("method"),
    Column("background"),
    Column("n_candidates", "models", "text"),
    Column("top1", "top-1 %", "percent", "top1_low", "top1_high"),
    Column("top3", "top-3 %", "percent"),
    Column("top5", "top-5 %", "percent"),
    Column("family_top1", "family %", "percent"),
    LIFT,
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
    LIFT,
    Column("accuracy", "accuracy %, threshold of other models", "percent", "accuracy_low", "accuracy_high"),
    Column("best_accuracy", "best threshold % (optimistic)", "percent"),
    Column("brier", "Brier (0.25: knows nothing)", "number"),
    Column("ece", "ECE", "number"),
)
_IDENTIFICATION = (
    Column("method"),
    Column("n_candidates", "models", "text"),
    Column("top1", "accuracy %", "percent", "top1_low", "top1_high"),
    Column("f1", "macro-F1 %", "percent", "f1_low", "f1_high"),
    Column("top5", "top-5 %", "percent"),
    Column("family_top1", "family %", "percent"),
    LIFT,
)


def evaluation_columns(result: dict[str, Any]) -> tuple[Column, ...]:
    """The columns that an evaluation of that protocol fills."""
    return tuple(_lift(result) if column is LIFT else column for column in _columns(result))


def _columns(result: dict[str, Any]) -> tuple[Column, ...]:
    split = any("models" in row for row in result["rows"])
    # The second column, after the method; an evaluation with one encoder names it in the title.
    more = (Column("encoder"),) if several_encoders(result) else ()
    if result["protocol"] == "one-vs-many":
        return (ONE_VS_MANY[0], *more, *ONE_VS_MANY[1:])
    if result["protocol"] in ("verification", "identification"):
        columns = _VERIFICATION if result["protocol"] == "verification" else _IDENTIFICATION
        seen = (Column("models", "seen in training"),) if split else ()
        return (columns[0], *more, *seen, *columns[1:])
    common = (_COMMON[0], *more, *_COMMON[1:])
    if result["protocol"] == "robustness":
        return (Column("degradation"), *common)
    unknown = any(row.get("auroc") is not None for row in result["rows"])
    return common + (_UNKNOWN if unknown else ())


def several_encoders(result: Mapping[str, Any]) -> bool:
    """Whether encoders are compared; results of earlier versions have one."""
    return len(result.get("encoders") or ()) > 1


def _lift(result: Mapping[str, Any]) -> Column:
    over = result.get("against") or {}
    words = ": ".join(part for part in (over.get("encoder"), over.get("method")) if part) or "euclid"
    kind = "AUC lift" if result["protocol"] == "verification" else "lift"
    return replace(LIFT, title=f"{kind} over {words}")


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
        f"{result['n_models']} models, {result['n_prompts']} prompts, {encoders_named(result)}"
    )


def encoders_named(result: Mapping[str, Any]) -> str:
    """The encoder, or encoders, of an evaluation in words."""
    if several_encoders(result):
        return "encoders " + ", ".join(each["id"] for each in result["encoders"])
    return f"encoder {result['encoder']['id']}"


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
