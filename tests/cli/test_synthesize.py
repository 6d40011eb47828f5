"""``morelli synthesize`` through the command line: a store, a resumed one, an interrupt, a comparison."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from morelli.cli import main
from morelli.synthesis.store import Store
from morelli.testing.datasets import write_dataset

from ..processes import heed_interrupts
from ..synthesis.samples import write_photos

QUICK = ("--max-steps", "2", "--crop", "16", "--batch", "2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos") / "p", 18, 40, 36)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    out = tmp_path_factory.mktemp("made") / "store"
    given = ["--photos", str(photos), "--out", str(out), "--architectures", "000.0.", "--seeds", "1"]
    assert main(["synthesize", *given, *QUICK]) == 0
    return out


def test_a_store_with_its_report(store: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(Store(store)) == 9
    assert json.loads((store / "report.json").read_text())["kept"] == 9
    assert (store / "report.png").is_file()
    given = ["--photos", str(photos), "--out", str(store), "--architectures", "000.0.", "--seeds", "1", *QUICK]
    assert main(["synthesize", *given, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["schema"] == "morelli.synthesis/1" and err == ""
    assert (told["asked"], told["kept"], told["made"], told["missing"]) == (9, 9, 0, 0)
    assert told["floor_reached"] + told["floor_not_reached"] == 9
    assert main(["synthesize", *given]) == 0
    assert "9 models of 9, 0 trained now" in capsys.readouterr().out


def test_the_ceiling_policy(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--photos", str(photos), "--out", str(tmp_path / "s"), "--architectures", "000000", *QUICK]
    assert main(["synthesize", *given, "--policy", "ceiling", "--ceiling", "0.000001"]) == 1
    told = capsys.readouterr()
    assert "0 models of 1, 1 trained now; 0 reached eta, 0 did not; 1 rejected" in told.out
    assert "1 models are missing: 1 were above the ceiling; no model was kept." in told.err


def test_some_models_above_the_ceiling_are_missing(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A sigmoid comes last in the second: it emits nothing below 0.
    given = ["--photos", str(photos), "--out", str(tmp_path / "s"), "--architectures", "000000,000020", *QUICK]
    assert main(["synthesize", *given, "--policy", "ceiling", "--ceiling", "100", "--json"]) == 0
    errors = json.loads(capsys.readouterr().out)["mse"]
    between = str(sum(errors.values()) / 2)
    given[3] = str(tmp_path / "t")
    assert main(["synthesize", *given, "--policy", "ceiling", "--ceiling", between]) == 1
    out, err = capsys.readouterr()
    assert "1 models of 2" in out and "1 rejected" in out
    assert "1 models are missing: 1 were above the ceiling. Take" in err


def test_models_that_cannot_be_had_end_with_status_1(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--photos", str(photos), "--out", str(tmp_path / "s"), "--architectures", "100000", *QUICK]
    assert main(["synthesize", *given, "--lr", "1e30", "--max-steps", "4"]) == 1
    out, err = capsys.readouterr()
    assert "6 diverged" in out and "1 models are missing" in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--out", "x"], 2, "--photos"),
        (["--photos", "x"], 2, "--out"),
        (["--photos", "absent", "--out", "x"], 1, "absent"),
        (["--photos", "P", "--out", "x", "--architectures", "0003"], 1, "0003"),
        (["--photos", "P", "--out", "x", "--policy", "roof"], 1, "floor"),
        (["--photos", "P", "--out", "x", "--crop", "18"], 1, "multiple of 4"),
        (["--photos", "P", "--out", "x", "--scheme", "group"], 1, "grouped"),
        (["--photos", "P", "--out", "x", "--seeds", "0"], 2, "seeds"),
        (["--photos", "P", "--out", "x", "--device", "tpu9"], 1, "tpu9"),
    ],
)
def test_wrong_requests(
    arguments: list[str],
    status: int,
    said: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["synthesize", *(str(photos) if each == "P" else each for each in arguments)]) == status
    assert said in capsys.readouterr().err


def test_too_few_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write_photos(tmp_path / "few", 3)
    assert main(["synthesize", "--photos", str(few), "--out", str(tmp_path / "s"), *QUICK, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "morelli.error/1" and "16 are the least" in told["message"]
    assert not (tmp_path / "s").exists()


def test_compare_with_a_dataset(store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = write_dataset(tmp_path / "real", models=3, prompts=2, seeds=1, size=40)
    given = ["synthesize", "compare", str(store), str(real), "--photos", str(photos)]
    given += ["--side", "32", "--images", "4", "--bins", "3", "--without"]
    assert main([*given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "morelli.synthesis-compare/1" and told["other_models"] == 3
    assert [row["without"] for row in told["rows"]] == [None, "K", "L", "S", "U", "A", "N", "seed"]
    assert told["rows"][0]["models"] == 9 and told["rows"][4]["models"] == 3
    assert told["rows"][0]["ffd"] > 0 and told["rows"][0]["volume_share"] == 1
    assert told["rows"][4]["log_volume"] is None and told["rows"][4]["why"]
    assert (told["models"], told["draws"], told["seed"]) == (9, 20, 0)
    assert [row["equal"]["ffd_models"] for row in told["rows"]] == [3] * 8
    assert told["rows"][0]["equal"]["ffd_spread"] > 0 == told["rows"][4]["equal"]["ffd_spread"]
    assert main([*given, "--draws", "2", "--seed", "1"]) == 0
    table = capsys.readouterr().out
    assert "FFD of 9 models to 3 of" in table and "FFD, 3 each" in table and "log volume, 9 each" in table
    assert "without U" in table and "3 models for 3 bins" in table and " ± " in table
    assert "note: a covariance of 3 models has not full rank in 3 bins" in table
    assert main(given[:-1]) == 0
    assert "3 each" not in capsys.readouterr().out


def test_a_store_is_near_itself(store: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["synthesize", "compare", str(store), str(store), "--photos", str(photos)]
    assert main([*given, "--side", "32", "--images", "2", "--recipe", "grip", "--bins", "17", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["ffd"] == pytest.approx(0, abs=1e-6)


def test_compare_needs_a_store_and_a_known_recipe(
    store: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", "compare", str(tmp_path), str(store), "--photos", str(photos)]) == 1
    assert "no store" in capsys.readouterr().err
    given = ["synthesize", "compare", str(store), str(store), "--photos", str(photos), "--recipe", "grp"]
    assert main(given) == 1
    assert "'grip'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupt_keeps_what_was_made(tmp_path: Path, photos: Path, workers: str) -> None:
    out = tmp_path / "store"
    command = [sys.executable, "-m", "morelli", "synthesize", "--photos", str(photos), "--out", str(out)]
    command += ["--architectures", "0.....", "--together", "1", "--workers", workers, *QUICK]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    try:
        until = time.monotonic() + 300
        while not ((out / "index.jsonl").exists() and (out / "index.jsonl").stat().st_size):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()  # one that does not end is a failure, and keeps nobody waiting
    assert process.returncode == 130
    assert "goes on from there" in err and "Traceback" not in err
    store = Store(out)
    assert store.keys
    store.load(store.keys[0])
