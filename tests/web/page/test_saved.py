"""What a visitor saves of the tab *Identify*: the JSON that ``morelli report`` reads, and a page of its own."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from morelli.report.inputs import read_input
from morelli.report.verdict import Pictures

from ...cli.test_report import ERROR, VERDICT, Seen

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
from morelli.web.page.saved import Answers

#: A picture of one pixel, and another text of it.
DOT, OTHER = "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "data:image/gif;base64,R0lGODlhAQABAAAAACw9"
SILENT: dict[str, Any] = {**VERDICT, "claims": [], "claims_read": True}


def links(html: str) -> dict[str, bytes]:
    """Names and contents of what can be saved."""
    found = {}
    for tag, attributes in Seen(html).tags:
        if tag == "a" and attributes.get("download"):
            head, _, body = str(attributes["href"]).partition(",")
            data = base64.b64decode(body) if head.endswith(";base64") else unquote(body).encode()
            found[str(attributes["download"])] = data
    return found


def test_a_verdict_is_saved_as_json_and_as_a_page(tmp_path: Path) -> None:
    answers = Answers(alone=True)
    html = answers.verdict_html(SILENT, Pictures(DOT, OTHER), "my <query>.png")
    saved = links(html)
    assert list(saved) == ["my <query>.png.json", "my <query>.png.html"]
    assert json.loads(saved["my <query>.png.json"]) == SILENT  # as the API gives it
    page = saved["my <query>.png.html"].decode()
    seen = Seen(page)
    assert seen.open == [] and "<script" not in page and "default-src 'none'" in page
    assert [each["src"] for tag, each in seen.tags if tag == "img"] == [DOT, OTHER]
    assert "It says nothing that could be read." in seen.text
    # It says which JSON it shows.
    (tmp_path / "x.json").write_bytes(saved["my <query>.png.json"])
    assert read_input(tmp_path / "x.json").sha256 in seen.text
    assert answers.together() == ""


def test_a_file_that_was_not_asked_is_not_said_to_be_silent() -> None:
    html = Answers(alone=True).verdict_html({**SILENT, "claims_read": False}, Pictures(), "q")
    assert "It was not asked." in Seen(html).text
    assert "It says nothing" not in html


def test_several_are_saved_together(tmp_path: Path) -> None:
    answers = Answers(alone=False)
    other = {**SILENT, "image": "other.png"}
    assert list(links(answers.verdict_html(SILENT, Pictures(DOT), "one.png"))) == ["one.png.json"]
    answers.failed(ERROR)
    assert list(links(answers.verdict_html(other, Pictures(OTHER), "other.png"))) == ["other.png.json"]
    saved = links(answers.together())
    assert list(saved) == ["verdicts.jsonl", "verdicts.html"]
    (tmp_path / "verdicts.jsonl").write_bytes(saved["verdicts.jsonl"])
    assert read_input(tmp_path / "verdicts.jsonl").objects == (SILENT, ERROR, other)
    seen = Seen(saved["verdicts.html"].decode())
    assert [each["src"] for tag, each in seen.tags if tag == "img"] == [DOT, OTHER]
    assert "bad.png: is no image." in seen.text
    assert hashlib.sha256(saved["verdicts.jsonl"]).hexdigest() in seen.text


def test_without_a_verdict_there_is_nothing_to_save() -> None:
    answers = Answers(alone=False)
    answers.failed(ERROR)
    answers.failed(ERROR)
    assert answers.together() == ""
