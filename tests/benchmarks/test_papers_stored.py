"""Table 001 on stored images: what is a query, what a candidate, and what methods learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.papers import __main__ as papers
from benchmarks.papers import report, stored_attacks
from benchmarks.papers.attack_table import attack_rows
from benchmarks.papers.measure import perform
from benchmarks.papers.plan import Plan
from benchmarks.papers.results import Results
from benchmarks.papers.schedule import run
from benchmarks.papers.sources import open_source
from benchmarks.papers.stored_attacks import StoredAttacks, stored_jobs
from benchmarks.zoo.plan import ATTACKS
from PIL import Image

from morelli.images.dataset import read_dataset
from morelli.images.load import load_image
from morelli.images.uniform import Uniform
from morelli.testing.datasets import write_dataset

from ..regeneration.painters import Grain

PLAN = Plan(tables=("001",), methods=("fused", "dzanic"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("stored") / "d", models=4, prompts=15, seeds=4, size=64)


@pytest.fixture(autouse=True)
def grain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_attacks, "load_encoder", lambda *_: Grain())


def test_queries_candidates_and_training_have_nothing_in_common(folder: Path, tmp_path: Path) -> None:
    attacks = StoredAttacks(str(folder), None, 0, str(tmp_path))
    assert (attacks.gamma, len(attacks.models)) == (3, 4)
    asked, weighed = attacks.items("none"), attacks.items(None)
    assert len(asked) == 4 * 6  # two fifths of fifteen prompts
    learnt_from = {each.prompt for each in attacks.training}
    groups = [{item.prompt_id for item in asked}, {item.prompt_id for item in weighed}, learnt_from]
    assert [len(group) for group in groups] == [6, 3, 6]
    assert len(set().union(*groups)) == 15
    for prompt in groups[0]:
        candidates = attacks.candidates(prompt)
        assert candidates.models.tolist() == attacks.models
        paths = {image.path for image in candidates.images}
        assert len(paths) == 3 * 4
        assert not paths & {item.path for item in asked}
    other = StoredAttacks(str(folder), None, 1, str(tmp_path))
    assert {item.prompt_id for item in other.items("none")} != groups[0]


def test_the_same_noise_in_every_run_and_another_for_each_picture(folder: Path, tmp_path: Path) -> None:
    attacks = StoredAttacks(str(folder), None, 0, str(tmp_path))
    items = attacks.items("noise")[:2]
    first = attacks.picture(items[0], "noise").pixels
    assert np.array_equal(first, attacks.picture(items[0], "noise").pixels)
    plain = [attacks.picture(each, "none").pixels.astype(int) for each in items]
    noise = [attacks.picture(each, "noise").pixels - clean for each, clean in zip(items, plain, strict=True)]
    assert noise[0].std() > 1
    assert not np.array_equal(*noise)


def test_rows_with_the_plug_in(folder: Path, tmp_path: Path) -> None:
    source = open_source(folder, None)
    attacks = StoredAttacks(source.folder, None, 0, str(tmp_path))
    jobs = stored_jobs(PLAN, source, attacks)
    results = Results(tmp_path / "r.jsonl", {})
    run(jobs, results, perform, str(tmp_path), say=lambda _: None)
    rows = {row["method"]: row for row in attack_rows(results, jobs, attacks)}
    ways = ("alone", "with cosine", "with fused")
    assert set(rows) == {
        "regeneration alone, cosine",
        "regeneration alone, fused",
        *(f"{method} {way}" for method in ("fused", "dzanic") for way in ways),
    }
    assert all(set(ATTACKS) <= set(row) for row in rows.values())
    assert rows["dzanic with fused"]["lift"]
    assert rows["dzanic with fused"]["beyond"]
    run(jobs, results, lambda *_: pytest.fail("a cell is measured twice"), "", say=lambda _: None)


def test_one_image_a_prompt_has_no_plug_in(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", models=3, prompts=12, seeds=1, size=64)
    source = open_source(folder, None)
    attacks = StoredAttacks(source.folder, None, 0, str(tmp_path))
    assert (attacks.gamma, attacks.measures) == (0, ())
    jobs = stored_jobs(PLAN, source, attacks)
    assert not any("likeness" in job.key for job in jobs)
    results = Results(tmp_path / "r.jsonl", {})
    run(jobs, results, perform, str(tmp_path), say=lambda _: None)
    rows = attack_rows(results, jobs, attacks)
    assert [row["method"] for row in rows] == ["fused alone", "dzanic alone"]
    assert all(set(ATTACKS) <= set(row) for row in rows)


def _recorder(shown: set[str]):
    """A `scorer` that notes which pictures it learns from, and knows nothing."""

    def scorer(_spec, training, _encoder, _out):
        shown.update(load_image(each.path).content for each in training)
        models = sorted({each.model for each in training})
        return lambda pictures: np.zeros((len(pictures), len(models))), models, ""

    return scorer


def test_one_form_without_duplicates_and_with_a_leak_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_dataset(tmp_path / "d", models=3, prompts=10, seeds=3, size=64)
    items = read_dataset(folder).items
    wide = next(item for item in items if item.model == items[0].model)
    for item in items:  # one model's pictures are larger, which names it
        if item.model == wide.model:
            Image.open(item.path).resize((96, 80)).save(item.path)
    first, second = [item for item in items if item.model != wide.model][:2]
    second.path.write_bytes(first.path.read_bytes())
    attacks = StoredAttacks(str(folder), None, 0, str(tmp_path / "out"))
    pictures = attacks.pictures
    assert len(pictures.items) == len(items) - 1
    assert pictures.leaks["sources"] == ["size", "all"]
    assert [note.partition(" ")[0] for note in pictures.notes] == ["1", "Formats"]
    used = [*attacks.items("none"), *(each for name in attacks.prompts[:1] for each in attacks.candidates(name).images)]
    assert {Image.open(each.path).size for each in used} == {(64, 64)}
    assert {Image.open(each.path).size for each in attacks.training} == {(64, 64)}
    centre = Uniform(64).apply(load_image(wide.path).pixels)
    (same,) = (each for each in pictures.items if each.name == wide.name)
    assert np.array_equal(load_image(same.path).pixels, centre)
    # What resizing would destroy is cut out, of the same queries.
    cut = StoredAttacks(str(folder), None, 0, str(tmp_path / "out"), resized=False)
    assert [item.name for item in cut.items("none")] == [item.name for item in attacks.items("none")]
    (same,) = (each for each in cut.pictures.items if each.name == wide.name)
    assert np.array_equal(load_image(same.path).pixels, load_image(wide.path).pixels[8:72, 16:80])
    source = open_source(folder, None)
    shown: dict[str, set[str]] = {}
    for spec in ("marra", "dzanic"):
        monkeypatch.setattr(stored_attacks, "scorer", _recorder(shown.setdefault(spec, set())))
        words = {"kind": "stored method", "spec": spec, "source": {"folder": source.folder, "prompts": None}, "seed": 0}
        stored_attacks.perform(words, str(tmp_path / "out"))
    own = {load_image(each.path).content for each in attacks.training if each.model == wide.model}
    assert own <= shown["dzanic"]
    assert not own & shown["marra"]
    told = pictures.leaks, pictures.notes
    words = report._stored(Results(tmp_path / "r.jsonl", {}), PLAN, open_source(folder, None), [], [], told).sentences
    assert any(line.startswith("Leak test") for line in words)


def test_what_plays_no_part_is_said(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "d", models=3, prompts=10, seeds=3, size=64)
    whole = StoredAttacks(str(folder), None, 0, str(tmp_path / "whole"))
    assert whole.notes == []
    learnt, asked = {each.prompt for each in whole.training}, whole._asked
    items = read_dataset(folder).items
    name = items[0].model
    for item in items:
        # One model has nothing to learn from; another has a single image of a prompt that is asked.
        mine = item.model == name and item.prompt_id in learnt
        other = item.model != name and item.prompt_id == asked[0]
        if mine or (other and item.model == items[-1].model):
            item.path.unlink()
    manifest = folder / "metadata.csv"
    lines = manifest.read_text().splitlines()
    kept = [line for line in lines[1:] if (folder / line.split(",")[0]).exists()]
    manifest.write_text("\n".join([lines[0], *kept]) + "\n")
    notes = StoredAttacks(str(folder), None, 0, str(tmp_path / "less")).notes
    assert f"Left out, with no image of a prompt that is learnt from: {name}." in notes
    assert any("prompts were not asked" in note for note in notes)


def test_a_data_set_that_table_001_cannot_read_leaves_the_others(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write_dataset(tmp_path / "broken", models=3, prompts=10, seeds=3, size=64)
    for path in broken.rglob("*.png"):
        path.write_bytes(b"no picture")
    skipped: dict[str, str] = {}
    found = papers._stored(PLAN, [open_source(broken, None), open_source(folder, None)], tmp_path / "out", skipped)
    assert list(found) == [folder.name]
    assert "none of its pictures can be read" in skipped["001, broken"]
    assert "SKIPPED, table 001 of broken" in capsys.readouterr().err
