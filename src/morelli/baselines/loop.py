"""The one training loop of the baselines: numbered steps that repeat exactly, checkpoints, a learning curve."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from morelli.encoders.weights import short_hash
from morelli.errors import DivergedError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from morelli.fingerprint.learn.journal import Journal

    Step = Callable[[int, np.random.Generator], dict[str, float]]

#: Points of a learning curve, and seconds between checkpoints.
POINTS, SAVE_EVERY = 50, 60.0
# Streams of random numbers: of a step, and of an epoch's order.
_STEP, _ORDER = 1, 2


@dataclass
class Learner:
    """What a training changes, and how.

    Attributes
    ----------
    modules : mapping of str to Module
        Everything with weights, averages included.
    optimisers : mapping of str to Optimizer
    step : callable
        Takes the step's number, from 0, and a generator of random numbers of its own; does the step and returns its
        losses by name. torch's own random numbers are seeded for it.
    cooldown : float
        Share of the steps, the last ones, over which every learning rate falls to zero on a straight line; 0 leaves
        the rates to the step. At a constant rate accuracy swings from one step to the next and the last step is as
        good as chance has it (Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
        durations").
    """

    modules: Mapping[str, nn.Module]
    optimisers: Mapping[str, torch.optim.Optimizer]
    step: Step
    cooldown: float = 0.0


@dataclass
class Curve:
    """Mean losses over stretches of a training: ``steps`` holds the last step of each stretch."""

    steps: list[int] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)


def train(
    learner: Learner, steps: int, seed: int, journal: Journal | None = None, save_every: float = SAVE_EVERY
) -> Curve:
    """Run the steps that are left; afterwards the modules are as they became.

    Parameters
    ----------
    learner : Learner
    steps : int
        In all; a checkpoint's count.
    seed : int
        Every step's random numbers follow from it and the step's number, so a resumed training is the same training.
    journal : Journal, optional
        Keeps checkpoints; a finished training is read from it and not repeated.
    save_every : float
        Seconds between checkpoints.

    Raises
    ------
    DivergedError
        A loss is no number any more.
    StorageError
        The disk refuses a checkpoint.
    """
    curve, first, since = Curve(), 0, 0
    # Of the stretch that is under way, which began after ``since`` steps.
    sums: dict[str, float] = {}
    rates = {name: optimiser.param_groups[0]["lr"] for name, optimiser in learner.optimisers.items()}
    state = journal.load("cpu") if journal else None
    if state is not None:
        first, since, sums = _restore(learner, curve, state)
    stretch, saved = max(1, steps // POINTS), time.monotonic()
    for module in learner.modules.values():
        module.train()
    with torch.random.fork_rng(devices=[]):
        for number in range(first, steps):
            rng = np.random.default_rng([seed, _STEP, number])
            torch.manual_seed(int(rng.integers(2**62)))
            if learner.cooldown:
                for name, optimiser in learner.optimisers.items():
                    set_rate(optimiser, rates[name] * cooled(number, steps, learner.cooldown))
            for name, value in learner.step(number, rng).items():
                sums[name] = sums.get(name, 0.0) + value
            if (number + 1) % stretch == 0 or number + 1 == steps:
                means = {name: value / (number + 1 - since) for name, value in sums.items()}
                _check(means, number)
                curve.steps.append(number + 1)
                curve.losses.append(means)
                sums, since = {}, number + 1
            if journal and time.monotonic() - saved >= save_every and number + 1 < steps:
                journal.save(_state(learner, curve, number + 1, since, sums))
                saved = time.monotonic()
    if journal and first < steps:
        journal.save(_state(learner, curve, steps, steps, {}))
    return curve


def descend(optimiser: torch.optim.Optimizer, loss: Tensor, number: int) -> None:
    """One step down the loss.

    Raises
    ------
    DivergedError
        The loss is not finite; the weights stay as they were.
    """
    _check({"loss": float(loss.detach())}, number)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def adam(
    parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float] = (0.9, 0.999), decay: float = 0.0
) -> torch.optim.Adam:
    """Adam (Kingma & Ba 2015), all weights in one pass where that is known to work: an eighth of a step saved.

    Parameters
    ----------
    parameters : iterable of Parameter
        On one device.
    rate : float
    betas : tuple of float
    decay : float
        Of the weights, added to their gradient.
    """
    held = list(parameters)
    kinds = {each.device.type for each in held}
    return torch.optim.Adam(held, lr=rate, betas=betas, weight_decay=decay, fused=kinds <= {"cpu", "cuda"})


def epoch_rows(n: int, batch: int, number: int, seed: int) -> NDArray[np.int64]:
    """Rows of a batch: epochs one after the other, each a shuffle of all n rows, cut into batches.

    Returns
    -------
    ndarray of int, shape (batch,)
    """
    places = number * batch + np.arange(batch)
    orders = {e: np.random.default_rng([seed, _ORDER, e]).permutation(n) for e in np.unique(places // n).tolist()}
    return np.array([orders[place // n][place % n] for place in places.tolist()], dtype=np.int64)


def balanced_rows(labels: NDArray[np.intp], each: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """``each`` rows of every class, without repetition where the class has as many."""
    picked = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        picked.append(rng.choice(rows, each, replace=len(rows) < each))
    return np.concatenate(picked).astype(np.int64)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of all groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def cooled(number: int, steps: int, cooldown: float) -> float:
    """What is left of the learning rate at a step, from 0: 1 until the last ``cooldown * steps``, then a line to 0."""
    return min(1.0, (steps - number) / (cooldown * steps))


def open_journal(folder: str | Path | None, words: Mapping[str, Any]) -> Journal | None:
    """The journal of a training under a folder that many share; None where there is no folder.

    Each training has a folder of its own, named after the hash of what decides it, so that the folds of an evaluation
    do not meet, and a finished one is found again.
    """
    if folder is None:
        return None
    from morelli.fingerprint.learn.journal import Journal

    return Journal(Path(folder).expanduser() / short_hash(dict(words)), words)


def _check(losses: Mapping[str, float], number: int) -> None:
    for name, value in losses.items():
        if not np.isfinite(value):
            raise DivergedError(
                f"the training diverged at step {number + 1}: {name} is {value}.",
                argument="loss",
                fix="Take another seed, or a larger batch.",
            )


def _state(learner: Learner, curve: Curve, step: int, since: int, sums: Mapping[str, float]) -> dict[str, Any]:
    return {
        "step": step,
        "since": since,
        "sums": dict(sums),
        "modules": {name: module.state_dict() for name, module in learner.modules.items()},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in learner.optimisers.items()},
        "curve": {"steps": curve.steps, "losses": curve.losses},
    }


def _restore(learner: Learner, curve: Curve, state: Mapping[str, Any]) -> tuple[int, int, dict[str, float]]:
    for name, module in learner.modules.items():
        module.load_state_dict(state["modules"][name])
    for name, optimiser in learner.optimisers.items():
        optimiser.load_state_dict(state["optimisers"][name])
    curve.steps[:], curve.losses[:] = state["curve"]["steps"], state["curve"]["losses"]
    return int(state["step"]), int(state["since"]), dict(state["sums"])
