"""The speed of D(i) is measured with the threads that were asked for, on both sides."""

from __future__ import annotations

import sys

import pytest
from threadpoolctl import threadpool_info

from benchmarks import exposure


def pools() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()}


@pytest.mark.parametrize(("options", "wanted"), [((), 1), (("--threads", "2"), 2)])
def test_both_sides_have_the_threads_that_were_asked_for(monkeypatch, capsys, options, wanted):
    for name, value in {"MODELS": 3, "IMAGES": 4, "DIMS": 16}.items():
        monkeypatch.setattr(exposure, name, value)
    before, seen = pools(), []
    nearest = exposure.nearest

    def look(x):
        seen.append(pools())
        return nearest(x)

    monkeypatch.setattr(exposure, "nearest", look)
    monkeypatch.setattr(sys, "argv", ["exposure.py", "2", *options])
    exposure.main()
    assert seen == [{wanted}] * 3  # the first to warm up
    assert f"threads: blas {wanted}, openmp {wanted}" in capsys.readouterr().out
    assert pools() == before


@pytest.mark.parametrize("options", [("0",), ("2", "--threads", "0")])
def test_nothing_is_measured_with_no_threads_or_prompts(monkeypatch, capsys, options):
    monkeypatch.setattr(sys, "argv", ["exposure.py", *options])
    with pytest.raises(SystemExit):
        exposure.main()
    assert "must be 1 or more" in capsys.readouterr().err
