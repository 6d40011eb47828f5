"""Importing morelli, and asking it for help, loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from morelli.cli.app import COMMANDS

HEAVY = ("torch", "transformers", "lance", "sklearn", "matplotlib")


def loaded_by(code: str, path: Path | None = None) -> list[str]:
    """Which of the heavy packages a fresh interpreter has loaded after running the code."""
    ask = f"import sys; print('LOADED', *(m for m in {HEAVY!r} if m in sys.modules))"
    environment = dict(os.environ, PYTHONPATH=str(path)) if path else None
    done = subprocess.run([sys.executable, "-c", f"{code}\n{ask}"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_import_is_light() -> None:
    assert loaded_by("import morelli") == []


def test_public_errors_and_records_are_light() -> None:
    assert loaded_by("from morelli import MorelliError, Item, Verdict, Reference, LabelledEmbeddings") == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_is_light(arguments: list[str]) -> None:
    start = time.perf_counter()
    assert loaded_by(f"from morelli.cli import main\nassert main({arguments!r}) == 0") == []
    print(f"morelli {' '.join(arguments)}: {time.perf_counter() - start:.2f} s with the interpreter's start")


def test_the_check_sees_a_heavy_import(tmp_path: Path) -> None:
    (tmp_path / "lance.py").write_text("")
    assert loaded_by("def late():\n    import lance\nlate()", tmp_path) == ["lance"]
    assert loaded_by("pass", tmp_path) == []
