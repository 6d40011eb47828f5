"""Comparisons with a gallery: candidates, fall-backs, and a query that is a reference itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.compare import Comparer
from morelli.attribution.decision import decide, small_set, state
from morelli.attribution.learned import Learned
from morelli.attribution.leave_out import refit
from morelli.attribution.likelihood import Fused, LikelihoodAttributor
from morelli.attribution.nearest import coordinates
from morelli.attribution.one_vs_many import conformal, published
from morelli.attribution.target import Own, case_1, decide_one
from morelli.errors import NotEnoughReferencesError
from morelli.types import LabelledEmbeddings, Reference

from .toys import circle, labelled, simulate

VIEWS = {"a/1": 1.0, "b/1": 0.5}


def comparer(data: LabelledEmbeddings, folder: Path, method: str = "euclid") -> Comparer:
    references = [
        Reference(content=f"{i:064x}", sha256="", name=f"{i}.png", model=str(model), family=str(model))
        for i, model in enumerate(data.models)
    ]
    return Comparer(references, data, Learned(load_attributor(method), data, folder / f"{method}.npz"), "g")


@pytest.fixture(scope="module")
def data() -> LabelledEmbeddings:
    return simulate(4, models=4, prompts=8, seeds=3, strength=VIEWS)


def one(data: LabelledEmbeddings, row: int) -> dict[str, np.ndarray]:
    return data.take(np.array([row])).vectors  # type: ignore[return-value]


def test_the_prompt_s_rows_and_nothing_else(data: LabelledEmbeddings, tmp_path: Path) -> None:
    made = comparer(data, tmp_path).compare(["prompt-03"])
    assert (made.prompt, made.k) == ("prompt-03", 3)
    assert made.rows.tolist() == np.flatnonzero(data.prompts == "prompt-03").tolist()
    own = data.take(made.rows)
    expected = load_attributor("euclid").fit(None).scores(data.vectors, own, "prompt-03")
    assert np.array_equal(made.scores(data.vectors), expected)
    assert {row for row, _ in made.nearest(one(data, 0), 5)} <= set(made.rows.tolist())


def test_one_prompt_under_two_ids(data: LabelledEmbeddings, tmp_path: Path) -> None:
    made = comparer(data, tmp_path, "plda").compare(["prompt-03", "prompt-05"])
    assert made.k == 6
    assert len(made.rows) == 24
    assert made.scores(one(data, 0)).shape == (1, 4)


def test_models_without_the_prompt_are_named(data: LabelledEmbeddings, tmp_path: Path) -> None:
    lacking = data.take(~((data.prompts == "prompt-03") & np.isin(data.models, ["model-1", "model-2"])))
    asked = comparer(lacking, tmp_path)
    with pytest.raises(NotEnoughReferencesError, match=r"'prompt-03' for model-1, model-2\..*--prompt-free"):
        asked.compare(["prompt-03"])
    made = asked.compare(["prompt-03"], fall_back=True)
    assert (made.prompt, made.k, len(made.rows)) == (None, 0, len(lacking))
    assert "no reference of the prompt 'prompt-03' for model-1, model-2." in made.notes[0]


def test_one_model_is_refused(tmp_path: Path) -> None:
    alone = labelled(circle([0, 1, 2]), ["m", "m", "m"])
    with pytest.raises(NotEnoughReferencesError, match=r"one model only, m.*morelli check"):
        comparer(alone, tmp_path).compare()


@pytest.mark.parametrize("prompt", [None, "prompt-02"])
@pytest.mark.parametrize("method", ["euclid", "lda", "fused"])
def test_a_query_never_helps_to_build_its_own_centroid(
    data: LabelledEmbeddings, tmp_path: Path, method: str, prompt: str | None
) -> None:
    row = int(np.flatnonzero(data.prompts == "prompt-02")[4])
    asked = comparer(data, tmp_path, method)
    base = asked.compare([prompt] if prompt else [])
    made = asked.without(base, row)
    kept = data.take(np.arange(len(data)) != row)
    fresh = load_attributor(method).fit(kept)
    if isinstance(fresh, LikelihoodAttributor):
        assert isinstance(base.attributor, LikelihoodAttributor)
        fresh.weights_ = base.attributor.weights_
    others = kept.take(kept.prompts == prompt) if prompt else None
    np.testing.assert_allclose(
        made.scores(one(data, row)), fresh.scores(one(data, row), others, prompt), rtol=1e-9, atol=1e-9
    )
    assert not np.allclose(made.scores(one(data, row)), base.scores(one(data, row)), atol=1e-4)
    assert row not in made.rows
    assert all(near != row for near, _ in made.nearest(one(data, row), 50))
    assert base.nearest(one(data, row), 1)[0][0] == row
    assert f"reference of {data.models[row]} ({row}.png)" in made.notes[0]


@pytest.mark.parametrize(
    ("method", "prompt"), [("lda", None), ("fused", None), ("plda", "prompt-02"), ("fused", "prompt-02")]
)
def test_of_a_large_gallery_the_mean_alone_is_made_anew(tmp_path: Path, monkeypatch, method: str, prompt) -> None:
    data = simulate(9, models=5, prompts=30, seeds=8, strength={"a/1": 0.9, "b/1": 0.6})
    asked = comparer(data, tmp_path, method)
    base = asked.compare([prompt] if prompt else [])
    row = int(np.flatnonzero(data.prompts == "prompt-02")[4])
    monkeypatch.setattr("morelli.attribution.compare.LARGE", 1000)
    monkeypatch.setattr("morelli.attribution.compare.refit", lambda *_: pytest.fail("learnt anew"))
    made = asked.without(base, row)
    monkeypatch.undo()
    kept = data.take(np.arange(len(data)) != row)
    fresh = load_attributor(method).fit(kept)
    assert isinstance(fresh, LikelihoodAttributor)
    assert isinstance(base.attributor, LikelihoodAttributor)
    fresh.weights_ = base.attributor.weights_
    others = kept.take(kept.prompts == prompt) if prompt else None
    wanted = fresh.scores(one(data, row), others, prompt)
    before, after = (np.abs(each.scores(one(data, row)) - wanted).max() for each in (base, made))
    # What is left is what one image of 1,200 does to covariances.
    assert after < before
    assert after < 0.02 * np.ptp(wanted)
    assert row not in made.rows


def test_a_reference_of_a_large_gallery_whose_statistics_come_from_disk(tmp_path: Path, monkeypatch) -> None:
    """A model of few prompts has one less without its image, and is no new model for that."""
    data = simulate(9, models=5, prompts=30, seeds=8, strength={"a/1": 0.9, "b/1": 0.6})
    few = np.unique(data.prompts)[:3]
    data = data.take(np.flatnonzero((data.models != "model-0") | np.isin(data.prompts, few)))
    data = data.take(np.flatnonzero((data.models != "model-0") | (np.arange(len(data)) % 8 == 0)))
    row = int(np.flatnonzero(data.models == "model-0")[0])
    monkeypatch.setattr("morelli.attribution.compare.LARGE", 500)
    first = comparer(data, tmp_path, "fused")
    wanted = first.without(first.compare(), row).scores(one(data, row))
    again = comparer(data, tmp_path, "fused")
    monkeypatch.setattr("morelli.attribution.likelihood.fit_bank", lambda *_: pytest.fail("learnt anew"))
    np.testing.assert_allclose(again.without(again.compare(), row).scores(one(data, row)), wanted)


def test_the_only_reference_of_its_model_and_prompt(data: LabelledEmbeddings, tmp_path: Path) -> None:
    cell = np.flatnonzero((data.prompts == "prompt-02") & (data.models == "model-1"))
    kept = data.take(~np.isin(np.arange(len(data)), cell[1:]))
    row = int(np.flatnonzero((kept.prompts == "prompt-02") & (kept.models == "model-1"))[0])
    asked = comparer(kept, tmp_path)
    base = asked.compare(["prompt-02"])
    with pytest.raises(NotEnoughReferencesError, match="model-1 has no other reference of the prompt 'prompt-02'"):
        asked.without(base, row)
    made = asked.without(base, row, fall_back=True)
    assert (made.prompt, made.k) == (None, 0)
    assert len(made.rows) == len(kept) - 1
    assert "Compared without the prompt" in made.notes[1]


def test_the_only_reference_of_its_model(tmp_path: Path) -> None:
    data = labelled(circle([0, 1, 90, 91, 180]), ["a", "a", "b", "b", "c"])
    asked = comparer(data, tmp_path)
    made = asked.without(asked.compare(), 4)
    assert made.models == ["a", "b"]
    assert "c has no other reference" in made.notes[1]


def test_coordinates_give_the_attributor_s_own_distances(data: LabelledEmbeddings) -> None:
    fused = Fused().fit(data)
    some = data.take(np.arange(9))
    a, b = coordinates(fused, some.vectors), coordinates(fused, data.vectors)
    direct = np.sqrt(((a[:, None].astype(float) - b[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(direct, fused.nearness(some.vectors, data), atol=1e-4)
    plane = coordinates(load_attributor("euclid").fit(None), {"v": 3.0 * circle([0, 60]).astype(np.float32)})
    assert np.linalg.norm(plane[0] - plane[1]) == pytest.approx(1.0)  # an equilateral triangle


@pytest.mark.parametrize(("models", "allowed"), [(2, 1), (4, 1), (5, 2), (7, 2), (9, 3), (12, 3), (41, 3)])
def test_what_a_small_set_is(models: int, allowed: int) -> None:
    assert small_set(models) == allowed


@pytest.mark.parametrize(
    ("candidates", "calibrated", "rejected", "agreement", "decision", "why"),
    [
        (["a"], True, False, 1.0, "a", ""),
        (["a"], True, False, None, "a", ""),
        (["a", "b"], True, False, 0.5, "a", ""),
        (["a", "b", "c"], True, False, 1.0, "unsure", "3 of 8 models"),
        (["a"], True, False, 0.4, "unsure", "under most degradations"),
        (["b"], True, False, 1.0, "unsure", "not even the first"),
        ([], True, False, 1.0, "unsure", "not even the first"),
        (["a"], True, True, 1.0, "none", "lower than"),
        ([], False, False, 1.0, "a", ""),
        ([], False, False, 0.8, "unsure", "no calibration"),
        ([], False, False, None, "unsure", "neither"),
    ],
)
def test_the_decision(
    candidates: list[str], calibrated: bool, rejected: bool, agreement: float | None, decision: str, why: str
) -> None:
    made, reason = decide(list("abcdefgh"), candidates, calibrated=calibrated, rejected=rejected, agreement=agreement)
    assert made == decision
    assert why in reason
    assert bool(reason) == bool(why)


def test_without_calibration_a_softmax() -> None:
    stated = state(None, np.log([[1.0, 3.0]]))
    assert stated.probabilities == pytest.approx([0.25, 0.75])
    assert (stated.p_values, stated.known) == (None, None)


def test_case_1_is_the_attributor_s_answer(data: LabelledEmbeddings, tmp_path: Path) -> None:
    made = comparer(data, tmp_path).compare()
    query = one(data, 0)
    calibration = made.calibration
    assert calibration is not None
    scores = made.scores(query)
    best = made.models[int(scores.argmax())]
    told = {model: case_1(made, query, model, 0.9) for model in made.models}
    assert [model for model, answer in told.items() if answer["first"]] == [best]
    assert sum(answer["probability"] for answer in told.values()) == pytest.approx(1.0)
    for j, model in enumerate(made.models):
        p = calibration.p_values(scores)[0, j]
        assert told[model]["p_value"] == pytest.approx(p)
        assert told[model]["accepted"] == (p > 0.1)
    with pytest.raises(NotEnoughReferencesError):
        case_1(made, query, "another", 0.9)


def test_case_2_takes_the_model_s_own_references() -> None:
    data = labelled(circle([0, 10, 20, 30, 90, 180]), ["a", "a", "a", "b", "b", "a"], ["p", "p", "p", "p", "p", "q"])
    query = {"v": circle([25]).astype(np.float32)}
    points = circle([0, 10, 20]).astype(np.float32).astype(float)
    answer, notes = Own(data, "a", ["p"]).case_2(query, 0.75)
    as_published, exact = published(circle([25])[0], points, 0.75), conformal(circle([25])[0], points, 0.75)
    assert answer["references"] == 3
    assert answer["published"]["accepted"] == as_published.accepted
    assert answer["published"]["ratio"] == pytest.approx(as_published.statistic, rel=1e-5)
    assert answer["conformal"] == {"accepted": exact.accepted, "p_value": exact.statistic, "attainable": True}
    assert notes == ()
    assert Own(data, "a").case_2(query, 0.75)[0]["references"] == 4
    assert Own(data, "a").case_2(query, 0.75, leave_out=0)[0]["references"] == 3
    answer, notes = Own(data, "a", ["p"]).case_2(query, 0.9)
    assert not answer["conformal"]["attainable"]
    assert "at least 9 are needed" in notes[0]
    with pytest.raises(NotEnoughReferencesError, match="1 references of b"):
        Own(data, "b").case_2(query, 0.9, leave_out=3)


@pytest.mark.parametrize(
    ("accepted", "first", "known", "decision"),
    [
        (True, True, 0.5, "yes"),
        (True, True, None, "yes"),
        (True, False, 0.5, "unsure"),
        (False, False, 0.5, "no"),
        (False, True, 0.5, "no"),
        (True, True, 0.05, "no"),
    ],
)
def test_the_decision_about_one_model(accepted: bool, first: bool, known: float | None, decision: str) -> None:
    against_all = {"accepted": accepted, "first": first, "known_p_value": known}
    own = {"conformal": {"attainable": True, "accepted": not accepted}}
    assert decide_one(against_all, None) == decision
    assert decide_one(against_all, own) == decision


@pytest.mark.parametrize(("attainable", "accepted", "decision"), [(1, 1, "yes"), (1, 0, "no"), (0, 1, "unsure")])
def test_the_decision_from_its_own_references(attainable: int, accepted: int, decision: str) -> None:
    assert decide_one(None, {"conformal": {"attainable": bool(attainable), "accepted": bool(accepted)}}) == decision
    assert decide_one(None, None) == "unsure"


def test_a_first_place_that_is_less_likely_than_the_rest_is_no_decision() -> None:
    how = {"calibrated": True, "rejected": False, "agreement": 1.0}
    assert decide(["a", "b"], ["a"], probability=0.5, **how) == ("a", "")
    made, reason = decide(["a", "b"], ["a"], probability=0.49, **how)
    assert made == "unsure"
    assert "less likely" in reason
    # Without calibration a probability says nothing.
    assert decide(["a", "b"], [], probability=0.2, calibrated=False, rejected=False, agreement=1.0)[0] == "a"


def test_only_one_thread_at_a_time_learns_anew(
    data: LabelledEmbeddings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes hundreds of MiB at the size of a real gallery, and many may ask for it at once."""
    asked = comparer(data, tmp_path)
    base, inside, most = asked.compare(), [0], [0]

    def slow(attributor: Attributor, kept: LabelledEmbeddings) -> Attributor:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        return refit(attributor, kept)

    monkeypatch.setattr("morelli.attribution.compare.refit", slow)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda row: asked.without(base, row), range(4)))
    assert most[0] == 1
    assert [len(each.rows) for each in made] == [len(data) - 1] * 4
