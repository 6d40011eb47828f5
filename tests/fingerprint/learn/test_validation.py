"""Figures of validation against sklearn and slow loops; which models are kept for it."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from morelli.errors import InputError
from morelli.fingerprint.learn import validation
from morelli.fingerprint.learn.split import split_keys
from morelli.fingerprint.learn.validation import Validation, auc, measure
from morelli.fingerprint.learn.views import LiveViews
from tests.fingerprint.learn.toys import CHAIN, MadeUp


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_figures_are_what_slow_loops_give() -> None:
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(5, 1, 6)) + 1.2 * rng.normal(size=(5, 7, 6))).astype(np.float32)
    groups = ["a", "a", "b", "b", "c"]
    truth, scores, kin = [], [], []
    for (i, s), (j, t) in itertools.combinations(itertools.product(range(5), range(7)), 2):
        if s != t:
            truth.append(i == j)
            scores.append(cosine(features[i, s], features[j, t]))
            kin.append(groups[i] == groups[j])
    found = measure(features, groups, references=4)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    near = np.array(kin)
    assert found["auc_siblings"] == pytest.approx(
        roc_auc_score(np.array(truth)[near], np.array(scores)[near]), abs=1e-6
    )
    right = [
        int(np.argmax([cosine(features[i, s], features[j, :4].mean(0)) for j in range(5)]) == i)
        for i in range(5)
        for s in range(4, 7)
    ]
    assert found["accuracy"] == pytest.approx(np.mean(right))
    assert 0 < found["accuracy"] < 1 and found["chance"] == 0.2


def test_of_too_many_pairs_a_sample_is_taken_that_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    features = (rng.normal(size=(30, 1, 6)) + 2 * rng.normal(size=(30, 20, 6))).astype(np.float32)
    groups = [f"family-{number // 10}" for number in range(30)]
    whole, compared = measure(features, groups), []
    cosines = validation._cosines

    def watched(given: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        # Numbers of rows alone, of different photographs: no pair twice its own image, none of one photograph.
        assert first.dtype == second.dtype == np.int64 and (first % 20 != second % 20).all()
        compared.append((first // 20, second // 20))
        return cosines(given, first, second)

    monkeypatch.setattr(validation, "_cosines", watched)
    monkeypatch.setattr(validation, "PAIRS", 20_000)
    found = measure(features, groups)
    assert measure(features, groups) == found
    same, strange, kin = compared[:3]
    assert len(same[0]) == 30 * 190 and (same[0] == same[1]).all()  # all of them: fewer than the bound
    assert len(strange[0]) == len(kin[0]) == 20_000
    assert (strange[0] != strange[1]).all() and (kin[0] != kin[1]).all() and (kin[0] // 10 == kin[1] // 10).all()
    assert len(np.unique(np.stack(strange), axis=1).T) == 30 * 29 / 2
    assert found["auc"] != whole["auc"] and found["auc"] == pytest.approx(whole["auc"], abs=0.01)
    assert found["auc_siblings"] == pytest.approx(whole["auc_siblings"], abs=0.01)
    assert found["accuracy"] == whole["accuracy"]


def test_many_models_take_little_memory() -> None:
    """All pairs of them, with the names of their groups, would be 4 GB."""
    features = np.random.default_rng(0).normal(size=(300, 20, 8)).astype(np.float32)
    groups = [f"architecture-{number // 20:06d}" for number in range(300)]
    tracemalloc.start()
    try:
        found = measure(features, groups)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300e6
    assert found["auc"] == pytest.approx(0.5, abs=0.01)


def test_what_photographs_share_does_not_count() -> None:
    # Features that are the photograph alone: nothing tells models apart, and no pair shares a photograph.
    photographs = np.random.default_rng(1).normal(size=(1, 20, 8)).astype(np.float32)
    found = measure(np.repeat(photographs, 6, axis=0), list("aabbcc"))
    assert found["auc"] == pytest.approx(0.5, abs=1e-6)
    assert np.isnan(measure(np.repeat(photographs, 3, axis=0), list("abc"))["auc_siblings"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_auc_is_sklearns_with_ties(positive: list[int], negative: list[int]) -> None:
    wanted = roc_auc_score([1] * len(positive) + [0] * len(negative), positive + negative)
    assert auc(np.array(positive, float), np.array(negative, float)) == pytest.approx(wanted)


def test_a_network_is_left_as_it_was() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(3 * 32 * 17))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = Validation(LiveViews(MadeUp(3), CHAIN))(network.train())
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert found["accuracy"] == 1.0  # the made-up classes differ plainly


KEYS = [(f"{architecture:06d}", seed) for architecture in range(10) for seed in range(4)]


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 0.7), st.integers(0, 50))
def test_whole_architectures_are_kept(share: float, seed: int) -> None:
    learn, held = split_keys(KEYS, share, seed)
    assert sorted(learn + held) == sorted(KEYS)
    assert not {key[0] for key in learn} & {key[0] for key in held}
    assert len(held) >= share * len(KEYS) and len(held) < share * len(KEYS) + 4 + 2


def test_the_split_depends_on_the_seed_and_can_be_of_seeds() -> None:
    assert split_keys(KEYS, 0.2, 0) == split_keys(KEYS, 0.2, 0)
    assert len({str(split_keys(KEYS, 0.2, seed)) for seed in range(5)}) > 1
    learn, held = split_keys(KEYS[:4], 0.25, 0)
    assert (len(learn), len(held)) == (2, 2)
    assert split_keys(KEYS, 0.0, 0) == (KEYS, [])
    with pytest.raises(InputError, match="1 to learn from"):
        split_keys(KEYS[:3], 0.2, 0)
    with pytest.raises(InputError, match="below 1"):
        split_keys(KEYS, 1.0, 0)
