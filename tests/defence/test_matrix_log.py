"""The matrix logarithm and its gradient, equal eigenvalues included."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from morelli.defence.matrix_log import matrix_log


def positive(c: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((c, 2 * c))
    return torch.from_numpy(a @ a.T / c + 0.1 * np.eye(c))


def test_value_is_scipy_s() -> None:
    x = positive(7)
    np.testing.assert_allclose(matrix_log(x, 1e-9).numpy(), scipy.linalg.logm(x.numpy()), atol=1e-10)


@pytest.mark.parametrize(
    "x",
    [
        positive(4),
        torch.eye(4, dtype=torch.float64),
        torch.diag(torch.tensor([2.0, 2.0, 2.0, 5.0], dtype=torch.float64)),
    ],
    ids=["apart", "identity", "three equal"],
)
def test_gradient_is_the_finite_difference(x: torch.Tensor) -> None:
    rng = np.random.default_rng(1)
    weight = torch.from_numpy(rng.standard_normal((4, 4)))
    direction = torch.from_numpy(rng.standard_normal((4, 4)))
    direction = direction + direction.T
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((matrix_log(leaf, 1e-9) * weight).sum(), leaf)
    h = 1e-5
    ends = [(matrix_log(x + sign * h * direction, 1e-9) * weight).sum() for sign in (1, -1)]
    assert float((gradient * direction).sum()) == pytest.approx(float((ends[0] - ends[1]) / (2 * h)), rel=1e-5)


def test_small_eigenvalues_count_as_the_floor() -> None:
    x = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    np.testing.assert_allclose(matrix_log(x, 0.5).numpy(), np.diag([0.0, np.log(0.5)]), atol=1e-12)
