"""The halves of the models and of the prompts, how the folds are put together, and the table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmarks.fingerprint.ceiling_folds import all_folds, model_folds
from benchmarks.fingerprint.ceiling_table import markdown, pooled

from morelli.errors import NotEnoughReferencesError
from morelli.types import Item


def items(models: int, prompts: int, families: int | None = None, seeds: int = 2) -> list[Item]:
    return [
        Item(Path("/none"), f"{model}-{prompt}-{seed}", f"m{model}", f"f{model % (families or models)}", str(prompt))
        for model in range(models)
        for prompt in range(prompts)
        for seed in range(seeds)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folds_are_disjoint_and_test_every_image_once_a_design(seed: int) -> None:
    every = items(6, 5, families=4)
    folds = all_folds(every, seed)
    assert Counter(fold.design for fold in folds) == {"models": 2, "prompts": 2}
    for fold in folds:
        learn, test = ({item.name for item in side} for side in (fold.learn, fold.test))
        assert learn and test and not learn & test and len(learn | test) == len(every)
        shared = "family" if fold.design == "models" else "prompt_id"
        assert not {getattr(item, shared) for item in fold.learn} & {getattr(item, shared) for item in fold.test}
    for design in ("models", "prompts"):
        tested = Counter(item.name for fold in folds if fold.design == design for item in fold.test)
        assert set(tested.values()) == {1} and set(tested) == {item.name for item in every}
    for fold in folds[2:]:
        assert {item.model for item in fold.learn} == {item.model for item in fold.test}


def test_another_seed_cuts_otherwise() -> None:
    halves = [{item.model for item in model_folds(items(8, 2), seed)[0].test} for seed in range(4)]
    assert any(half != halves[0] for half in halves)


@pytest.mark.parametrize(
    ("sample", "words"),
    [(items(4, 1), "one prompt"), (items(3, 4), "halves"), (items(4, 4, families=1), "halves"),
     ([*items(4, 4), Item(Path("/none"), "x", "lonely", "lonely", "0")], "lonely has")],
)  # fmt: skip
def test_a_dataset_that_cannot_be_halved_is_refused(sample: list[Item], words: str) -> None:
    with pytest.raises(NotEnoughReferencesError, match=words):
        all_folds(sample, 0)


def line(fold: int, zero: list[int], tuned: list[int], areas: tuple[float, float]) -> dict[str, Any]:
    """A row of a fold with two models and a query of each; what is no hit was taken for the other model."""
    truth = ["a", "b"]

    def answers(hits: list[int]) -> dict[str, Any]:
        said = [name if hit else "ba"["ab".index(name)] for name, hit in zip(truth, hits, strict=True)]
        return {"said": said, "hit": hits}

    asked = {"names": [f"{fold}a", f"{fold}b"], "prompts": [f"{fold}", f"{fold}"], "truth": truth,
             "zero-shot": answers(zero), "fine-tuned": answers(tuned)}  # fmt: skip
    pairs = {
        name: [{"pairs": "all", "auroc": area, "auroc_low": 0.5, "auroc_high": 1.0, "lift": areas[1] - areas[0],
                "lift_low": None, "lift_high": None}]
        for name, area in zip(("zero-shot", "fine-tuned"), areas, strict=True)
    }  # fmt: skip
    names = ("identification cosine", "any-prompt cosine")
    return {
        "layers": "mean", "design": "prompts", "fold": fold, "queries": dict.fromkeys(names, asked),
        "figures": {**{name: {"zero-shot": {}} for name in names}, "any-prompt lda": {"why": "too few."},
                    "verification cosine": pairs},
    }  # fmt: skip


def test_folds_are_pooled_query_by_query_and_areas_are_averaged() -> None:
    (row,) = pooled([line(0, [1, 0], [1, 1], (0.6, 0.8)), line(1, [0, 0], [1, 0], (0.5, 1.0))], 0)
    many = row["identification cosine"]
    assert many["n_queries"] == 4
    assert many["zero-shot"]["accuracy"][0] == 0.25 and many["fine-tuned"]["accuracy"][0] == 0.75
    assert many["difference"]["accuracy"] == [0.5, 0.5, 0.5]  # both prompts gain one of two
    # Tuned: a is right twice and said once more, b is right once of two: F1 of 4/5 and 2/3.
    assert many["fine-tuned"]["f1"][0] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert row["verification cosine"]["fine-tuned"]["auc"] == pytest.approx(0.9)
    assert row["verification cosine"]["difference"]["auc"] == pytest.approx(0.35)
    assert row["any-prompt lda"]["why"] == "fold 1: too few.; fold 2: too few."
    lines = markdown([row]).splitlines()
    assert lines[3].startswith("| mean | prompts | fine-tuned on these models | 75.0 (")
    assert lines[4].endswith("| +50.0 (+50.0 to +50.0) | – | +50.0 (+50.0 to +50.0) | – | +35.0 | +20.0 | +50.0 |")
    assert lines[-1] == "Queries: mean, prompts: 4 identification cosine, 4 any-prompt cosine."
