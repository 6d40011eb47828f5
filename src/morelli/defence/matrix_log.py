"""The logarithm of a symmetric matrix, with a gradient that equal eigenvalues do not break.

Torch's gradient of an eigendecomposition divides by the gaps between eigenvalues. The logarithm itself is smooth: its
derivative needs divided differences only (Daleckii and Krein, 1965; Bhatia, *Matrix Analysis*, theorem V.3.3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Relative gap below which a divided difference is taken for the derivative.
_EQUAL = 1e-7


class _MatrixLog(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, floor: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, vectors = torch.linalg.eigh(matrix)
        values = values.clamp_min(floor)
        logs = values.log()
        ctx.save_for_backward(values, vectors, logs)
        return (vectors * logs) @ vectors.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, vectors, logs = ctx.saved_tensors
        gap = values[:, None] - values[None, :]
        total = values[:, None] + values[None, :]
        close = gap.abs() <= _EQUAL * total
        slope = torch.where(close, 2.0 / total, (logs[:, None] - logs[None, :]) / torch.where(close, 1.0, gap))
        symmetric = (gradient + gradient.T) / 2
        return vectors @ (slope * (vectors.T @ symmetric @ vectors)) @ vectors.T, None


def matrix_log(matrix: Tensor, floor: float) -> Tensor:
    """Logarithm of a symmetric matrix (c, c), float64; eigenvalues below ``floor`` count as ``floor`` (> 0)."""
    out = _MatrixLog.apply(matrix, floor)
    assert isinstance(out, Tensor)  # noqa: S101 - torch does not say what apply returns
    return out
