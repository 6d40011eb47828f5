"""The models of the zoo by name. Nothing here loads torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from morelli.generators.base import Setting
from morelli.generators.zoo.generator import ZooGenerator
from morelli.generators.zoo.manifest import WEIGHTS, Entry, read_manifest


def names() -> tuple[str, ...]:
    """Names of the models that this installation carries, in the manifest's order."""
    return tuple(read_manifest().models)


def entry(name: str) -> Entry:
    """What is known of a model without loading it: base, family, architecture, parameters, training.

    Raises
    ------
    UnknownNameError
        No model of that name; the nearest are suggested.
    """
    return read_manifest().entry(name)


def load(
    name: str, *, settings: Mapping[str, Setting] | None = None, model: str | None = None, folder: Path = WEIGHTS
) -> ZooGenerator:
    """A model of the zoo as a generator; its weights are read when the first image is asked for.

    Parameters
    ----------
    name : str
        One of `names`.
    settings : mapping, optional
        Another deployment of the same weights: "steps", "guidance", "scheduler" where the model has them.
    model : str, optional
        What to call that deployment in datasets; default the name.
    folder : Path
        Weights in the layout of this package's own.

    Raises
    ------
    UnknownNameError
        No model of that name, or a setting that it does not have.
    InputError
        A setting out of range.
    """
    return ZooGenerator(read_manifest(folder), name, settings or {}, model)
