"""Named plug-ins: lazy, extensible from outside, helpful when a name is wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from morelli import registry
from morelli.errors import MorelliError, UnknownNameError
from morelli.registry import Registry


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module on the path that nothing has imported yet."""
    name = "registry_probe"
    (tmp_path / f"{name}.py").write_text("thing = object()\nother = object()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield name
    sys.modules.pop(name, None)


def test_a_builtin_is_imported_when_asked_for_and_not_before(module: str) -> None:
    table: Registry[object] = Registry("probe", {"one": f"{module}:thing"}, "morelli.probes")
    assert list(table) == ["one"]
    assert "one" in table
    assert module not in sys.modules
    assert table.get("one") is sys.modules[module].thing
    assert table.get("one") is table.get("one")


def test_entry_points_add_names_and_never_replace_builtins(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(*, group: str) -> EntryPoints:
        asked.append(group)
        return EntryPoints(
            [EntryPoint("one", f"{module}:other", group), EntryPoint("theirs", f"{module}:other", group)]
        )

    monkeypatch.setattr(registry, "entry_points", fake)
    table: Registry[object] = Registry("probe", {"one": f"{module}:thing"}, "morelli.probes")
    assert list(table) == ["one", "theirs"]
    assert table.get("theirs") is sys.modules[module].other
    assert table.get("one") is sys.modules[module].thing
    assert set(asked) == {"morelli.probes"}


def test_add_in_this_process_and_a_taken_name_is_refused() -> None:
    table: Registry[int] = Registry("probe", {"one": "nowhere:thing"}, "morelli.probes")
    table.add("two", 2)
    assert table.get("two") == 2
    assert list(table) == ["one", "two"]
    for name in ("one", "two"):
        with pytest.raises(MorelliError, match="registered already"):
            table.add(name, 3)
    assert table.get("two") == 2


def test_a_wrong_name_gets_a_suggestion() -> None:
    table: Registry[int] = Registry("probe", {"euclid": "nowhere:thing"}, "morelli.probes")
    assert "eucild" not in table
    with pytest.raises(UnknownNameError, match=r"no probe is called 'eucild'\. Did you mean 'euclid'"):
        table.get("eucild")
