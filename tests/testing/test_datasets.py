"""The writer of made-up datasets: deterministic, labelled truly, and neither hopeless nor trivial."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from morelli.errors import InputError
from morelli.testing.datasets import write_dataset, write_hostile
from morelli.testing.scenes import draw_scene, make_signature, render


def test_writes_what_it_says(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "new", 3, 2, 2, 32, families=["x", "x", "y"])
    with (root / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 == len(list(root.rglob("*.png")))
    assert {(r["model"], r["family"]) for r in rows} == {("model-00", "x"), ("model-01", "x"), ("model-02", "y")}
    assert len({(r["model"], r["prompt_id"], r["seed"]) for r in rows}) == 12
    with Image.open(root / rows[0]["file_name"]) as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


@pytest.mark.parametrize(("format", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_folders_and_formats(format: Any, kind: str, tmp_path: Path) -> None:
    root = write_dataset(tmp_path, 2, 1, 1, 16, layout="folders", format=format)
    assert not (root / "metadata.csv").exists()
    with Image.open(root / "model-01" / f"000_0.{format}") as image:
        assert image.format == kind


def test_deterministic(tmp_path: Path) -> None:
    first, second, other = (write_dataset(tmp_path / str(n), 2, 2, 1, 24, seed=s) for n, s in enumerate((1, 1, 2)))
    for path in sorted(first.rglob("*.png")):
        name = path.relative_to(first)
        assert path.read_bytes() == (second / name).read_bytes()
        assert path.read_bytes() != (other / name).read_bytes()
    assert len({path.read_bytes() for path in first.rglob("*.png")}) == 4, "no picture comes twice"


@pytest.mark.parametrize(
    "bad",
    [{"models": 0}, {"prompts": 0}, {"size": 8}, {"layout": "x"}, {"format": "gif"}, {"families": ["a"]}],
)
def test_bad_arguments(bad: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_dataset(tmp_path / "x", **bad)
    assert not (tmp_path / "x").exists()


def test_a_prompt_decides_the_scene() -> None:
    one, again, other = draw_scene(0, 1, "a", 48), draw_scene(0, 1, "b", 48), draw_scene(0, 2, "a", 48)
    assert (one != again).any()
    assert np.abs(one - again).mean() < 0.7 * np.abs(one - other).mean()


def test_a_family_shares_its_texture() -> None:
    one, kin, other = (make_signature(0, f, m) for f, m in (("f", "a"), ("f", "b"), ("g", "a")))
    np.testing.assert_array_equal(one.texture, kin.texture)
    assert (one.tilt != kin.tilt).any()
    assert one.texture.shape != other.texture.shape or (one.texture != other.texture).any()
    for signature in (one, other):
        assert signature.kernel.sum() == pytest.approx(1)
        assert abs(signature.texture.mean()) < 1e-5


def test_the_habits_are_subtle() -> None:
    plain = draw_scene(0, 0, "a", 96)
    for number in range(6):
        made = render(plain, make_signature(0, f"model-{number:02d}", f"model-{number:02d}"), 0, "0/a")
        assert 0.5 < np.abs(made - plain).mean() < 6, "levels of 255"


def features(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Autocovariance of the fine structure at lags 0–8: what a texture-aware encoder sees, without a network."""
    grey = pixels.astype(float).mean(axis=2)
    fine = grey - (np.roll(grey, 1, 0) + np.roll(grey, -1, 0) + np.roll(grey, 1, 1) + np.roll(grey, -1, 1)) / 4
    fine = np.where(np.abs(fine) < 8, fine, 0)  # edges of shapes are the scene's
    lags = [(y, x) for y in range(9) for x in range(9)]
    covariance = np.array([(fine * np.roll(fine, lag, (0, 1))).mean() for lag in lags])
    return np.append(covariance[1:] / covariance[0], np.log(covariance[0]))


def test_models_can_be_told_apart_by_texture_and_not_by_colour(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, models=4, prompts=8, seeds=3)
    paths = sorted(root.rglob("*.png"))
    pixels = [np.asarray(Image.open(path)) for path in paths]
    models = np.array([path.parent.name for path in paths])
    prompts = np.array([int(path.name[:3]) for path in paths])
    known = prompts < 5

    def accuracy(values: NDArray[np.float64]) -> float:
        values = (values - values[known].mean(0)) / (values[known].std(0) + 1e-9)
        names = np.unique(models)
        centroids = np.stack([values[known & (models == name)].mean(0) for name in names])
        nearest = ((values[~known][:, None] - centroids[None]) ** 2).sum(-1).argmin(1)
        return float((names[nearest] == models[~known]).mean())

    assert accuracy(np.stack([features(p) for p in pixels])) > 0.7
    assert accuracy(np.stack([p.mean(axis=(0, 1)) for p in pixels])) < 0.6


def test_hostile_files_are_deterministic(tmp_path: Path) -> None:
    first, second = write_hostile(tmp_path / "1"), write_hostile(tmp_path / "2")
    assert list(first) == list(second)
    assert len(first) >= 15
    for name, path in first.items():
        assert path.read_bytes() == second[name].read_bytes()
