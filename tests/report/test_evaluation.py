"""An evaluation's table: the columns of its protocol, plain words for what a row stands for."""

from __future__ import annotations

from typing import Any

import pytest

from morelli.report.curves import curves
from morelli.report.evaluation import evaluation_columns, evaluation_title, print_evaluation, render_evaluation
from morelli.report.evaluation_page import row_label


def result(protocol: str = "same-prompt", rows: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    plain = {
        "method": "fused", "background": "all", "n_candidates": 7.0, "top1": 0.8731, "top1_low": 0.851,
        "top1_high": 0.894, "top3": 0.99, "top5": None, "family_top1": 0.9, "lift": 0.2129, "lift_low": 0.18,
        "lift_high": 0.245, "ece": 0.0312, "coverage": 0.902, "set_size": 1.25,
    }  # fmt: skip
    return {
        "protocol": protocol,
        "dataset": "some/set",
        "k": 3,
        "n_queries": 1680,
        "n_models": 7,
        "n_prompts": 60,
        "encoder": {"id": "toy"},
        "rows": [plain] if rows is None else rows,
        "leaks": {"accuracy": 0.142857, "chance": 1 / 7, "leaking": False, "sources": [], "form": "untouched"},
        "notes": [],
    } | changes


def headings(found: dict[str, Any]) -> list[str]:
    return [column.heading for column in evaluation_columns(found)]


def cells(found: dict[str, Any], line: int = 0) -> dict[str, str]:
    lines = render_evaluation(found).splitlines()
    return dict(
        zip(
            [text.strip("| ") for text in lines[0].split(" | ")],
            [text.strip("| ") for text in lines[2 + line].split(" | ")],
            strict=True,
        )
    )


def test_title_says_what_was_measured():
    assert evaluation_title(result()) == (
        "some/set: same-prompt, k = 3, 1680 queries, 7 models, 60 prompts, encoder toy"
    )
    assert "k = all" in evaluation_title(result(k=None))


def test_figures_and_intervals():
    found = cells(result())
    assert found["top-1 %"] == "87.3 (85.1–89.4)"
    assert found["lift over euclid"] == "+21.3 (+18.0 to +24.5)"
    assert (found["top-3 %"], found["top-5 %"]) == ("99.0", "–")
    assert (found["ECE"], found["coverage %"]) == ("0.031", "90.2")
    assert found["models"] == "7"


def test_several_encoders_have_a_column_and_the_reference_a_name():
    rows = [result()["rows"][0] | {"encoder": encoder} for encoder in ("toy", "other")]
    both = result(rows=rows, encoders=[{"id": "toy"}, {"id": "other"}], against={"encoder": "toy", "method": None})
    assert headings(both)[:3] == ["method", "encoder", "background"]
    assert cells(both, 1)["encoder"] == "other"
    assert cells(both)["lift over toy"] == "+21.3 (+18.0 to +24.5)"
    assert evaluation_title(both).endswith("60 prompts, encoders toy, other")
    one = result(encoders=[{"id": "toy"}], against={"encoder": "toy", "method": "lda"})
    assert "encoder" not in headings(one)
    assert "lift over toy: lda" in headings(one)
    degraded = result("robustness", [row | {"degradation": "none"} for row in rows], encoders=both["encoders"])
    assert headings(degraded)[:3] == ["degradation", "method", "encoder"]


def test_curves_of_several_encoders_are_lines_of_their_own():
    def point(encoder: str, strength: int, top1: float) -> dict[str, Any]:
        return {"method": "fused", "encoder": encoder, "degradation": f"jpeg:{strength}", "top1": top1,
                "top1_low": 0.0, "top1_high": 1.0}  # fmt: skip

    one = [point("toy", 90, 0.9), point("toy", 50, 0.5)]
    assert curves(one) == {"jpeg": {"fused": [(50, 0.5, 0, 1), (90, 0.9, 0, 1)]}}
    both = [*one, point("other", 50, 0.1), point("other", 90, 0.2)]
    assert curves(both) == {
        "jpeg": {
            "fused, toy": [(50, 0.5, 0, 1), (90, 0.9, 0, 1)],
            "fused, other": [(50, 0.1, 0, 1), (90, 0.2, 0, 1)],
        }
    }


def test_a_report_s_bars_name_the_encoder_where_there_are_several():
    row = {"method": "fused", "encoder": "toy", "background": "without candidates"}
    assert row_label(row, several=False) == "fused, without candidates"
    assert row_label(row | {"background": "all"}, several=True) == "fused, toy"
    assert row_label({"method": "yu", "encoder": None}, several=True) == "yu"


def test_the_lift_of_verification_is_of_areas():
    row = {"method": "plda", "pairs": "all", "n_same": 5, "n_different": 7, "auroc": 0.8, "lift": 0.1, "lift_low": 0.05,
           "lift_high": 0.2}  # fmt: skip
    found = result("verification", [row], against={"encoder": None, "method": "cosine"})
    assert cells(found)["AUC lift over cosine"] == "+10.0 (+5.0 to +20.0)"


@pytest.mark.parametrize(("count", "text"), [(7.0, "7"), (3.5, "3.5"), (None, "–")])
def test_candidates_are_a_whole_number_where_they_are_one(count, text):
    assert cells(result(rows=[{"method": "m", "background": "all", "n_candidates": count}]))["models"] == text


def test_open_set_columns_only_where_something_is_unknown():
    assert "AUROC" not in headings(result())
    known = result()["rows"][0]
    both = result(rows=[known | {"auroc": None}, known | {"auroc": 0.63, "oscr": 0.5, "fpr95": 0.8}])
    assert headings(both)[-3:] == ["AUROC", "OSCR", "FPR95"]
    assert cells(both, 0)["AUROC"] == "–"
    assert cells(both, 1)["AUROC"] == "0.630"


def test_one_vs_many_never_shows_a_rate_without_balanced_accuracy_and_auroc():
    case = {"method": "case 2, conformal", "tpr": 1.0, "tpr_low": 1.0, "tpr_high": 1.0, "fpr": 1.0,
            "balanced_accuracy": 0.5, "auroc": 0.7, "alpha": 0.9, "attainable": False}  # fmt: skip
    found = result("one-vs-many", [case, case | {"attainable": True, "alpha": 0.5}])
    assert {"TPR %", "balanced acc. %", "AUROC"} <= set(headings(found))
    assert "top-1 %" not in headings(found)
    text = render_evaluation(found)
    assert text.count("k too small for α") == 1
    assert "case 2, conformal (k too small for α)" in text.splitlines()[2]


def test_printed_table_with_the_leak_test_below(capsys):
    print_evaluation(result())
    out = capsys.readouterr().out
    assert out.splitlines()[0] == evaluation_title(result())
    assert "fused" in out
    assert "87.3 (85.1–89.4)" in out
    assert out.splitlines()[-1] == (
        "leak test: size, format and tables alone name 14.3 % (chance 14.3 %); leaking: none"
    )


def test_a_leak_is_named(capsys):
    leaks = {"accuracy": 1.0, "chance": 0.5, "leaking": True, "sources": ["format", "size"]}
    print_evaluation(result(leaks=leaks))
    assert "name 100.0 % (chance 50.0 %); leaking: format, size" in capsys.readouterr().out


def test_without_a_leak_test_nothing_is_said_of_it(capsys):
    print_evaluation(result(leaks={"form": "untouched"}))
    assert "leak" not in capsys.readouterr().out
