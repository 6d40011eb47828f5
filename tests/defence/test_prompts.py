"""What remains of an attack when prompts are left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.defence.prompts import drops, from_audit, keep_order, remaining_accuracy
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


def test_each_choice_orders_the_prompts_for_itself() -> None:
    scores, reached = [[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]], [[1.0, 0.4, 0.6], [1.0, 0.4, 0.6]]
    found = remaining_accuracy(scores, reached, [1, 2])
    # The first choice keeps the second and third prompt, the other one the first and third; then one each.
    assert [one.accuracy for one in found] == pytest.approx([(0.5 + 0.8) / 2, (0.4 + 1.0) / 2])
    assert [one.oracle for one in found] == pytest.approx([0.5, 0.4])


def choice(expected: float | None, d: float, accuracy: float | None) -> dict[str, float | None]:
    return {"expected_accuracy": expected, "d": d, "mean_frac": None, "accuracy": accuracy}


def test_of_an_audit() -> None:
    rows = [
        {"prompt_id": "a", "d": 0.0, "accuracy": 0.0, "held_out": [choice(0.9, 0.1, 0.8), choice(0.1, 0.1, 0.7)]},
        {"prompt_id": "b", "d": 0.0, "accuracy": 0.0, "held_out": [choice(0.2, 0.7, 0.4), choice(0.9, 0.7, 0.5)]},
        {"prompt_id": "c", "d": 0.0, "accuracy": 0.0, "held_out": [choice(None, 0.9, 0.6), choice(None, 0.9, 0.9)]},
    ]
    # By expected accuracy a and b alone: the first choice leaves out a, the second b.
    (found,) = from_audit({"prompts": rows}, [1])
    assert found.accuracy == pytest.approx((0.4 + 0.7) / 2)
    assert found.oracle == pytest.approx((0.4 + 0.5) / 2)
    # By D(i) all three, and c is left out of both.
    assert from_audit({"prompts": rows}, [1], by="d")[0].accuracy == pytest.approx((0.8 + 0.4 + 0.7 + 0.5) / 4)
    with pytest.raises(ArrayError, match="must be expected_accuracy"):
        from_audit({"prompts": rows}, [1], by="accuracy")
    for nothing in (rows, [{"prompt_id": "a", "d": 0.3, "mean_frac": 0.3, "accuracy": 0.6}], []):
        with pytest.raises(ArrayError, match="no prompt has mean_frac"):
            from_audit({"prompts": nothing}, [1], by="mean_frac")


def test_a_choice_that_some_prompts_lack_is_left_out() -> None:
    full = [choice(0.9, 0.9, 0.2), choice(0.9, 0.9, 0.4), choice(0.9, 0.9, 1.0)]
    short = [choice(0.1, 0.1, 0.6), choice(0.1, 0.1, 0.8), dict.fromkeys(full[0])]
    (everything,) = from_audit({"prompts": [{"held_out": full}, {"held_out": short}]}, [0])
    assert everything.kept == 2
    assert everything.accuracy == pytest.approx((0.2 + 0.4 + 0.6 + 0.8) / 4)


def test_judged_by_its_own_images_a_score_of_luck_looks_like_a_defence() -> None:
    """Hits are coin flips on every prompt: nothing can be foretold, and nothing is where other images judge."""
    rng = np.random.default_rng(0)
    chosen, judged = rng.binomial(5, 0.5, (4, 500)) / 5, rng.binomial(5, 0.5, (4, 500)) / 5
    (same,), (apart,) = remaining_accuracy(chosen, chosen, [250]), remaining_accuracy(chosen, judged, [250])
    assert same.accuracy < 0.36
    assert apart.accuracy == pytest.approx(0.5, abs=0.03)


def test_drops() -> None:
    assert drops(60) == [0, 6, 15, 30, 45]
    assert drops(2) == [0, 1]
    assert drops(1) == [0]


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
