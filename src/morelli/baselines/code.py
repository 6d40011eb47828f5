"""Which code a result came from: a hash of modules and of what they import, so that another version is told apart."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec, resolve_name
from pathlib import Path

from morelli._version import __version__
from morelli.encoders.weights import short_hash

#: Packages whose code decides figures. What prints, stores or serves is not followed.
FOLLOWED = (
    "morelli.images",
    "morelli.encoders",
    "morelli.attribution",
    "morelli.fingerprint",
    "morelli.baselines",
    "morelli.evaluation",
    "morelli.devices",
)


def code_version(*modules: str, followed: Sequence[str] = FOLLOWED) -> str:
    """16 hexadecimal digits that change with the code of modules, or of what they import from packages that count.

    Comments, docstrings and layout do not matter. A module without a source file counts by this package's version.

    Parameters
    ----------
    *modules : str
        Full names.
    followed : sequence of str
        Packages whose modules are followed.
    """
    parts = _closure(modules, tuple(followed))
    return short_hash({name: _read(name, path)[0] if path else __version__ for name, path in parts.items()})


def method_version(maker: type, *modules: str) -> str:
    """`code_version` of a method's class and of more modules; of a plug-in its whole package is followed."""
    own = maker.__module__.partition(".")[0]
    return code_version(maker.__module__, *modules, followed=FOLLOWED if own == "morelli" else (*FOLLOWED, own))


def _closure(modules: Iterable[str], followed: tuple[str, ...]) -> dict[str, Path | None]:
    """The modules and all that they import, with their files."""
    found: dict[str, Path | None] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = path = _file(name)
            named = _read(name, path)[1] if path else ()
            waiting += [each for each in named if _within(each, followed) and _file(each)]
    return found


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@lru_cache(maxsize=4096)
def _file(name: str) -> Path | None:
    """The source of a module, found without importing it; None where there is none."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded:
        return Path(loaded) if loaded.endswith(".py") and Path(loaded).is_file() else None
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec and spec.submodule_search_locations) or ():
        base = Path(folder).joinpath(*rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


@lru_cache(maxsize=4096)
def _read(name: str, path: Path) -> tuple[str, frozenset[str]]:
    """A hash of a module's code, and full names of what it imports, in functions too.

    What only a type checker sees is not among the names.
    """
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names = frozenset(_names(tree, package))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return short_hash(ast.dump(tree)), names


def _names(node: ast.AST, package: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            source = resolve_name("." * child.level + (child.module or ""), package)
            yield source
            # A name may be a module of its own.
            yield from (f"{source}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            yield from (name for other in child.orelse for name in _names(other, package))
        else:
            yield from _names(child, package)
