"""Train synthetic models to give photographs back (paper 002, §III-B), several of one architecture together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from morelli.devices import wants_bfloat16
from morelli.synthesis.architectures import ModelKey, from_id
from morelli.synthesis.crops import Crops
from morelli.synthesis.photos import Photos
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import Stack, Weights, choose_scheme, fresh_weights
from morelli.synthesis.streams import stream

#: Standard deviation of an output that counts as constant, images in −1 to 1: an eighth of an 8-bit step.
CONSTANT = 1e-3


@dataclass(frozen=True, eq=False)
class Trained:
    """One model as training left it.

    Attributes
    ----------
    key : ModelKey
    weights : dict of str to Tensor, float32, on the CPU
    mse : float
        Mean squared error over crops of unseen photographs, in ``eval``, images in −1 to 1.
    steps : int
    trouble : str or None
        Why it is no model: diverged, or a constant output.
    """

    key: ModelKey
    weights: dict[str, Tensor]
    mse: float
    steps: int
    trouble: str | None


class Pool:
    """Photographs on a device: crops to learn from, and the fixed ones on which the error is measured.

    Parameters
    ----------
    photos : Photos
    settings : TrainingSettings
    device : torch.device or str
    """

    def __init__(self, photos: Photos, settings: TrainingSettings, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.training = Crops(photos.training, settings.crop, self.device)
        unseen = Crops(photos.checking, settings.crop, self.device)
        self.check = unseen.cut(unseen.draw(torch.Generator().manual_seed(0), settings.check_crops))


def train(
    keys: Sequence[ModelKey],
    pool: Pool,
    settings: TrainingSettings,
    *,
    scheme: str = "auto",
    progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train models of one architecture.

    First weights and crops of a model follow from its key alone, so it is the same in any company up to the rounding
    of the scheme. On a CPU one thread works; more models at once take more processes (`morelli.synthesis.run`).

    Parameters
    ----------
    keys : sequence of ModelKey
        Of one architecture.
    pool : Pool
    settings : TrainingSettings
    scheme : {"auto", "loop", "grouped", "matmul", "vmap"}
    progress : callable, optional
        Called with how many models are done.

    Returns
    -------
    list of Trained
        In the order of the keys, with those that went wrong.
    """
    with _one_thread():
        return _train(keys, pool, settings, choose_scheme(scheme, pool.device), progress or (lambda done: None))


def _train(
    keys: Sequence[ModelKey], pool: Pool, settings: TrainingSettings, scheme: str, progress: Callable[[int], None]
) -> list[Trained]:
    groups = [[key] for key in keys] if scheme == "loop" else [list(keys)]
    done: dict[ModelKey, Trained] = {}
    for group in groups:
        run = _Run(group, pool, settings, scheme)
        while run.keys:
            done.update((each.key, each) for each in run.advance())
            progress(len(done))
    return [done[key] for key in keys]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: how sums are split over threads moves last digits, training magnifies them, and networks as
    small as these gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Run:
    """Models that learn side by side; those that are done leave."""

    def __init__(self, keys: Sequence[ModelKey], pool: Pool, settings: TrainingSettings, scheme: str) -> None:
        self.keys, self._pool, self._settings, self._scheme = list(keys), pool, settings, scheme
        self._streams = [stream(key, "crops") for key in keys]
        self._architecture = from_id(keys[0].architecture_id)
        self._steps = 0
        self._bfloat16 = wants_bfloat16(settings.precision, str(pool.device))
        self._start({name: each.to(pool.device) for name, each in fresh_weights(keys, settings.width).items()})

    def _start(self, weights: Weights) -> None:
        self._stack = Stack(self._architecture, weights, self._scheme, self._settings.width, trainable=True)
        kind = torch.optim.AdamW if self._settings.optimiser == "adamw" else torch.optim.Adam
        self._optimiser = kind(
            self._stack.parameters.values(), lr=self._settings.lr, weight_decay=self._settings.weight_decay, fused=True
        )

    def advance(self) -> list[Trained]:
        """Train to the next measurement; the models that are done."""
        count = min(self._settings.check_every, self._settings.max_steps - self._steps)
        places = torch.stack([self._pool.training.draw(each, count, self._settings.batch) for each in self._streams])
        self._stack.train()
        for number in range(count):
            for group in self._optimiser.param_groups:
                group["lr"] = self._settings.rate(self._steps + number)
            self._step(self._pool.training.cut(places[:, number]))
        self._steps += count
        errors, spreads = measure(self._stack, self._pool.check)
        last = self._steps >= self._settings.max_steps
        stops = self._settings.policy == "floor"
        troubles = [_trouble(error, spread) for error, spread in zip(errors, spreads, strict=True)]
        leave = [
            row for row, error in enumerate(errors) if last or (stops and error <= self._settings.eta) or _broken(error)
        ]
        weights = self._stack.weights()
        done = [
            Trained(
                self.keys[row],
                {name: each[row].cpu().clone() for name, each in weights.items()},
                errors[row],
                self._steps,
                troubles[row],
            )
            for row in leave
        ]
        if leave:
            self._keep([row for row in range(len(self.keys)) if row not in set(leave)])
        return done

    def _step(self, images: Tensor) -> None:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16):
            out = self._stack(images)
        losses = (out.float() - images).square().flatten(1).mean(1)
        if self._settings.policy == "floor":
            losses = losses.clamp(min=self._settings.eta)
        self._optimiser.zero_grad()
        losses.sum().backward()
        self._optimiser.step()

    def _keep(self, rows: list[int]) -> None:
        """Go on with these models alone, with their moments of the optimiser."""
        self.keys = [self.keys[row] for row in rows]
        self._streams = [self._streams[row] for row in rows]
        if not rows:
            return
        before, stack = self._optimiser.state, self._stack
        self._start({name: each[rows] for name, each in stack.weights().items()})
        for name, now in self._stack.parameters.items():
            old = stack.parameters[name]
            # Moments have the parameter's shape; the count of steps is one number for all.
            self._optimiser.state[now] = {
                what: value[rows].clone() if value.shape == old.shape else value.clone()
                for what, value in before[old].items()
            }


def measure(stack: Stack, check: Tensor) -> tuple[list[float], list[float]]:
    """Error and spread of each model on the same crops, in ``eval``.

    Parameters
    ----------
    stack : Stack
    check : Tensor, shape (n, 3, h, w), float32, −1 to 1

    Returns
    -------
    errors : list of float, length s
        Mean squared error.
    spreads : list of float, length s
        The largest standard deviation of an output over its pixels, by image and channel.
    """
    stack.train(False)
    with torch.no_grad():
        out = stack(check.expand(stack.count, *check.shape))
        errors = (out - check).square().flatten(1).mean(1)
        spreads = out.flatten(3).std(3).flatten(1).amax(1)
    return errors.tolist(), spreads.tolist()


def _broken(error: float) -> bool:
    return not error < float("inf")


def _trouble(error: float, spread: float) -> str | None:
    if _broken(error):
        return "diverged: its output is not finite"
    return "constant: its output shows nothing of the image" if not spread > CONSTANT else None
