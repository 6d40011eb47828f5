"""Train an extractor from classes to a file: caches, training, controls, metadata."""

from __future__ import annotations

import json
import math
import platform
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from morelli._version import __version__
from morelli.encoders.weights import file_sha256
from morelli.errors import InputError
from morelli.fingerprint.chain import SignalChain, find_chain
from morelli.fingerprint.extractor import Extractor, make_extractor, save_extractor
from morelli.fingerprint.learn.bank import GIB, Bank, slots_that_fit
from morelli.fingerprint.learn.classes import Classes
from morelli.fingerprint.learn.journal import LOG, Journal
from morelli.fingerprint.learn.kept import PixelBank, SpectraBank, entry_bytes
from morelli.fingerprint.learn.pictures import Pictures
from morelli.fingerprint.learn.sampler import ENDLESS, Batches
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.learn.trainer import Say, Trainer
from morelli.fingerprint.learn.validation import Validation
from morelli.fingerprint.learn.views import LiveViews, Views

# Endings of the files that a pretrained network's weights lie in.
_WEIGHTS = (".safetensors", ".bin")

Progress = Callable[[int, int], None]
Stopping = Callable[[], AbstractContextManager[threading.Event | None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a training happens.

    Attributes
    ----------
    checkpoint : Path
        Folder of checkpoint and log.
    cache : Path
        Folder of what is made once; several trainings may share it.
    cache_bytes : int
        What it may take, of the classes and of the validation together.
    device : str
    """

    checkpoint: Path
    cache: Path
    cache_bytes: int = 8 * GIB
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Budget:
    """How long: ``minutes`` of a clock in seconds, planned as steps when training begins; None: the settings' steps."""

    minutes: float | None = None
    clock: Callable[[], float] = time.monotonic


def learn(
    classes: Classes,
    settings: LearnSettings,
    out: Path,
    place: Place,
    *,
    budget: Budget | None = None,
    begin: Extractor | None = None,
    pretrained: Path | None = None,
    stopping: Stopping = nullcontext,
    progress: Progress | None = None,
    say: Say = print,
) -> dict[str, Any] | None:
    """Train an extractor and write it to ``out``.

    Parameters
    ----------
    classes : Classes
    settings : LearnSettings
    out : Path
        The file of weights, as `morelli.fingerprint.extractor.load_extractor` takes it.
    place : Place
    budget : Budget, optional
    begin : Extractor, optional
        What to begin from; its architecture and its chain are taken in place of the settings'.
    pretrained : Path, optional
        Folder of a ResNet-50 to begin from.
    stopping : callable
        Gives a context in which an event may be set; training then stops after its step, and is kept.
    progress : callable, optional
        Called with classes cached and classes in all.
    say : callable
        Told what happens, line by line.

    Returns
    -------
    dict or None
        What the file says of the training, with its ``sha256``; None where training was stopped before its end.

    Raises
    ------
    InputError, NotEnoughReferencesError
        Too few classes, pictures or bytes.
    DivergedError
        The loss is no number any more.
    StorageError
        The disk refuses.
    """
    chain = find_chain(settings.chain) if begin is None else begin.chain
    # What is wrong with the network is said now, and not when the caches are full.
    _network(settings.architecture if begin is None else begin.name, chain, settings, begin, pretrained)
    rest = place.cache_bytes - (0 if classes.validate is None else _validation_bytes(classes.validate, chain, place))
    left = replace(place, cache_bytes=rest)
    views = make_views(classes.learn, chain, settings, left, progress=progress, say=say)
    check = None if classes.validate is None else validation_views(classes.validate, chain, place, progress, say)
    return train_on(
        views, check, chain, settings, out, place, about=classes.about, budget=budget, begin=begin,
        pretrained=pretrained, stopping=stopping, say=say,
    )  # fmt: skip


def make_views(
    pictures: Pictures,
    chain: SignalChain,
    settings: LearnSettings,
    place: Place,
    *,
    progress: Progress | None = None,
    say: Say = print,
) -> Views:
    """Spectra of classes, cached as the settings say; the size of a cache is told before it is filled."""
    augment = settings.augment == "immunised"
    if settings.cache == "none":
        return LiveViews(pictures, chain, augment=augment, seed=settings.seed, fresh=True, device=place.device)
    wanted = min(settings.slots, pictures.limit or settings.slots)
    least = settings.k if settings.sampler == "pk" else 1
    entry = entry_bytes(chain, settings.cache)
    slots = slots_that_fit(wanted, len(pictures.names), entry, place.cache_bytes, least)
    if slots < wanted:
        say(f"note: {slots} pictures of each class instead of {wanted}, for the cache is bounded.")
    if settings.cache == "pixels":
        kept = PixelBank(pictures, slots, place.cache)
        _fill(kept.bank, progress, say)
        return LiveViews(kept, chain, augment=augment, seed=settings.seed, fresh=True, device=place.device)
    live = LiveViews(pictures, chain, augment=augment, seed=settings.seed, device=place.device)
    views = SpectraBank(live, slots, place.cache)
    _fill(views.bank, progress, say)
    return views


def validation_views(
    pictures: Pictures, chain: SignalChain, place: Place, progress: Progress | None = None, say: Say = print
) -> Views:
    """Spectra of the models that are validated on, without degradations; they are kept whatever ``cache`` says.

    Raises
    ------
    InputError
        The cache may not take as much.
    """
    _validation_bytes(pictures, chain, place)
    views = SpectraBank(LiveViews(pictures, chain, device=place.device), Validation.slots, place.cache)
    _fill(views.bank, progress, say)
    return views


def _validation_bytes(pictures: Pictures, chain: SignalChain, place: Place) -> int:
    """What the spectra of the validation take, which must not be more than the whole cache may."""
    taken = len(pictures.names) * Validation.slots * entry_bytes(chain, "spectra")
    if taken > place.cache_bytes:
        raise InputError(
            f"the validation's {len(pictures.names)} models × {Validation.slots} pictures take {taken / GIB:.2f} GiB, "
            f"and {place.cache_bytes / GIB:.2f} are allowed.",
            argument="cache",
            fix="Allow more, or hold out fewer models.",
        )
    return taken


def _fill(bank: Bank, progress: Progress | None, say: Say) -> None:
    missing = bank.classes - len(bank.filled)
    if missing:
        there = f", {bank.classes - missing} of them there already" if missing < bank.classes else ""
        say(f"cache: {bank.classes} classes × {bank.slots} pictures{there}; {bank.size / GIB:.2f} GiB in {bank.folder}")
    bank.fill(progress)


def train_on(
    views: Views,
    check: Views | None,
    chain: SignalChain,
    settings: LearnSettings,
    out: Path,
    place: Place,
    *,
    about: Mapping[str, Any],
    budget: Budget | None = None,
    begin: Extractor | None = None,
    pretrained: Path | None = None,
    stopping: Stopping = nullcontext,
    say: Say = print,
) -> dict[str, Any] | None:
    """`learn` for spectra that are there already.

    Raises
    ------
    InputError
        The best weights are to be kept, and there is no validation; others as `learn`.
    """
    if settings.keep == "best" and check is None:
        raise InputError("best needs a validation.", argument="keep", fix="Hold models out, or keep the last weights.")
    name = settings.architecture if begin is None else begin.name
    slots = ENDLESS if views.limit is None else views.limit
    batches = Batches(views.groups, slots, settings)
    network = _network(name, chain, settings, begin, pretrained)
    words = {
        "settings": settings.as_dict(),
        "pictures": views.digest,
        "chain": chain.describe(),
        "from": _origin(begin, pretrained),
    }
    trainer = Trainer(
        network,
        views,
        batches,
        settings,
        Journal(place.checkpoint, words),
        None if check is None else Validation(check),
        place.device,
    )
    _head(trainer, words)
    if begin is None:
        trainer.fit_input()
    if trainer.step:
        say(f"going on from step {trainer.step} of {trainer.planned}.")
    if budget is not None and budget.minutes is not None and settings.steps:
        trainer.plan(60 * budget.minutes, budget.clock)
        say(f"{trainer.planned} steps are planned.")
    if settings.steps == 0:
        if begin is None:
            trainer.fit_statistics()
    else:
        with stopping() as stop:
            if not trainer.run(stop, say):
                return None
    network = trainer.final()
    training = {**about, **words, **_facts(trainer, place)}
    sha256 = save_extractor(network, out, name=name, chain=chain, training=training, channels=chain.shape[0])
    return {**training, "sha256": sha256}


def _head(trainer: Trainer, words: Mapping[str, Any]) -> None:
    """Begin the log with what makes the training; where another version goes on with it, say so at that step."""
    journal = trainer.journal
    if journal is None:
        return
    told = [line["version"] for line in _lines(journal.folder / LOG) if "version" in line]
    if not told or told[-1] != __version__:
        line = {"step": trainer.step, "version": __version__, "torch": str(torch.__version__)}
        journal.log({**line, "seed": trainer.settings.seed, **words})


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []


def _facts(trainer: Trainer, place: Place) -> dict[str, Any]:
    """What came of a training, for the file."""
    settings, slots, figures = trainer.settings, trainer.batches.slots, trainer.validate()
    return {
        "classes": len(trainer.views.names),
        "pictures_a_class": None if slots == ENDLESS else slots,
        "steps": trainer.step,
        "seconds": round(trainer.seconds, 1),
        "validation": {key: value if math.isfinite(value) else None for key, value in figures.items()},
        "kept": "last" if trainer.best is None else f"best, of step {trainer.best['step']}",
        "control": "untrained" if not settings.steps else "shuffled labels" if settings.shuffle_labels else None,
        "device": place.device,
        "version": __version__,
        "torch": str(torch.__version__),
        "machine": platform.machine(),
    }


def _origin(begin: Extractor | None, pretrained: Path | None) -> str | None:
    """What the weights were at the beginning: a file's revision, or a folder's name and a hash of what it holds."""
    if begin is not None:
        return begin.revision
    if pretrained is None:
        return None
    files = sorted(file for file in pretrained.iterdir() if file.suffix in _WEIGHTS or file.name == "config.json")
    return f"{pretrained.name} {file_sha256(*files)[:16]}"


def _network(
    name: str, chain: SignalChain, settings: LearnSettings, begin: Extractor | None, pretrained: Path | None
) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = make_extractor(name, chain.shape[0], pretrained, chain.shape[1:])
    if begin is not None:
        network.load_state_dict(begin.network.state_dict())
    return network.requires_grad_(True)


def one_epoch(classes: Classes, settings: LearnSettings, windows: int = 9) -> LearnSettings:
    """Settings of a fine-tuning: as many pictures as ``windows`` windows of each image are.

    Models with fewer images than the one that has the most are seen as often, so that all models count the same.
    Windows are drawn step by step: each is seen once on average.
    """
    slots, models = windows * classes.least_slots, len(classes.learn.names)
    # A batch of P models has no more of them than there are.
    shown = settings.batch if settings.sampler == "random" else min(settings.p, models) * settings.k
    steps = max(1, math.ceil(slots * models / shown))
    return replace(settings, slots=slots, steps=steps)
