"""``morelli report``: one whole page from what other commands wrote, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from morelli._version import __version__
from morelli.cli.app import main
from morelli.report.printed import BROWSERS
from morelli.report.training_page import series

VERDICT: dict[str, Any] = {
    "image": "some/<b>query.png",
    "sha256": "ab" * 32,
    "schema": "morelli.verdict/1",
    "version": "1.2.3",
    "decision": "model-01",
    "calibrated": True,
    "ranking": [
        {"model": "model-01", "family": "f", "probability": 0.876, "score": 2.0},
        {"model": "model-02", "family": "model-02", "probability": 0.124, "score": 1.0},
    ],
    "candidates": ["model-01"],
    "epsilon": 0.1,
    "unknown": {"p_value": 0.42, "rejected": False},
    "stability": {"agreement": 0.5, "degradations": [{"name": "jpeg:85", "model": "model-01"},
                                                     {"name": "blur:0.6", "model": "model-02"}]},
    "method": {"name": "fused", "encoder": "toy", "encoder_revision": "r7", "gallery": "g", "gallery_version": 9,
               "k": 3, "prompt_used": None},
    "evidence": [{"reference": "a.png (0123456789ab)", "model": "model-01", "distance": 0.25}],
    "claims": [{"source": "EXIF", "statement": 'model "x"', "signed": False},
               {"source": "C2PA", "statement": "made by y", "signed": True}],
    "notes": ["Size matters."],
}  # fmt: skip
ERROR = {"schema": "morelli.error/1", "image": "bad.png", "argument": None, "message": "is no image.", "fix": None}
EVALUATION: dict[str, Any] = {
    "schema": "morelli.evaluation/1", "protocol": "same-prompt", "dataset": "sets/mine", "n_queries": 30, "n_models": 3,
    "n_prompts": 5, "k": 2, "seed": 11, "encoder": {"id": "toy", "revision": "r7", "preprocessing": "p1"},
    "rows": [
        {"method": "euclid", "background": "all", "top1": 0.7, "top1_low": 0.6, "top1_high": 0.8, "top3": None},
        {"method": "fused", "background": "all", "top1": 0.9, "top1_low": None, "top1_high": None, "top3": 1.0},
    ],
    "leaks": {"accuracy": 0.5, "chance": 0.333, "sources": ["size"]}, "notes": ["Few prompts."], "seconds": 3.0,
}  # fmt: skip


class Seen(HTMLParser):
    """What a page holds: texts, tags, attributes, and whether every tag is closed."""

    VOID = ("meta", "img", "br", "input", "col", "path", "use", "rect", "circle", "image")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(tmp_path: Path, *inputs: Any, options: tuple[str, ...] = ()) -> Seen:
    paths = []
    for number, each in enumerate(inputs):
        path = tmp_path / f"in{number}.json"
        path.write_text(each if isinstance(each, str) else json.dumps(each), encoding="utf-8")
        paths.append(str(path))
    out = tmp_path / "out.html"
    assert main(["report", *paths, "--out", str(out), *options]) == 0
    html = out.read_text(encoding="utf-8")
    # Self-contained: nothing is loaded, and nothing could be.
    assert "default-src 'none'" in html
    assert "<script" not in html
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", html)
    seen = Seen(html)
    assert seen.open == []
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in seen.tags:
        if tag == "img" or (tag == "svg" and attributes.get("aria-hidden") != "true"):
            assert attributes.get("alt") or attributes.get("aria-label")
    return seen


def refused(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["report", *map(str, arguments)]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: ")
    return told


def test_a_verdict(tmp_path: Path) -> None:
    seen = page_of(tmp_path, VERDICT)
    for words in ("model-01", "87.6 %", "12.4 %", "Candidates at ε = 0.1: model-01.", "p = 0.420",
                  "1 of 2 degraded copies keep the first place", "anyone could have written this", "signed",
                  "Size matters.", "some/<b>query.png", "distance 0.250"):  # fmt: skip
        assert words in seen.text, words
    assert "b" not in [tag for tag, attributes in seen.tags if tag == "b" and "query" in str(attributes)]
    # Provenance.
    digest = hashlib.sha256((tmp_path / "in0.json").read_bytes()).hexdigest()
    for words in ("1.2.3", "toy", "r7", "g, version 9", digest, "ab" * 32):
        assert words in seen.text, words


@pytest.mark.parametrize(("decision", "words"), [("none", "None of these models"), ("unsure", "Unsure")])
def test_a_verdict_that_names_nobody(tmp_path: Path, decision: str, words: str) -> None:
    seen = page_of(tmp_path, {**VERDICT, "decision": decision, "candidates": [], "calibrated": False})
    assert words in seen.text
    assert "not calibrated" in seen.text
    assert "Candidates at ε = 0.1: none." in seen.text


def test_lines_of_verdicts_and_errors(tmp_path: Path) -> None:
    other = {**VERDICT, "image": "other.png", "decision": "none"}
    seen = page_of(tmp_path, "\n".join(map(json.dumps, (VERDICT, ERROR, other))) + "\n")
    assert "bad.png: is no image." in seen.text
    assert seen.text.count("Candidates at ε") == 2
    assert "All images" in seen.text


def test_an_evaluation(tmp_path: Path) -> None:
    seen = page_of(tmp_path, EVALUATION)
    for words in ("Best: fused", "70.0 (60.0–80.0)", "seed", "11", "alone name 50.0 % (chance 33.3 %); leaking: size",
                  "Few prompts.", "p1"):  # fmt: skip
        assert words in seen.text, words
    assert [tag for tag, _ in seen.tags].count("svg") == 1
    assert {"col", "row"} <= {attributes.get("scope") for tag, attributes in seen.tags if tag == "th"}


def test_robustness_draws_a_curve_a_kind(tmp_path: Path) -> None:
    rows = [dict(EVALUATION["rows"][0], degradation=step) for step in ("none", "jpeg:50", "jpeg:90", "crop:0.5")]
    seen = page_of(tmp_path, {**EVALUATION, "protocol": "robustness", "rows": rows})
    labels = [attributes["aria-label"] for tag, attributes in seen.tags if tag == "svg"]
    assert len(labels) == 1
    assert "jpeg" in str(labels[0])


def test_what_a_file_calls_things_stays_text(tmp_path: Path) -> None:
    kind = '<b>\\g<9>"&'
    rows = [dict(EVALUATION["rows"][0], degradation=step) for step in ("none", f"{kind}:50", f"{kind}:90")]
    seen = page_of(tmp_path, {**EVALUATION, "protocol": "robustness", "rows": rows})
    assert "b" not in {tag for tag, _ in seen.tags}


def test_a_training(tmp_path: Path) -> None:
    lines = [{"model": "vae", "step": 50, "loss": 0.5}, {"model": "gan", "step": 50, "loss": 0.7, "note": "x"},
             {"model": "vae", "step": 100, "loss": None}, {"model": "vae", "step": 150, "loss": 0.25}]  # fmt: skip
    assert series(lines) == {"loss": {"vae": [(50, 0.5), (150, 0.25)], "gan": [(50, 0.7)]}}
    seen = page_of(tmp_path, "\n".join(map(json.dumps, lines)))
    assert "0.250" in seen.text
    assert "loss over 150 steps." in seen.text


HEAD = {"step": 0, "version": "1.2.3", "torch": "9.9", "seed": 77, "settings": {"lr": 0.125, "loss": "ce"}}


def test_a_training_s_origin(tmp_path: Path) -> None:
    lines = [HEAD, {"step": 50, "loss": 0.5}, {**HEAD, "step": 50, "version": "1.2.4"}, {"step": 100, "loss": 0.25}]
    seen = page_of(tmp_path, "\n".join(map(json.dumps, lines)))
    for words in ("1.2.3", "1.2.4", "77", "lr 0.125", "loss ce", "loss over 100 steps."):
        assert words in seen.text, words
    assert "seed over" not in seen.text  # what made it is no curve
    rows = seen.text.partition("Where this comes from")[2]
    assert rows.count("training log") == 2  # one for each version, none without
    # A control without a step, and a log from before there were such lines.
    assert "1.2.3" in page_of(tmp_path, json.dumps(HEAD), options=("--overwrite",)).text
    old = page_of(tmp_path, json.dumps(lines[1]) + "\n" + json.dumps(lines[3]), options=("--overwrite",))
    assert "loss over 100 steps." in old.text and "What was asked" not in old.text


def test_an_evaluation_s_version(tmp_path: Path) -> None:
    assert "4.5.6" in page_of(tmp_path, {**EVALUATION, "version": "4.5.6"}).text


def test_several_inputs_share_a_page(tmp_path: Path) -> None:
    seen = page_of(tmp_path, EVALUATION, EVALUATION, VERDICT)  # `page_of` sees that no id comes twice
    assert seen.text.count("Evaluation of mine, same-prompt: Results") == 4  # twice as a link, twice as a heading


def test_the_same_inputs_give_the_same_file(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        page_of(tmp_path, EVALUATION, VERDICT, options=("--overwrite",))
        made.append((tmp_path / "out.html").read_bytes())
    assert made[0] == made[1]


def test_an_exposure(tmp_path: Path) -> None:
    from morelli.audit import AuditSettings, audit
    from morelli.exposure.simulation import VoteSettings
    from morelli.images.dataset import read_dataset
    from morelli.report.plain import plain
    from morelli.testing.datasets import write_dataset

    from ..evaluation.samples import TextureEncoder

    folder = write_dataset(tmp_path / "d", models=3, prompts=4, seeds=3, size=32)
    settings = AuditSettings("cosine", k=2, sweeps=False, votes=VoteSettings(votes=100, simulations=3, most=50))
    result = plain(audit(read_dataset(folder), [TextureEncoder()], settings).result)
    seen = page_of(tmp_path, result, result)
    assert "Which prompts give models away" in seen.text
    assert seen.text.rpartition("Where this comes from")[2].count(f" {__version__} ") == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "must hold objects, and holds a list"),
        ("{}", "has no schema"),
        ('{"schema": "morelli.verdict/99"}', "unknown schema 'morelli.verdict/99'"),
        ('{"schema": ["x"]}', "unknown schema"),
        ('{"schema": "morelli.verdict/1", "image": "x"}', "has no 'decision'"),
        (json.dumps({**VERDICT, "ranking": 3}), "does not hold what morelli.verdict/1 promises"),
        (
            json.dumps({**VERDICT, "stability": {**VERDICT["stability"], "agreement": float("inf")}}),
            "does not hold what morelli.verdict/1 promises",
        ),
        (json.dumps({**EVALUATION, "rows": [{"top1": 0.5}]}), "does not hold what morelli.evaluation/1 promises"),
        (json.dumps(EVALUATION) + "\n" + json.dumps(VERDICT), "Give each its own file"),
        (json.dumps(EVALUATION) + "\n" + json.dumps(EVALUATION), "Give each its own file"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    path = tmp_path / "in.json"
    path.write_text(text)
    assert said in refused([path, "--out", tmp_path / "o.html"], capsys)
    assert not (tmp_path / "o.html").exists()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.json"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in refused([path, "--out", tmp_path / "o.html"], capsys)


def test_files_that_are_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "in.json", tmp_path / "o.html"
    path.write_text(json.dumps(VERDICT))
    out.write_text("mine")
    assert "exists already" in refused([path, "--out", out], capsys)
    assert out.read_text() == "mine"
    assert main(["report", str(path), "--out", str(out), "--overwrite"]) == 0
    assert "model-01" in out.read_text()
    assert "is an input" in refused([path, "--out", path, "--overwrite"], capsys)
    assert "is a folder" in refused([path, "--out", tmp_path], capsys)
    assert "no folder" in refused([path, "--out", tmp_path / "x" / "o.html"], capsys)
    assert "cannot be read" in refused([tmp_path / "none.json", "--out", tmp_path / "p.html"], capsys)
    assert "same file" in refused([path, "--out", tmp_path / "p.html", "--pdf", tmp_path / "p.html"], capsys)


def test_without_a_browser_there_is_no_pdf(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.json"
    path.write_text(json.dumps(VERDICT))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Install Chromium" in refused([path, "--out", tmp_path / "o.html", "--pdf", tmp_path / "o.pdf"], capsys)
    assert not (tmp_path / "o.html").exists()
    bad = tmp_path / "chromium"
    bad.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    bad.chmod(0o755)
    # Its interpreter is named in full, so the folder alone is enough.
    told = refused([path, "--out", tmp_path / "o.html", "--pdf", tmp_path / "o.pdf"], capsys)
    assert "gave no PDF (3: broken)" in told
    assert not (tmp_path / "o.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(
    not any(shutil.which(name) for name in BROWSERS), reason="NO PDF IS MADE: there is no Chromium on the PATH."
)
def test_a_pdf(tmp_path: Path) -> None:
    page_of(tmp_path, VERDICT, options=("--pdf", str(tmp_path / "o.pdf")))
    assert (tmp_path / "o.pdf").read_bytes().startswith(b"%PDF")
