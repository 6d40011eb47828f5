"""The training loop: exact resumption, divergence, what is kept, controls."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from morelli.devices import wants_bfloat16
from morelli.errors import DivergedError, InputError, WeightsError
from morelli.fingerprint.extractor import make_extractor
from morelli.fingerprint.learn import trainer as training
from morelli.fingerprint.learn.journal import Journal
from morelli.fingerprint.learn.sampler import Batches
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.learn.trainer import Trainer
from morelli.fingerprint.learn.validation import Validation
from morelli.fingerprint.learn.views import LiveViews
from tests.fingerprint.learn.toys import CHAIN, MadeUp, few


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FITTED", 16)
    monkeypatch.setattr(training, "SEEN", 8)


def silent(_: str) -> None:
    return None


class StopsAt(threading.Event):
    """Set once it was asked so many times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def is_set(self) -> bool:
        self.count -= 1
        return self.count < 0


def trainer(folder: Path | None = None, *, validate: bool = False, views: Any = None, **others: Any) -> Trainer:
    settings: LearnSettings = few(**others)
    views = views or LiveViews(MadeUp(), CHAIN, augment=settings.augment != "none", fresh=True)
    torch.manual_seed(0)
    network = make_extractor("small", 3, size=CHAIN.shape[1:])
    journal = None if folder is None else Journal(folder, {"settings": settings.as_dict()})
    check = Validation(LiveViews(MadeUp(3, digest="x"), CHAIN)) if validate else None
    made = Trainer(network, views, Batches(views.groups, settings.slots, settings), settings, journal, check)
    made.fit_input()
    return made


def same(one: Trainer, other: Trainer) -> bool:
    a, b = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("others", [{}, {"loss": "supcon", "precision": "bfloat16"}, {"augment": "immunised"}])
def test_a_stopped_training_goes_on_to_the_same_numbers(tmp_path: Path, others: dict[str, Any]) -> None:
    whole = trainer(steps=5, **others)
    assert whole.run(say=silent)
    first = trainer(tmp_path, steps=5, **others)
    assert not first.run(StopsAt(3), say=silent)
    assert first.step == 3 and not same(first, whole)
    second = trainer(tmp_path, steps=5, **others)
    assert second.step == 3 and second.resumed
    assert second.run(say=silent) and same(second, whole)
    assert trainer(tmp_path, steps=5, **others).run(say=silent)


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainer(steps=5)
    whole.run(say=silent)
    monkeypatch.setattr(training, "SAVE_EVERY", -1.0)  # a checkpoint after every step
    killed = trainer(tmp_path, steps=5)
    update, count = killed._update, iter(range(9))

    def dies(loss: torch.Tensor) -> None:
        if next(count) == 3:
            raise KeyboardInterrupt
        update(loss)

    monkeypatch.setattr(killed, "_update", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.run(say=silent)
    second = trainer(tmp_path, steps=5)
    assert second.step == 3
    second.run(say=silent)
    assert same(second, whole)


def test_training_learns_and_shuffled_labels_do_not() -> None:
    def last_loss(shuffled: bool) -> float:
        made = trainer(steps=30, loss="ce", lr=3e-3, p=4, k=3, slots=9999, shuffle_labels=shuffled)
        return sum(made._one()["loss"] for _ in range(8)) / 8 if made.run(say=silent) else 0.0

    assert last_loss(False) < 0.5
    assert last_loss(True) > 1.0  # ln 4 is 1.39


def test_a_diverged_training_is_named_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    views = LiveViews(MadeUp(), CHAIN)
    spectra = views.spectra

    def breaks(classes, slots, step=0):
        return spectra(classes, slots) * (float("nan") if step == 2 else 1)

    made = trainer(tmp_path, views=views)
    made.views.spectra = breaks  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(DivergedError, match=r"diverged at step 2.*Lower --lr"):
        made.run(say=silent)
    assert all(value.isfinite().all() for value in made.network.parameters())
    again = trainer(tmp_path)
    assert again.step == 0 and all(value.isfinite().all() for value in again.network.state_dict().values())


def test_weights_that_are_not_finite_never_get_into_a_checkpoint(tmp_path: Path) -> None:
    made = trainer(tmp_path, steps=3)
    made.run(StopsAt(1), say=silent)
    with torch.no_grad():
        next(made.network.parameters()).fill_(float("inf"))
    with pytest.raises(DivergedError, match="its weights are not finite"):
        made.save()
    assert all(value.isfinite().all() for value in trainer(tmp_path, steps=3).network.state_dict().values())


def test_another_training_s_checkpoint_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, steps=1).run(say=silent)
    with pytest.raises(InputError, match="another training: settings"):
        trainer(tmp_path, steps=1, lr=1e-3)
    (tmp_path / "checkpoint.pt").write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError, match="no checkpoint"):
        trainer(tmp_path, steps=1)


def test_the_log_has_losses_and_validations_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOG_EVERY", 2)
    made = trainer(tmp_path, validate=True, steps=6)
    made.run(StopsAt(5), say=silent)
    log = tmp_path / "log.jsonl"
    with log.open("ab") as file:
        file.write(b'{"step": 6, "loss": 1.0}\n{"step": 9, "lo')
    trainer(tmp_path, validate=True, steps=6).run(say=silent)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "auc" in line] == [4, 6]
    assert set(lines[0]) == {"step", "of", "seconds", "loss", "ce", "triplet"}
    assert lines[-1]["of"] == 6 if "of" in lines[-1] else lines[-1]["accuracy"] >= 0


def test_the_best_weights_are_kept_where_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(keep: str, folder: Path) -> tuple[Trainer, list[dict[str, torch.Tensor]]]:
        made = trainer(folder, validate=True, steps=3, validate_every=1, keep=keep)
        areas, seen = iter([0.6, 0.9, 0.7, 0.7]), []

        def judged(network, device):
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
            return {"auc": next(areas), "accuracy": 0.0, "auc_siblings": float("nan"), "chance": 0.1}

        monkeypatch.setattr(made, "validation", judged)
        made.run(say=silent)
        return made, seen

    best, seen = run("best", tmp_path / "best")
    assert best.best is not None and best.best["step"] == 2
    kept = best.final().state_dict()
    assert all(torch.equal(kept[name], value) for name, value in seen[1].items())
    again = trainer(tmp_path / "best", validate=True, steps=3, validate_every=1, keep="best")
    assert again.best is not None and again.best["auc"] == 0.9
    last, seen = run("last", tmp_path / "last")
    assert all(torch.equal(last.final().state_dict()[name], value) for name, value in seen[2].items())


def test_a_plan_leaves_no_trace_and_fits_the_time(tmp_path: Path) -> None:
    ticks = iter(range(10_000))
    made, plain = trainer(tmp_path, steps=4), trainer(steps=4)
    # A second passes between two looks at the clock: four steps, until more than 1.8 s are over, seem to take three.
    made.plan(60.0, lambda: float(next(ticks)))
    assert made.planned == 80
    assert made.step == 0 and same(made, plain) and not made.optimiser.state
    made.run(StopsAt(1), say=silent)
    again = trainer(tmp_path, steps=4)
    again.plan(9999.0)
    assert again.planned == made.planned


def test_statistics_of_an_untrained_network_fit_what_it_sees() -> None:
    made = trainer()
    before = {name: value.clone() for name, value in made.network.named_parameters()}
    made.fit_statistics()
    assert all(torch.equal(value, before[name]) for name, value in made.network.named_parameters())
    assert int(made.network.centre.num_batches_tracked) == 8
    made.network.eval()
    batch = made.batches.draw(0)
    with torch.no_grad():
        after = made.network(made.views.spectra(batch.classes, batch.slots))
        before_it = trainer().network.eval()(made.views.spectra(batch.classes, batch.slots))
    offset = [float(each.mean().abs() / each.std(0).mean()) for each in (before_it, after)]
    assert offset[1] < 0.5 < offset[0]


def test_precision_is_what_was_asked_for() -> None:
    assert wants_bfloat16("bfloat16", "cpu") and not wants_bfloat16("float32", "cpu")
    assert isinstance(wants_bfloat16("auto", "cpu"), bool) and not wants_bfloat16("auto", "meta")
