"""A store: what was trained comes back, is checked, goes on after a crash, and serves batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from morelli.errors import ArrayError, DatasetError, InputError, UnknownNameError, WeightsError
from morelli.synthesis import run as running
from morelli.synthesis import writing
from morelli.synthesis.architectures import ModelKey, from_id, select
from morelli.synthesis.photos import Photos
from morelli.synthesis.records import read_index
from morelli.synthesis.run import SPARES, Plan, synthesize
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import fresh_weights
from morelli.synthesis.store import Store
from morelli.synthesis.train import Pool, Trained, train
from morelli.synthesis.writing import StoreWriter, output_change

from .samples import photos, quick

PHOTOS = photos()
SETTINGS = quick()


def make(folder: Path, names: str = "000000,100221", seeds: int = 3, settings: TrainingSettings = SETTINGS, **plan):
    return synthesize(Plan(select(names), seeds, **{"together": 2, **plan}), PHOTOS, folder, settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("store")
    told = make(where)
    assert (told["asked"], told["kept"], told["made"], told["missing"]) == (6, 6, 6, 0)
    return where


def test_what_was_trained_comes_back(folder: Path) -> None:
    store = Store(folder)
    assert store.keys == [ModelKey(name, seed) for name in ("000000", "100221") for seed in range(3)]
    assert len(store) == 6 and store.header["photos"] == PHOTOS.digest
    for key in store.keys:
        trained = train([key], Pool(PHOTOS, SETTINGS), SETTINGS)[0]
        model = store.load(key)
        assert not model.training
        for name, value in trained.weights.items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-3, atol=1e-3)
        record = store.records[key]
        assert record.mse == pytest.approx(trained.mse, rel=1e-2) and record.steps == trained.steps


def test_records_tell_what_was_reached(folder: Path) -> None:
    for line in (folder / "index.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record["status"] == "kept" and record["policy"] == "floor"
        assert record["floor_reached"] is (record["mse"] <= SETTINGS.eta)
        assert record["under_ceiling"] is (record["mse"] <= SETTINGS.ceiling)
        assert record["precision"] == "fp16" and 0 < record["rounding"] <= writing.ROUNDING


@pytest.mark.parametrize("scheme", ["auto", "grouped", "matmul", "vmap"])
def test_each_image_goes_through_its_own_model(folder: Path, scheme: str) -> None:
    store = Store(folder)
    order = [4, 0, 0, 2, 5, 1, 4, 3]
    keys = [store.keys[number] for number in order]
    images = torch.rand(8, 3, 16, 20) * 2 - 1
    out = store.apply(images, keys, scheme=scheme)
    assert out.dtype == torch.float32 and not out.requires_grad
    for image, key, got in zip(images, keys, out, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(got, store.load(key)(image[None])[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(out[0], store.apply(images[:1], keys[1:2])[0])


def test_outputs_are_not_clamped(folder: Path) -> None:
    store = Store(folder)
    assert store.apply(torch.full((1, 3, 16, 16), 50.0), store.keys[:1]).abs().max() > 1


def test_no_image_gives_no_image(folder: Path) -> None:
    assert Store(folder).apply(torch.zeros(0, 3, 16, 16), []).shape == (0, 3, 16, 16)


def test_bad_requests(folder: Path) -> None:
    store = Store(folder)
    with pytest.raises(InputError, match="keys"):
        store.apply(torch.zeros(2, 3, 16, 16), store.keys[:1])
    with pytest.raises(ArrayError):
        store.apply(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), store.keys[:1])
    with pytest.raises(ArrayError, match="multiples"):
        store.apply(torch.zeros(1, 3, 18, 16), [ModelKey("100221", 0)])
    with pytest.raises(UnknownNameError, match="000000/9"):
        store.load(ModelKey("000000", 9))


def test_a_shard_that_is_not_the_one_is_refused(folder: Path, tmp_path: Path) -> None:
    make(tmp_path, "000000", 2)
    shard = next((tmp_path / "shards").iterdir())
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match="SHA-256"):
        Store(tmp_path).load(ModelKey("000000", 0))
    shard.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        Store(tmp_path).load(ModelKey("000000", 0))


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add, calls = StoreWriter.add, []

    def stop(self, trained, check):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return add(self, trained, check)

    monkeypatch.setattr(StoreWriter, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, seeds=4)
    monkeypatch.setattr(StoreWriter, "add", add)
    assert len(Store(tmp_path)) == 2
    with (tmp_path / "index.jsonl").open("ab") as file:
        file.write(b'{"architecture": "0000')  # cut off by a crash
    assert len(Store(tmp_path)) == 2
    told = make(tmp_path, seeds=4)
    assert (told["kept"], told["made"]) == (8, 6)
    assert make(tmp_path, seeds=4)["made"] == 0
    other = tmp_path.with_name("whole")
    make(other, seeds=4)
    one, two = Store(tmp_path), Store(other)
    assert one.keys == two.keys
    for key in one.keys:
        here, there = one.load(key).state_dict(), two.load(key).state_dict()
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_more_seeds_extend_a_store(tmp_path: Path) -> None:
    make(tmp_path, "000000", 1)
    told = make(tmp_path, "000000,000001", 2)
    assert (told["made"], told["kept"]) == (3, 4)


def test_other_settings_or_photographs_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="max_steps 4"):
        make(folder, settings=quick(max_steps=6))
    with pytest.raises(InputError, match="other photographs"):
        synthesize(Plan(select("000000"), 1), Photos(PHOTOS.pixels, "other"), folder, SETTINGS)


def test_two_writers_do_not_meet(folder: Path) -> None:
    with StoreWriter(folder, SETTINGS, PHOTOS.digest), pytest.raises(InputError, match="another process"):
        StoreWriter(folder, SETTINGS, PHOTOS.digest)


def test_folders_that_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="morelli synthesize"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text('{"schema": "other/1"}')
    with pytest.raises(DatasetError, match="schema"):
        Store(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(DatasetError, match="is no JSON"):
        Store(tmp_path)
    (tmp_path / "index.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(DatasetError, match="line 1"):
        read_index(tmp_path)


@pytest.mark.parametrize("lack", ["settings", "photos"])
@pytest.mark.parametrize("instead", [None, 5, []])
def test_a_header_that_lacks_something_is_named(folder: Path, tmp_path: Path, lack: str, instead: object) -> None:
    header = json.loads((folder / "store.json").read_text())
    header[lack] = instead
    if instead is None:
        del header[lack]
    (tmp_path / "store.json").write_text(json.dumps(header))
    with pytest.raises(DatasetError, match=r"store.json: is damaged: it must have settings and photos"):
        Store(tmp_path)
    with pytest.raises(DatasetError, match="settings and photos"):
        StoreWriter(tmp_path, SETTINGS, PHOTOS.digest)


def test_a_width_that_is_none_is_named_and_an_absent_one_is_the_default(folder: Path, tmp_path: Path) -> None:
    header = json.loads((folder / "store.json").read_text())
    for width in ("4", 0, True, None):
        header["settings"]["width"] = width
        (tmp_path / "store.json").write_text(json.dumps(header))
        with pytest.raises(DatasetError, match="a width that is a number above 0"):
            Store(tmp_path)
    del header["settings"]["width"]
    (tmp_path / "store.json").write_text(json.dumps(header))
    assert Store(tmp_path).width == TrainingSettings().width


def test_a_diverged_model_is_replaced_by_the_next_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = running.train

    def one_fails(keys, pool, settings, **options):
        done = real(keys, pool, settings, **options)
        for each in done:
            if each.key.seed == 1:
                object.__setattr__(each, "mse", float("nan"))
                object.__setattr__(each, "trouble", "diverged: its output is not finite")
        return done

    monkeypatch.setattr(running, "train", one_fails)
    told = make(tmp_path, "000000", 3)
    assert (told["kept"], told["replaced"], told["missing"]) == (3, 1, 0)
    assert [key.seed for key in Store(tmp_path).keys] == [0, 2, 3]
    record = read_index(tmp_path)[ModelKey("000000", 1)]
    assert record.status == "diverged" and record.mse is None and record.shard is None
    assert make(tmp_path, "000000", 3)["made"] == 0


def test_an_architecture_that_never_trains_ends(tmp_path: Path) -> None:
    told = make(tmp_path, "100000", 1, quick(lr=1e30, max_steps=4))
    assert (told["kept"], told["missing"], told["replaced"]) == (0, 1, 1 + SPARES)


def test_the_ceiling_rejects_and_replaces_nothing(tmp_path: Path) -> None:
    told = make(tmp_path, "000000", 2, quick(policy="ceiling", ceiling=1e-6))
    assert (told["kept"], told["rejected"], told["replaced"], told["missing"]) == (0, 2, 0, 2)
    assert make(tmp_path, "000000", 2, quick(policy="ceiling", ceiling=1e-6))["made"] == 0
    kept = make(tmp_path / "b", "000000", 2, quick(policy="ceiling", ceiling=10.0))
    assert (kept["kept"], kept["missing"]) == (2, 0)


def graded(monkeypatch: pytest.MonkeyPatch, errors: dict[str, float]) -> list[str]:
    """Training that takes no time and gives each architecture an error; returns the architectures in their order."""
    seen: list[str] = []

    def done(keys, pool, settings, **options):
        seen.append(keys[0].architecture_id)
        weights = {name: value[:1] for name, value in fresh_weights(keys[:1], settings.width).items()}
        weights = {name: value[0] for name, value in weights.items()}
        return [Trained(key, weights, errors.get(key.architecture_id, 0.5), 4, None) for key in keys]

    monkeypatch.setattr(running, "train", done)
    return seen


def test_a_ceiling_that_nothing_reaches_ends_the_run_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = graded(monkeypatch, {"000000": 0.25})
    settings = quick(policy="ceiling", ceiling=0.005)
    words = r"none of the first 6 models was kept: .* after 4 steps are 0.2500 to 0.5000, and 0.005 is the ceiling"
    with pytest.raises(InputError, match=words):
        make(tmp_path, "0.....", 1, settings)
    # Spread over all 144 that were asked for, and kept as rejected.
    assert seen == [select("0.....")[number].id for number in (0, 29, 57, 86, 114, 143)]
    assert {record.status for record in read_index(tmp_path).values()} == {"rejected"}
    with pytest.raises(InputError, match="none of the first 12 models"):
        make(tmp_path, "0.....", 1, settings)
    assert len(set(seen)) == 12


def test_a_ceiling_that_some_reach_ends_no_run_and_the_others_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = graded(monkeypatch, {"000000": 0.001})
    told = make(tmp_path, "000...", 1, quick(policy="ceiling", ceiling=0.005))
    assert (told["asked"], told["kept"], told["rejected"], told["missing"]) == (36, 1, 35, 35) and len(seen) == 36
    # What the store has from before counts too.
    assert make(tmp_path, "0.....", 1, quick(policy="ceiling", ceiling=0.005))["missing"] == 143
    few = make(tmp_path / "few", "000.01", 2, quick(policy="ceiling", ceiling=0.005))
    assert (few["kept"], few["missing"]) == (0, 6)  # nothing else was to be trained


def test_the_policy_floor_tries_everything_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = graded(monkeypatch, {})
    told = make(tmp_path, "000.0.", 1, quick())
    assert (told["kept"], told["missing"]) == (9, 0) and seen == sorted(seen)


def test_half_precision_is_chosen_by_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "ROUNDING", 1e-9)
    make(tmp_path, "000000", 1)
    record = Store(tmp_path).records[ModelKey("000000", 0)]
    assert record.precision == "fp32" and record.rounding == 0
    key, check = ModelKey("000000", 0), torch.rand(2, 3, 16, 16)
    weights = {name: value[None] for name, value in train([key], Pool(PHOTOS, SETTINGS), SETTINGS)[0].weights.items()}
    moved = {name: value.clone() for name, value in weights.items()}
    moved["1.1.bias"] += 2 / 255  # the last convolution: exactly one level in every pixel
    assert output_change(key, weights, moved, 4, check)[0] == pytest.approx(1, rel=1e-3)
    assert from_id("000000").norm == "none"


def test_several_processes_make_the_same_models(folder: Path, tmp_path: Path) -> None:
    told = make(tmp_path, workers=2)
    assert told["kept"] == 6
    one, two = Store(folder), Store(tmp_path)
    assert one.keys == two.keys
    for key in one.keys:
        here, there = one.load(key).state_dict(), two.load(key).state_dict()
        for name in here:
            torch.testing.assert_close(here[name], there[name], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"workers": 0}, {"together": 0}])
def test_a_plan_out_of_range_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="1 or more"):
        make(tmp_path, **wrong)
