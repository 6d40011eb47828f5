"""Losses against slow loops and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.fingerprint.learn.losses import batch_hard, distances, semi_hard, supervised_contrast, total
from tests.fingerprint.learn.toys import few


def draw(seed: int, n: int = 9, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, 4)).astype(np.float32)), torch.from_numpy(rng.integers(classes, size=n))


def slow_hard(x: np.ndarray, y: np.ndarray, margin: float) -> float:
    costs = []
    for a in range(len(x)):
        positive = max(np.linalg.norm(x[a] - x[p]) for p in range(len(x)) if y[p] == y[a])
        negative = min(np.linalg.norm(x[a] - x[n]) for n in range(len(x)) if y[n] != y[a])
        costs.append(max(0.0, positive - negative + margin))
    return float(np.mean(costs))


def slow_semi(x: np.ndarray, y: np.ndarray, margin: float) -> float:
    costs = []
    for a in range(len(x)):
        for p in range(len(x)):
            if p == a or y[p] != y[a]:
                continue
            pair = np.linalg.norm(x[a] - x[p])
            foreign = [np.linalg.norm(x[a] - x[n]) for n in range(len(x)) if y[n] != y[a]]
            beyond = [each for each in foreign if each > pair]
            costs.append(max(0.0, pair - (min(beyond) if beyond else max(foreign)) + margin))
    return float(np.mean(costs)) if costs else 0.0


def slow_contrast(x: np.ndarray, y: np.ndarray, temperature: float) -> float:
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    costs = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        below = math.log(sum(math.exp(z[i] @ z[j] / temperature) for j in others))
        mates = [j for j in others if y[j] == y[i]]
        if mates:
            costs.append(-np.mean([z[i] @ z[j] / temperature - below for j in mates]))
    return float(np.mean(costs)) if costs else 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 2))
def test_they_are_what_slow_loops_give(seed: int, margin: float) -> None:
    x, y = draw(seed)
    if len(set(y.tolist())) < 2:
        return
    rows, labels = x.double().numpy(), y.numpy()
    assert float(batch_hard(x, y, margin)) == pytest.approx(slow_hard(rows, labels, margin), abs=1e-4)
    assert float(semi_hard(x, y, margin)) == pytest.approx(slow_semi(rows, labels, margin), abs=1e-4)
    assert float(supervised_contrast(x, y, 0.2)) == pytest.approx(slow_contrast(rows, labels, 0.2), abs=1e-4)


def test_on_a_line_by_hand() -> None:
    # a at 0 and 1, b at 3: farthest positives 1, 1 and 0; nearest negatives 3, 2 and 2.
    x, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    assert float(batch_hard(x, y, 2.5)) == pytest.approx((0.5 + 1.5 + 0.5) / 3)
    assert float(semi_hard(x, y, 2.5)) == pytest.approx((0.5 + 1.5) / 2)


@pytest.mark.parametrize("loss", ["triplet", "supcon", "ce+triplet", "ce"])
def test_equal_features_have_finite_gradients(loss: str) -> None:
    x = torch.ones(4, 3, requires_grad=True)
    logits = x @ torch.ones(3, 2) if loss.startswith("ce") else None
    total(x, logits, torch.tensor([0, 0, 1, 1]), few(loss=loss))["loss"].backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_batches_that_cannot_teach_cost_nothing() -> None:
    x = draw(0, 4)[0].requires_grad_()
    one, alone = torch.zeros(4, dtype=torch.long), torch.arange(4)
    for cost in (batch_hard(x, one, 1.0), semi_hard(x, one, 1.0), semi_hard(x, alone, 1.0)):
        assert float(cost.detach()) == 0
    assert float(supervised_contrast(x, alone, 0.1).detach()) == 0


def test_the_sum_has_the_weights_that_were_asked_for() -> None:
    x, y = draw(3)
    logits = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    ce = float(torch.nn.functional.cross_entropy(logits, y))
    raw = total(x, logits, y, few(loss="ce+triplet", weight=0.5, normalise=False))
    assert float(raw["loss"]) == pytest.approx(ce + 0.5 * slow_hard(x.double().numpy(), y.numpy(), 0.3), abs=1e-4)
    unit = (x / x.norm(dim=1, keepdim=True)).double().numpy()
    kept = total(x, None, y, few(loss="triplet", weight=0.5))
    assert float(kept["loss"]) == pytest.approx(slow_hard(unit, y.numpy(), 0.3), abs=1e-4)
    assert set(total(x, logits, y, few(loss="ce"))) == {"loss", "ce"}


def test_distances_are_scipys() -> None:
    x = draw(1)[0]
    assert torch.allclose(distances(x), torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"), atol=1e-3)
