"""What a huge background is learnt from: every model, prompts in common, several images of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.enough import FEW, chosen_rows, enough
from morelli.attribution.learned import Learned
from morelli.types import DegradedEmbeddings, LabelledEmbeddings


def background(models: int = 3, prompts: int = 8, seeds: int = 6, dims: int = 6) -> LabelledEmbeddings:
    draw = np.random.default_rng(4)
    model, prompt, _ = (part.ravel() for part in np.mgrid[:models, :prompts, :seeds])
    habits, scenes = draw.normal(0, 2, (models, dims)), draw.normal(0, 1, (prompts, dims))
    x = (habits[model] + scenes[prompt] + draw.normal(0, 1, (len(model), dims))).astype(np.float32)
    names = np.array([f"m{code}" for code in model])
    return LabelledEmbeddings({"v": x}, names, np.array([f"p{code}" for code in prompt]), names)


def test_a_background_of_usual_size_is_taken_whole() -> None:
    data = background()
    assert enough(data) is data
    assert enough(data, len(data)) is data


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=2, max_size=300),
    st.integers(1, 200),
)
def test_models_keep_what_they_have_or_as_much_as_each_other(cells: list[tuple[int, int]], limit: int) -> None:
    models = np.array([f"m{a}" for a, _ in cells])
    prompts = np.array(["" if b == 7 else f"p{b}" for _, b in cells])
    rows = chosen_rows(models, prompts, np.zeros(len(models), np.bool_), limit)
    assert np.array_equal(rows, np.unique(rows))
    names, had = np.unique(models, return_counts=True)
    kept = np.array([(models[rows] == name).sum() for name in names])
    quota = kept.max()
    assert np.array_equal(kept, np.minimum(had, quota))
    assert len(rows) <= max(limit, FEW * len(names))
    # One more a model would be too many.
    assert quota == had.max() or np.minimum(had, quota + 1).sum() > limit


def test_prompts_are_shared_and_keep_several_images() -> None:
    data = background(models=4, prompts=50, seeds=40)
    rows = chosen_rows(data.models, data.prompts, np.zeros(len(data), np.bool_), 4 * 400)
    seen = [set(data.prompts[rows[data.models[rows] == name]]) for name in np.unique(data.models)]
    assert all(each == seen[0] for each in seen)
    counts = np.unique([f"{data.models[row]} {data.prompts[row]}" for row in rows], return_counts=True)[1]
    assert counts.min() >= 2  # seeds of a prompt teach what seeds change
    assert len(seen[0]) >= 20


def test_images_with_degraded_copies_come_first() -> None:
    data = background(models=2, prompts=10, seeds=20)
    rows = np.arange(0, len(data), 20)
    copies = DegradedEmbeddings(np.repeat("jpeg:75", len(rows)), rows, {"v": data.vectors["v"][rows]})
    kept = enough(replace(data, degraded=copies), 2 * FEW)
    assert kept.degraded is not None
    assert len(kept.degraded.rows) == len(rows) == len(kept)
    assert np.array_equal(kept.vectors["v"][kept.degraded.rows], copies.vectors["v"])


@pytest.mark.parametrize("method", ["fused", "lda", "euclid"])
def test_a_huge_background_is_learnt_from_in_part_and_searched_whole(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = background(seeds=20)
    monkeypatch.setattr("morelli.attribution.learned.enough", lambda all_: enough(all_, 240))
    learned = Learned(load_attributor(method), data, tmp_path / "kept.npz")
    attributor, calibration = learned.get(0, None, None, lambda: None)
    assert calibration is not None
    assert len(learned.learnt_from) == 240
    assert len(attributor.background_) == (len(data) if method == "euclid" else 240)
    assert learned.space.shape[0] == len(data)
    (found, *_) = learned.nearest.find(learned.place(data.take(np.array([301])).vectors), 1)
    assert found[0] == 301
    # From the file it comes the same.
    again = Learned(load_attributor(method), data, tmp_path / "kept.npz")
    restored, _ = again.get(0, None, None, lambda: pytest.fail("learnt again"))
    query = data.take(np.arange(5)).vectors
    assert np.allclose(restored.scores(query), attributor.scores(query))
