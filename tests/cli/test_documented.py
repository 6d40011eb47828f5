"""Every option of every command is told in a document, not in ``--help`` alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from morelli.attribution.image import IMAGE_REGISTRY
from morelli.cli.app import build

ROOT = Path(__file__).resolve().parents[2]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def options(command: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    """A command's options with their names, and those of the commands below it."""
    for below, each in getattr(command, "commands", {}).items():
        yield from options(each, f"{name} {below}")
    for each in command.params:
        names = [text for text in (*each.opts, *each.secondary_opts) if text.startswith("--")]
        if names:
            yield name, names


def test_every_option_is_in_a_document() -> None:
    found = list(options(build(), "morelli"))
    assert len(found) > 150  # else the walk went wrong
    absent = [
        f"{command} {names[0]}"
        for command, names in found
        if not any(re.search(rf"{re.escape(name)}(?![a-z-])", TEXT) for name in names)
    ]
    assert absent == []


@pytest.mark.parametrize("name", sorted(IMAGE_REGISTRY))
def test_every_option_of_a_baseline_is_in_its_document(name: str) -> None:
    text = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    options = set(inspect.signature(IMAGE_REGISTRY.get(name)).parameters) - {"seed"}
    assert {each for each in options if f"`{each}`" not in text} == set()
