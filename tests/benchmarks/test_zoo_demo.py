"""``make demo`` without a dataset: a picture by a model drawn by lot, and who made it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from morelli.errors import NotEnoughReferencesError, WeightsError
from morelli.generators.produce import produce
from morelli.generators.store import ImageStore
from morelli.generators.zoo.world import prompts

from ..regeneration.painters import Painter

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture
def demo_zoo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    for name in ("demo", "demo_zoo"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("demo_zoo")


def painted(folder: Path, models: int, seed: int, count: int) -> str:
    """A dataset of painters' images of the demonstration's prompt, as a spec."""
    with ImageStore(folder) as store:
        for number in range(models):
            list(produce(Painter(f"model-{number}"), prompts("test", 1, seed)[0], count, store=store))
    return f"folder:{folder}"


def test_absent_weights_are_named_with_a_way_on(
    demo_zoo: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(demo_zoo, "names", tuple)
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        demo_zoo.candidates("zoo")
    monkeypatch.setattr(sys, "argv", ["demo_zoo.py", "--out", str(tmp_path)])
    assert demo_zoo.main() == 1
    said = capsys.readouterr().err
    assert "error: zoo: this installation carries no weights of the built-in models" in said
    assert "training/zoo/README.md" in said
    assert "make demo DATA=folder" in said


def test_one_model_is_no_game(demo_zoo: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughReferencesError, match="two are the least"):
        demo_zoo.candidates(painted(tmp_path / "d", 1, 0, 1))


@pytest.mark.slow
def test_a_picture_is_identified(
    demo_zoo: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # long commands are printed in part, and the place of temporary files may be long
    spec = painted(Path("d"), 2, seed := 5, 4)
    assert demo_zoo.run(spec, Path("out"), 3, seed) == 0
    said = capfd.readouterr().out
    assert "2 candidates: model-0, model-1" in said
    truth = said.rpartition("It was ")[2][:7]
    assert truth in ("model-0", "model-1")
    before, _, _ = said.partition("$ morelli identify")
    assert f"#{truth}" not in before, "the command told who it was"
    assert "the verdict" in said
    assert "--gamma 3" in said
    assert (tmp_path / "out" / f"zoo-{seed}-3" / "mystery.png").is_file()


@pytest.mark.parametrize(
    ("decision", "first", "said"),
    [
        ("a", "a", "It was a: the verdict is right."),
        ("b", "b", "It was a, and the verdict says b: wrong this time."),
        ("unsure", "a", "It was a; the verdict says unsure, and it is in first place (0.40)."),
        ("none", "b", "It was a; the verdict says none, and b is in first place (0.40)."),
    ],
)
def test_the_answer(demo_zoo: ModuleType, decision: str, first: str, said: str) -> None:
    verdict = {"decision": decision, "ranking": [{"model": first, "probability": 0.4}]}
    assert demo_zoo.answer(verdict, "a") == said
