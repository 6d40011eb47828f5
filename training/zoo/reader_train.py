"""Training the reader: drawn scenes only, one core, exact resume."""

from __future__ import annotations

import contextlib
import copy
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from training.zoo.reader_data import ABSENT, Batch, make_batch
from training.zoo.reader_net import ReaderNet

BATCH = 128
_PEAK = 3e-3
_WARM_UP = 100
_EMA = 0.995


def loss_of(read: dict[str, Tensor], truth: Batch) -> Tensor:
    """Sum of the five losses; shapes that are there weigh as much in the count as those that are not."""
    there = truth.count > 0
    weight = torch.where(there, 4.0, 1.0).flatten()
    count = F.cross_entropy(read["count"].flatten(0, 1), truth.count.flatten(), reduction="none")
    colour = F.cross_entropy(read["colour"].flatten(0, 1), truth.colour.flatten(), ignore_index=ABSENT)
    texture = F.cross_entropy(read["texture"].flatten(0, 1), truth.texture.flatten(), ignore_index=ABSENT)
    centroid = (read["centroid"] - truth.centroid).abs().sum(dim=2)[there].mean()
    cells = F.binary_cross_entropy_with_logits(read["heat"], truth.heat, reduction="none")
    heat = (cells * (1 + 9 * truth.heat)).sum(dim=(2, 3)).mean()
    return (count * weight).sum() / weight.sum() + colour + 0.7 * texture + 2 * centroid + 0.15 * heat


def _rate(step: int, steps: int) -> float:
    """Warm-up, then a cosine to a hundredth of the peak."""
    if step < _WARM_UP:
        return _PEAK * (step + 1) / _WARM_UP
    done = (step - _WARM_UP) / max(1, steps - _WARM_UP)
    return _PEAK * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def _average(ema: nn.Module, net: nn.Module, step: int) -> None:
    keep = min(_EMA, (step + 1) / (step + 10))
    with torch.no_grad():
        for mean, value in zip(ema.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place once it is written whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    yield partial
    partial.replace(path)


def save_weights(net: ReaderNet, out: Path, steps: int, seconds: float) -> None:
    """The network's weights as fp16 safetensors, with how they came about."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    facts = {"steps": str(steps), "pictures": str(steps * BATCH), "seconds": f"{seconds:.0f}"}
    with _replacing(out) as partial:
        save_file(state, partial, metadata=facts)


class _Run:
    """A training run that can be put away and taken up again."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.net = ReaderNet()
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.ema = copy.deepcopy(self.net)
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        plain = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=_PEAK)
        self.step, self.seconds = 0, 0.0

    def save(self, path: Path) -> None:
        parts = {name: getattr(self, name).state_dict() for name in ("net", "ema", "optimiser")}
        with _replacing(path) as partial:
            torch.save({**parts, "step": self.step, "seconds": self.seconds}, partial)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        for name in ("net", "ema", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.step, self.seconds = state["step"], state["seconds"]

    def learn(self, batch: Batch, steps: int) -> float:
        """One step of ``steps``; its loss."""
        began = time.monotonic()
        self.net.train()
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(self.step, steps)
        with torch.autocast("cpu", torch.bfloat16):
            read = self.net(batch.pixels.contiguous(memory_format=torch.channels_last))
        loss = loss_of(read, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        _average(self.ema, self.net, self.step)
        self.step += 1
        self.seconds += time.monotonic() - began
        return loss.item()


def train(out: Path, steps: int, seed: int = 0, save_every: int = 200) -> ReaderNet:
    """Train the reader, or go on from where an interrupted run of the same arguments stood.

    Parameters
    ----------
    out : Path
        Where the weights go; the state of an unfinished run lies beside it under ``.state``.
    steps : int
        Of 128 pictures each.
    seed : int
        Of the first weights and of the scenes.
    save_every : int
        Steps between two saved states.

    Returns
    -------
    ReaderNet
        The averaged weights, in evaluation mode.
    """
    torch.set_num_threads(1)
    run = _Run(seed)
    kept = out.with_name(out.name + ".state")
    if kept.exists():
        run.load(kept)
    while run.step < steps:
        began = time.monotonic()
        batch = make_batch("train", BATCH, seed * 1_000_003 + run.step)
        run.seconds += time.monotonic() - began
        loss = run.learn(batch, steps)
        if run.step % 50 == 0:
            print(f"step {run.step} loss {loss:.3f} {run.seconds:.0f} s", file=sys.stderr, flush=True)
        if run.step % save_every == 0 and run.step < steps:
            run.save(kept)
    save_weights(run.ema, out, steps, run.seconds)
    kept.unlink(missing_ok=True)
    return run.ema.eval()
