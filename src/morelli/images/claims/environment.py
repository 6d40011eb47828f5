"""The environment of a process that reads hostile bytes: what starting Python takes, and neither tokens nor keys."""

from __future__ import annotations

import os

PASSED = ("HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV")
#: Beginnings of further names that are passed.
PASSED_BEGINNINGS = ("LC_", "PYTHON")


def bare_environment() -> dict[str, str]:
    """This process's environment, reduced to the names that are passed."""
    return {name: value for name, value in os.environ.items() if name in PASSED or name.startswith(PASSED_BEGINNINGS)}
