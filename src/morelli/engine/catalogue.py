"""The engines that there are, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from morelli.engine.base import Engine
from morelli.registry import Registry

#: Name → maker; a maker takes the address of a cluster, or None.
REGISTRY: Registry[Callable[[str | None], Engine]] = Registry(
    "engine",
    {"local": "morelli.engine.catalogue:make_local", "ray": "morelli.engine.cluster:RayEngine"},
    "morelli.engines",
)


def make_local(address: str | None = None) -> Engine:
    """This process.

    Raises
    ------
    InputError
        An address was given, and this process has none.
    """
    from morelli.engine.local import LocalEngine
    from morelli.errors import InputError

    if address is not None:
        raise InputError(
            "the local engine has no address.", argument="address", fix="Say --engine ray, or leave the address out."
        )
    return LocalEngine()


@contextmanager
def open_engine(name: str = "local", address: str | None = None) -> Iterator[Engine]:
    """An engine for the length of a block.

    Parameters
    ----------
    name : str
        "local", "ray", or what a plug-in offers under the entry-point group ``morelli.engines``.
    address : str, optional
        Of a cluster that runs already, such as "auto", "10.0.0.1:6379" or "ray://host:10001". None: the engine's own.

    Raises
    ------
    UnknownNameError
        With the nearest known names.
    MissingExtraError
        What the engine needs is not installed.
    EngineError
        There is no cluster at that address.
    """
    engine = REGISTRY.get(name)(address)
    try:
        yield engine
    finally:
        engine.close()
