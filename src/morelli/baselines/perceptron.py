"""A perceptron with one hidden layer over feature vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from morelli.baselines.loop import Curve, Learner, descend, epoch_rows, train
from morelli.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Array = NDArray[np.float64]


def fit_perceptron(
    x: Array, labels: NDArray[np.intp], classes: int, *, hidden: int, epochs: int, batch: int, seed: int
) -> tuple[nn.Module, Curve]:
    """Train ``linear → ReLU → dropout 0.5 → linear`` with AdamW (1e-3, weight decay 1e-2) and cross-entropy.

    Parameters
    ----------
    x : ndarray, shape (n, d)
        Standardised.
    labels : ndarray of int, shape (n,)
    classes, hidden, epochs, batch, seed : int

    Returns
    -------
    network : Module
        In evaluation mode: (n, d) float32 to logits (n, classes).
    curve : Curve
        Losses over the training.
    """
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    if min(hidden, epochs, batch) < 1:
        raise InputError("hidden, epochs and batch must be 1 or more.", argument="mlp")
    inputs, targets = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels.astype(np.int64))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(x.shape[1], hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, classes))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)

    def step(number: int, rng: np.random.Generator) -> dict[str, float]:
        rows = epoch_rows(len(inputs), min(batch, len(inputs)), number, seed)
        loss = cross_entropy(network(inputs[rows]), targets[rows])
        descend(optimiser, loss, number)
        return {"loss": float(loss.detach())}

    steps = epochs * max(1, round(len(inputs) / min(batch, len(inputs))))
    curve = train(Learner({"network": network}, {"optimiser": optimiser}, step), steps, seed)
    return network.eval(), curve
