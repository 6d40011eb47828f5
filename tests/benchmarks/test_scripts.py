"""The small benchmark scripts: each runs to its end at a tiny size and prints what its docstring promises."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import exposure, synthesis
from morelli.images.dataset import read_dataset

from ..synthesis.samples import picture, write_photos

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """These two are run by their path, and import what lies beside them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def write_set(folder: Path, prompts: int, models: tuple[str, ...] = ("ash", "oak")) -> None:
    """One picture of each prompt by each model, and who made it."""
    folder.mkdir(parents=True)
    rows = ["file_name,model,family,prompt_id,prompt"]
    for number in range(prompts):
        for model in models:
            name = f"{model}-{number}.png"
            Image.fromarray(picture(number * len(models) + models.index(model))).save(folder / name)
            rows.append(f"{name},{model},tree,p{number:02},a hill")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")


def test_exposure_prints_ratio_and_that_neighbours_are_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"MODELS": 3, "IMAGES": 4, "DIMS": 16}.items():
        monkeypatch.setattr(exposure, name, value)
    monkeypatch.setattr(sys, "argv", ["exposure.py", "2"])
    exposure.main()
    said = capsys.readouterr().out
    assert "2 prompts × 3 models × 4 images × 16 numbers" in said
    assert "identical neighbours: 24 of 24" in said
    assert re.search(r"^ratio +\d+\.\d\d +\d+\.\d\d$", said, re.MULTILINE)
    assert "peak memory" in said


def test_exposures_points_are_clusters_of_a_prompts_models() -> None:
    (points,) = exposure.cells(1)
    assert points.shape == (exposure.MODELS * exposure.IMAGES, exposure.DIMS)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("together", [1, 2])
def test_synthesis_prints_a_row_a_scheme(
    together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = write_photos(tmp_path / "photos")
    words = "--architectures 000000 --steps 4 --batch 2 --crop 16 --seconds 0.05 --together"
    monkeypatch.setattr(sys, "argv", ["synthesis", str(place), *words.split(), str(together)])
    synthesis.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[-1] == "000000"
    assert float(said[1].split()[-1]) > 0
    assert [line.split(",")[0] for line in said[2:]] == list(synthesis.SCHEMES)
    assert all(re.search(r"\d+\.\d\d \(\d+\.\d\d\)$", line) for line in said[2:])


@pytest.mark.usefixtures("scripts")
def test_attributions_photographs_are_queries_and_no_prompt_is_on_both_sides(tmp_path: Path) -> None:
    attribution = import_module("attribution")

    for name, prompts in (("visor", 2), ("sdnext", 4)):
        write_set(tmp_path / "data" / name, prompts)
    write_set(tmp_path / "data" / "photos", 2, ("photograph",))
    (tmp_path / "scratch").mkdir()
    made = {name: rest for name, *rest in attribution.runs(tmp_path / "data", tmp_path / "scratch")}
    assert len(made) == 8
    queries, settings, references = made["photographs"]
    assert settings.protocol == "any-prompt"
    shown = {item.prompt_id for item in references.items}
    assert shown == {"p00", "p01"}
    asked = {item.prompt_id for item in queries.items if item.model != "photograph"}
    assert asked == {"p02", "p03"}
    assert sum(item.model == "photograph" for item in queries.items) == 2
    assert made["any prompt, 41 models"][2] is None


@pytest.mark.usefixtures("scripts")
def test_speeds_peer_runs_the_same_network(tmp_path: Path) -> None:
    speed = import_module("speed")

    write_set(tmp_path / "set", 1)
    paths = [item.path for item in read_dataset(tmp_path / "set").items]
    ours, theirs = speed.throughput(paths)
    assert ours > 0 and theirs > 0
    assert speed.row("a", 6.0, "peer", 2.0) == "| a | 6.00 | 2.00 (peer) | 3.0 × |"
    with pytest.raises(SystemExit, match="failed"):
        speed.wall([sys.executable, "-c", "raise SystemExit('no')"])


@pytest.mark.parametrize("script", ["attribution.py", "speed.py"])
def test_a_folder_without_the_sets_is_named(script: str, tmp_path: Path) -> None:
    (tmp_path / "visor").mkdir()
    command = [sys.executable, str(ROOT / "benchmarks" / script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has no sdnext, photos" in done.stderr
