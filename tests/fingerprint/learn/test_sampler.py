"""Batches: what they hold, and that only seed and step decide it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.errors import NotEnoughReferencesError
from morelli.fingerprint.learn.sampler import ENDLESS, Batches
from tests.fingerprint.learn.toys import few

GROUPS = [f"a{number // 4}" for number in range(24)]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(2, 5), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_p_models_with_k_pictures_each(p: int, k: int, siblings: int, same: bool, step: int) -> None:
    batches = Batches(GROUPS, 8, few(p=p, k=k, siblings=siblings, same_photos=same))
    batch = batches.draw(step)
    counts = Counter(batch.labels.tolist())
    assert len(counts) == min(p, 24) and set(counts.values()) == {k}
    assert np.array_equal(batch.classes, batch.labels)
    slots = {label: batch.slots[batch.labels == label].tolist() for label in counts}
    assert all(len(set(own)) == k and min(own) >= 0 and max(own) < 8 for own in slots.values())
    if same:
        assert len({tuple(own) for own in slots.values()}) == 1


def test_without_the_same_photos_models_have_their_own() -> None:
    batch = Batches(GROUPS, 1000, few(p=8, k=4, same_photos=False)).draw(0)
    assert len(set(batch.slots.tolist())) > 16


def test_siblings_come_together() -> None:
    def largest(siblings: int) -> float:
        batches = Batches(GROUPS, 8, few(p=8, k=2, siblings=siblings))
        groups = [[GROUPS[label] for label in set(batches.draw(step).labels.tolist())] for step in range(50)]
        return float(np.mean([max(Counter(each).values()) for each in groups]))

    assert largest(4) == 4
    assert largest(1) < 3.5


def test_every_model_gets_its_turn() -> None:
    batches = Batches([*GROUPS, "alone"], 8, few(p=8, k=2, siblings=4))
    seen = Counter(label for step in range(300) for label in batches.draw(step).labels.tolist())
    assert set(seen) == set(range(25))


def test_the_published_batch_is_drawn_freely() -> None:
    batches = Batches(GROUPS, 50, few(sampler="random", p=200, k=1))
    labels = np.concatenate([batches.draw(step).labels for step in range(30)])
    assert len(batches.draw(0).labels) == 200
    assert np.bincount(labels, minlength=24).min() > 150


def test_step_and_seed_alone_decide() -> None:
    one, same, other = (Batches(GROUPS, 8, few(seed=seed)) for seed in (1, 1, 2))
    one.draw(0)
    assert np.array_equal(one.draw(5).labels, same.draw(5).labels)
    assert np.array_equal(one.draw(5).slots, same.draw(5).slots)
    assert not all(np.array_equal(one.draw(step).labels, other.draw(step).labels) for step in range(5))
    assert not all(np.array_equal(one.draw(0).labels, one.draw(step).labels) for step in range(1, 5))


def test_shuffled_labels_say_nothing_and_stay_the_same() -> None:
    batches = Batches(GROUPS, 400, few(p=24, k=4, shuffle_labels=True))
    pairs: dict[tuple[int, int], int] = {}
    for step in range(60):
        batch = batches.draw(step)
        for slot in set(batch.slots.tolist()):
            assert sorted(batch.classes[batch.slots == slot].tolist()) == list(range(24))
        for label, slot, shown in zip(batch.labels, batch.slots, batch.classes, strict=True):
            assert pairs.setdefault((label, slot), shown) == shown
    labels, shown = np.array([key[0] for key in pairs]), np.array(list(pairs.values()))
    assert (labels == shown).mean() == pytest.approx(1 / 24, abs=0.02)
    assert abs(np.corrcoef(labels, shown)[0, 1]) < 0.1


def test_endless_slots() -> None:
    assert Batches(GROUPS, ENDLESS, few(p=4, k=2)).draw(0).slots.max() > 1000


def test_too_little_to_draw_from_is_refused() -> None:
    with pytest.raises(NotEnoughReferencesError, match="two models"):
        Batches(["a"], 8, few())
    with pytest.raises(NotEnoughReferencesError, match="2 pictures"):
        Batches(GROUPS, 1, few(k=2))
