"""The scripts behind ``make``: what set-up would install, and how the demonstration holds images out."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from morelli.errors import DatasetError
from morelli.images.dataset import read_dataset
from morelli.types import Item

ROOT = Path(__file__).resolve().parent.parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"morelli_tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup, demo = _load("setup"), _load("demo")


def _report(*names: str) -> dict[str, Any]:
    return {"version": "1", "install": [{"metadata": {"name": name, "version": "1"}} for name in names]}


SMALL = _report("torch", "sympy", "filelock", "numpy")
LARGE = _report("torch", "nvidia-cublas-cu12", "nvidia_cudnn_cu12", "nvidia-nccl-cu12", "triton", "sympy")


def test_large_packages_are_seen() -> None:
    assert setup.large_packages(LARGE) == ["nvidia-cublas-cu12", "nvidia-nccl-cu12", "nvidia_cudnn_cu12", "triton"]
    assert setup.large_packages(_report("cuda-bindings", "pytorch-triton")) == ["cuda-bindings", "pytorch-triton"]
    assert setup.large_packages(SMALL) == []
    assert setup.large_packages(_report("tritonclient-like-name", "my-nvidia-thing")) == []
    assert setup.large_packages({}) == []


@pytest.mark.parametrize(("report", "wanted"), [(SMALL, ""), (SMALL, "cuda"), (SMALL, "cpu"), (LARGE, "cuda")])
def test_set_up_goes_on(report: dict[str, Any], wanted: str) -> None:
    setup.check_torch(report, wanted, "test")


@pytest.mark.parametrize("wanted", ["", "cpu"])
def test_set_up_stops_before_gigabytes_and_says_the_ways_on(wanted: str) -> None:
    with pytest.raises(setup.SetupError) as caught:
        setup.check_torch(LARGE, wanted, "demo DATA=x")
    text = str(caught.value)
    assert "nvidia-cublas-cu12" in text
    assert "and 1 more" in text
    assert "TORCH_INDEX=URL make demo DATA=x" in text
    assert "TORCH=cuda make demo DATA=x" in text
    assert "Nothing was installed" in text


def test_a_wrong_choice_of_torch_is_refused() -> None:
    with pytest.raises(setup.SetupError, match="TORCH is 'gpu'"):
        setup.check_torch(SMALL, "gpu", "test")


class Recorder:
    """Stands in for ``subprocess``: notes the commands, makes what a real venv would leave, answers with a report."""

    PIPE = subprocess.PIPE

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text("")
        return subprocess.CompletedProcess(command, 0, stdout=json.dumps(self.report).encode())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TORCH", "TORCH_INDEX"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("torch==1\n")
    return tmp_path


def test_set_up_installs_once_and_again_when_the_needs_change(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(SMALL)
    monkeypatch.setattr(setup, "subprocess", recorder)
    venv = project / ".venv"
    setup.set_up(project, venv, "dev", "test")
    assert [("venv" in c, "--dry-run" in c, "--editable" in c) for c in recorder.commands] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert recorder.commands[-1][-1] == f"{project}[dev]"
    assert str(project / "constraints.txt") in recorder.commands[-1]
    recorder.commands.clear()
    setup.set_up(project, venv, "dev", "test")
    assert recorder.commands == []
    (project / "constraints.txt").write_text("torch==2\n")
    setup.set_up(project, venv, "dev", "test")
    assert any("--editable" in c for c in recorder.commands)
    assert not any("venv" in c for c in recorder.commands)


def test_set_up_that_stops_installs_nothing_and_starts_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(LARGE)
    monkeypatch.setattr(setup, "subprocess", recorder)
    venv = project / ".venv"
    for _ in range(2):
        with pytest.raises(setup.SetupError, match="with CUDA"):
            setup.set_up(project, venv, "", "test")
    assert not any("--editable" in c for c in recorder.commands)
    monkeypatch.setenv("TORCH", "cuda")
    setup.set_up(project, venv, "", "test")
    assert any("--editable" in c for c in recorder.commands)


def test_another_torch_than_the_one_that_is_there_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(SMALL)
    monkeypatch.setattr(setup, "subprocess", recorder)
    venv = project / ".venv"
    monkeypatch.setenv("TORCH_INDEX", "file:///cpu")
    setup.set_up(project, venv, "", "test")
    assert recorder.commands[-1][-4:-2] == ["--extra-index-url", "file:///cpu"]
    assert not any("file:///cpu" in path.read_text() for path in venv.glob(".*"))
    monkeypatch.delenv("TORCH_INDEX")
    setup.set_up(project, venv, "", "test")
    monkeypatch.setenv("TORCH", "cuda")
    with pytest.raises(setup.SetupError, match="make clean"):
        setup.set_up(project, venv, "", "test")


def test_an_old_python_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "OLDEST", (99, 0))
    with pytest.raises(setup.SetupError, match="or newer is needed"):
        setup.set_up(project, project / ".venv", "", "test")


def test_make_demo_without_data_and_zoo_says_what_it_needs() -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "demo", "ZOO=nowhere"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "there is no nowhere" in done.stderr
    assert "make demo DATA=folder" in done.stderr


def _items(folder: Path, models: int, prompts: list[str], seeds: int) -> list[Item]:
    out = []
    for m in range(models):
        for prompt in prompts:
            for seed in range(seeds):
                name = f"m{m}/{prompt or 'x'}-{seed}.png"
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(name.encode())
                out.append(Item(path, name, f"m{m}", f"m{m}", prompt, f"a {prompt}" if prompt else "", seed))
    return out


def test_split_holds_out_the_last_seed_of_the_last_prompts(tmp_path: Path) -> None:
    items = _items(tmp_path, 3, ["p0", "p1", "p2"], 4)
    references, queries, same_prompt = demo.split(items, 100)
    assert same_prompt
    assert [(q.prompt_id, q.model, q.seed) for q in queries] == [
        (p, m, 3) for p in ("p1", "p2") for m in ("m0", "m1", "m2")
    ]
    assert len(references) == 36 - 6
    assert not set(references) & set(queries)


def test_split_holds_out_a_whole_prompt_where_there_is_one_image_a_prompt(tmp_path: Path) -> None:
    items = _items(tmp_path, 3, ["p0", "p1", "p2"], 1)
    references, queries, same_prompt = demo.split(items, 2)
    assert not same_prompt
    assert [(q.prompt_id, q.model) for q in queries] == [("p2", "m0"), ("p2", "m1")]
    assert {r.prompt_id for r in references} == {"p0", "p1"}  # the third image of p2 is left out as well


def test_split_without_prompts_holds_out_one_image_a_model(tmp_path: Path) -> None:
    items = _items(tmp_path, 2, [""], 5)
    references, queries, same_prompt = demo.split(items, 10)
    assert not same_prompt
    assert [q.name for q in queries] == ["m0/x-4.png", "m1/x-4.png"]
    assert len(references) == 8


@pytest.mark.parametrize(("models", "prompts", "seeds"), [(1, ["p"], 4), (2, ["p"], 1)])
def test_split_refuses_what_leaves_nothing(tmp_path: Path, models: int, prompts: list[str], seeds: int) -> None:
    with pytest.raises(DatasetError):
        demo.split(_items(tmp_path, models, prompts, seeds), 4)


def test_a_copy_of_a_query_is_no_reference(tmp_path: Path) -> None:
    references, queries, _ = demo.split(_items(tmp_path, 2, ["p0"], 3), 10)
    references[0].path.write_bytes(queries[0].path.read_bytes())
    assert demo.without_copies(references, queries) == references[1:]


def test_the_references_are_a_dataset_that_morelli_reads(tmp_path: Path) -> None:
    references, queries, _ = demo.split(_items(tmp_path / "data", 2, ["p0", "p1"], 3), 10)
    place = demo.place_for(tmp_path / "out", references, tmp_path / "data")
    for _ in range(2):
        demo.write_references(references, place)
    read = read_dataset(place)
    assert read.notes == ()
    assert [(i.name, i.model, i.prompt_id, i.prompt, i.seed) for i in read.items] == [
        (i.name, i.model, i.prompt_id, i.prompt, i.seed) for i in references
    ]
    assert [i.path.read_bytes() for i in read.items] == [i.path.read_bytes() for i in references]
    assert not {i.name for i in read.items} & {q.name for q in queries}
    assert demo.place_for(tmp_path / "out", references[1:], tmp_path / "data") != place


def test_the_summary_counts_what_was_right() -> None:
    def verdict(image: str, first: str, decision: str) -> dict[str, Any]:
        ranking = [{"model": m, "probability": 0.5} for m in (first, "x" if first == "y" else "y")]
        return {"image": image, "ranking": ranking, "decision": decision}

    lines = demo.summarise(
        [
            verdict("1", "x", "x"),
            verdict("2", "x", "unsure"),
            verdict("3", "x", "x"),
            {"image": "4", "schema": "morelli.error/1", "message": "no."},
        ],
        {"1": "x", "2": "x", "3": "y", "4": "y"},
    )
    assert lines[-1] == (
        "2 of 4 held-out images have their model in first place (by chance: 2.0); "
        "2 decisions, 1 of them right; 1 failed."
    )
    assert "WRONG x (0.50), says: x" in lines[2]
    assert "failed: no." in lines[3]


@pytest.mark.parametrize("script", ["setup", "demo", "demo_zoo"])
def test_the_scripts_explain_themselves(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{script}.py"), "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "usage:" in done.stdout
