"""``morelli generate`` through the command line: datasets, consent, cost, and every kind of failure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import numpy as np
import pytest

from morelli.cli import main
from morelli.cli.spending_progress import spending_progress
from morelli.errors import RefusedContentError, StorageError
from morelli.generators import catalogue
from morelli.generators.produce import Step
from morelli.images.dataset import read_dataset

from ..generators.fakes import FakeGenerator, noise
from ..generators.server import Host, error, hub_answer, serve
from ..processes import heed_interrupts
from ..test_light_import import loaded_by

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Options:
    steps: int = 1
    bad: str | None = None


class Fake(FakeGenerator):
    """``bad`` makes the image of seed 1 go wrong."""

    Options = Options

    def __init__(self, argument: str, options: Options) -> None:
        super().__init__(argument, steps=options.steps)
        self.id = f"fake:{argument}"
        if options.bad == "blank":
            self.break_at[1] = lambda: np.zeros((32, 32, 3), np.uint8)
        elif options.bad:
            self.break_at[1] = self.refuse if options.bad == "refused" else self.fill_disk

    def refuse(self) -> Any:
        raise RefusedContentError("refuses the prompt.", argument=self.id, fix="Change the prompt.")

    def fill_disk(self) -> Any:
        raise StorageError("the disk is full.", argument="out", fix="Free some space.")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    zoo: Any = ModuleType("morelli.generators.zoo.catalogue")
    zoo.names = tuple
    monkeypatch.setitem(sys.modules, zoo.__name__, zoo)
    catalogue.REGISTRY.add("fake", Fake)
    yield
    del catalogue.REGISTRY._loaded["fake"]


@pytest.fixture
def morelli(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Run the command into ``tmp_path/out``: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["generate", "--out", str(tmp_path / "out"), *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def last(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


def test_it_writes_a_dataset_and_says_so(morelli, tmp_path: Path) -> None:
    status, out, err = morelli("a cat", "--generator", "fake:one,fake:two", "--count", 2, "--seed", 7)
    assert (status, err) == (0, "")
    assert out == f"{tmp_path}/out: 4 made, 0 there already\n"
    found = read_dataset(tmp_path / "out").items
    assert [(item.model, item.seed, item.prompt) for item in found] == [
        (model, seed, "a cat") for model in ("one", "two") for seed in (7, 8)
    ]
    status, out, _ = morelli("a cat", "--generator", "fake:one", "--count", 3, "--seed", 7)
    assert out == f"{tmp_path}/out: 1 made, 2 there already\n"


def test_json(morelli, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt_id,prompt\n1,a cat\n2,a dog\n")
    status, out, err = morelli("--prompts", tmp_path / "p.csv", "--generator", "fake:one", "--json", "--set", "steps=3")
    assert (status, err, len(out.splitlines())) == (0, "", 1)
    said = last(out)
    assert said.pop("seconds") >= 0
    assert said == {
        "schema": "morelli.generate/1",
        "out": str(tmp_path / "out"),
        "images": 2,
        "made": 2,
        "there": 0,
        "failed": 0,
        "generators": [
            {
                "id": "fake:one",
                "model": "one",
                "family": "fakes",
                "host": None,
                "made": 2,
                "there": 0,
                "failed": 0,
                "spent": 0.0,
            }
        ],
        "spent": 0.0,
        "cap": None,
    }
    assert [item.prompt_id for item in read_dataset(tmp_path / "out").items] == ["1", "2"]
    assert '{""steps"": 3}' in (tmp_path / "out" / "metadata.csv").read_text()


@pytest.mark.parametrize(
    ("bad", "said"), [("blank", "gave a blank image for seed 1"), ("refused", "refuses the prompt")]
)
def test_a_failure_is_named_and_the_others_are_made(bad: str, said: str, morelli, tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    file.write_text(f'[[generator]]\nid = "fake:one"\nbad = "{bad}"\n[[generator]]\nid = "fake:two"\n')
    status, out, err = morelli("a cat", "--generator", file, "--count", 3, "--json")
    assert status == 1
    failure, summary = (json.loads(line) for line in out.splitlines())
    assert (failure["schema"], failure["model"], failure["prompt"]) == ("morelli.error/1", "one", "a cat")
    assert said in failure["message"]
    assert failure["fix"]
    assert f"error: fake:one: {said}" in err
    assert (summary["made"], summary["failed"]) == (4, 1)
    assert len(read_dataset(tmp_path / "out").items) == 4


def test_a_full_disk(morelli, tmp_path: Path) -> None:
    status, out, err = morelli("a cat", "--generator", "fake:one", "--set", "bad=disk", "--count", 3)
    assert (status, out) == (1, "")
    assert err == "error: out: the disk is full. Free some space.\n"
    assert len(read_dataset(tmp_path / "out").items) == 1
    assert "2 made, 1 there already" in morelli("a cat", "--generator", "fake:one", "--count", 3)[1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--generator", "fake:x"], 2, "PROMPT"),
        (["a", "--prompts", "p", "--generator", "fake:x"], 2, "PROMPT"),
        (["a"], 2, "--generator"),
        (["a", "--generator", "fake:x", "--count", "0"], 2, "--count"),
        (["", "--generator", "fake:x"], 1, "prompt is empty"),
        (["--prompts", "no.txt", "--generator", "fake:x"], 1, "no.txt: cannot be read"),
        (["a", "--generator", "fkae:x"], 1, "Did you mean 'fake'"),
        (["a", "--generator", "fake:x", "--set", "stps=1"], 1, "Did you mean 'steps'"),
        (["a", "--generator", "fake:x", "--set", "steps"], 1, "NAME=VALUE"),
        (["a", "--generator", "fake:x", "--set", "steps=x"], 1, "whole number"),
        (["a", "--generator", "openai:m"], 1, "--yes-send"),
        (["a", "--generator", "openai:m", "--cap", "1", "--yes-send"], 1, "--price"),
        (["a", "--generator", "diffusers:./nothing"], 1, "no such folder"),
    ],
)
def test_bad_input(arguments: list[str], status: int, said: str, morelli) -> None:
    found, out, err = morelli(*arguments)
    assert (found, out.count("made")) == (status, out.count("0 made"))
    assert said in err
    assert "Traceback" not in err


def test_a_folder_of_somebody_else(morelli, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metadata.csv").write_text("file_name,model\n")
    status, _, err = morelli("a", "--generator", "fake:x")
    assert status == 1
    assert "Choose another folder" in err


@pytest.fixture
def host() -> Iterator[Host]:
    with serve(hub_answer) as found:
        yield found


def hosted(host: Host, tmp_path: Path, more: str = "") -> Path:
    file = tmp_path / "h.toml"
    file.write_text(f'[[generator]]\nid = "hub-inference:org/m"\nbase_url = "{host.url}"\nretries = 0\n{more}')
    return file


def test_nothing_is_sent_unless_that_was_allowed(morelli, host: Host, tmp_path: Path) -> None:
    name = host.url.removeprefix("http://")
    status, out, err = morelli("a cat", "--generator", hosted(host, tmp_path))
    assert (status, out, host.seen) == (1, "", [])
    assert err == (
        f"warning: prompts leave this machine for {name}, a third party.\n"
        f"error: hub-inference:org/m: would send prompts to {name}. "
        "Say --yes-send to allow it, or choose a local generator.\n"
    )
    assert not (tmp_path / "out").exists()
    status, out, err = morelli("a cat", "--generator", hosted(host, tmp_path), "--yes-send")
    assert (status, len(host.seen)) == (0, 1)
    assert f"warning: prompts leave this machine for {name}" in err


def test_the_cap_holds_over_several_runs(morelli, host: Host, tmp_path: Path) -> None:
    ask = ["a cat", "--generator", hosted(host, tmp_path), "--yes-send", "--price", 0.1, "--cap", 0.3, "--count", 5]
    status, out, err = morelli(*ask)
    assert status == 1
    assert out == f"{tmp_path}/out: 3 made, 0 there already, 1 failed; 0.3 spent in all of 0.3\n"
    assert "hub-inference:org/m: the spending cap of 0.3 is reached: 0.3 is spent" in err
    status, out, err = morelli(*ask, "--json")
    assert (status, len(host.seen)) == (1, 3)
    assert (last(out)["there"], last(out)["made"], last(out)["spent"], last(out)["cap"]) == (3, 0, 0.3, 0.3)
    status, out, _ = morelli(*ask[:-3], 0.5, "--count", 5)
    assert (status, len(host.seen)) == (0, 5)
    assert len(read_dataset(tmp_path / "out").items) == 5


def test_the_key_is_nowhere(morelli, host: Host, tmp_path: Path) -> None:
    host.script.append(error(401, "bad key hf_secretsecret"))
    spec = hosted(host, tmp_path)
    status, out, err = morelli("a cat", "--generator", spec, "--yes-send", "--json", "--traceback", "--price", 1)
    assert status == 1
    assert "refuses the key" in err
    assert "secret" not in out + err
    assert morelli("a cat", "--generator", spec, "--yes-send", "--price", 1)[0] == 0
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert not any(b"secret" in path.read_bytes() for path in written)


def test_without_a_network(morelli, tmp_path: Path) -> None:
    file = tmp_path / "h.toml"
    file.write_text('[[generator]]\nid = "hub-inference:m"\nbase_url = "http://127.0.0.1:9"\nretries = 0\n')
    status, _, err = morelli("a cat", "--generator", f"{file}", "--yes-send")
    assert status == 1
    assert "hub-inference:m: cannot reach 127.0.0.1:9" in err
    assert "Check the network" in err


def test_the_bar_shows_the_cost_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with spending_progress() as report:
        report(Step(1, 2, "one", 0.5))
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with spending_progress() as report:
        report(Step(1, 2, "one", 0.5))
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("one", "1/2", "0.50 spent"):
        assert text in err


def test_the_modules_are_light() -> None:
    assert (
        loaded_by("from morelli.generators import catalogue, produce, store, hosted, hub_inference, openai_images")
        == []
    )


# A process of its own, whose generator takes its time.
SLOW = """
import sys, time
from dataclasses import dataclass
from morelli.cli import main
from morelli.generators import catalogue
from tests.generators.fakes import FakeGenerator

@dataclass(frozen=True)
class Options:
    pass

class Slow(FakeGenerator):
    Options = Options
    def __init__(self, argument, options):
        super().__init__(argument)
    def _one(self, prompt, seed):
        time.sleep(float(sys.argv[1]))
        print("made", seed, file=sys.stderr, flush=True)
        return super()._one(prompt, seed)

catalogue.REGISTRY.add("slow", Slow)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_where_it_stopped(how: int, tmp_path: Path) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        asked = ["generate", "a cat", "--generator", "slow:m", "--out", str(tmp_path / "out"), "--count", "8"]
        command = [sys.executable, "-c", SLOW, str(seconds), *asked]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )

    running = start(0.3)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("out/m/*.png"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(how)
    out, err = running.communicate(timeout=60)
    assert out == ""
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "images made and kept" in err
        assert "Traceback" not in err
    assert 0 < len(read_dataset(tmp_path / "out").items) < 8
    kept = len(list(tmp_path.glob("out/m/[!.]*.png")))  # a kill may have come between an image and its row
    again = start(0)
    out, err = again.communicate(timeout=60)
    assert (again.returncode, out) == (0, f"{tmp_path}/out: {8 - kept} made, {kept} there already\n")
    assert err.count("made") == 8 - kept
    assert [item.seed for item in read_dataset(tmp_path / "out").items] == list(range(8))


def test_the_fake_is_what_is_written(morelli, tmp_path: Path) -> None:
    from morelli.images.load import load_image

    morelli("a cat", "--generator", "fake:one")
    (item,) = read_dataset(tmp_path / "out").items
    np.testing.assert_array_equal(load_image(item.path).pixels, noise("one", "a cat", 0))
