"""A version of code: it changes with what decides a result, near or far, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from morelli.baselines import code
from morelli.baselines.code import code_version, method_version

FILES = {
    "__init__": "",
    "method": """
from __future__ import annotations
from typing import TYPE_CHECKING

import recipes.constants
if TYPE_CHECKING:
    from recipes.typed import Kind

def fit():
    from .inner import deep
    return deep
""",
    "constants": "RATE = 0.1\n",
    "typed": "Kind = int\n",
    "inner/__init__": "",
    "inner/deep": "STEPS = 3\n",
    "other": "X = 1\n",
}


class Package:
    """A package on the disk that may be edited; each version is read by a fresh cache, as another process would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.root / "recipes" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def version(self) -> str:
        for cached in (code._file, code._read):
            cached.cache_clear()
        return method_version(type("Method", (), {"__module__": "recipes.method"}))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Package(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("method", FILES["method"].replace("return deep", "return None")),
        ("constants", "RATE = 0.2\n"),
        ("inner/deep", "STEPS = 4\n"),
    ],
)
def test_other_code_is_another_version(package: Package, name: str, text: str) -> None:
    before = package.version()
    assert package.version() == before
    package.write(name, text)
    assert package.version() != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("constants", '"""What it means."""\n\n# A reason.\nRATE = (0.1)\n'),
        ("typed", "Kind = float\n"),
        ("other", "X = 2\n"),
    ],
)
def test_words_about_it_and_what_it_does_not_use_are_not(package: Package, name: str, text: str) -> None:
    before = package.version()
    package.write(name, text)
    assert package.version() == before


def test_a_baseline_follows_its_parts_and_no_printing() -> None:
    parts = code._closure(["morelli.baselines.dna_det"], code.FOLLOWED)
    assert {f"morelli.baselines.{name}" for name in ("dna_network", "loop", "network", "transforms")} <= set(parts)
    assert "morelli.fingerprint.learn.losses" in parts
    assert "morelli.errors" not in parts
    assert code_version("morelli.baselines.yu") != code_version("morelli.baselines.pose")


def test_code_without_a_source_counts_by_the_package_s_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_version("itertools")
    monkeypatch.setattr(code, "__version__", "another")
    assert code_version("itertools") != before
