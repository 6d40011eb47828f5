"""The lazily loaded names, and what type checkers are told of them."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import morelli


def told() -> dict[str, str]:
    """Each name of the stub, and the module that it comes from."""
    stub = Path(morelli.__file__).with_suffix(".pyi")
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    lines = [line for line in tree.body if isinstance(line, ast.ImportFrom)]
    assert len(lines) == len(tree.body)
    return {name.name: line.module or "" for line in lines for name in line.names}


def test_the_stub_names_what_is_there_and_nothing_else():
    assert sorted(told()) == sorted(dir(morelli))


@pytest.mark.parametrize("name", sorted(told()))
def test_a_name_is_what_the_stub_says(name: str):
    assert getattr(morelli, name) is getattr(importlib.import_module(told()[name]), name)
