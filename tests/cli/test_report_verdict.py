"""What a report says of a verdict: why there are no claims, and how it was come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .test_report import EVALUATION, HEAD, VERDICT, page_of


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "either it says nothing that could be read, or it was not asked"),
        ({"claims_read": True}, "It says nothing that could be read."),
        ({"claims_read": False}, "It was not asked."),
        ({"notes": ["Claims not read: the file changed while it was judged."]}, "It was not read; what kept it"),
        ({"claims_read": True, "notes": ["Claims not read: the reader crashed."]}, "It was not read; what kept it"),
    ],
)
def test_why_a_file_says_nothing(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    """That a file has no claims is said only where it was asked for them."""
    seen = page_of(tmp_path, {**VERDICT, "claims": [], **more})
    assert said in seen.text
    assert ("It says nothing" in seen.text) == (said == "It says nothing that could be read.")


REGENERATION: dict[str, Any] = {
    **VERDICT,
    "method": {
        "name": "regeneration", "encoder": None, "encoder_revision": None, "gallery": None, "gallery_version": None,
        "k": 7, "prompt_used": "a red barn", "inverter": "blip:zoo", "inverter_revision": "i9", "inversion": {},
        "gamma": 7, "seed": 31, "similarity": "ssim",
        "generators": [{"id": "zoo/pixel", "model": "zoo/pixel", "revision": "z1", "host": None},
                       {"id": "openai:m", "model": "their-m", "revision": None, "host": "images.example"}],
    },
    "evidence": [{"reference": "out/fresh.png", "model": "zoo/pixel", "distance": 0.5}],
}  # fmt: skip


def test_a_regeneration_says_who_made_the_fresh_images(tmp_path: Path) -> None:
    seen = page_of(tmp_path, REGENERATION)
    for words in ("generator zoo/pixel (z1)", "generator openai:m, for their-m, at images.example",
                  "inverter blip:zoo (i9)", "similarity ssim", "fresh images a model 7", "seed 31",
                  "prompt used a red barn"):  # fmt: skip
        assert words in seen.text, words
    assert "None" not in seen.text
    assert "references a model" not in seen.text
    origin = seen.text.rpartition("Where this comes from")[2]
    assert "zoo/pixel, openai:m" in origin and "blip:zoo (i9)" in origin


def test_references_of_the_prompt_are_not_all_references(tmp_path: Path) -> None:
    """``method.k`` counts those of the query's prompt, and is 0 without one."""
    seen = page_of(tmp_path, {**VERDICT, "method": {**VERDICT["method"], "k": 0}})
    assert "references a model, of the prompt none" in seen.text
    assert "references a model, of the prompt 3" in page_of(tmp_path, VERDICT, options=("--overwrite",)).text


def test_a_regeneration_with_an_encoder_names_it(tmp_path: Path) -> None:
    method = {
        **REGENERATION["method"],
        "encoder": "toy",
        "encoder_revision": "r7",
        "gallery": "g",
        "gallery_version": 2,
    }
    seen = page_of(tmp_path, {**REGENERATION, "method": method})
    assert "encoder toy (r7)" in seen.text and "gallery g, version 2" in seen.text


def test_libraries_are_named_where_the_json_has_them(tmp_path: Path) -> None:
    versions = {"torch": "2.9.1", "numpy": "2.3.4", "Pillow": "12.0.0"}
    told = "torch 2.9.1, numpy 2.3.4, Pillow 12.0.0"
    for number, one in enumerate((VERDICT, EVALUATION)):
        assert told in page_of(tmp_path, {**one, "versions": versions}, options=("--overwrite",)).text, number
    assert "libraries" not in page_of(tmp_path, VERDICT, options=("--overwrite",)).text
    assert "torch 9.9" in page_of(tmp_path, json.dumps(HEAD), options=("--overwrite",)).text
