"""One small Ray for all tests of the folder that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from morelli.engine.base import Engine
from morelli.engine.local import LocalEngine
from morelli.engine.processes import ProcessEngine


@pytest.fixture(scope="session")
def ray_engine() -> Iterator[Engine]:
    """Two processes of a Ray that is started here, or of the one that ``MORELLI_TEST_RAY`` names (host:port).

    Skips the test where Ray is not installed.
    """
    pytest.importorskip("ray", reason="needs the extra ray")
    from morelli.engine.cluster import RayEngine

    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    with RayEngine(os.environ.get("MORELLI_TEST_RAY"), workers=2) as engine:
        yield engine
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(params=["local", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn: what holds of one holds of the others."""
    made = {"local": LocalEngine, "processes": lambda: ProcessEngine(2)}.get(request.param)
    return made() if made is not None else request.getfixturevalue("ray_engine")
