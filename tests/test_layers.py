"""Who may import whom: the layers of the package, walked from its source.

Left never imports right, and folders of one level do not import each other. An import inside a function counts; one
under ``if TYPE_CHECKING`` does not, for it never runs. A text ``"morelli.folder.module:name"``, as registries use
it, counts as an import for the layers. A folder ``_name`` is private to ``name``, which alone imports it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "src" / "morelli"

LEVELS: tuple[tuple[str, ...], ...] = (
    ("errors", "types", "_version"),
    ("registry", "devices", "names"),
    ("engine",),
    ("images",),
    ("encoders", "attribution", "gallery", "generators"),
    ("inversion", "synthesis", "fingerprint"),
    ("regeneration", "baselines", "exposure", "defence", "evaluation"),
    ("_identify", "_audit"),
    ("enrol", "identify", "verify", "lineage", "audit", "protect"),
    ("report", "testing"),
    ("web",),
    ("cli",),
    ("__main__",),
)
# What is kept out of a folder beside its levels: attribution sees arrays only.
BARRED: dict[str, frozenset[str]] = {"attribution": frozenset({"torch", "transformers", "PIL", "lance"})}
# Private to the whole package, and not to a namesake.
OPEN = frozenset({"_version"})

_TARGET = re.compile(r"morelli(\.\w+)+:\w+")


@dataclass(frozen=True)
class Import:
    """One import: the module that does it, its line, what it names, and whether Python would run it as an import."""

    module: str
    line: int
    target: str
    real: bool = True


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child):
            for other in child.orelse:
                yield other
                yield from _walk(other)
            continue
        yield child
        yield from _walk(child)


def _from(node: ast.ImportFrom, module: str, is_package: bool, known: set[str]) -> Iterator[str]:
    """Modules that ``from x import a, b`` names: ``x.a`` where that is a module, else ``x``."""
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + is_package]
        base = ".".join([*parts, base]) if base else ".".join(parts)
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if inner in known else base


def imports_of(root: Path) -> tuple[set[str], list[Import]]:
    """Names of the modules under a package's folder, and all their imports."""
    files = {}
    for path in sorted(root.rglob("*.py")):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    known, found = set(files), []
    for module, path in files.items():
        for node in _walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [Import(module, node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                targets = _from(node, module, path.name == "__init__.py", known)
                found += [Import(module, node.lineno, target) for target in targets]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _TARGET.fullmatch(node.value):
                found.append(Import(module, node.lineno, node.value.split(":")[0], real=False))
    return known, found


def _level(folder: str) -> int | None:
    return next((i for i, names in enumerate(LEVELS) if folder in names), None)


def _fault(found: Import, package: str) -> str | None:
    """What is wrong with one import, or None."""
    here = found.module.split(".")
    there = found.target.split(".")
    if len(here) == 1:  # the package's own __init__ names everything, lazily; it runs no import but the version's
        allowed = not found.real or there[0] != package or found.target == f"{package}._version"
        return None if allowed else "the package itself imports only _version when it is loaded"
    if there[0] in BARRED.get(here[1], ()):
        return f"{here[1]} must not import {there[0]}"
    if there[0] != package or there[1:2] == here[1:2]:
        return None
    if len(there) == 1:
        return "import the module that defines the name, not the package"
    if there[1].startswith("_") and there[1] not in OPEN and here[1] != there[1][1:]:
        return f"{there[1]} is private to {there[1][1:]}"
    mine, other = _level(here[1]), _level(there[1])
    if mine is None or other is None:
        return f"{here[1] if mine is None else there[1]} has no place in LEVELS"
    if other < mine:
        return None
    return f"{here[1]} (level {mine}) must not import {there[1]} (level {other})"


def _cycles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Each cycle that a depth-first walk closes, as the modules on it."""
    done: set[str] = set()
    out: list[list[str]] = []

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            out.append([*trail[trail.index(module) :], module])
        elif module not in done:
            for target in sorted(edges.get(module, ())):
                visit(target, [*trail, module])
            done.add(module)

    for module in sorted(edges):
        visit(module, [])
    return out


def faults(root: Path) -> list[str]:
    """Every import of the package that goes up, sideways or round in a circle."""
    known, found = imports_of(root)
    out = []
    for each in found:
        wrong = _fault(each, root.name)
        if wrong:
            out.append(f"{each.module}:{each.line} imports {each.target}: {wrong}")
    edges: dict[str, set[str]] = {}
    for each in found:
        if each.real and each.target in known and each.target != each.module:
            edges.setdefault(each.module, set()).add(each.target)
    return out + ["cycle: " + " → ".join(cycle) for cycle in _cycles(edges)]


def test_layers_hold() -> None:
    known, found = imports_of(ROOT)
    assert len(known) > 10
    assert found
    assert faults(ROOT) == []


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package that keeps the rules."""
    root = tmp_path / "morelli"
    for folder in ("images", "encoders", "attribution"):
        (root / folder).mkdir(parents=True)
        (root / folder / "__init__.py").write_text("")
    (root / "__init__.py").write_text("from morelli._version import v\nNAMES = {'x': 'morelli.images.load:x'}\n")
    (root / "_version.py").write_text("v = '1'\n")
    (root / "errors.py").write_text("")
    (root / "registry.py").write_text("from morelli import errors\n")
    (root / "images" / "load.py").write_text("import numpy\nfrom ..errors import X\n")
    (root / "encoders" / "base.py").write_text(
        "from typing import TYPE_CHECKING\nfrom morelli.images import load\nimport torch\n"
        "if TYPE_CHECKING:\n    from morelli.attribution import base\n"
    )
    (root / "attribution" / "base.py").write_text("import numpy\n")
    return root


def test_the_checker_passes_a_good_package(package: Path) -> None:
    assert faults(package) == []
    (package / "_identify").mkdir()
    (package / "_identify" / "held.py").write_text("from morelli.images import load\n")
    (package / "identify.py").write_text("from morelli._identify import held\n")
    assert faults(package) == []


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("errors.py", "import morelli.registry", "must not import registry"),
        (
            "images/load.py",
            "def f():\n    from morelli.encoders import base",
            "images (level 3) must not import encoders",
        ),
        ("images/load.py", "from ..encoders.base import X", "must not import encoders"),
        ("encoders/base.py", "from morelli.attribution.base import X", "must not import attribution"),
        ("registry.py", "T = {'a': 'morelli.images.load:load'}", "must not import images"),
        (
            "images/load.py",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import morelli.encoders",
            "must not import encoders",
        ),
        ("attribution/base.py", "def f():\n    import torch.nn", "attribution must not import torch"),
        ("images/load.py", "from morelli import load_image", "import the module that defines the name"),
        ("__init__.py", "from morelli.images import load", "imports only _version"),
        ("images/new.py", "from morelli.tricks import x", "tricks has no place"),
        ("tricks/new.py", "from morelli.errors import x", "tricks has no place"),
        ("enrol.py", "from morelli._identify.held import x", "_identify is private to identify"),
        ("_identify/new.py", "from morelli.identify import x", "must not import identify"),
    ],
)
def test_the_checker_sees_a_bad_import(package: Path, file: str, text: str, said: str) -> None:
    (package / file).parent.mkdir(exist_ok=True)
    (package / file).write_text(text + "\n")
    found = faults(package)
    assert said in found[0]
    assert all(each.startswith("cycle: ") for each in found[1:])


@pytest.mark.parametrize("late", [False, True])
def test_the_checker_sees_a_cycle_inside_a_folder(package: Path, late: bool) -> None:
    (package / "images" / "a.py").write_text("from morelli.images.b import x\n")
    (package / "images" / "b.py").write_text("from .c import x\n")
    back = "from morelli.images import a\n"
    (package / "images" / "c.py").write_text(f"def f():\n    {back}" if late else back)
    assert faults(package) == ["cycle: morelli.images.a → morelli.images.b → morelli.images.c → morelli.images.a"]


def test_contributing_states_these_layers() -> None:
    text = (ROOT.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    quote = " ".join(line[2:] for line in text.splitlines() if line.startswith("> "))
    stated = [set(re.findall(r"\w+", level)) for level in quote.split("→")]
    public = [{name for name in level if not name.startswith("_")} - {"testing"} for level in LEVELS]
    assert stated == [level for level in public if level]
