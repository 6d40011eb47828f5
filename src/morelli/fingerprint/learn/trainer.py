"""The training loop: planned steps, validation, checkpoints, exact resumption."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from morelli.devices import wants_bfloat16
from morelli.errors import DivergedError
from morelli.fingerprint.learn.journal import Journal
from morelli.fingerprint.learn.losses import total
from morelli.fingerprint.learn.sampler import Batch, Batches
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.learn.validation import Validation
from morelli.fingerprint.learn.views import Views
from morelli.fingerprint.small_network import Standardise

LOG_EVERY = 50
SAVE_EVERY = 60.0
#: Spectra that the input's standardisation is fitted to, and batches that an untrained network's statistics see.
FITTED, SEEN = 1024, 16
_FIT, _RUN = 107, 64

Say = Callable[[str], None]


class Trainer:
    """Trains one network on some classes.

    Parameters
    ----------
    network : Module
        An extractor, with the weights to begin from.
    views : Views
        Of the classes.
    batches : Batches
    settings : LearnSettings
    journal : Journal or None
        Where a checkpoint is there, training goes on from it. None: nothing is kept.
    validation : Validation or None
    device : str
    """

    def __init__(
        self,
        network: nn.Module,
        views: Views,
        batches: Batches,
        settings: LearnSettings,
        journal: Journal | None = None,
        validation: Validation | None = None,
        device: str = "cpu",
    ) -> None:
        self.settings, self.views, self.batches = settings, views, batches
        self.journal, self.validation, self.device = journal, validation, device
        # torch's stubs leave memory_format out.
        self.network = network.to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._bfloat16 = wants_bfloat16(settings.precision, device)
        self.head: nn.Linear | None = None
        if settings.loss.startswith("ce"):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                self.head = nn.Linear(self._width(), len(views.names)).to(device)
        parameters = [*self.network.parameters(), *(self.head.parameters() if self.head else ())]
        self.optimiser = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        self.step, self.planned, self.seconds = 0, settings.steps, 0.0
        self.best: dict[str, Any] | None = None
        self.resumed = False
        state = journal.load(device) if journal else None
        if state is not None:
            self._restore(state)
            self.resumed = True

    def plan(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Fix the number of steps that so many seconds hold, by timing some that leave no trace.

        A resumed training keeps the plan that it has.
        """
        if self.resumed:
            return
        state, planned = copy.deepcopy(self._state()), self.planned
        self.planned = 1000
        for _ in range(2):
            self._one()
        begun, count = clock(), 0
        while count < 3 or clock() - begun < min(4.0, 0.03 * seconds):
            self._one()
            count += 1
        each = (clock() - begun) / count
        if self.validation is not None:
            begun = clock()
            self.validation(self.network, self.device)
            each += (clock() - begun) / self.settings.validate_every
        self.planned = planned
        self._restore(state)
        self.planned = max(1, round(seconds / each))

    def run(self, stop: threading.Event | None = None, say: Say = print) -> bool:
        """Train until the plan is fulfilled or ``stop`` is set; True where it is fulfilled.

        Raises
        ------
        DivergedError
            Loss, gradients or weights are not finite. The last checkpoint stays.
        StorageError
            The disk refuses a checkpoint.
        """
        if not self.step and self.journal:
            self.save()
        began = saved = time.monotonic()
        before, sums, first = self.seconds, {}, self.step
        while self.step < self.planned and not (stop and stop.is_set()):
            for name, value in self._one().items():
                sums[name] = sums.get(name, 0.0) + value
            self.seconds = before + time.monotonic() - began
            if self.step % LOG_EVERY == 0:
                self._tell(sums, self.step - first, say)
                sums, first = {}, self.step
            if self.validation and (self.step % self.settings.validate_every == 0 or self.step == self.planned):
                self._validate(say)
            if time.monotonic() - saved > SAVE_EVERY:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.step >= self.planned

    @torch.no_grad()
    def fit_input(self) -> None:
        """Fit the network's input to a draw of spectra, where it has such a part; before the first step."""
        part = getattr(self.network, "input", None)
        if self.resumed or not isinstance(part, Standardise):
            return
        rng = np.random.default_rng([self.settings.seed, _FIT])
        classes, slots = rng.integers((self.batches.classes, self.batches.slots), size=(FITTED, 2)).T
        parts = [self.views.spectra(classes[at : at + _RUN], slots[at : at + _RUN]) for at in range(0, FITTED, _RUN)]
        part.fit(torch.cat(parts).to(self.device))

    @torch.no_grad()
    def fit_statistics(self) -> None:
        """Give an untrained network's normalisations the plain mean of some batches: else its features say nothing."""
        norms = [each for each in self.network.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
        momenta = [each.momentum for each in norms]
        for each in norms:
            each.reset_running_stats()
            each.momentum = None
        self.network.train()
        for number in range(SEEN):
            self.network(self._spectra(self.batches.draw(number), number))
        for each, momentum in zip(norms, momenta, strict=True):
            each.momentum = momentum

    def final(self) -> nn.Module:
        """The network with the weights that the settings ask for: the last, or those of the best validation."""
        if self.settings.keep == "best" and self.best is not None:
            self.network.load_state_dict(self.best["network"])
        return self.network

    def validate(self) -> dict[str, float]:
        """Figures of the network as it is; empty without a validation."""
        return {} if self.validation is None else self.validation(self.network, self.device)

    def save(self) -> None:
        """Write a checkpoint, where there is a journal; weights that are not finite never get into one."""
        if self.journal:
            if not all(bool(each.isfinite().all()) for each in self.network.state_dict().values()):
                raise self._diverged("its weights")
            self.journal.save(self._state())

    def _one(self) -> dict[str, float]:
        batch = self.batches.draw(self.step)
        spectra = self._spectra(batch, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(self.step, self.planned)
        self.network.train()
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self._bfloat16):
            features = self.network(spectra)
        features = features.float()
        logits = self.head(features) if self.head else None
        parts = total(features, logits, torch.from_numpy(batch.labels).to(self.device), self.settings)
        self._update(parts["loss"])
        self.step += 1
        return {name: float(value.detach()) for name, value in parts.items()}

    def _update(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [each for group in self.optimiser.param_groups for each in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.settings.clip)
        if not (bool(loss.isfinite()) and bool(norm.isfinite())):
            raise self._diverged("its loss or its gradients")
        self.optimiser.step()

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"the training diverged at step {self.step}: {what} are not finite. The last checkpoint was kept.",
            argument="lr",
            fix="Lower --lr and name another folder with --checkpoint.",
        )

    def _spectra(self, batch: Batch, step: int) -> Tensor:
        spectra = self.views.spectra(batch.classes, batch.slots, step).to(self.device)
        return spectra.contiguous(memory_format=torch.channels_last)

    def _width(self) -> int:
        self.network.eval()
        with torch.no_grad():
            return self.network(self.views.spectra(np.zeros(1, int), np.zeros(1, int)).to(self.device)).shape[1]

    def _tell(self, sums: dict[str, float], count: int, say: Say) -> None:
        means = {name: value / count for name, value in sums.items()}
        line = {"step": self.step, "of": self.planned, "seconds": round(self.seconds, 1), **means}
        if self.journal:
            self.journal.log(line)
        say(f"step {self.step} of {self.planned}: " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))

    def _validate(self, say: Say) -> None:
        if self.validation is None:
            return
        figures = self.validation(self.network, self.device)
        if self.journal:
            self.journal.log({"step": self.step, **figures})
        say(f"step {self.step}, unseen models: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        if self.settings.keep == "best" and (self.best is None or figures["auc"] > self.best["auc"]):
            weights = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.best = {"auc": figures["auc"], "step": self.step, "network": weights}

    def _state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "head": self.head.state_dict() if self.head else None,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "planned": self.planned,
            "seconds": self.seconds,
            "best": self.best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.head:
            self.head.load_state_dict(state["head"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.planned, self.seconds = state["step"], state["planned"], state["seconds"]
        self.best = state["best"]
