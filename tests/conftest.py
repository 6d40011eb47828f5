"""What all tests share: where the real images are, and no network."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

_ROOT = Path(__file__).resolve().parent.parent

# Nothing under test may reach a model hub: what is not on the disk is absent.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

# How long an example takes says what else the machine does; a test that must end by a time says so itself.
hypothesis.settings.register_profile("morelli", deadline=None)
hypothesis.settings.load_profile("morelli")

# Tests that run side by side share the cores; threads of each for every core would wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def find_data() -> Path | None:
    """The folder of real image sets: ``MORELLI_DATA``, else ``../shared/data`` beside the project; None where absent.

    Raises
    ------
    pytest.UsageError
        ``MORELLI_DATA`` names no folder: a run that was meant to use real images must not pass without them.
    """
    named = os.environ.get("MORELLI_DATA")
    if named:
        if not Path(named).is_dir():
            raise pytest.UsageError(f"MORELLI_DATA is {named!r}, which is no folder.")
        return Path(named)
    beside = _ROOT.parent / "shared" / "data"
    return beside if beside.is_dir() else None


def pytest_configure() -> None:
    find_data()  # a wrong MORELLI_DATA ends the run before it begins


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Said at the end, for ``-q`` hides the header."""
    where = find_data()
    if where is None:
        terminalreporter.section(
            "REAL IMAGES ARE ABSENT: tests marked realdata were skipped (set MORELLI_DATA)", red=True
        )
    else:
        terminalreporter.write_line(f"real images: {where}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with the real image sets (``visor``, ``sdnext``, ``photos``), read-only; skips the test where absent."""
    where = find_data()
    if where is None:
        pytest.skip("REAL IMAGES ARE ABSENT: set MORELLI_DATA, or put them into ../shared/data.")
    return where
