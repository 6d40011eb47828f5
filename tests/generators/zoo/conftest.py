"""A tiny zoo, written once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with one random model a kind."""
    pytest.importorskip("diffusers")
    pytest.importorskip("peft")
    from tests.generators.zoo.tiny import write_tiny_zoo

    return write_tiny_zoo(tmp_path_factory.mktemp("zoo"))
