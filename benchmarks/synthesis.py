"""Synthetic models a minute by scheme, as ratios to one at a time, on this machine in this run.

::

    python -m benchmarks.synthesis PHOTOS [--device cpu] [--architectures 000000,111211] [--together 4] [--seconds 8]

Times are of training alone: steps of ``--batch`` crops of ``--crop`` pixels, and a model is ``--steps`` of them. On a
CPU the process's own time is taken, so that other programs do not count; with ``--workers N`` also N processes at once,
by the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from morelli.engine.processes import ProcessEngine
from morelli.synthesis.architectures import ModelKey, select
from morelli.synthesis.photos import Photos, read_photos
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import SCHEMES, Stack, fresh_weights
from morelli.synthesis.train import Pool


def seconds_a_model(
    name: str, scheme: str, together: int, pool: Pool, settings: TrainingSettings, budget: float, clock: Callable
) -> float:
    """Seconds that training takes for each of the models that are trained side by side."""
    (architecture,) = select(name)
    keys = [ModelKey(architecture.id, seed) for seed in range(together)]
    weights = {n: each.to(pool.device) for n, each in fresh_weights(keys, settings.width).items()}
    stack = Stack(architecture, weights, scheme, settings.width, trainable=True).train()
    optimiser = torch.optim.Adam(stack.parameters.values(), lr=settings.lr, fused=True)
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        images = pool.training.cut(pool.training.draw(generator, together, settings.batch))
        losses = (stack(images) - images).square().flatten(1).mean(1).clamp(min=settings.eta)
        optimiser.zero_grad()
        losses.sum().backward()
        optimiser.step()
        if pool.device.type == "cuda":
            torch.cuda.synchronize()

    step()
    step()
    steps, start = 0, clock()
    while clock() - start < budget or steps < 3:
        step()
        steps += 1
    return (clock() - start) / steps * settings.max_steps / together


def _in_process(photos: Photos, names: list[str], settings: TrainingSettings, device: str, budget: float) -> float:
    torch.set_num_threads(1)
    pool = Pool(photos, settings, device)
    times = [seconds_a_model(name, "loop", 1, pool, settings, budget, time.perf_counter) for name in names]
    return sum(times) / len(times)


def _as_several(given: tuple[Photos, list[str], TrainingSettings, str], budget: float) -> float:
    return _in_process(*given, budget)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--architectures", default="000000,010201,100121,111211")
    parser.add_argument("--together", type=int, default=4)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8, help="for each measurement")
    parser.add_argument("--workers", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = TrainingSettings(max_steps=asked.steps, batch=asked.batch, crop=asked.crop)
    photos = read_photos(asked.photos, asked.crop)
    pool = Pool(photos, settings, asked.device)
    clock = time.process_time if pool.device.type == "cpu" else time.perf_counter
    names = [each.id for each in select(asked.architectures)]
    alone = {name: seconds_a_model(name, "loop", 1, pool, settings, asked.seconds, clock) for name in names}
    print(f"{'models a minute (ratio)':<26}" + "".join(f"{name:>16}" for name in names))
    print(f"{'one at a time':<26}" + "".join(f"{60 / alone[name]:>16.2f}" for name in names), flush=True)
    for scheme in SCHEMES:
        row = [seconds_a_model(name, scheme, asked.together, pool, settings, asked.seconds, clock) for name in names]
        told = [f"{60 / t:.2f} ({alone[name] / t:.2f})" for name, t in zip(names, row, strict=True)]
        print(f"{f'{scheme}, {asked.together} together':<26}" + "".join(f"{each:>16}" for each in told), flush=True)
    if asked.workers:
        one = _in_process(photos, names, settings, asked.device, asked.seconds)
        given = (photos, names, settings, asked.device)
        several = ProcessEngine(asked.workers).map(_as_several, [asked.seconds] * asked.workers, shared=given)
        times = [answer.get() for answer in several]
        gain = sum(one / each for each in times)
        print(f"{asked.workers} processes, one at a time each: {gain:.2f} times one process, by the clock")


if __name__ == "__main__":
    main()
