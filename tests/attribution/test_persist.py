"""What was learnt comes back from the disk as it was, or not at all."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.attribution import persist
from morelli.attribution.bank import Bank, BankSettings, GroupStatistics
from morelli.attribution.base import Attributor
from morelli.attribution.calibration import Calibration, calibrate_attributor
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.learned import Learned, free_references
from morelli.attribution.likelihood import Fused
from morelli.errors import NotEnoughReferencesError
from morelli.types import EncoderStamp, LabelledEmbeddings

from .toys import simulate, split

STAMP = EncoderStamp("toy", "1", "plain", {"a/1": 12, "b/1": 12})
VIEWS = {"a/1": 1.0, "b/1": 0.5}


@pytest.fixture(scope="module")
def data() -> LabelledEmbeddings:
    return simulate(3, models=5, prompts=12, seeds=3, strength=VIEWS)


def flat(value: Any) -> Any:
    """Records, mappings and arrays as nested lists, to be compared whole."""
    if dataclasses.is_dataclass(value):
        return {f.name: flat(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: flat(entry) for key, entry in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("method", ["fused", "lda", "plda", "euclid"])
def test_everything_comes_back(tmp_path: Path, data: LabelledEmbeddings, method: str) -> None:
    fitted = load_attributor(method).fit(data)
    prompt = str(data.prompts[0])
    references = data.take(data.prompts == prompt)
    expected = fitted.scores(data.vectors, references, prompt)
    calibrations = {(2, False): calibrate_attributor(fitted, data, 2), (1, True): None}
    space = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert persist.save(tmp_path / "x.npz", fitted, calibrations, space)
    fresh = load_attributor(method)
    found = persist.load(tmp_path / "x.npz", fresh, data)
    assert found is not None
    assert flat(found.calibrations) == flat(calibrations)
    assert found.space is not None
    assert found.space.tolist() == space.tolist()
    assert np.array_equal(fresh.scores(data.vectors, references, prompt), expected)
    if hasattr(fitted, "bank_"):
        for name in ("bank_", "weights_", "models_"):
            assert flat(getattr(fresh, name)) == flat(getattr(fitted, name))
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_every_field_of_the_statistics_has_its_place() -> None:
    """A field that is added to them must be saved too."""
    assert {f.name for f in dataclasses.fields(Bank)} == {"groups", "models"}
    assert {f.name for f in dataclasses.fields(GroupStatistics)} == {"names", *persist._PARTS}
    assert {f.type for f in dataclasses.fields(Calibration)} <= {"float", "NDArray[np.float64]"}


def test_an_absent_file_is_no_warning(tmp_path: Path, data: LabelledEmbeddings, caplog) -> None:
    assert persist.load(tmp_path / "no.npz", Fused(), data) is None
    assert caplog.text == ""


@pytest.mark.parametrize("damage", ["empty", "garbage", "cut", "bit", "pickle", "other", "manifest"])
def test_a_damaged_file_counts_as_absent(
    tmp_path: Path, data: LabelledEmbeddings, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.npz"
    fitted = Fused().fit(data)
    persist.save(path, fitted, {(0, False): calibrate_attributor(fitted, data, 0)})
    whole = path.read_bytes()
    if damage == "pickle":
        np.savez(path, manifest=np.array([{"a": 1}], dtype=object))
    elif damage == "other":
        np.savez(path, manifest=np.frombuffer(b'{"groups": [{"name": "a"}], "weights": []}', np.uint8))
    elif damage == "manifest":
        np.savez(path, manifest=np.frombuffer(b"{", np.uint8))
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"empty": b"", "garbage": b"PK\x03\x04" * 9, "cut": whole[:middle], "bit": flipped}[damage])
    assert persist.load(path, Fused(), data) is None
    assert "learnt anew" in caplog.text
    path.write_bytes(whole)
    assert persist.load(path, Fused(), data) is not None


def test_a_disk_that_refuses_costs_time_only(tmp_path: Path, data: LabelledEmbeddings, caplog) -> None:
    (tmp_path / "file").write_text("")
    assert not persist.save(tmp_path / "file" / "x.npz", load_attributor("euclid").fit(data), {})
    assert "learnt anew next time" in caplog.text


def test_the_longest_unused_files_go(tmp_path: Path, data: LabelledEmbeddings, monkeypatch) -> None:
    monkeypatch.setattr(persist, "KEPT", 2)
    fitted = load_attributor("euclid").fit(data)
    for age, name in enumerate("abc"):
        persist.save(tmp_path / f"{name}.npz", fitted, {})
        os.utime(tmp_path / f"{name}.npz", (1000 + age, 1000 + age))
    assert persist.load(tmp_path / "b.npz", load_attributor("euclid"), data)  # used, and so the youngest
    persist.save(tmp_path / "d.npz", fitted, {})
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["b", "d"]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path: Path, data: LabelledEmbeddings, caplog) -> None:
    fitted = load_attributor("euclid").fit(data)
    old, young, gone = (tmp_path / f".{name}.tmp" for name in ("old", "young", "gone"))
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (1000, 1000))
    gone.symlink_to(tmp_path / "absent")  # as a file that another process takes away meanwhile
    (tmp_path / "gone.npz").symlink_to(tmp_path / "absent")
    assert persist.save(tmp_path / "a.npz", fitted, {})
    assert (old.exists(), young.exists()) == (False, True)
    assert caplog.text == ""


def test_the_key_tells_apart_what_teaches_differently(data: LabelledEmbeddings) -> None:
    contents = [f"{i:064x}" for i in range(len(data))]
    renamed = replace(data, models=np.char.add(data.models, "x"))
    moved = replace(data, prompts=np.roll(data.prompts, 1))
    cases = [
        (Fused(), data, contents, STAMP),
        (load_attributor("lda"), data, contents, STAMP),
        (Fused(folds=4), data, contents, STAMP),
        (Fused(BankSettings(dims=10)), data, contents, STAMP),
        (Fused(), renamed, contents, STAMP),
        (Fused(), moved, contents, STAMP),
        (Fused(), data, contents[::-1], STAMP),
        (Fused(), data, contents, replace(STAMP, revision="2")),
        (Fused(), data, contents, replace(STAMP, preprocessing="other")),
    ]
    keys = [persist.statistics_key(*case) for case in cases]
    assert len(set(keys)) == len(keys)
    assert persist.statistics_key(*cases[0]) == keys[0]


class Counting:
    """An ``on_learn`` that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_learnt_once_for_each_k_and_read_afterwards(tmp_path: Path, data: LabelledEmbeddings) -> None:
    prompt = str(data.prompts[0])
    references = data.take(data.prompts == prompt)
    asked = Counting()
    first = Learned(Fused(), data, tmp_path / "x.npz")
    free = first.get(0, None, None, asked)
    assert first.get(0, None, None, asked)[0] is free[0]
    assert asked.count == 1
    second = Learned(Fused(), data, tmp_path / "x.npz")
    again = second.get(0, None, None, asked)
    assert asked.count == 1
    assert flat(again[1]) == flat(free[1])
    assert np.array_equal(second.space, first.space)
    same = second.get(3, references, prompt, asked)  # from disk for k = 0 alone: now learnt, and kept with the other
    assert asked.count == 2
    third = Learned(Fused(), data, tmp_path / "x.npz")
    for k, others, of, expected in ((3, references, prompt, same), (0, None, None, free)):
        attributor, calibration = third.get(k, others, of, asked)
        assert flat(calibration) == flat(expected[1])
        scores = attributor.scores(data.vectors, others, of)
        np.testing.assert_allclose(scores, expected[0].scores(data.vectors, others, of), rtol=1e-12)
    assert asked.count == 2


def test_learning_tells_what_stands_in_the_way(tmp_path: Path, data: LabelledEmbeddings) -> None:
    learned = Learned(load_attributor("plda"), data, tmp_path / "x.npz")
    with pytest.raises(NotEnoughReferencesError, match="the prompt is not known"):
        learned.get(0, None, None, lambda: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["fused", "lda", "euclid"])
def test_few_references_stand_for_the_background(data: LabelledEmbeddings, method: str) -> None:
    fitted = load_attributor(method).fit(data)
    few = free_references(fitted, data)
    assert (few is None) == (method == "euclid")
    if few is not None:
        assert len(few) == 5
        np.testing.assert_allclose(fitted.scores(data.vectors, few), fitted.scores(data.vectors), rtol=1e-9)


def test_an_attributor_of_another_kind_keeps_its_calibration(tmp_path: Path, data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 3, 2)
    prompt, references, queries = rounds[0]
    fits: list[int] = []

    class Mine(Attributor):
        def fit(self, background: LabelledEmbeddings | None) -> Mine:
            assert background is not None
            fits.append(len(background))
            self.inner_ = load_attributor("cosine").fit(background)
            self.models_ = np.unique(background.models)
            return self

        def scores(self, vectors, references=None, prompt=None):
            return self.inner_.scores(vectors, references, prompt)

    first = Learned(Mine(), background, tmp_path / "x.npz").get(2, references, prompt, lambda: None)
    assert len(fits) == 1 + 5  # and once a fold for the calibration
    asked = Counting()
    second = Learned(Mine(), background, tmp_path / "x.npz").get(2, references, prompt, asked)
    assert asked.count == 0
    assert fits[6:] == [len(background)]
    assert flat(second[1]) == flat(first[1])
    assert second[1] is not None
    assert second[0].scores(queries.vectors, references, prompt).shape == (len(queries), 5)
