"""Figures of validation against sklearn and slow loops; which models are kept for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from morelli.errors import InputError
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
