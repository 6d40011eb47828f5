"""The denoiser's training: exact resumption, growth without loss, honest data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training.denoiser.data import Photographs, draw_batch, read_photographs
from training.denoiser.grow import grown
from training.denoiser.trainer import Settings, Trainer, explained

from morelli.errors import DatasetError, InputError, MorelliError
from morelli.fingerprint.denoiser import Denoiser, Form

SETTINGS = Settings(Form(3, 4), batch=2, patch=16)


def photographs(count: int = 6) -> Photographs:
    rng = np.random.default_rng(1)
    pictures = [np.kron(rng.integers(30, 220, (5, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(count)]
    return Photographs(pictures, pictures[:1])


def train(path: Path, stops: list[int]) -> Trainer:
    trainer = Trainer(SETTINGS, photographs(), path)
    for stop in stops:
        trainer = Trainer(SETTINGS, photographs(), path)
        trainer.planned = 12
        while trainer.step < stop:
            trainer.one()
        trainer.save()
    return trainer


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, parts = train(tmp_path / "a.pt", [12]), train(tmp_path / "b.pt", [3, 8, 12])
    assert parts.step == 12
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, parts.net.state_dict()[name]), name


def test_a_plan_changes_nothing_and_is_kept(tmp_path: Path) -> None:
    trainer = Trainer(SETTINGS, photographs(), tmp_path / "a.pt")
    before = {name: value.clone() for name, value in trainer.net.state_dict().items()}
    trainer.plan(0.5)
    planned = trainer.planned
    assert planned >= 1
    assert trainer.step == 0
    assert all(torch.equal(before[name], value) for name, value in trainer.net.state_dict().items())
    assert not list(tmp_path.iterdir())
    trainer.save()
    again = Trainer(SETTINGS, photographs(), tmp_path / "a.pt")
    again.plan(50)
    assert again.planned == planned


def test_another_training_s_checkpoint_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "a.pt", [1])
    with pytest.raises(MorelliError, match="other settings"):
        Trainer(Settings(Form(3, 4), batch=3, patch=16), photographs(), tmp_path / "a.pt")


def test_noise_is_what_the_patches_differ_by_and_of_the_right_size() -> None:
    flat = [np.full((20, 20, 3), 100, np.uint8)]
    noisy, noise = draw_batch(flat, np.random.default_rng(0), 200, 16)
    assert torch.allclose(noisy - noise / 256, torch.full_like(noisy, 100 / 255), atol=1e-5)
    sigmas = noise.std((1, 2, 3))
    assert sigmas.min() > 0.4
    assert sigmas.max() < 3.3
    assert 0.8 < sigmas.median() < 1.3
    levels = (noisy * 255 - (noisy * 255).round()).abs().amax((1, 2, 3)) < 1e-3
    assert 0.35 < levels.float().mean() < 0.65


def test_a_grown_denoiser_computes_the_same() -> None:
    torch.manual_seed(0)
    small = Denoiser(Form(4, 5), norm=False)
    small.centre_first()
    large = grown(small, Form(7, 9))
    x = torch.rand(1, 3, 24, 24)
    assert torch.allclose(small(x)[..., 3:-3, 3:-3], large(x), atol=1e-5)
    large(x).square().sum().backward()
    last = large.convolutions[-1].weight.grad
    assert last is not None
    assert last[:, 5:].abs().max() > 0  # what is new can be learnt
    with pytest.raises(InputError, match="4x5"):
        grown(small, Form(7, 4))


def test_explained_is_one_for_an_oracle_and_zero_for_silence() -> None:
    class Silence(torch.nn.Module):
        form = Form(3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x[..., 3:-3, 3:-3])

    class Oracle(Silence):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x - 100 / 255)[..., 3:-3, 3:-3] * 256

    flat = [np.full((40, 40, 3), 100, np.uint8)]
    assert explained(Silence(), flat, 1.0) == pytest.approx(0.0, abs=1e-5)  # pyright: ignore[reportArgumentType]
    assert explained(Oracle(), flat, 1.0) == pytest.approx(1.0, abs=1e-4)  # pyright: ignore[reportArgumentType]


def test_photographs_are_read_in_order_and_some_held_out(tmp_path: Path) -> None:
    for i in range(25):
        Image.fromarray(np.full((20, 20, 3), i, np.uint8)).save(tmp_path / f"{i:02}.png")
    Image.fromarray(np.zeros((16, 17, 3), np.uint8)).save(tmp_path / "small.png")
    found = read_photographs(tmp_path, 18)
    assert [int(p[0, 0, 0]) for p in found.held_out] == [11, 23]
    assert len(found.training) == 23
    with pytest.raises(DatasetError, match="0 pictures of 64"):
        read_photographs(tmp_path, 64)
