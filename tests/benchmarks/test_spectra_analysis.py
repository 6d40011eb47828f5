"""What makes a spectrum: the pictures are made, also of small images, and exchanged last blocks change the model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.spectra_analysis import Judge, exchange, exchanged, least_side, main, means, vectors
from PIL import Image
from torch import Tensor, nn

from morelli.fingerprint.log_spectrum import vector_size
from morelli.fingerprint.residual import load_residual
from morelli.synthesis.architectures import ModelKey, select
from morelli.synthesis.run import Plan, synthesize

from ..synthesis.samples import photos, picture, quick, write_photos

MEDIAN = load_residual("median")


class Ripple(nn.Module):
    """Adds a wave of so many pixels a period."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period

    def forward(self, images: Tensor) -> Tensor:
        return images + 0.2 * torch.sin(2 * torch.pi * torch.arange(images.shape[-1]) / self.period)


def store_of(models: dict[ModelKey, nn.Sequential]) -> Any:
    return SimpleNamespace(keys=list(models), load=models.__getitem__)


def test_the_last_block_decides_who_is_named() -> None:
    one, other = nn.Sequential(nn.Identity(), Ripple(2)), nn.Sequential(nn.Identity(), Ripple(3))
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    (row,) = exchange(store_of({ModelKey("000000", 0): one, ModelKey("000000", 1): other}), cut, MEDIAN)
    assert row == {"architecture": "000000", "as trained": 1.0, "blocks from 2 of 2 exchanged": 0.0}


def test_a_first_block_that_says_nothing_may_be_exchanged() -> None:
    one, other = nn.Sequential(Ripple(2), nn.Identity()), nn.Sequential(Ripple(3), nn.Identity())
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    (row,) = exchange(store_of({ModelKey("000000", 0): one, ModelKey("000000", 1): other}), cut, MEDIAN)
    assert row["blocks from 2 of 2 exchanged"] == 1.0


class Turned(nn.Module):
    """A ripple on dark crops, another one on bright ones."""

    def __init__(self, dark: int, bright: int) -> None:
        super().__init__()
        self.dark, self.bright = Ripple(dark), Ripple(bright)

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean(dim=(1, 2, 3), keepdim=True) > 0
        return torch.where(bright, self.bright(images), self.dark(images))


def test_the_judge_has_not_seen_the_crops_that_it_is_asked_about() -> None:
    # Of the second half each model makes what the other one makes of the first.
    one, other = (nn.Sequential(Turned(*periods)) for periods in ((2, 3), (3, 2)))
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    cut += torch.tensor([-0.5] * 4 + [0.3] * 4)[:, None, None, None]
    (row,) = exchange(store_of({ModelKey("000000", 0): one, ModelKey("000000", 1): other}), cut, MEDIAN)
    assert row == {"architecture": "000000", "as trained": 0.0}


def test_equal_models_leave_the_judge_to_guess() -> None:
    model = nn.Sequential(nn.Identity(), Ripple(2))
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    (row,) = exchange(store_of({ModelKey("000000", 0): model, ModelKey("000000", 1): model}), cut, MEDIAN)
    assert row == {"architecture": "000000", "as trained": 0.5, "blocks from 2 of 2 exchanged": 0.5}


def test_of_four_blocks_it_matters_which_end_is_exchanged() -> None:
    one, other = (nn.Sequential(nn.Identity(), nn.Identity(), Ripple(p), nn.Identity()) for p in (2, 3))
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    (row,) = exchange(store_of({ModelKey("100000", 0): one, ModelKey("100000", 1): other}), cut, MEDIAN)
    ends = {"4 of 4": 1.0, "3 of 4": 0.0, "2 of 4": 0.0}
    expected = {f"blocks from {end} exchanged": right for end, right in ends.items()}
    assert row == {"architecture": "100000", "as trained": 1.0, **expected}
    assert list(row)[2:] == list(expected)


def test_pairs_are_spread_over_the_architectures() -> None:
    ids = [f"00000{i}" for i in range(3)] + ["000100", "000101"]
    store = store_of({ModelKey(name, seed): nn.Sequential(Ripple(2 + seed)) for name in ids for seed in range(2)})
    cut = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    assert [row["architecture"] for row in exchange(store, cut, MEDIAN, pairs=3)] == [ids[0], ids[2], ids[4]]


def test_exchanged_runs_the_first_ones_beginning_and_the_others_end() -> None:
    one, other = (nn.Sequential(nn.Identity(), Ripple(period)) for period in (2, 3))
    x = torch.zeros(1, 3, 6, 6)
    assert torch.equal(exchanged(one, other, 1)(x), other(x))  # pyright: ignore[reportArgumentType]


def test_vectors_are_a_row_an_image() -> None:
    assert vectors(torch.rand(3, 3, 64, 64), MEDIAN).shape == (3, vector_size(32))


def test_a_judge_names_both_and_shares_are_averaged_by_depth() -> None:
    cut = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2
    judge = Judge(Ripple(2)(cut[:4]), Ripple(3)(cut[:4]), MEDIAN)
    assert judge.firsts(Ripple(2)(cut[4:])) == 1.0 and judge.firsts(Ripple(3)(cut[4:])) == 0.0
    both = torch.cat([Ripple(2)(cut[4:]), Ripple(3)(cut[4:5])])
    assert judge.firsts(both) == 4 / 5
    rows = [{"architecture": "a", "as trained": 1.0, "x": 0.5}, {"architecture": "b", "as trained": 0.8, "x": 0.1}]
    assert means([*rows, {"architecture": "c", "as trained": 0.9}]) == [
        "2 pairs  as trained 0.90  x 0.30",
        "1 pair  as trained 0.90",
    ]


def test_an_architecture_with_one_seed_exchanges_nothing() -> None:
    store = store_of({ModelKey("000000", 0): nn.Sequential(nn.Identity(), Ripple(2))})
    assert exchange(store, torch.rand(4, 3, 32, 32), MEDIAN) == []


def test_the_side_is_the_smallest_picture_s(tmp_path: Path) -> None:
    for name, size in (("a", (200, 150)), ("b", (64, 80))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    assert least_side([tmp_path / "a.png"]) == 128
    assert least_side([tmp_path / "a.png", tmp_path / "b.png"]) == 64


@pytest.mark.parametrize("seeds", [1, 2])
def test_all_pictures_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seeds: int
) -> None:
    store, out, images = tmp_path / "store", tmp_path / "out", tmp_path / "images" / "zoo"
    synthesize(Plan(select("000000"), seeds), photos(), store, quick())
    folder = write_photos(tmp_path / "photos", 16, 140, 140)
    images.mkdir(parents=True)
    for seed in range(2):
        Image.fromarray(picture(seed, 64, 64)).save(images / f"{seed}.png")
    command = ["x", str(store), "--photos", str(folder), "--out", str(out), "--images", "4", "--crops", "8"]
    monkeypatch.setattr(sys, "argv", [*command, "--dataset", str(tmp_path / "images")])
    main()
    for name in ("options", "kernels", "mean_spectra"):
        assert np.asarray(Image.open(out / f"{name}.png").convert("L")).std() > 1
    rows = json.loads((out / "exchange.json").read_text())
    assert len(rows) == seeds - 1
    told = capsys.readouterr()
    assert ("No architecture has two seeds" in told.err) == (seeds == 1)
    assert all(0 <= value <= 1 for row in rows for value in row.values() if isinstance(value, float))
    assert told.out == "".join(f"{line}\n" for line in means(rows))


def test_too_few_crops_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "store", "--photos", "p", "--out", "o", "--crops", "3"])
    with pytest.raises(SystemExit):
        main()
    assert "--crops must be 4 or more" in capsys.readouterr().err
