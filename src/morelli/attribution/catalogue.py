"""The attributors that there are, by name."""

from __future__ import annotations

from collections.abc import Callable

from morelli.attribution.base import Attributor
from morelli.registry import Registry

DEFAULT_METHOD = "fused"

REGISTRY: Registry[Callable[[], Attributor]] = Registry(
    "attributor",
    {
        "euclid": "morelli.attribution.centroid:Euclid",
        "cosine": "morelli.attribution.centroid:Cosine",
        "lda": "morelli.attribution.likelihood:Lda",
        "plda": "morelli.attribution.likelihood:Plda",
        "fused": "morelli.attribution.likelihood:Fused",
    },
    "morelli.attributors",
)


def attributor_names() -> list[str]:
    """Names that `load_attributor` takes."""
    return list(REGISTRY)


def load_attributor(name: str) -> Attributor:
    """A fresh attributor of that name.

    Raises
    ------
    UnknownNameError
        With the nearest known names.
    """
    return REGISTRY.get(name)()
