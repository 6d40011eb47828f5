"""Table II's comparison: options taken away, datasets beside stores, and the report with its pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.errors import ImageTooSmallError, InputError, NotEnoughReferencesError
from morelli.synthesis.architectures import ARCHITECTURES, ModelKey, select
from morelli.synthesis.compare import compare, without
from morelli.synthesis.crops import Crops
from morelli.synthesis.ffd import ffd
from morelli.synthesis.model_spectra import Spectra, as_file, dataset_spectra, is_store, store_spectra
from morelli.synthesis.report import pick, sheet, write_report
from morelli.synthesis.run import Plan, synthesize
from morelli.synthesis.spectra import SpectrumSettings, mean_spectrum
from morelli.synthesis.store import Store
from morelli.synthesis.volume import log_volume
from morelli.testing.datasets import write_dataset

from .samples import photos, quick

PHOTOS = photos()
NINE = SpectrumSettings(bins=9)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    where = tmp_path_factory.mktemp("store")
    synthesize(Plan(select("000.00"), 2), PHOTOS, where, quick())
    return Store(where)


def residual(images: torch.Tensor) -> torch.Tensor:
    """Differences of neighbours: enough of a high pass."""
    return (images - images.roll(1, -1)) * 256


def spectra(seeds: int = 2, bins: int = 3) -> Spectra:
    keys = tuple(ModelKey(each.id, seed) for each in ARCHITECTURES for seed in range(seeds))
    values = np.random.default_rng(0).normal(size=(len(keys), bins))
    return Spectra("made up", tuple(f"{key.architecture_id}/{key.seed}" for key in keys), keys, values)


def test_outputs_become_what_an_8_bit_file_holds() -> None:
    got = as_file(torch.tensor([-3.0, -1.0, -0.999, 0.0, 0.5, 1.0, 9.0])) * 255
    assert got.round().tolist() == [0, 0, 0, 128, 191, 255, 255]
    torch.testing.assert_close(got, got.round())


@pytest.mark.parametrize(("letter", "left"), [*zip("KLSUAN", [288, 288, 288, 192, 144, 192], strict=True)])
def test_an_option_taken_away(letter: str, left: int) -> None:
    part = without(spectra(), letter)
    assert len(part.names) == len(part.values) == left
    place = "KLSUAN".index(letter)
    assert {name[place] for name in part.names} == {"0"}


def test_without_seeds_each_architecture_has_one() -> None:
    part = without(spectra(), "seed")
    assert len(part.names) == 288 and all(name.endswith("/0") for name in part.names)


def test_the_table() -> None:
    one, other = spectra(), Spectra("real", ("a", "b", "c"), None, np.random.default_rng(1).normal(size=(3, 3)))
    rows = compare(one, other, ("U", "seed"))
    assert [row["without"] for row in rows] == [None, "U", "seed"]
    part = without(one, "U")
    assert rows[0]["ffd"] == pytest.approx(ffd(one.values, other.values)) and rows[0]["volume_share"] == 1
    assert rows[1]["ffd"] == pytest.approx(ffd(part.values, other.values))
    assert rows[1]["volume_share"] == pytest.approx(math.exp(log_volume(part.values) - log_volume(one.values)))
    assert [(row["models"], row["other_models"]) for row in rows] == [(576, 3), (192, 3), (288, 3)]


def test_all_rows_have_their_figures_over_one_number_of_models() -> None:
    one, other = spectra(), Spectra("real", tuple("abcde"), None, np.random.default_rng(1).normal(size=(5, 3)))
    rows = compare(one, other, ("U", "A"), draws=7, seed=3)
    part, far, wide = without(one, "U").values, [], []
    for number in range(7):
        taken = part[np.random.default_rng([3, number]).permutation(192)[:144]]
        far.append(ffd(taken, other.values))
        wide.append(log_volume(taken))
    wanted = {
        "ffd_models": 144, "ffd": np.mean(far), "ffd_spread": np.std(far),
        "volume_models": 144, "log_volume": np.mean(wide), "log_volume_spread": np.std(wide),
    }  # fmt: skip
    found = dict(rows[1]["equal"])
    share = found.pop("volume_share")
    assert found == pytest.approx(wanted) and found["ffd_spread"] > 0
    assert share == pytest.approx(math.exp(found["log_volume"] - rows[0]["equal"]["log_volume"]))
    # The smallest row is what it is.
    assert (rows[2]["equal"]["ffd"], rows[2]["equal"]["ffd_spread"]) == (rows[2]["ffd"], 0.0)
    assert compare(one, other, ("U", "A"), draws=7, seed=3) == rows != compare(one, other, ("U", "A"), draws=7)
    with pytest.raises(InputError, match="draws"):
        compare(one, other, draws=0)


def test_equal_sets_are_equally_far_and_large_however_many_models_a_row_has() -> None:
    """All models are of one Gaussian: no option matters, and figures over all models say that some do."""
    one, other = spectra(1, 20), Spectra("real", ("x",) * 41, None, np.random.default_rng(1).normal(size=(41, 20)))
    rows = compare(one, other, ("K", "U", "A"))
    assert [row["models"] for row in rows] == [288, 144, 96, 72]
    plain = [row["ffd"] for row in rows]
    assert plain[3] > 1.15 * plain[0] and rows[3]["volume_share"] < 0.4
    for row in rows:
        assert row["equal"]["ffd"] == pytest.approx(rows[3]["ffd"], rel=0.08)
        assert 0.5 < row["equal"]["volume_share"] < 2
        assert row["notes"] == []


def test_a_row_without_its_number_makes_no_other_smaller() -> None:
    keys = tuple(ModelKey(name, seed) for name in ("000000", "100000") for seed in range(9))
    values = np.random.default_rng(0).normal(size=(18, 10))
    one = Spectra("made up", tuple(map(str, keys)), keys, values)
    rows = compare(one, one, ("K", "seed"))
    # Volumes: 18 models alone are more than 10 bins. Distances: of nine, and of two seeds of one each.
    assert [row["equal"]["volume_models"] for row in rows] == [18, 18, 18]
    assert [row["equal"]["log_volume"] is None for row in rows] == [False, True, True]
    assert [row["equal"]["ffd_models"] for row in rows] == [2, 2, 2]
    assert rows[0]["notes"] == [
        "a covariance of 2 models has not full rank in 10 bins: the distance is too large, by how much depends on the "
        "number of models."
    ]
    alone = Spectra("made up", ("a",), (keys[0],), values[:1])
    assert compare(alone, one)[0]["equal"]["ffd"] is None
    few = Spectra("real", ("a", "b"), None, values[:2])
    assert [note[:26] for note in compare(one, few)[0]["notes"]] == ["a covariance of 2 models h"]


def test_a_number_that_needs_more_models_is_left_out_and_told() -> None:
    one = spectra(seeds=1, bins=100)
    row = compare(one, one, ("U", "A"))
    assert row[0]["log_volume"] is not None and row[1]["log_volume"] is None
    assert row[1]["ffd"] is not None and "96 models for 100 bins" in row[1]["why"][0]


def test_a_dataset_has_no_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store"):
        without(Spectra("real", ("a",), None, np.zeros((1, 3))), "U")
    with pytest.raises(InputError, match="seed or one of"):
        without(spectra(), "up")


def test_a_model_s_spectrum_is_that_of_its_images(store: Store) -> None:
    found = store_spectra(store, PHOTOS, residual, NINE, side=16, images=5)
    assert found.names[0] == "000000/0" and found.values.shape == (6, 9)
    crops = Crops(PHOTOS.pixels, 16)
    cut = crops.cut(crops.draw(torch.Generator().manual_seed(0), 5))
    for key, row in zip(store.keys, found.values, strict=True):
        with torch.no_grad():
            out = store.load(key)(cut).clamp(-1, 1)
        wanted = mean_spectrum([((out + 1) * 127.5).round() / 255], residual, NINE)
        np.testing.assert_allclose(row, wanted.numpy(), atol=2e-3)  # a rounding to 8 bits may fall the other way
    assert not np.allclose(found.values[0], found.values[1], atol=1e-2)


def test_datasets_are_compared_over_the_centres_of_their_pictures(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", models=3, prompts=3, seeds=1, size=40)
    found = dataset_spectra(folder, residual, NINE, side=32, images=2)
    assert found.names == ("model-00", "model-01", "model-02") and found.keys is None
    assert not is_store(folder)
    with pytest.raises(ImageTooSmallError, match="40×40 pixels, and 48"):
        dataset_spectra(folder, residual, NINE, side=48)


def test_bad_sides_and_empty_stores(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        store_spectra(store, PHOTOS, residual, NINE, side=18)
    with pytest.raises(NotEnoughReferencesError):
        store_spectra(store, PHOTOS, residual, NINE, side=16, keys=[])
    assert is_store(store.path) and not is_store(tmp_path)


def test_the_sheet_shows_photographs_and_models(store: Store) -> None:
    picture = sheet(store, PHOTOS, models=4, rows=2)
    assert picture is not None and picture.width == 5 * 28 + 4 and picture.height == 2 * 28 + 28
    # The first column has crops of the photographs kept for checking, pixel for pixel; the others the models' outputs.
    crops = Crops(PHOTOS.checking, 24)
    cut = crops.cut(crops.draw(torch.Generator().manual_seed(1), 2))
    columns = [cut, *(store.apply(cut, [key] * 2) for key in pick(store.keys, 4))]
    shown = np.asarray(picture)
    for column, images in enumerate(columns):
        wanted = (as_file(images) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        for row in range(2):
            top, left = 28 + 28 * row, 4 + 28 * column
            assert np.array_equal(shown[top : top + 24, left : left + 24], wanted[row]), (row, column)
    sources = [photo.astype(float) / 127.5 - 1 for photo in PHOTOS.checking]
    inside = cut[0].permute(1, 2, 0).numpy()
    assert any(
        np.allclose(photo[top : top + 24, left : left + 24], inside, atol=1e-5)
        for photo in sources
        for top in range(photo.shape[0] - 23)
        for left in range(photo.shape[1] - 23)
    )


@pytest.mark.parametrize(("models", "shown"), [(3, 3), (12, 12), (50, 12)])
def test_models_for_the_sheet_are_of_many_architectures(models: int, shown: int) -> None:
    keys = [ModelKey(each.id, seed) for each in ARCHITECTURES[:models] for seed in range(2)]
    picked = pick(keys, 12)
    assert len(picked) == len(set(picked)) == (6 if models == 3 else shown)
    if models > 3:
        assert len({key.architecture_id for key in picked}) == 12


def test_the_report_counts_what_the_index_holds(store: Store) -> None:
    report = write_report(store, PHOTOS, {"kept": 6})
    assert json.loads((store.path / "report.json").read_text()) == report
    assert report["kept"] == 6 and report["photos"] == 16 and report["not_kept"] == []
    assert set(report["mse"]) == {"000000", "000100", "000200"}
    assert report["mse"]["000000"] == pytest.approx(
        np.mean([store.records[ModelKey("000000", seed)].mse for seed in range(2)]), abs=1e-5
    )
    assert (store.path / "report.png").read_bytes().startswith(b"\x89PNG")
