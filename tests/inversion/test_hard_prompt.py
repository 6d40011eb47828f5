"""PEZ's search: pieces that can be computed by hand, and optima that are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from morelli.inversion.hard_prompt import SearchSettings, project, search


def test_projection_is_by_angle_and_not_by_distance() -> None:
    vocabulary = torch.tensor([[10.0, 0.0], [0.1, 0.1], [0.0, 3.0]])
    soft = torch.tensor([[1.0, 0.1], [5.0, 4.0], [-0.1, 0.2]])
    # The second soft token is nearer in distance to (10, 0), and in angle to (0.1, 0.1).
    assert project(soft, vocabulary).tolist() == [0, 1, 2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_projection_is_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    soft, vocabulary = rng.normal(size=(4, 5)), rng.normal(size=(9, 5))
    wanted = [
        max(range(9), key=lambda j: float(row @ vocabulary[j] / np.linalg.norm(row) / np.linalg.norm(vocabulary[j])))
        for row in soft
    ]
    assert project(torch.from_numpy(soft), torch.from_numpy(vocabulary)).tolist() == wanted


def alignment(target: Tensor):
    """Cosine between the mean of the tokens and a target."""
    return lambda hard: torch.nn.functional.cosine_similarity(hard.mean(0), target, dim=0)


def test_a_step_is_adamw_on_the_soft_tokens_with_the_gradient_of_the_hard_ones() -> None:
    """Two steps by hand: the second projection must be that of the soft tokens after the first update."""
    torch.manual_seed(3)
    vocabulary, target = torch.randn(12, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    similarity = alignment(target)
    lr, decay, betas, eps = 0.1, 0.1, (0.9, 0.999), 1e-8
    soft = vocabulary[torch.randint(12, (3,), generator=torch.Generator().manual_seed(5))].clone()
    first, second = torch.zeros_like(soft), torch.zeros_like(soft)
    values = []
    for step in range(1, 41):
        ids = [int((vocabulary @ row / vocabulary.norm(dim=1)).argmax()) for row in soft]
        hard = vocabulary[ids].clone().requires_grad_(True)
        value = similarity(hard)
        (-value).backward()
        assert hard.grad is not None
        values.append(value.item())
        # AdamW written out: decay first, then the step by the moments.
        soft = soft * (1 - lr * decay)
        first = betas[0] * first + (1 - betas[0]) * hard.grad
        second = betas[1] * second + (1 - betas[1]) * hard.grad**2
        soft = soft - lr * (first / (1 - betas[0] ** step)) / ((second / (1 - betas[1] ** step)).sqrt() + eps)
    assert len(set(values)) > 2  # the path does move
    wanted = SearchSettings(length=3, iterations=40, seed=5)
    found = search(similarity, vocabulary, wanted)
    np.testing.assert_allclose(found.trace, np.maximum.accumulate(values), rtol=1e-9)
    assert found.step == int(np.argmax(values))


@pytest.mark.parametrize("seed", range(4))
def test_the_best_is_kept_and_never_falls(seed: int) -> None:
    torch.manual_seed(seed)
    vocabulary, similarity = torch.randn(50, 8), alignment(torch.randn(8))
    steps: list[tuple[int, int]] = []
    found = search(similarity, vocabulary, SearchSettings(4, 60, seed=seed), lambda *step: steps.append(step))
    assert (np.diff(found.trace) >= 0).all()
    assert steps == [(i, 60) for i in range(1, 61)]
    tokens = vocabulary[list(found.tokens)]
    assert similarity(tokens).item() == pytest.approx(found.similarity, abs=1e-6)
    assert found.similarity == found.trace[-1] == found.trace[found.step]


def test_it_finds_a_known_optimum() -> None:
    """Each slot has its own target token: the optimum is that sequence, and the start is elsewhere."""
    vocabulary = torch.eye(10) + 0.05
    goal = [7, 2, 2, 9]
    targets = vocabulary[goal]

    def similarity(hard: Tensor) -> Tensor:
        return torch.nn.functional.cosine_similarity(hard, targets, dim=1).mean()

    found = search(similarity, vocabulary, SearchSettings(4, 200, seed=1))
    assert list(found.tokens) == goal
    assert found.trace[0] < 0.9
    assert found.similarity == pytest.approx(1.0)


def test_it_comes_near_the_best_of_all_prompts() -> None:
    torch.manual_seed(0)
    vocabulary, similarity = torch.randn(12, 6), alignment(torch.randn(6))
    every = [similarity(vocabulary[list(ids)]).item() for ids in itertools.product(range(12), repeat=3)]
    found = search(similarity, vocabulary, SearchSettings(3, 300))
    assert found.similarity <= max(every) + 1e-6
    assert found.similarity >= np.quantile(every, 0.99)


def test_seeds() -> None:
    torch.manual_seed(0)
    vocabulary, similarity = torch.randn(500, 8), alignment(torch.randn(8))
    one, again, other = (search(similarity, vocabulary, SearchSettings(5, 3, seed=s)) for s in (1, 1, 2))
    assert one == again
    assert one.tokens != other.tokens
