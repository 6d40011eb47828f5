"""Spectra of a training: the same wherever they are computed, and computed where the pictures are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from morelli.fingerprint.chain import LEARNING, PUBLISHED, SignalChain
from morelli.fingerprint.learn.pictures import Joined
from morelli.fingerprint.learn.views import LiveViews
from morelli.fingerprint.residual import RESIDUALS, Residual, load_residual
from tests.fingerprint.learn.toys import CHAIN, MadeUp

CLASSES, SLOTS = np.array([0, 3, 1]), np.array([2, 0, 5])


class Elsewhere(MadeUp):
    """Pictures that are on another device: one that holds no values, so that whatever is moved from it fails."""

    def pixels(self, classes: np.ndarray, slots: np.ndarray) -> Tensor:
        return super().pixels(classes, slots).to("meta")


@pytest.mark.parametrize("name", ["none", "median", "denoiser", "denoiser-17x64", "wavelet"])
def test_spectra_are_the_chain_s(name: str) -> None:
    chain = replace(LEARNING, residual=name)
    pixels = MadeUp().pixels(CLASSES, SLOTS)
    wanted = chain.spectrum(load_residual(name).function(pixels.float() / 255))
    torch.testing.assert_close(LiveViews(MadeUp(), chain).spectra(CLASSES, SLOTS), wanted)


@pytest.mark.parametrize(
    "chain", [PUBLISHED, LEARNING, *(replace(LEARNING, residual=name) for name in ("denoiser", "none"))], ids=repr
)
def test_what_is_on_another_device_stays_there(chain: SignalChain, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(_: Tensor) -> Tensor:
        raise AssertionError("moved to the CPU")

    views = LiveViews(Elsewhere(), chain)
    monkeypatch.setattr(Tensor, "cpu", moved)
    found = views.spectra(CLASSES, SLOTS)
    assert found.device.type == "meta" and tuple(found.shape) == (3, *chain.shape)


def test_pictures_of_the_cpu_go_where_they_are_wanted() -> None:
    views = LiveViews(MadeUp(), PUBLISHED, device="meta")
    assert views.spectra(CLASSES, SLOTS).device.type == "meta"
    assert views.digest == LiveViews(MadeUp(), PUBLISHED).digest


def test_the_wavelet_filter_alone_takes_images_of_the_cpu_only() -> None:
    assert [name for name in RESIDUALS if not load_residual(name).anywhere] == ["wavelet"]
    seen: list[Tensor] = []
    there = Residual("x", 0, "1", lambda images: seen.append(images) or images, anywhere=False)
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(there(images), images) and seen[0].device.type == "cpu"
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta"):
        there(images.to("meta"))


def test_degraded_pictures_come_back_to_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    to = Tensor.to

    def watched(self: Tensor, *given: Any, **named: Any) -> Tensor:
        asked.extend(given)
        return to(self, *given, **named)

    monkeypatch.setattr(Tensor, "to", watched)
    LiveViews(MadeUp(), CHAIN, augment=True).spectra(CLASSES, SLOTS)
    assert torch.device("cpu") in asked


def test_kinds_of_classes_are_joined_where_models_run() -> None:
    found = Joined([MadeUp(2), Elsewhere(2)]).pixels(np.array([0, 3]), np.array([1, 1]))
    assert found.device.type == "meta" and found.dtype == torch.uint8
