"""Sweeps of degradations written out."""

from __future__ import annotations

import pytest

from morelli.errors import InputError, UnknownNameError
from morelli.evaluation.sweep import CURVES, expand


def test_the_papers_curves():
    assert expand(CURVES) == [
        *(f"jpeg:{q}" for q in (50, 60, 70, 80, 90, 100)),
        *("crop:0.5", "crop:0.6", "crop:0.7", "crop:0.8", "crop:0.9", "crop:1"),
    ]


def test_six_values_without_a_step_and_nothing_twice():
    assert expand(["jpeg:50-100"]) == expand(["jpeg:50-100:10", "jpeg:60"])
    assert expand(["resize:0.5+jpeg:75", " blur:1-2:0.5 "]) == ["resize:0.5+jpeg:75", "blur:1", "blur:1.5", "blur:2"]


@pytest.mark.parametrize(
    "text", ["jpeg:100-50:10", "jpeg:50-100:0", "blur:1-50:0.01", "jpeg:50-200:50", "jpeg:1.2.3-4", "jpeg:50-52:5"]
)
def test_what_is_no_sweep(text):
    with pytest.raises(InputError):
        expand([text])


def test_an_unknown_kind():
    with pytest.raises(UnknownNameError, match="jpeg"):
        expand(["jpg:50-100:10"])


def test_a_strength_of_each_picture_s_own_is_no_sweep():
    assert expand(["crop:0.85~0.98", "crop:0.8-1:0.1"]) == ["crop:0.85~0.98", "crop:0.8", "crop:0.9", "crop:1"]
