"""What remains of an attack when prompts are left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.defence.prompts import from_audit, keep_order, remaining_accuracy
from morelli.errors import ArrayError


def test_by_hand() -> None:
    found = remaining_accuracy([0.9, 0.1, 0.5, 0.7], [1.0, 0.5, 0.9, 0.2], [0, 1, 2, 3])
    assert [one.accuracy for one in found] == pytest.approx([0.65, (0.5 + 0.9 + 0.2) / 3, 0.7, 0.5])
    assert [one.oracle for one in found] == pytest.approx([0.65, (0.5 + 0.9 + 0.2) / 3, 0.35, 0.2])
    assert [(one.dropped, one.kept) for one in found] == [(0, 4), (1, 3), (2, 2), (3, 1)]


def test_unknown_exposure_is_dropped_first() -> None:
    assert keep_order([np.nan, 0.2, 0.2, 0.1]).tolist() == [3, 1, 2, 0]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12), st.data())
def test_no_score_beats_the_oracle(rows, data) -> None:
    exposure, accuracy = zip(*rows, strict=True)
    q = data.draw(st.integers(0, len(rows) - 1))
    (found,) = remaining_accuracy(exposure, accuracy, [q])
    assert found.oracle <= found.accuracy + 1e-12
    # A score that is the accuracy itself is the oracle.
    assert remaining_accuracy(accuracy, accuracy, [q])[0].accuracy == pytest.approx(found.oracle)


def test_of_an_audit() -> None:
    rows = [
        {"prompt_id": "a", "expected_accuracy": 0.9, "d": 0.1, "accuracy": 0.8},
        {"prompt_id": "b", "expected_accuracy": 0.2, "d": 0.7, "accuracy": 0.4},
        {"prompt_id": "c", "expected_accuracy": None, "d": 0.9, "accuracy": 0.6},
    ]
    assert from_audit({"prompts": rows}, [1])[0].accuracy == pytest.approx(0.4)
    assert from_audit({"prompts": rows}, [1], by="d")[0].accuracy == pytest.approx(0.6)
    with pytest.raises(ArrayError, match="must be expected_accuracy"):
        from_audit({"prompts": rows}, [1], by="accuracy")
    with pytest.raises(ArrayError, match="no prompt has mean_frac"):
        from_audit({"prompts": rows}, [1], by="mean_frac")


@pytest.mark.parametrize(
    ("exposure", "accuracy", "drop", "said"),
    [
        ([], [], [0], "one number a prompt"),
        ([1], [1, 1], [0], "one number a prompt"),
        ([1, 2], [0.5, 1.5], [0], "0–1"),
        ([1, 2], [0.5, np.nan], [0], "0–1"),
        ([1, 2], [0.5, 0.5], [2], "0 to 1 prompts"),
        ([1, 2], [0.5, 0.5], [-1], "0 to 1 prompts"),
    ],
)
def test_refused(exposure, accuracy, drop, said) -> None:
    with pytest.raises(ArrayError, match=said):
        remaining_accuracy(exposure, accuracy, drop)
