"""``morelli train fingerprint`` through the command line, up to an evaluation with what it trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from morelli.cli import main
from morelli.cli.stopping import Signals
from morelli.fingerprint.extractor import load_extractor

from ..fingerprint.learn.toys import store as make_store
from ..synthesis.samples import picture

QUICK = (
    "--p", "3", "--k", "2", "--slots", "4", "--siblings", "2", "--held-out", "0.25",
    "--precision", "float32", "--validate-every", "50", "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``store`` and ``photos``."""
    folder = tmp_path_factory.mktemp("made")
    make_store(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    out = tmp_path_factory.mktemp("trained") / "f.safetensors"
    given = [str(made / "store"), "--photos", str(made / "photos"), "--out", str(out), "--steps", "3", *QUICK]
    assert main(["train", "fingerprint", *given]) == 0
    return out


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    for model, step in (("plain", 1), ("coarse", 2), ("coarser", 4)):
        (folder / model).mkdir()
        for number in range(4):
            pixels = Image.fromarray(picture(number, 144, 144))
            small = pixels.resize((144 // step, 144 // step)).resize((144, 144), Image.Resampling.BILINEAR)
            small.save(folder / model / f"{number}.png")
    return folder


def test_what_was_trained_is_an_encoder_for_evaluate(
    trained: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path))
    given = ["--protocol", "identification", "--method", "cosine", "--k", "2", "--encoder", f"fingerprint@{trained}"]
    assert main(["evaluate", str(dataset), *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["encoder"]["revision"] == load_extractor(trained).revision
    assert (told["n_models"], told["n_queries"]) == (3, 6)
    assert 0 <= told["rows"][0]["top1"] <= 1


def test_the_same_command_again_makes_the_same_file(
    trained: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(made / "store"), "--photos", str(made / "photos"), "--steps", "3", *QUICK]
    assert main(["train", "fingerprint", *given, "--out", str(trained), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["schema"] == "morelli.training/1" and told["steps"] == 3 and "going on from step 3 of 3" in err
    assert main(["train", "fingerprint", *given, "--out", str(tmp_path / "g.safetensors")]) == 0
    out, err = capsys.readouterr()
    assert "6 classes, 3 steps; unseen models: AUC" in out and "cache: 6 classes × 4 pictures" in err
    one, other = (load_extractor(path).network.state_dict() for path in (trained, tmp_path / "g.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_fine_tuning(trained: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tuned.safetensors"
    given = ["--finetune", str(dataset), "--from", str(trained), "--p", "3", "--k", "2", "--precision", "float32"]
    assert main(["train", "fingerprint", *given, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"] == ["coarse", "coarser", "plain"] and told["steps"] == 18  # 3 × 4 × 9 windows, 6 a step
    assert told["settings"]["lr"] == 1e-4
    assert load_extractor(out).chain == load_extractor(trained).chain


def test_controls(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "u.safetensors"
    given = [str(made / "store"), "--photos", str(made / "photos"), *QUICK]
    assert main(["train", "fingerprint", *given, "--out", str(out), "--steps", "0"]) == 0
    assert "control: untrained" in capsys.readouterr().out
    assert load_extractor(out).training["control"] == "untrained"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--out", "o"], 2, "STORE"),
        (["S", "--out", "o"], 2, "--photos"),
        (["S", "--photos", "P"], 2, "--out"),
        (["S", "--photos", "P", "--out", "o", "--from", "f"], 2, "--finetune"),
        (["--out", "o", "--finetune", "P"], 2, "--from"),
        (["--out", "o", "--finetune", "P", "--from", "f", "--plain-photos"], 2, "--plain-photos"),
        (["--out", "o", "--finetune", "P", "--from", "f", "--keep", "best"], 2, "--keep"),
        (["S", "--photos", "P", "--out", "o", "--minutes", "1", "--steps", "5"], 2, "--minutes"),
        (["S", "--photos", "P", "--out", "o", "--centre"], 2, "--centre"),
        (["--out", "o", "--finetune", "P", "--from", "f", "--chain", "whole"], 2, "--chain"),
        (["--out", "o", "--finetune", "P", "--from", "f", "--held-out", "0.2"], 2, "--held-out"),
        (["--out", "o", "--finetune", "P", "--from", "f", "--no-quantise"], 2, "--quantise"),
        (["S", "--photos", "P", "--out", "o", "--no-quantise", "--cache-kind", "pixels"], 1, "quantise: must be True"),
        (["S", "--photos", "P", "--out", "o", "--preset", "as-published", "--augment", "immunised"], 1, "must be True"),
        (["S", "--photos", "P", "--out", "o", "--cache-gib", "0.0001"], 2, "--cache-gib"),
        (["absent", "--photos", "P", "--out", "o"], 1, "no store"),
        (["S", "--photos", "P", "--out", "o", "--loss", "hinge"], 1, "supcon"),
        (["S", "--photos", "P", "--out", "o", "--architecture", "resnet5"], 1, "resnet50"),
        (["S", "--photos", "P", "--out", "o", "--chain", "fourier"], 1, "signal chain"),
        (["S", "--photos", "P", "--out", "o", "--preset", "papers"], 1, "as-published"),
        (["S", "--photos", "P", "--out", "o", "--held-out", "0.9"], 1, "held-out"),
        (["S", "--photos", "P", "--out", "o", "--device", "tpu9"], 1, "tpu9"),
        (["S", "--photos", "P", "--out", "o", "--k", "1"], 1, "partner"),
        (["--out", "o", "--finetune", "P", "--from", "absent.safetensors"], 1, "cannot be read"),
    ],
)
def test_wrong_requests(
    arguments: list[str],
    status: int,
    said: str,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    places = {"S": str(made / "store"), "P": str(made / "photos")}
    assert main(["train", "fingerprint", *(places.get(each, each) for each in arguments)]) == status
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_terminated_training_goes_on_to_the_same_weights(made: Path, tmp_path: Path) -> None:
    def arguments(name: str) -> list[str]:
        given = [str(made / "store"), "--photos", str(made / "photos"), "--out", str(tmp_path / name), *QUICK]
        return ["train", "fingerprint", *given, "--steps", "60", "--cache", str(tmp_path / "cache")]

    assert main(arguments("whole")) == 0
    # As many threads as here: sums of another order would differ in their last digit.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "morelli", *arguments("parts")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    checkpoint = tmp_path / "parts.training" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143 and "the same command goes on from" in err
    assert not (tmp_path / "parts").exists() and checkpoint.exists()
    assert main(arguments("parts")) == 0
    one, other = (load_extractor(tmp_path / name).network.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_wish_to_stop_inside_the_context_alone(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signals = Signals()
    with signals.heeded() as stop:
        assert not stop.is_set()
        signal.raise_signal(number)
        assert stop.is_set() and signals.number == number
        # The second one does what it always did.
        assert {each: signal.getsignal(each) for each in before} == before
    with Signals().heeded() as other:
        assert not other.is_set()
    assert {each: signal.getsignal(each) for each in before} == before
