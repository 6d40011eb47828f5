"""Where a command's work is done: this process, or a Ray cluster. The options, and the engine they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from morelli.errors import InputError

if TYPE_CHECKING:
    from morelli.engine.base import Engine

EngineOption = Annotated[
    str,
    typer.Option("--engine", help="Where the work is done: local (this process) or ray (many processes, machines)."),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        envvar="MORELLI_RAY_ADDRESS",
        help="A Ray cluster that runs already: auto, host:6379 or ray://host:10001. By default Ray is started here.",
        show_default=False,
    ),
]


@contextmanager
def chosen_engine(name: str, address: str | None) -> Iterator[Engine]:
    """The engine that was asked for; an address in the environment says nothing to another one than ray.

    Raises
    ------
    InputError
        An address was given for another engine than ray. Others as `morelli.engine.catalogue.open_engine`.
    """
    from morelli.engine.catalogue import open_engine

    if name != "ray" and address is not None and not _from_environment(address):
        raise InputError("only a Ray cluster has one.", argument="--ray-address", fix="Say --engine ray, too.")
    with open_engine(name, address if name == "ray" else None) as engine:
        yield engine


def _from_environment(address: str) -> bool:
    return os.environ.get("MORELLI_RAY_ADDRESS") == address
