"""Data sets that choices were made on are known by their pictures, and not by what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.papers.chosen_on import is_chosen_on
from benchmarks.papers.sources import Source

from morelli.testing.datasets import write_dataset


@pytest.mark.parametrize("name", ["visor", "sdnext"])
@pytest.mark.parametrize("prompts", [None, 1])
def test_the_project_s_own_under_another_name(data_dir: Path, name: str, prompts: int | None):
    assert is_chosen_on(Source("x", str(data_dir / name), prompts, "state", 7, 1680))


@pytest.mark.parametrize("name", ["visor", "sdnext"])
def test_another_data_set_of_that_name(tmp_path: Path, name: str):
    folder = write_dataset(tmp_path / name, models=2, prompts=3, seeds=2, size=16)
    assert not is_chosen_on(Source(name, str(folder), None, "state", 2, 12))
