"""LPIPS against the figures of the package lpips, on made-up weights, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from morelli.defence.lpips import SMALLEST, Lpips
from morelli.errors import ArrayError, ImageTooSmallError, WeightsError

from .lpips_weights import pictures, write_weights

#: What lpips 0.1.4 gives with these weights for these pictures.
UPSTREAM = (0.0003646019322331995, 0.8895554542541504)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_weights(tmp_path_factory.mktemp("lpips"))


def test_as_upstream(files: tuple[Path, Path]) -> None:
    measure = Lpips(*files)
    found = [measure(one, other) for one, other in pictures()]
    assert found == pytest.approx(UPSTREAM, rel=1e-5)


def test_equal_images_and_both_ways(files: tuple[Path, Path]) -> None:
    measure = Lpips(*files)
    one, other = pictures()[0]
    assert measure(one, one) == 0.0
    assert measure(one, other) == pytest.approx(measure(other, one), rel=1e-6)


def test_safetensors_are_read_too(files: tuple[Path, Path], tmp_path: Path) -> None:
    save_file(torch.load(files[0], weights_only=True), tmp_path / "alexnet.safetensors")
    assert Lpips(tmp_path / "alexnet.safetensors", files[1])(*pictures()[1]) == pytest.approx(UPSTREAM[1], rel=1e-5)


def test_images_that_cannot_be_compared(files: tuple[Path, Path]) -> None:
    measure = Lpips(*files)
    one = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(ArrayError, match="one size"):
        measure(one, one[:, :39])
    with pytest.raises(ImageTooSmallError, match="31 each way"):
        measure(one[: SMALLEST - 1], one[: SMALLEST - 1])


@pytest.mark.parametrize(
    ("name", "content"),
    [("absent.pth", None), ("text.pth", b"no weights"), ("empty.pth", b""), ("text.safetensors", b"no weights at all")],
)
def test_files_that_are_none(name: str, content: bytes | None, files: tuple[Path, Path], tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        Lpips(tmp_path / name, files[1])
    assert str(tmp_path / name) in str(caught.value)


def test_other_networks_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.weight .*alexnet-owt"):
        Lpips(tmp_path / "vgg.pth", files[1])
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="no table"):
        Lpips(tmp_path / "list.pth", files[1])
    with pytest.raises(WeightsError, match=r"lin0\.model"):
        Lpips(files[0], files[0])


def test_code_in_a_weights_file_does_not_run(files: tuple[Path, Path], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError):
        Lpips(tmp_path / "evil.pth", files[1])
    assert not (tmp_path / "ran").exists()


def test_without_the_package(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install --no-deps lpips"):
        Lpips(files[0])
