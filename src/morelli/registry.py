"""Named plug-ins: built-ins and what installed packages offer through entry points.

A built-in is registered as ``"module:attribute"`` and imported when it is first asked for, so that a list of names
costs no import. A third party adds one in its own ``pyproject.toml``::

    [project.entry-points."morelli.attributors"]
    my-method = "my_package.module:MyAttributor"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from morelli.errors import MorelliError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table from names to things, filled lazily.

    Parameters
    ----------
    kind : str
        What it holds, in the singular, for messages: "encoder", "attributor".
    builtins : mapping of str to str
        Name → ``"module:attribute"``.
    group : str
        Entry-point group that third parties use.
    """

    def __init__(self, kind: str, builtins: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.group = group
        self._targets = dict(builtins)
        self._loaded: dict[str, T] = {}
        self._scanned = False

    def _scan(self) -> None:
        if not self._scanned:
            self._scanned = True
            for point in entry_points(group=self.group):
                self._targets.setdefault(point.name, point.value)

    def add(self, name: str, thing: T) -> None:
        """Register a thing under a name in this process; an existing name is refused."""
        self._scan()
        if name in self._targets or name in self._loaded:
            raise MorelliError(
                f"the {self.kind} {name!r} is registered already.", argument="name", fix="Choose another name."
            )
        self._loaded[name] = thing

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._loaded or name in self._targets

    def __iter__(self) -> Iterator[str]:
        self._scan()
        return iter(sorted({*self._targets, *self._loaded}))

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises
        ------
        UnknownNameError
            With the nearest known names.
        """
        self._scan()
        if name not in self._loaded:
            target = self._targets.get(name)
            if target is None:
                raise UnknownNameError(self.kind, name, self)
            module, _, attribute = target.partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]
