"""The training loop of a denoiser: planned steps, checkpoints, exact resumption."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from training.denoiser.data import Photographs, draw_batch
from training.denoiser.grow import grown

from morelli.errors import MorelliError
from morelli.fingerprint.denoiser import UNIT, Denoiser, Form, load_denoiser

WARM_UP = 20
SAVE_EVERY = 60.0
LOG_EVERY = 25


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the result, beside the photographs.

    ``patch`` is a side in pixels, ``rate`` the peak of Adam's; ``bfloat16`` computes all but the two outer convolutions
    in that precision, in which the noise would drown in the picture before the first and be rounded after the last.
    ``begin`` is a smaller denoiser's file to grow from.
    """

    form: Form
    batch: int = 4
    patch: int = 96
    rate: float = 2e-3
    seed: int = 0
    bfloat16: bool = False
    begin: str = ""


class Trainer:
    """Trains one denoiser with Adam on the squared error of the noise, relative to the noise of its patch.

    Parameters
    ----------
    settings : Settings
    photographs : Photographs
    path : Path
        Checkpoint; where it is there, training goes on from it.
    device : str
    """

    def __init__(self, settings: Settings, photographs: Photographs, path: Path, device: str = "cpu") -> None:
        self.settings, self.photographs, self.path, self.device = settings, photographs, path, device
        torch.manual_seed(settings.seed)
        net = Denoiser(settings.form)
        if settings.begin:
            net = grown(load_denoiser(Path(settings.begin))[0], settings.form)
        self.net = net.to(device)
        self.net.centre_first()
        self.optimiser = torch.optim.Adam(self.net.parameters(), lr=settings.rate)
        self.step, self.planned, self.seconds = 0, 0, 0.0
        if path.is_file():
            self._load()

    def plan(self, seconds: float) -> None:
        """Fix the number of steps by timing a few; they change nothing. A resumed run keeps its plan."""
        if self.planned:
            return
        fresh = Trainer(self.settings, self.photographs, self.path.with_suffix(".none"), self.device)
        fresh.planned = 8
        for _ in range(3):
            fresh.one()
        start = time.monotonic()
        for _ in range(5):
            fresh.one()
        self.planned = max(1, round(seconds * 5 / (time.monotonic() - start)))

    def run(self, seconds: float, say: Callable[[str], None] = print) -> bool:
        """Train for some time at most; True where the plan is fulfilled."""
        start = saved = time.monotonic()
        before, total = self.seconds, 0.0
        while self.step < self.planned and time.monotonic() - start < seconds:
            total += self.one()
            self.seconds = before + time.monotonic() - start
            if self.step % LOG_EVERY == 0:
                say(f"step {self.step}/{self.planned}, {self.seconds:.0f} s, error {total / LOG_EVERY:.4f}")
                total = 0.0
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.step >= self.planned

    def one(self) -> float:
        """One step; its chance depends on the seed and the step's number alone."""
        rng = np.random.default_rng([self.settings.seed, self.step])
        noisy, noise = draw_batch(self.photographs.training, rng, self.settings.batch, self.settings.patch)
        progress = self.step / max(1, self.planned)
        factor = min(1.0, (self.step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * factor
        found = self._forward(noisy.to(self.device))
        wanted = _inner(noise, self.settings.form).to(self.device)
        # Divided by each patch's own energy: otherwise the loud ones would be all that is learnt.
        energy = wanted.square().mean(dim=(1, 2, 3)).clamp_min(1e-3)
        loss = ((found - wanted).square().mean(dim=(1, 2, 3)) / energy).mean()
        if not torch.isfinite(loss):
            raise MorelliError(f"the training diverged at step {self.step}.", fix="Lower --rate.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.net.centre_first()
        self.step += 1
        return float(loss.detach())

    def _forward(self, noisy: Tensor) -> Tensor:
        net = self.net.train()
        if not self.settings.bfloat16:
            return net(noisy)
        first, last = net.layers[:2], net.layers[-1]
        features = first(noisy.contiguous(memory_format=torch.channels_last))
        with torch.autocast(self.device, torch.bfloat16):
            features = net.layers[2:-1](features)
        return last(features.float())

    def save(self) -> None:
        """Write the checkpoint beside its place, then move it there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        state = {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        state |= {"planned": self.planned, "seconds": self.seconds, "settings": self._words()}
        torch.save(state, part)
        part.replace(self.path)

    def _load(self) -> None:
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        if state["settings"] != self._words():
            raise MorelliError("is of a training with other settings.", argument=str(self.path), fix="Name another.")
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.planned, self.seconds = state["step"], state["planned"], state["seconds"]

    def _words(self) -> str:
        return json.dumps(asdict(self.settings))

    def record(self) -> dict[str, Any]:
        """What the training came to."""
        return {"steps": self.step, "planned": self.planned, "seconds": round(self.seconds), "device": self.device}


def _inner(noise: Tensor, form: Form) -> Tensor:
    edge = form.margin
    return noise[:, :, edge:-edge, edge:-edge]


@torch.inference_mode()
def explained(denoiser: Denoiser, pictures: list[np.ndarray], sigma: float, seed: int = 0) -> float:
    """Part of the noise's energy that a folded denoiser finds at one sigma (1/256): at most 1, over held-out pictures.

    The middle of each picture is looked at, at most 96 pixels a side beside the margin.
    """
    side = 96 + 2 * denoiser.form.margin
    rng = np.random.default_rng(seed)
    missed = energy = 0.0
    for picture in pictures:
        top, left = (max(0, (extent - side) // 2) for extent in picture.shape[:2])
        picture = picture[top : top + side, left : left + side]
        clean = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        noise = torch.from_numpy(rng.standard_normal(clean.shape).astype(np.float32) * np.float32(sigma))
        inner = _inner(noise, denoiser.form)
        missed += float((denoiser(clean + noise * UNIT) - inner).square().mean())
        energy += float(inner.square().mean())
    return 1 - missed / energy
