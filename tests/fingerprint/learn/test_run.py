"""From classes to a file that loads: caches, metadata, controls, fine-tuning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from morelli._version import __version__
from morelli.errors import DatasetError, InputError
from morelli.fingerprint.chain import LEARNING
from morelli.fingerprint.extractor import load_extractor
from morelli.fingerprint.learn import run as running
from morelli.fingerprint.learn import trainer as training
from morelli.fingerprint.learn.bank import GIB
from morelli.fingerprint.learn.classes import Classes, dataset_classes, synthetic_classes
from morelli.fingerprint.learn.kept import entry_bytes
from morelli.fingerprint.learn.run import Budget, Place, learn, one_epoch
from morelli.images.dataset import read_dataset
from morelli.synthesis.photos import Photos
from morelli.synthesis.store import Store
from tests.fingerprint.learn.toys import few, photos, store
from tests.synthesis.samples import picture


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FITTED", 16)
    monkeypatch.setattr(training, "SEEN", 2)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, seen: Photos) -> Store:
    return store(tmp_path_factory.mktemp("store"), source=seen)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def synthetic(made: Store, seen: Photos, **others: Any) -> Classes:
    return synthetic_classes(made, seen, few(), **{"held_out": 0.25, **others})


def lines(said: list[str], start: str) -> list[str]:
    return [line for line in said if line.startswith(start)]


def test_a_file_says_what_it_was_trained_with(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "f.safetensors", []
    settings = few(steps=2, validate_every=2)
    told = learn(synthetic(made, seen), settings, out, Place(tmp_path / "c", cache), say=said.append)
    assert told is not None
    found = load_extractor(out, told["sha256"])
    assert (found.name, found.chain) == ("small", LEARNING)
    about = found.training
    assert about == {key: value for key, value in told.items() if key != "sha256"}
    assert about["settings"] == settings.as_dict()
    assert (about["classes"], about["synthetic_models"], about["architectures"], about["held_out_models"]) == (
        6,
        6,
        3,
        2,
    )
    assert (about["steps"], about["pictures_a_class"], about["photos"]) == (2, 6, seen.digest)
    assert (about["version"], about["control"], about["from"]) == (__version__, None, None)
    assert 0 <= about["validation"]["auc"] <= 1 and about["photographs"] == len(seen.training)
    assert len(lines(said, "cache: ")) == 2 and "6 classes × 6 pictures; 0.00 GiB" in lines(said, "cache: ")[0]
    logged = [json.loads(line) for line in (tmp_path / "c" / "log.jsonl").read_text().splitlines()]
    assert logged[-1]["auc"] == pytest.approx(about["validation"]["auc"])
    head = {name: about[name] for name in ("version", "torch", "settings", "pictures", "chain", "from")}
    assert logged[0] == {"step": 0, "seed": settings.seed, **head}


def test_a_log_says_once_which_version_went_on(
    made: Store, seen: Photos, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps_and_versions(version: str) -> list[tuple[int, str]]:
        monkeypatch.setattr(running, "__version__", version)
        place = Place(tmp_path / "c", cache)
        learn(synthetic(made, seen, held_out=0.0), few(steps=1), tmp_path / "f.safetensors", place, say=lambda _: None)
        lines = [json.loads(line) for line in (tmp_path / "c" / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["version"]) for line in lines if "version" in line]

    assert steps_and_versions("1") == steps_and_versions("1") == [(0, "1")]
    assert steps_and_versions("2") == [(0, "1"), (1, "2")]
    (tmp_path / "c" / "log.jsonl").write_text('{"step": 1, "loss": 0.5}\n')  # as older versions wrote it
    assert steps_and_versions("2") == [(1, "2")]


@pytest.mark.parametrize("kind", ["pixels", "none"])
def test_other_caches_train_too(made: Store, seen: Photos, cache: Path, tmp_path: Path, kind: str) -> None:
    settings = few(steps=2, cache=kind, augment="immunised", loss="supcon")
    classes = synthetic(made, seen, held_out=0.0, plain=True)
    told = learn(classes, settings, tmp_path / "f.safetensors", Place(tmp_path / "c", cache), say=lambda _: None)
    assert told is not None and told["classes"] == 9 and told["plain_photographs"]
    assert told["pictures_a_class"] == (6 if kind == "pixels" else None) and told["validation"] == {}


def test_the_cache_is_bounded(made: Store, seen: Photos, tmp_path: Path) -> None:
    classes, said = synthetic(made, seen, held_out=0.0), []
    entry = entry_bytes(LEARNING, "spectra")
    place = Place(tmp_path / "c", tmp_path / "cache", 8 * 3 * entry)
    told = learn(classes, few(steps=1), tmp_path / "f.safetensors", place, say=said.append)
    assert told is not None and told["pictures_a_class"] == 3
    assert lines(said, "note: 3 pictures of each class instead of 6")
    assert sum(file.stat().st_size for file in (tmp_path / "cache").glob("*.bin")) <= place.cache_bytes
    with pytest.raises(InputError, match="are allowed"):
        learn(classes, few(), tmp_path / "f.safetensors", replace(place, cache_bytes=8 * entry), say=said.append)
    assert place.cache_bytes < GIB


def test_the_validation_is_part_of_what_the_cache_may_take(made: Store, seen: Photos, tmp_path: Path) -> None:
    classes, said = synthetic(made, seen), []
    assert classes.validate is not None and (len(classes.learn.names), len(classes.validate.names)) == (6, 2)
    entry = entry_bytes(LEARNING, "spectra")
    place = Place(tmp_path / "c", tmp_path / "cache", (2 * 20 + 6 * 3) * entry)
    told = learn(classes, few(steps=1), tmp_path / "f.safetensors", place, say=said.append)
    assert told is not None and told["pictures_a_class"] == 3
    assert lines(said, "note: 3 pictures of each class instead of 6")
    taken = sum(file.stat().st_size for file in (tmp_path / "cache").glob("*.bin"))
    assert taken == place.cache_bytes
    # Said before anything is made: neither the validation fits, nor what is left beside it.
    for size, words in (
        (2 * 20 * entry - 1, "the validation's 2 models"),
        ((2 * 20 + 6) * entry, "6 classes × 2 slots"),
    ):
        little = Place(tmp_path / "c2", tmp_path / "none", size)
        with pytest.raises(InputError, match=f"{words}.*are allowed"):
            learn(classes, few(cache="spectra"), tmp_path / "g.safetensors", little, say=said.append)
    assert not (tmp_path / "none").exists()


def test_the_published_view_trains_on_what_no_file_holds(
    made: Store, seen: Photos, cache: Path, tmp_path: Path
) -> None:
    settings = few(steps=1, cache="none", quantise=False, view="resize", margin_px=0, sampler="random", loss="ce")
    classes = synthetic_classes(made, seen, settings, held_out=0.25)
    assert classes.validate is not None and classes.validate.quantise  # pyright: ignore[reportAttributeAccessIssue]
    assert classes.learn.pixels(np.array([0]), np.array([0])).dtype == torch.float32
    told = learn(classes, settings, tmp_path / "f.safetensors", Place(tmp_path / "c", cache), say=lambda _: None)
    assert told is not None and told["settings"]["quantise"] is False


def test_what_a_training_began_with_is_known_by_its_contents(
    made: Store, seen: Photos, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another network in a folder of the same name is another training, and is not gone on with."""
    network = running._network
    monkeypatch.setattr(
        running, "_network", lambda name, chain, settings, begin, _: network(name, chain, settings, begin, None)
    )

    def begun_with(weights: bytes, folder: str) -> str:
        pretrained = tmp_path / folder / "resnet"
        pretrained.mkdir(parents=True, exist_ok=True)
        (pretrained / "config.json").write_text("{}")
        (pretrained / "model.safetensors").write_bytes(weights)
        (pretrained / "README.md").write_text(folder)
        told = learn(
            synthetic(made, seen, held_out=0.0), few(steps=1), tmp_path / "f.safetensors", Place(tmp_path / "c", cache),
            pretrained=pretrained, say=lambda _: None,
        )  # fmt: skip
        assert told is not None
        return told["from"]

    first = begun_with(b"one", "a")
    assert first.startswith("resnet ") and begun_with(b"one", "b") == first
    with pytest.raises(InputError, match="another training: from was"):
        begun_with(b"two", "a")


def test_controls_are_saved_in_the_same_form(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    def train(name: str, **others: Any) -> tuple[dict[str, torch.Tensor], Any]:
        out = tmp_path / f"{name}.safetensors"
        place = Place(tmp_path / name, cache)
        assert learn(synthetic(made, seen), few(**others), out, place, say=lambda _: None)
        found = load_extractor(out)
        return found.network.state_dict(), found.training

    untrained, about = train("untrained", steps=0)
    assert (about["control"], about["steps"]) == ("untrained", 0) and about["validation"]["auc"] > 0
    shuffled, about = train("shuffled", steps=2, shuffle_labels=True)
    assert about["control"] == "shuffled labels"
    trained, about = train("trained", steps=2)
    assert about["control"] is None
    assert untrained.keys() == shuffled.keys() == trained.keys()
    assert not torch.equal(shuffled["stem.weight"], trained["stem.weight"])
    assert torch.equal(untrained["input.mean"], trained["input.mean"])


def write(folder: Path, counts: dict[str, int]) -> Path:
    for model, count in counts.items():
        (folder / model).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(picture(hash_of(model) + number, 150, 160)).save(folder / model / f"{number}.png")
    return folder


def hash_of(name: str) -> int:
    return sum(map(ord, name))


def test_fine_tuning_goes_on_from_a_file(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.safetensors"
    learn(synthetic(made, seen), few(steps=1), first, Place(tmp_path / "c", cache), say=lambda _: None)
    items = read_dataset(write(tmp_path / "real", {"a": 4, "b": 2, "c": 3})).items
    settings = few(chain="whole", lr=1e-4, p=2, k=2)
    classes = dataset_classes(items, settings)
    epoch = one_epoch(classes, settings, windows=2)
    assert (epoch.slots, epoch.steps) == (8, 6)  # 3 models × 8 windows in batches of 4
    # Of 16 models a batch takes the three that there are: 6 pictures, not 32.
    assert one_epoch(classes, few(p=16, k=2), windows=2).steps == 4
    assert one_epoch(classes, few(p=16, k=2, sampler="random"), windows=2).steps == 1
    begin = load_extractor(first)
    out = tmp_path / "second.safetensors"
    told = learn(classes, epoch, out, Place(tmp_path / "c2", cache), begin=begin, say=lambda _: None)
    found = load_extractor(out)
    assert told is not None and found.chain == begin.chain == LEARNING
    assert found.training["from"] == begin.revision and found.training["models"] == ["a", "b", "c"]
    assert (found.training["images"], found.training["steps"]) == (9, 6)
    before, after = begin.network.state_dict(), found.network.state_dict()
    assert torch.equal(before["input.mean"], after["input.mean"])
    change = (after["stem.weight"] - before["stem.weight"]).abs().max()
    assert 0 < change < 0.01


def test_a_dataset_s_models_can_be_further_classes(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    items = read_dataset(write(tmp_path / "real", {"a": 3, "b": 2})).items
    classes = synthetic(made, seen, also=items)
    assert classes.learn.names[-2:] == ["a", "b"] and classes.about["further_models"] == ["a", "b"]
    told = learn(classes, few(steps=1), tmp_path / "f.safetensors", Place(tmp_path / "c", cache), say=lambda _: None)
    assert told is not None and told["classes"] == 8
    same = [replace(item, model="000000/0") for item in items]
    with pytest.raises(DatasetError, match="another class"):
        synthetic(made, seen, also=same, held_out=0.0)


def test_the_best_of_no_validation_is_refused(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a validation"):
        learn(
            synthetic(made, seen, held_out=0.0), few(keep="best"), tmp_path / "f.safetensors",
            Place(tmp_path / "c", cache), say=lambda _: None,
        )  # fmt: skip


def test_minutes_are_planned_as_steps(made: Store, seen: Photos, cache: Path, tmp_path: Path) -> None:
    said: list[str] = []
    ticks = iter(range(10_000))
    budget = Budget(5 / 60, lambda: float(next(ticks)))  # 5 s on a clock that ticks at every look
    told = learn(
        synthetic(made, seen), few(steps=999), tmp_path / "f.safetensors", Place(tmp_path / "c", cache), budget=budget,
        say=said.append,
    )  # fmt: skip
    assert told is not None and 1 <= told["steps"] < 10
    assert lines(said, f"{told['steps']} steps are planned")


def test_validation_has_models_and_photographs_of_its_own(made: Store, seen: Photos) -> None:
    classes = synthetic(made, seen)
    assert classes.validate is not None
    assert not set(classes.learn.groups) & set(classes.validate.groups)
    learn_photos, check_photos = classes.learn.crops.photos, classes.validate.crops.photos  # pyright: ignore
    assert not {each.tobytes() for each in learn_photos} & {each.tobytes() for each in check_photos}
