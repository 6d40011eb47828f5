"""The four five-minute paths of docs/deploy.md: every command, on datasets that are made here."""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from morelli.cli.app import main
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.testing.datasets import write_dataset

PAGE = Path(__file__).resolve().parent.parent / "docs" / "deploy.md"
PATHS = ["A leaderboard's operator", "A model's owner", "An investigator, or a trust-and-safety team", "A researcher"]
_STEP = re.compile(r"^(morelli .+?)(?:\s{2,}#.*)?$", re.MULTILINE)

pytestmark = pytest.mark.slow


def commands(title: str) -> list[str]:
    """The lines of a path that call Morelli, without comments."""
    text = PAGE.read_text(encoding="utf-8").partition(f"### {title}\n")[2]
    return _STEP.findall(text.partition("```\n")[2].partition("```")[0])


def run(lines: list[str], names: Mapping[str, str]) -> None:
    """Each line in this folder, with what it calls by a made-up name replaced; a pattern becomes the files."""
    for line in lines:
        for name, ours in names.items():
            line = line.replace(name, ours)
        words = []
        for word in shlex.split(line.partition(" > ")[0])[1:]:
            words += sorted(str(path) for path in Path().glob(word)) if "*" in word else [word]
        assert main(words) == 0, line


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_these_are_all_the_paths() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## The four paths")[2].partition("\n## ")[0]
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == PATHS
    assert all(len(commands(title)) >= 3 for title in PATHS)


def test_the_operator(here: Path) -> None:
    write_dataset("answers", models=3, prompts=4, seeds=3, size=64)
    picture = str(next(Path("answers").rglob("*.png")))
    run(commands(PATHS[0]), {"MODEL": "model-01", "PICTURE": picture, "--epsilon 2": "--epsilon 2 --steps 2"})
    assert (here / "audit" / "report.html").is_file()
    assert len(list(Path("alike").rglob("*.png"))) == 36
    assert len(list(Path("protected").rglob("*.png"))) == 1


def test_the_owner(here: Path) -> None:
    asked = world_prompts("test", 2, 0)
    Path("prompts.txt").write_text("".join(f"{prompt}\n" for prompt in asked), encoding="utf-8")
    write_dataset("images-of-other-models", models=4, prompts=2, seeds=3, size=64)
    write_dataset("suspects", models=1, prompts=3, seeds=2, size=64, seed=9)
    lines = commands(PATHS[1])
    names = {"diffusers:FOLDER_OF_MY_MODEL": "zoo/gan", "MY_MODEL": "gan"}
    run(lines[:1], names)
    references = list(Path("references").rglob("*.png"))
    assert len(references) == 16
    # A suspect that is no reference.
    Path("suspect.png").write_bytes(references[0].read_bytes())
    references[0].unlink()
    table = next(Path("references").glob("metadata.csv"), None)
    if table is not None:
        rows = list(csv.reader(table.open(encoding="utf-8")))
        kept = [row for row in rows if references[0].name not in " ".join(row)]
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)
    run(lines[1:], names)


def test_the_investigator(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset("pictures-by-model", models=3, prompts=4, seeds=3, size=64, layout="folders")
    write_dataset("evidence", models=2, prompts=1, seeds=2, size=64, layout="folders", seed=5)
    for path in list(Path("evidence").rglob("*.png")):
        path.rename(Path("evidence") / f"{path.parent.name}-{path.name}")
    run(commands(PATHS[2]), {})
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"image"')]
    assert [each["schema"] for each in said] == ["morelli.verdict/1"] * 4


def test_the_researcher(here: Path) -> None:
    write_dataset("dataset", models=3, prompts=4, seeds=2, size=64)
    run(commands(PATHS[3]), {"my-method": "cosine"})
    assert (here / "robustness.svg").is_file()
