from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.attribution.centroid import Euclid
from morelli.encoders.copies import CONDITIONS
from morelli.errors import ArrayError, InputError, UnknownNameError
from morelli.evaluation.data import prepare
from morelli.evaluation.protocols import Task
from morelli.evaluation.robustness import DEGRADATIONS, UNTOUCHED, failures_note, without
from morelli.identify import STABILITY
from morelli.images.dataset import read_dataset
from morelli.images.degrade import degrade
from morelli.images.load import load_image
from morelli.testing.datasets import write_dataset

from .samples import TextureEncoder
from .test_runner import ROW_KEYS, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("set") / "d", models=4, prompts=10, seeds=3, size=48)


@pytest.fixture(scope="module")
def found(folder):
    return run(folder, protocol="robustness", methods=("euclid", "fused"), degrade=("jpeg:40", "blur:3"), k=2)


def test_a_row_for_each_method_and_degradation(found):
    rows = found.result["rows"]
    assert [(row["degradation"], row["method"]) for row in rows] == [
        (name, method) for name in (UNTOUCHED, "jpeg:40", "blur:3") for method in ("euclid", "fused")
    ]
    assert all(set(row) >= ROW_KEYS for row in rows)
    assert found.result["protocol"] == "robustness"
    assert found.confusion == {}


def test_the_untouched_rows_are_those_of_the_plain_protocol(found, folder):
    plain = run(folder, protocol="same-prompt", methods=("euclid", "fused"), k=2, ablate=False)
    for method in ("euclid", "fused"):
        ours = next(r for r in found.result["rows"] if r["method"] == method and r["degradation"] == UNTOUCHED)
        theirs = next(r for r in plain.result["rows"] if r["method"] == method)
        assert {k: v for k, v in ours.items() if k != "degradation"} == theirs


def test_a_strong_blur_costs_accuracy(found):
    top1 = {(row["method"], row["degradation"]): row["top1"] for row in found.result["rows"]}
    assert top1["fused", UNTOUCHED] > 0.4, top1
    assert top1["fused", "blur:3"] < top1["fused", UNTOUCHED] - 0.1, top1


def test_only_queries_are_degraded(folder, monkeypatch):
    """References and background are the untouched embeddings; queries those of degraded pixels."""
    asked: list[tuple[np.ndarray, np.ndarray]] = []
    plain = Euclid.scores

    def scores(self, vectors, references=None, prompt=None):
        name = next(iter(vectors))
        asked.append((vectors[name], references.vectors[name]))
        return plain(self, vectors, references, prompt)

    monkeypatch.setattr(Euclid, "scores", scores)
    run(folder, protocol="robustness", methods=("euclid",), degrade=("jpeg:40",), k=2)
    encoder = TextureEncoder()
    pictures = [load_image(path).pixels for path in sorted(folder.rglob("*.png"))]

    def embedded(all_pixels) -> set[bytes]:
        made = encoder.encode([encoder.prepare(pixels) for pixels in all_pixels])
        return {row.tobytes() for row in next(iter(made.values()))}

    untouched, spoiled = embedded(pictures), embedded(degrade(pixels, "jpeg:40") for pixels in pictures)
    of_queries = [{row.tobytes() for row in queries} for queries, _ in asked]
    assert all({row.tobytes() for row in references} <= untouched for _, references in asked)
    assert all(found <= untouched or found <= spoiled for found in of_queries)
    # Ten prompts, each with three choices of the query; all other calls calibrate on untouched images.
    assert sum(found <= spoiled for found in of_queries) == 30


def test_with_a_second_dataset_the_prompt_counts_as_it_does_without(tmp_path):
    queries = write_dataset(tmp_path / "q", models=3, prompts=6, seeds=1, size=40, seed=5)
    references = write_dataset(tmp_path / "r", models=3, prompts=6, seeds=3, size=40)
    found = run(queries, references=references, protocol="robustness", methods=("euclid",), degrade=("jpeg:70",))
    assert found.result["rows"][0]["references_used"] == 3
    assert "Queries and references meet as under same-prompt." in found.result["notes"]


def test_what_is_named_twice_is_measured_once(tmp_path):
    where = write_dataset(tmp_path / "d", models=2, prompts=4, seeds=2, size=40)
    twice = run(where, protocol="robustness", methods=("euclid",) * 2, degrade=("jpeg:70",) * 2, k=1)
    assert [row["degradation"] for row in twice.result["rows"]] == [UNTOUCHED, "jpeg:70"]


def test_none_of_the_usual_degradations_is_one_that_is_learnt_from():
    assert not set(DEGRADATIONS) & set(CONDITIONS)
    assert not set(STABILITY) & set(CONDITIONS)


def test_without_prompts_references_are_of_other_prompts(tmp_path):
    where = write_dataset(tmp_path / "d", models=3, prompts=12, seeds=1, size=40)
    rows = run(where, protocol="robustness", methods=("euclid",), degrade=("jpeg:70",)).result["rows"]
    assert [row["degradation"] for row in rows] == [UNTOUCHED, "jpeg:70"]
    assert rows[0]["references_used"] > 5


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"degrade": ("jpeg:80",)}, InputError, "--protocol robustness"),
        ({"degrade": (), "protocol": "robustness"}, InputError, "no degradation"),
        ({"degrade": ("jpg:80",), "protocol": "robustness"}, UnknownNameError, "jpeg"),
        ({"degrade": ("jpeg:800",), "protocol": "robustness"}, InputError, "quality"),
    ],
)
def test_bad_degradations_are_refused_before_any_picture_is_read(tmp_path, settings, error, text):
    where = write_dataset(tmp_path / "d", models=2, prompts=2, seeds=2, size=40)
    for path in where.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(error, match=text):
        run(where, **settings)


def test_a_picture_that_cannot_be_degraded_is_named(tmp_path, monkeypatch):
    plain = TextureEncoder.prepare

    def prepare(self, pixels):
        if min(pixels.shape[:2]) < 8:
            raise ArrayError("too small.", argument="pixels")
        return plain(self, pixels)

    monkeypatch.setattr(TextureEncoder, "prepare", prepare)
    where = write_dataset(tmp_path / "d", models=2, prompts=4, seeds=2, size=33)
    with pytest.raises(InputError, match=r"resize:0\.05"):
        run(where, protocol="robustness", methods=("euclid",), degrade=("resize:0.05",))


def test_a_query_that_cannot_go_through_one_degradation_is_left_out_of_all_rows(tmp_path, monkeypatch):
    plain = TextureEncoder.prepare

    def refuse_flat(self, pixels):
        if not np.ptp(pixels):
            raise ArrayError("the image is flat.", argument="pixels")
        return plain(self, pixels)

    monkeypatch.setattr(TextureEncoder, "prepare", refuse_flat)
    where = write_dataset(tmp_path / "d", models=3, prompts=4, seeds=3, size=48)
    empty = np.full((48, 48, 3), 90, np.uint8)
    empty[0] = 0  # all that a crop takes away
    Image.fromarray(empty).save(where / "model-01" / "002_1.png")
    settings = {"protocol": "robustness", "methods": ("euclid",)}
    told = run(where, degrade=("crop:0.5", "jpeg:90"), **settings).result
    assert [row["n_queries"] for row in told["rows"]] == [35, 35, 35]
    (note,) = (note for note in told["notes"] if "left out of all rows" in note)
    assert note.startswith("1 query is left out") and "model-01/002_1.png (crop:0.5: the image is flat)" in note
    whole = run(where, degrade=("jpeg:90",), **settings).result
    assert [row["n_queries"] for row in whole["rows"]] == [36, 36]
    assert not any("left out" in note for note in whole["notes"])


def test_many_that_cannot_are_counted(tmp_path):
    where = write_dataset(tmp_path / "d", models=2, prompts=4, seeds=2, size=40)
    (data,) = prepare([read_dataset(where)], TextureEncoder(), copies=0)
    failed = {row: f"crop:0.5: flat {row}." for row in (9, 3, 1, 5, 7, 2)}
    (note,) = failures_note(data, failed)
    names = [Path(str(data.paths[row])).name for row in (1, 2, 3, 5, 7)]
    assert all(f"{name} (crop:0.5: flat {row})" in note for name, row in zip(names, (1, 2, 3, 5, 7), strict=True))
    assert note.endswith(", 1 more.") and failures_note(data, {}) == []


def test_tasks_lose_queries_and_go_where_none_is_left():
    def task(*queries):
        return Task(("k",), None, None, np.array(queries), None, 0)

    kept = without([task(1, 2, 3), task(4), task(5, 6)], {2: "", 4: ""})
    assert [each.queries.tolist() for each in kept] == [[1, 3], [5, 6]]
    with pytest.raises(InputError, match="no picture can go through all"):
        without([task(1), task(2)], {1: "", 2: ""})


def test_the_usual_degradations_can_be_read():
    pixels = np.zeros((64, 64, 3), np.uint8)
    for name in DEGRADATIONS:
        assert degrade(pixels, name).dtype == np.uint8
