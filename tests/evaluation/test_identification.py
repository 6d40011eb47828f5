"""Protocol identification, and evaluations at the level of bases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.identification import identification, macro_f1_interval
from morelli.evaluation.lineage import derived_summary, left_out_tasks
from morelli.evaluation.runner import Settings, evaluate
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset

from .samples import TextureEncoder, add_bases, bare

BASES = {"model-00": "model-00", "model-01": "model-00", "model-02": "model-00"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    kin = ["x", "x", "x", "a", "b", "c", "d"]
    where = write_dataset(tmp_path_factory.mktemp("set") / "d", 7, 6, 2, 32, families=kin)
    add_bases(where, BASES)
    return where


def test_references_are_k_of_each_model_and_all_others_are_queries():
    data = bare(["a"] * 24 + ["b"] * 22 + ["c"] * 20 + ["d"] * 4 + ["e"], ["p"] * 71)
    plan = identification(data, None, 0)
    (task,) = plan.items
    assert task.background is not None
    assert task.references is None
    counts = {m: int((data.models[task.background] == m).sum()) for m in "abcde"}
    assert counts == {"a": 10, "b": 10, "c": 10, "d": 3, "e": 1}
    assert sorted([*task.background, *task.queries]) == list(range(71))
    assert any("2 of 5 models have no more than 10" in note for note in plan.notes)
    assert any("37 of 37 queries share their prompt" in note for note in plan.notes)
    other = identification(data, None, 1).items[0]
    assert other.background is not None
    assert set(other.background) != set(task.background)
    with pytest.raises(NotEnoughReferencesError):
        identification(bare(["a", "b"], ["p", "p"]), 3, 0)
    with pytest.raises(NotEnoughReferencesError):
        identification(bare(["a", "a"], ["p", "q"]), 3, 0)


def test_where_models_have_few_images_each_is_a_query_once_against_other_prompts():
    prompts = [f"p{n}" for n in range(14)]
    data = bare(np.repeat(["a", "b", "c"], 14), prompts * 3)
    plan = identification(data, 8, 0)
    assert sorted(row for task in plan for row in task.queries) == list(range(42))
    for task in plan:
        assert task.background is not None
        assert not set(data.prompts[task.queries]) & set(data.prompts[task.background])
        assert np.unique(data.models[task.background], return_counts=True)[1].tolist() == [8, 8, 8]
    assert "fewer than 16 images" in plan.notes[0]
    halved = bare(data.models, np.tile(np.repeat(prompts[:7], 2), 3))
    assert len(identification(halved, 7, 0)) == 1  # 14 images are twice as many as references


def test_a_query_s_prompt_is_not_among_the_references_of_the_other_models_alone():
    """With one image a prompt its own model could not show it, so that what the picture shows would mislead."""
    data = bare(np.repeat(["a", "b", "c"], 32), [f"p{n}" for n in range(32)] * 3)
    plan = identification(data, 10, 0)
    for task in plan:
        assert task.background is not None
        assert not set(data.prompts[task.queries]) & set(data.prompts[task.background])
    assert "one image a prompt" in plan.notes[0]
    unshared = bare(np.repeat(["a", "b", "c"], 32), [f"p{n}" for n in range(96)])
    unnamed = bare(np.repeat(["a", "b", "c"], 32), [""] * 96)
    assert len(identification(unshared, 10, 0)) == len(identification(unnamed, 10, 0)) == 1


def test_macro_f1_is_sklearn_s_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    truth = rng.choice(list("abc"), 60)
    said = np.where(rng.random(60) < 0.6, truth, rng.choice(list("abcd"), 60))
    found = macro_f1_interval(truth, said, [str(i % 12) for i in range(60)])
    assert found.point == pytest.approx(f1_score(truth, said, average="macro"))
    assert found.low < found.point < found.high


def test_identification_from_files(folder):
    found = evaluate(read_dataset(folder), TextureEncoder(), Settings("identification", ("cosine", "lda"), k=5))
    assert found.result["protocol"] == "identification"
    for row in found.result["rows"]:
        assert row["n_queries"] == 7 * 7
        assert row["f1_low"] <= row["f1"] <= row["f1_high"]
        assert row["references_used"] == 5


def test_tasks_that_leave_a_model_out_never_show_it():
    models = np.repeat(["a", "b", "c", "d", "e", "f"], 6)
    bases = np.repeat(["a", "a", "a", "d", "e", "e"], 6)
    prompts = np.array([str(i % 3) for i in range(36)])
    plan = left_out_tasks(models, bases, prompts, 0)
    asked: list[int] = []
    for task in plan:
        assert task.background is not None
        assert not set(models[task.queries]) & set(models[task.background])
        assert not set(prompts[task.queries]) & set(prompts[task.background])
        assert set(bases[task.queries]) <= set(bases[task.background])
        assert set(bases[task.background]) == {"a", "d", "e"}  # whoever is left out, the candidates are the same
        asked += task.queries.tolist()
    # All but the six images of d, which is alone in its lineage, are asked about once.
    assert sorted(asked) == np.flatnonzero(bases != "d").tolist()
    assert plan.notes[0] == "Without its own model a query has 3 bases as candidates."
    assert "6 images are no queries" in plan.notes[1]
    with pytest.raises(NotEnoughReferencesError):
        left_out_tasks(models, models, prompts, 0)


def test_bases_in_the_place_of_models(folder):
    found = evaluate(read_dataset(folder), TextureEncoder(), Settings(methods=("cosine", "lda"), level="base"))
    result = found.result
    assert (result["level"], result["protocol"]) == ("base", "any-prompt")
    rows = {(row["method"], row["background"]): row for row in result["rows"]}
    assert set(rows) == {(m, b) for m in ("cosine", "lda") for b in ("all", "without the model")}
    assert rows["lda", "all"]["n_candidates"] == 5
    assert rows["lda", "all"]["n_queries"] == 84
    # Only images of the three models of one lineage can be attributed without their own model.
    assert rows["lda", "without the model"]["n_queries"] == 36
    assert rows["lda", "all"]["top1"] > rows["lda", "without the model"]["top1"]
    # Without one of the four others three are left, too few to test one of those.
    assert [test["model"] for test in result["derived"]] == ["model-00", "model-01", "model-02"]
    assert all(test["labelled"] for test in result["derived"])
    assert [test["others"] for test in result["derived"]] == [4, 4, 4]
    assert found.families["model-00"] == "x"
    assert any(note.startswith("derived-from test") for note in result["notes"])


def test_levels_that_cannot_be_asked(folder):
    dataset = read_dataset(folder)
    bare_ = replace(dataset, items=tuple(replace(item, base="") for item in dataset.items))
    with pytest.raises(InputError, match="column base"):
        evaluate(bare_, TextureEncoder(), Settings(level="base"))
    with pytest.raises(UnknownNameError, match="base"):
        evaluate(dataset, TextureEncoder(), Settings(level="bse"))
    with pytest.raises(InputError, match="any-prompt"):
        evaluate(dataset, TextureEncoder(), Settings("robustness", level="base"))


def test_the_summary_counts():
    tests = [
        {"labelled": True, "itself": False, "p_value": 0.02},
        {"labelled": True, "itself": False, "p_value": 0.3},
        {"labelled": True, "itself": True, "p_value": 0.01},
        {"labelled": False, "itself": False, "p_value": 1.0},
    ]
    told = "1 of 2 that derive from the base; 1 of 1 that are the base; 0 of 1 that do neither"
    assert told in derived_summary(tests)
    assert derived_summary([]) == ""
