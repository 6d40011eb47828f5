"""A sweep over settings of a training: the same files on every engine, gone on with, and no setting stops another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.sweep import Sweep, main, read_grid, sweep

from morelli.engine.base import Engine
from morelli.engine.local import LocalEngine
from morelli.errors import DivergedError, InputError, UnknownNameError
from morelli.fingerprint.extractor import load_extractor
from morelli.fingerprint.learn import run as learning
from morelli.fingerprint.learn import trainer as training
from tests.engine.fakes import PickledEngine
from tests.fingerprint.learn.toys import store
from tests.synthesis.samples import write_photos

TINY = {
    "p": [3],
    "k": [2],
    "siblings": [2],
    "slots": [6],
    "steps": [2],
    "validate_every": [2],
    "precision": ["float32"],
}
GRID: dict[str, list[Any]] = {**TINY, "lr": [1e-3, 2e-3], "loss": ["ce", "ce+triplet"]}
NAMES = ["lr-0.001_loss-ce", "lr-0.001_loss-ce-triplet", "lr-0.002_loss-ce", "lr-0.002_loss-ce-triplet"]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FITTED", 16)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store, and photographs."""
    folder = tmp_path_factory.mktemp("inputs")
    photos = write_photos(folder / "photos", 20, 152, 160)
    return store(folder / "made").path, photos


def trained(
    inputs: tuple[Path, Path], out: Path, engine: Engine | None = None, grid: dict[str, list[Any]] = GRID
) -> list[dict[str, Any]]:
    asked = Sweep(*inputs, grid, held_out=0.25)
    return sweep(asked, out, device="cpu", engine=engine, say=lambda _: None)


def weights(out: Path) -> dict[str, Any]:
    """Networks by name, as lists of numbers."""
    found = {path.stem: load_extractor(path).network.state_dict() for path in sorted(out.glob("*.safetensors"))}
    return {name: {key: value.tolist() for key, value in state.items()} for name, state in found.items()}


def figures(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row.get(name) for name in ("setting", "auc", "accuracy", "steps", "failed")} for row in rows]


def test_the_same_weights_on_every_engine_and_nothing_is_trained_twice(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = PickledEngine()
    here = trained(inputs, tmp_path / "here", LocalEngine())
    there = trained(inputs, tmp_path / "there", engine)
    assert len(engine.items) == 4
    assert figures(here) == figures(there)
    assert set(weights(tmp_path / "here")) == set(NAMES)
    assert weights(tmp_path / "here") == weights(tmp_path / "there")
    assert [row["setting"] for row in here][1] == "lr=0.001 loss=ce+triplet"
    assert all(0 <= row["auc"] <= 1 and row["steps"] == 2 and row["file"].is_file() for row in here)
    kept = load_extractor(here[1]["file"]).training["settings"]
    assert (kept["lr"], kept["loss"], kept["steps"]) == (1e-3, "ce+triplet", 2)
    assert len({str(each) for each in weights(tmp_path / "here").values()}) == 4
    # Caches of trainings that could be made side by side are their own, and gone with them.
    assert (tmp_path / "here" / "cache").is_dir()
    assert not list((tmp_path / "there").rglob("cache"))

    again = PickledEngine()
    with monkeypatch.context() as patched:
        patched.setattr(learning, "learn", lambda *_, **__: pytest.fail("a setting is trained twice"))
        assert figures(trained(inputs, tmp_path / "there", again)) == figures(there)
    assert again.items == []
    # A file that is gone, or another, is made again.
    here[0]["file"].unlink()
    here[2]["file"].write_bytes(here[3]["file"].read_bytes())
    third = PickledEngine()
    assert figures(trained(inputs, tmp_path / "here", third)) == figures(here)
    assert [item["name"] for item in third.items] == [NAMES[0], NAMES[2]]


def test_a_setting_that_fails_or_loses_its_worker_stops_no_other(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {**TINY, "lr": [1e-3, -1.0, 2e-3, 3e-3]}
    learn = learning.learn

    def diverges(classes: Any, settings: Any, *others: Any, **more: Any) -> Any:
        if settings.lr == 3e-3:
            raise DivergedError("the training diverged.", argument="lr")
        return learn(classes, settings, *others, **more)

    engine = PickledEngine(loses=lambda words: words["changes"]["lr"] == 2e-3)
    with monkeypatch.context() as patched:
        patched.setattr(learning, "learn", diverges)
        rows = trained(inputs, tmp_path, engine, grid)
    assert [bool(row.get("failed")) for row in rows] == [False, True, True, True]
    assert rows[1]["failed"].startswith("not run: lr: must be above 0")
    assert rows[2]["failed"] == "failed: the process was gone."
    assert rows[3]["failed"].startswith("not run: lr: the training diverged")
    assert list(weights(tmp_path)) == ["lr-0.001"]
    again = PickledEngine()
    rows = trained(inputs, tmp_path, again, grid)
    assert [item["changes"]["lr"] for item in again.items] == [-1.0, 2e-3, 3e-3]
    assert [bool(row.get("failed")) for row in rows] == [False, True, False, False]


def test_an_interrupted_training_goes_on(
    inputs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {**TINY, "steps": [4], "lr": [1e-3, 2e-3]}
    whole = trained(inputs, tmp_path / "whole", grid=grid)
    one = training.Trainer._one
    made: list[int] = []

    def interrupted(self: training.Trainer) -> dict[str, float]:
        if len(made) == 6:  # the second setting has made two of its steps
            raise KeyboardInterrupt
        made.append(self.step)
        return one(self)

    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.Trainer, "_one", interrupted)
        trained(inputs, tmp_path / "cut", grid=grid)
    made.clear()
    monkeypatch.setattr(training.Trainer, "_one", lambda self: made.append(self.step) or one(self))
    assert figures(trained(inputs, tmp_path / "cut", grid=grid)) == figures(whole)
    assert made == [2, 3]
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def test_settings_are_read_by_their_types() -> None:
    assert read_grid(["lr=1e-3,0.5", "p=3", "normalise=true,false", "loss=ce, ce+triplet"]) == {
        "lr": [1e-3, 0.5], "p": [3], "normalise": [True, False], "loss": ["ce", "ce+triplet"]
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match="margin"):
        read_grid(["margn=1"])
    for wrong in (["p=x"], ["normalise=yes"], ["lr"], ["lr=1", "lr=2"]):
        with pytest.raises(InputError):
            read_grid(wrong)


def test_grids_that_cannot_be(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    for grid in ({"lr": []}, {"lr": [1e-3, 1e-3]}):
        with pytest.raises(InputError):
            trained(inputs, tmp_path, grid=grid)
    with pytest.raises(UnknownNameError, match="margin"):
        trained(inputs, tmp_path, grid={"margn": [1]})


def test_the_command(
    inputs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [part for name, values in TINY.items() for part in ("--set", f"{name}={values[0]}")]
    ask = [str(inputs[0]), "--photos", str(inputs[1]), "--out", str(tmp_path / "o"), "--held-out", "0.25",
           "--device", "cpu", *sets, "--set", "lr=-1,1e-3"]  # fmt: skip
    assert main(ask) == 1
    out, err = capsys.readouterr()
    assert "| lr=0.001 |" in out and "must be above 0" in out
    assert "error: 1 trainings failed and are tried again by the next run: lr=-1.0" in err
    assert main([*ask[:-1], "lr=1e-3"]) == 0
    assert main([*ask, "--set", "margn=1"]) == 1
    assert "margin" in capsys.readouterr().err
    assert main([*ask, "--ray-address", "here"]) == 1
    assert "--engine ray" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*ask, "--processes", "0"])
