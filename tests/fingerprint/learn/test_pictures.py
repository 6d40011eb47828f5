"""Pictures of classes: synthetic models, plain photographs, datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from morelli.encoders.weights import short_hash
from morelli.errors import ImageTooSmallError, InputError, NotEnoughReferencesError
from morelli.fingerprint.learn.dataset_pictures import DatasetPictures
from morelli.fingerprint.learn.pictures import Crops, Joined, ModelPictures, PlainPictures
from morelli.images.dataset import read_dataset
from morelli.synthesis.store import Store
from tests.fingerprint.learn.toys import MadeUp, photos, store
from tests.synthesis.samples import picture

PHOTOS = [picture(seed, 150, 170) for seed in range(5)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return store(tmp_path_factory.mktemp("made"), names="000000,000020", seeds=2)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers)


def test_a_slot_is_a_place_in_a_photograph() -> None:
    crops = Crops(PHOTOS, 144, seed=3)
    for slot in range(6):
        crop = crops.cut(slot)
        assert crop.shape == (144, 144, 3)
        flips = (crop, crop[:, ::-1])
        assert any(
            np.array_equal(photo[top : top + 144, left : left + 144], each)
            for photo in PHOTOS
            for top in range(7)
            for left in range(27)
            for each in flips
        )
    assert np.array_equal(crops.cut(7), Crops(PHOTOS, 144, seed=3).cut(7))
    assert len({Crops(PHOTOS, 144, seed=s).cut(7).tobytes() for s in range(6)}) > 1
    # Every photograph once before one comes again.
    means = [crops._order[slot % 5] for slot in range(5)]
    assert sorted(means) == list(range(5))


def test_whole_photographs_are_squeezed_as_published() -> None:
    crops = Crops(PHOTOS, 128, seed=0, squeeze=True)
    wanted = {np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BICUBIC)).tobytes() for p in PHOTOS}
    assert {crops.cut(slot).tobytes() for slot in range(5)} == wanted
    assert crops.limit == 5 and Crops(PHOTOS, 128, seed=0).limit is None


def test_photographs_that_are_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="160 pixels"):
        Crops(PHOTOS, 160, seed=0)
    with pytest.raises(InputError, match="photos"):
        Crops([], 128, seed=0)


def test_models_pictures_are_what_the_store_makes_rounded_without_the_border(made: Store) -> None:
    crops = Crops(PHOTOS, 144, seed=0)
    pictures = ModelPictures(made, made.keys, crops, "digest")
    assert pictures.names == ["000000/0", "000000/1", "000020/0", "000020/1"]
    assert pictures.groups == ["000000", "000000", "000020", "000020"]
    found = pictures.pixels(rows(2, 0, 2), rows(5, 5, 9))
    assert found.dtype == torch.uint8 and found.shape == (3, 3, 128, 128)
    for row, (key, slot) in enumerate([(2, 5), (0, 5), (2, 9)]):
        photo = torch.from_numpy(crops.cut(slot).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            out = made.load(made.keys[key])(photo)[0, :, 8:-8, 8:-8]
        wanted = np.rint(np.clip((out.numpy() + 1) * 127.5, 0, 255))
        assert np.abs(found[row].numpy() - wanted).max() <= 1  # float noise at the border of a level
        assert (found[row].numpy() == wanted).mean() > 0.999


def test_pictures_may_be_what_the_models_give_without_a_file_between(made: Store) -> None:
    crops = Crops(PHOTOS, 128, seed=0)
    raw = ModelPictures(made, made.keys, crops, "digest", quantise=False)
    found = raw.pixels(rows(2, 0), rows(5, 5))
    photo = torch.from_numpy(crops.cut(5).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    for row, number in enumerate((2, 0)):
        with torch.no_grad():
            wanted = (made.load(made.keys[number])(photo)[0] + 1) * 127.5
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-2)
    assert found.dtype == torch.float32 and (found.round() != found).any()
    files = ModelPictures(made, made.keys, crops, "digest").pixels(rows(2, 0), rows(5, 5))
    assert (found.clamp(0, 255).round() - files.float()).abs().max() <= 1
    joined = Joined([raw, MadeUp(1)]).pixels(rows(4, 2), rows(1, 5))
    assert joined.dtype == torch.float32 and torch.equal(joined[1], found[0])
    assert torch.equal(joined[0], MadeUp(1).pixels(rows(0), rows(1))[0].float())


def test_what_is_rounded_keeps_the_digest_that_it_always_had(made: Store) -> None:
    weights = [[*key, made.records[key].sha256, made.records[key].row] for key in made.keys]
    before = short_hash([weights, "a", 144, 0, False])
    crops = Crops(PHOTOS, 144, 0)
    assert ModelPictures(made, made.keys, crops, "a").digest == before
    assert ModelPictures(made, made.keys, crops, "a", quantise=False).digest != before


def test_the_digest_changes_with_everything(made: Store) -> None:
    def digest(keys=made.keys, side=144, seed=0, squeeze=False, source="a") -> str:
        return ModelPictures(made, keys, Crops(PHOTOS, side, seed, squeeze=squeeze), source).digest

    others = [digest(made.keys[:3]), digest(side=128), digest(seed=1), digest(squeeze=True), digest(source="b")]
    assert len({digest(), *others}) == 6
    assert digest() == digest()


def test_plain_photographs_are_a_class_and_parts_are_joined(made: Store) -> None:
    crops = Crops(PHOTOS, 144, seed=0)
    plain, models = PlainPictures(crops, "a"), ModelPictures(made, made.keys[:2], crops, "a")
    wanted = crops.cut(3)[8:-8, 8:-8].transpose(2, 0, 1)
    assert np.array_equal(plain.pixels(rows(0), rows(3))[0].numpy(), wanted)
    joined = Joined([models, plain, MadeUp(2)])
    assert joined.names == ["000000/0", "000000/1", "photographs", "model-0", "model-1"]
    found = joined.pixels(rows(4, 2, 1, 2), rows(0, 3, 1, 2))
    assert np.array_equal(found[1].numpy(), wanted)
    assert torch.equal(found[2], models.pixels(rows(1), rows(1))[0])
    assert torch.equal(found[0], MadeUp(2).pixels(rows(1), rows(0))[0])
    assert Joined([models, PlainPictures(Crops(PHOTOS, 128, 0, squeeze=True), "a")]).limit == 5


def write(folder: Path, model: str, count: int, size: tuple[int, int] = (150, 140)) -> None:
    (folder / model).mkdir(parents=True)
    for number in range(count):
        Image.fromarray(picture(len(model) * 100 + number, *size)).save(folder / model / f"{number}.png")


def test_a_dataset_shows_windows_of_its_images_in_turn(tmp_path: Path) -> None:
    write(tmp_path, "b", 3)
    write(tmp_path, "a", 2, (64, 50))
    items = read_dataset(tmp_path).items
    pictures = DatasetPictures(items, seed=1)
    assert (pictures.names, pictures.images, pictures.most) == (["a", "b"], 5, 3)
    windows = [picture_window(pictures, 1, slot) for slot in range(6)]
    files = [np.asarray(Image.open(item.path)) for item in items if item.model == "b"]
    owners = [[number for number, file in enumerate(files) if contains(file, each)] for each in windows]
    assert all(len(own) == 1 for own in owners)
    assert sorted(own[0] for own in owners[:3]) == [0, 1, 2] and owners[:3] == owners[3:]
    assert not np.array_equal(windows[0], windows[3])
    assert pictures.pixels(rows(0), rows(0)).shape == (1, 3, 128, 128)  # enlarged
    centre = DatasetPictures(items, seed=1, where="centre")
    assert np.array_equal(picture_window(centre, 1, 0), picture_window(centre, 1, 3))
    assert any(np.array_equal(picture_window(centre, 1, 0), file[11:139, 6:134]) for file in files)
    assert centre.digest != pictures.digest != DatasetPictures(items, seed=2).digest


def picture_window(pictures: DatasetPictures, row: int, slot: int) -> np.ndarray:
    return pictures.pixels(rows(row), rows(slot))[0].permute(1, 2, 0).numpy()


def contains(file: np.ndarray, window: np.ndarray) -> bool:
    views = np.lib.stride_tricks.sliding_window_view(file, (128, 128, 3))[:, :, 0]
    return bool((views[:, :, 0, 0] == window[0, 0]).all(-1).any()) and any(
        np.array_equal(views[top, left], window) for top in range(views.shape[0]) for left in range(views.shape[1])
    )


def test_datasets_that_cannot_be_classes_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "lonely", 1)
    write(tmp_path, "many", 2, (12, 40))
    items = read_dataset(tmp_path).items
    with pytest.raises(NotEnoughReferencesError, match="lonely"):
        DatasetPictures(items)
    with pytest.raises(NotEnoughReferencesError, match="none"):
        DatasetPictures([])
    small = DatasetPictures([item for item in items if item.model == "many"])
    with pytest.raises(ImageTooSmallError, match="at least 16"):
        small.pixels(rows(0), rows(0))


def test_photos_of_the_toys_fit(tmp_path: Path) -> None:
    assert len(photos(tmp_path).training) > len(photos(tmp_path).checking) > 1
