"""A dataset of networks that others trained: its form, that nothing is made twice, and one network by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from benchmarks.fingerprint import networks
from numpy.typing import NDArray
from PIL import Image

from morelli.images.dataset import read_dataset


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


class Doubling:
    """Nearest neighbour, twice the side, and ``add`` to every value; counts its calls."""

    def __init__(self, add: int) -> None:
        self.add, self.calls = add, 0

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.calls += 1
        return np.clip(np.kron(pixels, np.ones((2, 2, 1))) + self.add, 0, 255).astype(np.uint8)


def test_a_dataset_that_evaluations_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"one": Doubling(0), "two": Doubling(9)}
    known = {name: ("both", 32, lambda each=each: each) for name, each in made.items()}
    monkeypatch.setattr(networks, "networks", lambda: known)
    out = tmp_path / "out"
    asked = ["--photos", str(photos), "--out", str(out), "--count", "2"]
    assert networks.main(asked) == 0
    items = read_dataset(out).items
    assert {(item.model, item.family, item.prompt_id) for item in items} == {
        (name, "both", photo) for name in made for photo in ("0", "1")
    }
    with Image.open(out / "two" / "0.png") as image:
        assert image.size == (64, 64)
    assert networks.main(asked) == 0
    assert [each.calls for each in made.values()] == [2, 2]
    with pytest.raises(SystemExit):
        networks.main([*asked, "--networks", "three"])
    assert "takes one, two" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        networks.main(["--photos", str(tmp_path / "none"), "--out", str(out)])
    assert "no photographs" in capsys.readouterr().err


def test_a_package_that_is_missing_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with pytest.raises(SystemExit):
        networks.main(["--photos", str(photos), "--out", str(tmp_path / "o"), "--networks", "waifu2x-photo"])
    assert "needs ncnn" in capsys.readouterr().err


def test_what_ncnn_is_given_and_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double that enlarges, adds a border of its own and lives on 0 to 1, as such networks do."""
    package = ModuleType("package")
    package.__file__ = str(tmp_path / "__init__.py")
    given: list[Any] = []

    class Extractor:
        def input(self, name: str, mat: Any) -> None:
            given.append((name, mat))

        def extract(self, name: str) -> tuple[int, Any]:
            assert name == "end"
            return 0, np.kron(given[-1][1], np.ones((1, 2, 2)))

    class Net:
        def load_param(self, path: str) -> None:  # 0 or None: it was read
            assert path == str(tmp_path / "models" / "NET.param")

        def load_model(self, path: str) -> None:
            assert path.endswith("NET.bin")

        def input_names(self) -> list[str]:
            return ["entry"]

        def output_names(self) -> list[str]:
            return ["end"]

        def create_extractor(self) -> Extractor:
            return Extractor()

    ncnn = ModuleType("ncnn")
    monkeypatch.setattr(ncnn, "Net", Net, raising=False)
    monkeypatch.setattr(ncnn, "Mat", lambda array: array, raising=False)
    monkeypatch.setitem(sys.modules, "ncnn", ncnn)
    monkeypatch.setitem(sys.modules, "package", package)
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = networks._ncnn("package", "NET", 2, 3)(pixels)
    assert given[0][0] == "entry"
    assert given[0][1].shape == (3, 14, 14)
    assert given[0][1].max() <= 1
    np.testing.assert_array_equal(out, np.kron(pixels, np.ones((2, 2, 1), dtype=np.uint8)))


def test_a_network_that_gives_too_little_is_named() -> None:
    with pytest.raises(RuntimeError, match="under 20 pixels"):
        networks._middle(np.zeros((16, 16, 3), dtype=np.uint8), 20)
