"""A leak is found where there is one, and only there."""

from __future__ import annotations

import json

import numpy as np
import pytest

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.evaluation.leaks import find_duplicates, leak_test
from morelli.images.probe import FileInfo, probe


def info(width=64, height=64, format="PNG", mode="RGB", bytes=1000, quantisation=""):
    return FileInfo(width=width, height=height, format=format, mode=mode, bytes=bytes, quantisation=quantisation)


def grid(n_models: int = 4, n_prompts: int = 10, each: int = 2):
    """Labels of a balanced set: models, prompts."""
    models = np.tile(np.repeat([f"m{j}" for j in range(n_models)], each), n_prompts)
    return models, np.repeat([f"p{i}" for i in range(n_prompts)], n_models * each)


def test_files_of_one_form_earn_chance_exactly():
    models, prompts = grid()
    report = leak_test([info()] * len(models), models, prompts)
    assert report.accuracy == pytest.approx(report.chance) == 0.25
    assert not report.leaking
    assert all(i.point == pytest.approx(0.25) for i in report.by.values())


def test_one_form_earns_chance_exactly_where_models_are_unequal():
    models = np.array(["a"] * 30 + ["b"] * 6 + ["c"] * 4)
    report = leak_test([info()] * 40, models, [f"p{i % 9}" for i in range(40)])
    assert report.accuracy == pytest.approx(1 / 3)
    assert not report.leaking


def test_every_model_counts_the_same():
    models = np.array(["a"] * 30 + ["b"] * 6 + ["c"] * 4)
    infos = [info(width=512) if name == "a" else info() for name in models]
    # a is always right, b and c are guessed between two: (1 + 1/2 + 1/2) / 3. Over images it would be 35 / 40.
    assert leak_test(infos, models, [""] * 40).accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("source", "form"),
    [
        ("size", {"width": 512}),
        ("format", {"format": "JPEG"}),
        ("format", {"mode": "RGBA"}),
        ("quantisation", {"quantisation": "q85"}),
    ],
)
def test_one_telling_model_is_found_by_name(source, form):
    models, prompts = grid()
    report = leak_test([info(**form) if m == "m2" else info() for m in models], models, prompts)
    assert report.sources == (source, "all")
    # m2 is always right, each of the other three is guessed among three.
    assert report.accuracy == pytest.approx((1 + 3 / 3) / 4)


def test_what_differs_at_random_is_no_leak():
    models, prompts = grid(n_prompts=40)
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        infos = [info(width=int(w), bytes=int(b)) for w, b in rng.integers(1, 5, (len(models), 2))]
        found.append(leak_test(infos, models, prompts).leaking)
    assert sum(found) <= 2


def test_a_form_that_follows_the_prompt_is_not_learnt_by_heart():
    # Every prompt has a size of its own, so seen prompts would tell nothing and unseen ones have sizes never met.
    models, prompts = grid()
    report = leak_test([info(width=10 + int(p[1:])) for p in prompts], models, prompts)
    assert report.accuracy == pytest.approx(0.25)


def test_memory_of_a_prompt_does_not_help():
    # Size names the pair (prompt, model): a predictor that had seen the prompt would be always right.
    models, prompts = grid()
    infos = [info(width=100 * int(p[1:]) + int(m[1:]) + 1) for m, p in zip(models, prompts, strict=True)]
    assert leak_test(infos, models, prompts).accuracy == pytest.approx(0.25)


def test_bytes_are_listed_and_do_not_decide():
    models, prompts = grid()
    rng = np.random.default_rng(0)
    report = leak_test([info(bytes=1000 * int(m[1:]) + int(rng.integers(100))) for m in models], models, prompts)
    assert report.by["bytes"].point > 0.9
    assert not report.leaking


@pytest.mark.parametrize("prompt", ["", "the only one"])
def test_without_prompts_images_count_one_by_one(prompt):
    models, _ = grid()
    infos = [info(width=512) if m == "m1" else info() for m in models]
    report = leak_test(infos, models, [prompt] * len(models))
    assert report.sources == ("size", "all")
    assert not leak_test([info()] * len(models), models, [prompt] * len(models)).leaking


def test_the_report_is_json():
    models, prompts = grid()
    object_ = json.loads(json.dumps(leak_test([info()] * len(models), models, prompts).to_json()))
    assert set(object_) == {"accuracy", "chance", "leaking", "sources", "by"}
    assert set(object_["by"]) == {"size", "format", "quantisation", "all", "bytes"}
    assert object_["leaking"] is False


def test_bad_input_is_named():
    with pytest.raises(ArrayError, match="infos"):
        leak_test([info()], ["a", "b"], ["p", "q"])
    with pytest.raises(NotEnoughReferencesError):
        leak_test([info()] * 2, ["a", "a"], ["p", "q"])


def test_duplicates_by_hand():
    found = find_duplicates(list("xyxzyxw"), list("aabbcaa"))
    assert [g.tolist() for g in found.groups] == [[0, 2, 5], [1, 4]]
    assert [g.tolist() for g in found.across] == [[0, 2, 5], [1, 4]]
    assert found.keep.tolist() == [False, False, False, True, False, False, True]


def test_a_duplicate_within_a_model_keeps_its_first():
    found = find_duplicates(list("xyx"), list("aba"))
    assert [g.tolist() for g in found.groups] == [[0, 2]]
    assert found.across == []
    assert found.keep.tolist() == [True, True, False]


def test_no_duplicates():
    found = find_duplicates(list("xyz"), list("abc"))
    assert found.groups == []
    assert found.keep.all()


@pytest.mark.parametrize("name", ["visor", "sdnext"])
def test_real_sets_of_one_codec_and_size_do_not_leak(data_dir, name):
    import csv

    with (data_dir / name / "metadata.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    report = leak_test(
        [probe(data_dir / name / r["file_name"]) for r in rows],
        [r["model"] for r in rows],
        [r["prompt_id"] for r in rows],
    )
    assert not report.leaking
    assert report.accuracy == pytest.approx(report.chance)
