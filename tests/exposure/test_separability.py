"""frac(i, j) and D(i): points worked out by hand, a slow loop, chance, copies, gaps in the data."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.errors import InputError, NotEnoughReferencesError
from morelli.exposure.separability import frac, separability
from morelli.types import LabelledEmbeddings

from ..evaluation.samples import gaussian


def on_a_circle(degrees, models, prompts=None) -> LabelledEmbeddings:
    angles = np.radians(degrees)
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    names = np.array(models)
    return LabelledEmbeddings({"v": x}, names, np.array(["p"] * len(x) if prompts is None else prompts), names)


def test_by_hand():
    # a: 0, 10, 21 -> all next to a; b: 30, 100, 104: 30 is nearest to a's 21, the others to each other.
    found = separability(on_a_circle([0, 10, 21, 30, 100, 104], list("aaabbb")))
    assert found.models.tolist() == ["a", "b"]
    # 21 is 9 from b's 30 and 11 from its own.
    assert found.frac.tolist() == [[pytest.approx(2 / 3), pytest.approx(2 / 3)]]
    assert found.d(0.5).tolist() == [1.0]
    assert found.d(2 / 3).tolist() == [0.0]  # above τ, not at it
    assert found.chance().tolist() == [[0.4, 0.4]]
    assert found.separable(0.5).tolist() == [1.0, 1.0]


def test_a_tie_counts_in_parts():
    _, values, ties = frac([[0.0], [1.0], [-1.0], [5.0], [5.5]], ["a", "a", "b", "b", "b"])
    # 0 has its own 1 and b's −1 at the same distance; b's −1 is nearest to a.
    assert ties == 1
    assert values.tolist() == [0.75, pytest.approx(2 / 3)]


def test_against_a_loop():
    data = gaussian(5, 6, 4, effect=0.8, seed=3)
    found = separability(data, unit=False)
    x = np.concatenate(list(data.vectors.values()), axis=1).astype(np.float64)
    for i, prompt in enumerate(found.prompts):
        for j, model in enumerate(found.models):
            hits = []
            for row in np.flatnonzero((data.prompts == prompt) & (data.models == model)):
                others = [r for r in np.flatnonzero(data.prompts == prompt) if r != row]
                best = min(others, key=lambda r: float(((x[r] - x[row]) ** 2).sum()))
                hits.append(data.models[best] == model)
            assert found.frac[i, j] == pytest.approx(np.mean(hits))


def test_labels_that_say_nothing_give_chance():
    found = separability(gaussian(6, 60, 5, effect=0.0, seed=1))
    assert found.mean_frac().mean() == pytest.approx(4 / 29, abs=0.02)


def test_copies_do_not_raise_it():
    plain = on_a_circle([0, 50, 25, 80], list("aabb"))
    copied = on_a_circle([0, 0, 50, 50, 25, 80], list("aaaabb"))
    assert separability(plain).d().tolist() == [0.0]
    found = separability(copied)
    assert found.duplicates == 2
    assert found.frac.tolist() == separability(plain).frac.tolist()
    assert any("2 images have the embedding of another" in note for note in found.notes)
    # A copy under two names belongs to nobody: a's 50 goes with it.
    across = separability(on_a_circle([0, 10, 50, 50, 80, 90], list("aaabbb")))
    assert across.duplicates == 2
    assert across.counts.tolist() == [[2, 2]]


def test_gaps_are_told():
    data = on_a_circle(
        [0, 1, 90, 91, 0, 1, 90, 45, 46],
        ["a", "a", "b", "b", "a", "a", "b", "a", "a"],
        ["p", "p", "p", "p", "q", "q", "q", "lonely", "lonely"],
    )
    found = separability(data)
    assert found.prompts.tolist() == ["p", "q"]
    assert found.d().tolist() == [1.0, 1.0]
    assert np.isnan(found.frac[1, 1])
    said = " ".join(found.notes)
    assert "1 prompts have images of fewer than two models" in said
    assert "1 times a model has one image of a prompt" in said


@pytest.mark.parametrize("tau", [-0.1, 1.0, 1.5, float("nan")])
def test_tau_must_leave_something_above_it(tau):
    with pytest.raises(InputError):
        separability(on_a_circle([0, 1, 9, 10], list("aabb"))).d(tau)


def test_nothing_to_compare_is_an_error():
    for models in (list("aaaa"), list("abcd")):
        with pytest.raises(NotEnoughReferencesError):
            separability(on_a_circle([0, 1, 9, 10], models))
    with pytest.raises(NotEnoughReferencesError):
        separability(on_a_circle([0, 1, 9, 10], list("aabb"), [""] * 4))
