"""The training loop: fp32 weights, a bf16 working copy, averages, checkpoints and exact resumption.

The working copy takes the steps' forward and backward passes. On a core with bf16 instructions that is about twice as
quick as fp32, and quicker than autocast, whose casts cost more than a small network's matrix products.
"""

from __future__ import annotations

import copy
import json
import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from training.zoo.recipe import Recipe, Step

# In-place operations on lists of tensors: one call for a whole network.
_copy_all: Any = getattr(torch, "_foreach_copy_")  # noqa: B009 - PyTorch's own optimisers use them; not exported
_move_all: Any = getattr(torch, "_foreach_lerp_")  # noqa: B009

WARM_UP = 200
FLAT = 3000
"""Steps at the full learning rate; after them it falls with the square root, so that training may go on for long."""
COOL_DOWN = 0.3
SAVE_EVERY = 180.0
STOP = threading.Event()
"""Set it, as the command line does on SIGTERM, and the training saves after the step that it is in, and ends."""
LOG_EVERY = 50


def rate(step: int, progress: float | None) -> float:
    """Factor on the learning rate, 0–1.

    Parameters
    ----------
    step : int
        From 0.
    progress : float or None
        Part of the time budget that is spent, 0–1: the rate falls linearly to a fiftieth in its last `COOL_DOWN`.
    """
    factor = min(1.0, (step + 1) / WARM_UP) * min(1.0, math.sqrt(FLAT / (step + 1)))
    if progress is not None:
        factor *= max(0.02, min(1.0, (1 - progress) / COOL_DOWN))
    return factor


class Trainer:
    """Trains one recipe; ``run`` may be called again and again, in this process or another.

    Parameters
    ----------
    recipe : Recipe
        A checkpoint of its name in the run's folder is continued.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.context = recipe, recipe.context
        self.device = self.context.device
        self.step, self.images, self.seconds, self.cpu_seconds = 0, 0, 0.0, 0.0
        torch.manual_seed(recipe.seed)
        self.masters = {name: net.to(self.device) for name, net in recipe.build().items()}
        self.average = {name: copy.deepcopy(net).requires_grad_(False).eval() for name, net in self.masters.items()}
        self.working = {name: copy.deepcopy(net).to(torch.bfloat16) for name, net in self.masters.items()}
        recipe.precise(self.working)
        self.optimisers = {
            player.name: torch.optim.AdamW(
                [p for net in player.nets for p in self.masters[net].parameters() if p.requires_grad],
                lr=player.lr,
                betas=player.betas,
                weight_decay=player.weight_decay,
                fused=True,
            )
            for player in recipe.players()
        }
        self.path = self.context.out / "checkpoints" / f"{recipe.name}.pt"
        if self.path.is_file():
            self._load()
        self._refresh(*self.masters)

    def run(self, seconds: float, budget: float | None = None) -> None:
        """Train for some wall time, then save.

        Parameters
        ----------
        seconds : float
        budget : float, optional
            Seconds of training that this model gets in all, where known; see `rate`.
        """
        self.recipe.before()
        start = logged = time.monotonic()
        end, cpu = start + seconds, time.process_time()
        sums: dict[str, float] = {}
        while (now := time.monotonic()) < end and not STOP.is_set():
            spent = self.seconds + now - start
            seen = self._one(rate(self.step, None if budget is None else min(1.0, spent / budget)))
            for key, value in seen.items():
                sums[key] = sums.get(key, 0.0) + float(value) / LOG_EVERY
            if self.step % LOG_EVERY == 0:
                done = time.monotonic()
                batch = self.recipe.batch * self.context.scale
                self._log(sums, LOG_EVERY * batch / (done - logged), spent)
                sums, logged = {}, done
            if time.monotonic() - start > SAVE_EVERY:
                self._mark(start, cpu)
                start, cpu = time.monotonic(), time.process_time()
                self.save()
        self._mark(start, cpu)
        self.save()

    def _mark(self, start: float, cpu: float) -> None:
        self.seconds += time.monotonic() - start
        self.cpu_seconds += time.process_time() - cpu

    def _one(self, factor: float) -> dict[str, Tensor]:
        """One step of every player."""
        step = self._chance()
        seen: dict[str, Tensor] = {}
        for player in self.recipe.players():
            working = [p for net in player.nets for p in self.working[net].parameters() if p.requires_grad]
            masters = [p for net in player.nets for p in self.masters[net].parameters() if p.requires_grad]
            losses = self.recipe.loss(player.name, self.working, step)
            grads = torch.autograd.grad(losses["loss"], working, allow_unused=True)
            for weight, grad in zip(masters, grads, strict=True):
                weight.grad = None if grad is None else grad.float()
            norm = torch.nn.utils.clip_grad_norm_(masters, 1.0)
            optimiser = self.optimisers[player.name]
            for group in optimiser.param_groups:
                group["lr"] = player.lr * factor
            if torch.isfinite(norm):
                optimiser.step()
            self._refresh(*player.nets)
            prefix = "" if len(self.recipe.players()) == 1 else f"{player.name} "
            seen.update({prefix + key: value.detach() for key, value in losses.items()})
        self.recipe.after_step(self.masters, self.step)
        self._average()
        self.step += 1
        self.images += len(step.rows)
        return seen

    def _chance(self) -> Step:
        rng = np.random.default_rng([self.recipe.seed, self.step])
        noise = torch.Generator(self.device).manual_seed(self.recipe.seed * 10**9 + self.step)
        rows = self.context.pictures.rows(rng, self.recipe.batch * self.context.scale)
        return Step(self.step, rng, noise, rows)

    @torch.no_grad()
    def _refresh(self, *names: str) -> None:
        """Copy the fp32 weights into the working copy."""
        for name in names:
            _copy_all(list(self.working[name].parameters()), list(self.masters[name].parameters()))

    @torch.no_grad()
    def _average(self) -> None:
        weight = 1 - min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, net in self.average.items():
            _move_all(list(net.parameters()), list(self.masters[name].parameters()), weight)

    def record(self) -> dict[str, Any]:
        """What the training has come to, for logs and cards."""
        return {
            "steps": self.step,
            "images": self.images,
            "seconds": round(self.seconds),
            "cpu_seconds": round(self.cpu_seconds),
            "device": self.device.type,
        }

    def _log(self, sums: dict[str, float], speed: float, spent: float) -> None:
        line = {"model": self.recipe.name, "step": self.step, "seconds": round(spent), "images_s": round(speed, 1)}
        line |= {key: float(f"{value:.4g}") for key, value in sums.items()}
        with (self.context.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the checkpoint beside its place, then move it there: a killed run leaves a whole one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        torch.save(
            {
                "masters": {name: net.state_dict() for name, net in self.masters.items()},
                "average": {name: net.state_dict() for name, net in self.average.items()},
                "optimisers": {name: each.state_dict() for name, each in self.optimisers.items()},
                "step": self.step,
                "images": self.images,
                "seconds": self.seconds,
                "cpu_seconds": self.cpu_seconds,
            },
            part,
        )
        part.replace(self.path)

    def _load(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        for name, net in self.masters.items():
            net.load_state_dict(state["masters"][name])
            self.average[name].load_state_dict(state["average"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.step, self.images = state["step"], state["images"]
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]

    def export(self, folder: Path) -> dict[str, Any]:
        """Write the averaged weights in the package's layout; returns what the recipe's ``save`` does."""
        nets = {name: copy.deepcopy(net).cpu() for name, net in self.average.items()}
        return self.recipe.save(nets, folder)
