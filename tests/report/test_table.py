"""Cells as documented; Markdown that keeps its columns; plain lines where the output is piped."""

from __future__ import annotations

import io

import pytest

from morelli.report.table import Column, format_percent, print_table, render_rows

COLUMNS = [
    Column("method"),
    Column("top1", "top-1 %", "percent", "top1_low", "top1_high"),
    Column("lift", "lift", "lift", "lift_low", "lift_high"),
    Column("ece", form="number"),
    Column("n", form="count"),
]
ROWS = [
    {
        "method": "fused",
        "top1": 0.8731,
        "top1_low": 0.851,
        "top1_high": 0.894,
        "lift": 0.2129,
        "lift_low": 0.18,
        "lift_high": 0.245,
        "ece": 0.0312,
        "n": 1680,
    },
    {"method": "euclid", "top1": 0.66, "top1_low": float("nan"), "top1_high": None, "lift": None, "n": 1680},
]


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((0.873, 0.851, 0.894), {}, "87.3 (85.1–89.4)"),
        ((1.0, 1.0, 1.0), {}, "100.0 (100.0–100.0)"),
        ((0.5,), {}, "50.0"),
        ((0.5, float("nan"), 0.6), {}, "50.0"),
        ((None,), {}, "–"),
        ((float("nan"), 0.1, 0.2), {}, "–"),
        ((-0.021, -0.04, 0.003), {"signed": True}, "-2.1 (-4.0 to +0.3)"),
        ((0.12345, 0.1, 0.2), {"digits": 2}, "12.35 (10.00–20.00)"),
    ],
)
def test_percent(arguments, options, text):
    assert format_percent(*arguments, **options) == text


def test_markdown():
    assert render_rows(ROWS, COLUMNS).splitlines() == [
        "| method | top-1 % | lift | ece | n |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| fused | 87.3 (85.1–89.4) | +21.3 (+18.0 to +24.5) | 0.031 | 1680 |",
        "| euclid | 66.0 | – | – | 1680 |",
    ]


def test_a_bar_or_a_line_break_does_not_break_the_table():
    text = render_rows([{"model": "a|b\nc"}], ["model"])
    assert text.splitlines()[2] == r"| a\|b c |"


def test_no_rows_give_a_heading():
    assert len(render_rows([], COLUMNS).splitlines()) == 2


def test_piped_output_is_plain_and_aligned():
    out = io.StringIO()
    print_table(ROWS, COLUMNS, title="same-prompt", file=out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "same-prompt"
    assert "\x1b" not in out.getvalue()
    ends = {
        line.index(text) + len(text)
        for line, text in zip(lines[1:], ["top-1 %", "87.3 (85.1–89.4)", "66.0"], strict=True)
    }
    assert len(ends) == 1  # numbers end in one place
    assert max(map(len, lines)) == len(lines[1].rstrip())


def test_wide_rows_are_not_cut_when_piped():
    out = io.StringIO()
    print_table([{"model": "x" * 300}], ["model"], file=out)
    assert "x" * 300 in out.getvalue()


def test_a_terminal_gets_rules_and_names_are_no_markup(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    print_table([{"model": "[red]x"}], ["model"], title="[b]t", file=out)
    assert "[red]x" in out.getvalue()
    assert "[b]t" in out.getvalue()
    assert "─" in out.getvalue()
