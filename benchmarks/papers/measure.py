"""Any cell that a process can measure by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.papers import stored_attacks, tuned, work


def perform(words: Mapping[str, Any], out: str) -> dict[str, Any]:
    """Measure a cell.

    Raises
    ------
    MorelliError
        The method cannot be run there.
    """
    kind = words["kind"]
    return (stored_attacks if kind.startswith("stored") else tuned if kind == "tuned" else work).perform(words, out)
