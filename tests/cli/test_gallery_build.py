"""``morelli gallery build``: references from generators, taken up where they were left, and every kind of failure."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.cli import main
from morelli.encoders import catalogue as encoders
from morelli.errors import HostError, StorageError
from morelli.gallery.store import Gallery
from morelli.generators import catalogue as generators
from morelli.generators.base import Generated

from ..generators.server import hub_answer, serve
from ..processes import heed_interrupts
from ..regeneration.painters import Grain, Painter

ROOT = Path(__file__).resolve().parents[2]
TWO = "painter:model-0,painter:model-1"


class Troubled(Painter):
    """``away`` cannot be reached; ``blank`` fails for one prompt; ``disk`` finds the disk full at the third image."""

    def generate(self, prompt: str, count: int, seed: int) -> Any:
        if self.model == "away":
            raise HostError("cannot be reached.", argument=self.id, fix="Check the network.")
        if self.model == "disk" and len(self.made) == 2:
            raise StorageError("the disk is full.", argument="images", fix="Free some space.")
        made = super().generate(prompt, count, seed)
        if self.model == "blank" and prompt == "a dog":
            black = np.zeros_like(made[0].pixels)
            return [Generated(black, "blank", "", self.revision, prompt, seed, self.settings)]
        return made


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    encoders.REGISTRY.add("grain", Grain)
    generators.REGISTRY.add("painter", Painter)
    generators.REGISTRY.add("troubled", Troubled)
    yield
    del encoders.REGISTRY._loaded["grain"]
    del generators.REGISTRY._loaded["painter"], generators.REGISTRY._loaded["troubled"]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "prompts.csv").write_text("prompt_id,prompt\n1,a cat\n2,a dog\n")
    return tmp_path / "prompts.csv"


@pytest.fixture
def build(tmp_path: Path, prompts: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``morelli gallery build`` into ``tmp_path/g``: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        own = [] if "--prompts" in arguments else ["--prompts", str(prompts)]
        asked = ["gallery", "build", str(tmp_path / "g"), "--encoder", "grain", *own]
        status = main([*asked, *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_it_makes_a_gallery(build, tmp_path: Path) -> None:
    status, out, err = build("--generators", TWO, "--k", 3, "--seed", 5)
    assert status == 0
    assert out == f"{tmp_path}/g: 12 added, 0 updated, 0 unchanged, 0 duplicates; 12 references, version 2\n"
    assert "12 made, 0 there already" in err
    gallery = Gallery.open(tmp_path / "g")
    found = gallery.references()
    assert {(r.model, r.family, r.prompt_id, r.prompt, r.seed) for r in found} == {
        (model, f"family of {model}", number, text, seed)
        for model in ("model-0", "model-1")
        for number, text in (("1", "a cat"), ("2", "a dog"))
        for seed in (5, 6, 7)
    }
    assert {r.source for r in found if r.model == "model-0" and r.seed == 5} == {"painter:model-0, revision r1, seed 5"}
    assert gallery.check().ok
    (images,) = (tmp_path / "cache" / "built").iterdir()
    assert images.name.startswith("g-")


def test_a_second_build_adds_what_is_new_and_brings_nothing_back(build, tmp_path: Path) -> None:
    build("--generators", TWO, "--k", 2)
    Gallery.open(tmp_path / "g").remove(models=["model-0"])
    (tmp_path / "more.txt").write_text("a house\n")
    status, out, err = build("--generators", TWO, "--k", 1, "--prompts", tmp_path / "more.txt")
    assert status == 0
    assert out == f"{tmp_path}/g: 2 added, 0 updated, 0 unchanged, 0 duplicates; 6 references, version 4\n"
    assert "2 made, 0 there already" in err
    status, out, err = build("--generators", TWO, "--k", 3)
    assert "4 made, 8 there already" in err
    assert "; 14 references" in out


def test_json_and_a_folder_of_ones_own(build, tmp_path: Path) -> None:
    status, out, _ = build("--generators", TWO, "--k", 2, "--images", tmp_path / "images", "--json")
    assert status == 0
    (said,) = (json.loads(line) for line in out.splitlines())
    assert said["schema"] == "morelli.gallery-build/1"
    assert (said["added"], said["references"], said["failed"]) == (8, 8, 0)
    assert said["folder"] == str(tmp_path / "images")
    assert (said["generation"]["made"], said["generation"]["spent"]) == (8, 0.0)
    assert len(list((tmp_path / "images").rglob("*.png"))) == 8
    assert not (tmp_path / "cache" / "built").exists()


@pytest.mark.parametrize(("bad", "kept", "said"), [("away", 0, "cannot be reached"), ("blank", 2, "blank image")])
def test_a_generator_that_fails_loses_nobody_s_images(bad: str, kept: int, said: str, build, tmp_path: Path) -> None:
    status, out, err = build("--generators", f"troubled:{bad},{TWO}", "--k", 2)
    assert status == 1
    assert f"error: painter:{bad}: " in err
    assert said in err
    assert f"; {8 + kept} references" in out
    assert len(Gallery.open(tmp_path / "g").references()) == 8 + kept


def test_where_all_fail_there_is_no_gallery(build, tmp_path: Path) -> None:
    status, out, _ = build("--generators", "troubled:away", "--json")
    assert status == 1
    first, last = (json.loads(line) for line in out.splitlines())
    assert first["model"] == "away"
    assert "no generator made an image" in last["message"]
    assert not (tmp_path / "g").exists()


def test_a_full_disk_keeps_what_was_made(build, tmp_path: Path) -> None:
    status, out, err = build("--generators", "painter:model-0,troubled:disk", "--k", 2)
    assert (status, out) == (1, "")
    assert "the disk is full" in err
    assert not (tmp_path / "g").exists()
    status, out, err = build("--generators", "painter:model-0,troubled:disk", "--k", 2)
    assert status == 0
    assert "2 made, 6 there already" in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([], 2, "--generators"),
        (["--generators", TWO, "--k", "0"], 2, "--k"),
        (["--generators", TWO, "--prompts", "no.txt"], 1, "no.txt: cannot be read"),
        (["--generators", "painte:x"], 1, "Did you mean 'painter'"),
        (["--generators", TWO, "--encoder", "grian"], 1, "Did you mean 'grain'"),
        (["--generators", "openai:m"], 1, "--yes-send"),
        (["--generators", "openai:m", "--yes-send", "--cap", "1"], 1, "--price"),
    ],
)
def test_bad_input(arguments: list[str], status: int, said: str, build, tmp_path: Path) -> None:
    found, out, err = build(*arguments)
    assert (found, out) == (status, "")
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "g").exists()
    assert not list(tmp_path.rglob("*.png"))


def test_consent_and_the_cap(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    import huggingface_hub.constants

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    with serve(hub_answer) as host:
        file = tmp_path / "h.toml"
        file.write_text(f'[[generator]]\nid = "hub-inference:m"\nbase_url = "{host.url}"\nretries = 0\n')
        status, _, err = build("--generators", file, "--k", 2)
        assert (status, host.seen) == (1, [])
        assert f"prompts leave this machine for {host.url.removeprefix('http://')}" in err
        paid = ["--generators", file, "--k", 2, "--yes-send", "--price", 1]
        status, out, err = build(*paid, "--cap", 3)
        assert (status, len(host.seen)) == (1, 3)
        assert "the spending cap of 3" in err
        assert "3 added" in out
        status, out, _ = build(*paid, "--cap", 4)
        assert (status, len(host.seen)) == (0, 4)
        assert "1 added" in out


# A process of its own, whose generator takes its time.
SLOW = """
import sys, time
from morelli.cli import main
from morelli.encoders import catalogue as encoders
from morelli.generators import catalogue as generators
from tests.regeneration.painters import Grain, Painter

class Slow(Painter):
    def generate(self, prompt, count, seed):
        time.sleep(float(sys.argv[1]))
        return super().generate(prompt, count, seed)

encoders.REGISTRY.add("grain", Grain)
generators.REGISTRY.add("slow", Slow)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_stopped_goes_on_where_it_stopped(how: int, tmp_path: Path, prompts: Path) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        asked = ["gallery", "build", str(tmp_path / "g"), "--generators", "slow:model-0,slow:model-1"]
        asked += ["--prompts", str(prompts), "--k", "3", "--encoder", "grain", "--images", str(tmp_path / "i")]
        command = [sys.executable, "-c", SLOW, str(seconds), *asked]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )

    running = start(0.2)
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("i/*/[!.]*.png"))) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    running.send_signal(how)
    _, err = running.communicate(timeout=60)
    assert not (tmp_path / "g").exists()
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert "the same command goes on from there" in err
    kept = len(list(tmp_path.glob("i/*/[!.]*.png")))
    assert 2 <= kept < 12
    out, err = start(0).communicate(timeout=120)
    assert f"{12 - kept} made, {kept} there already" in err
    assert "12 added" in out
