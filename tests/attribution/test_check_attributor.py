"""The published contract check passes good attributors and fails each kind of broken one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pytest

from morelli.attribution.bank import BankSettings
from morelli.attribution.base import Attributor, stack
from morelli.attribution.catalogue import attributor_names, load_attributor
from morelli.attribution.likelihood import Fused
from morelli.errors import NotEnoughReferencesError
from morelli.testing.attributors import check_attributor
from morelli.types import LabelledEmbeddings

Vectors = Mapping[str, np.ndarray]


class Nearest(Attributor):
    """Distance to the nearest reference of each model: sound, and short enough to be broken in one line."""

    uses_background = False

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        self.background_ = background
        self.models_ = None if background is None or not len(background) else np.unique(background.models)
        return self

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        models = self.candidates(references)
        known = references if references is not None and len(references) else self.background_
        assert known is not None
        x, y = stack(vectors), stack(known.vectors, tuple(vectors))
        apart = np.linalg.norm(x[:, None] - y, axis=2) ** self.power
        return -np.stack([apart[:, known.models == model].min(axis=1) for model in models], axis=1)


class Changed(Nearest):
    """A sound one whose scores pass through ``change``."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        return self.change(super().scores(vectors, references, prompt))

    def change(self, scores: np.ndarray) -> Any:
        return scores


class BatchMean(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return scores - scores.mean(axis=0)


class BatchRank(Changed):
    """Depends on the batch only where there is one: a single query is scored well."""

    def change(self, scores: np.ndarray) -> Any:
        return scores + 0.01 * (len(scores) > 1)


class LowerIsBetter(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return -scores


class Transposed(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return np.vstack([scores, scores]).T


class AsList(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return scores.tolist()


class Ranks(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return scores.argsort(axis=1).argsort(axis=1)


class Infinite(Changed):
    def change(self, scores: np.ndarray) -> Any:
        with np.errstate(divide="ignore"):
            return np.where(scores < scores.max(), scores, np.inf)


class Random(Changed):
    def change(self, scores: np.ndarray) -> Any:
        return scores + np.random.default_rng().normal(0, 0.01, scores.shape)


class Unsorted(Nearest):
    def candidates(self, references: LabelledEmbeddings | None = None) -> np.ndarray:
        return super().candidates(references)[::-1]


class Forgetful(Nearest):
    def fit(self, background: LabelledEmbeddings | None) -> Any:
        super().fit(background)


class Restless(Nearest):
    """Its clones drift away."""

    def clone(self) -> Self:
        return type(self)(self.power + 0.1)


class Hasty(Nearest):
    """Scores without references before it was fitted."""

    def candidates(self, references: LabelledEmbeddings | None = None) -> np.ndarray:
        return np.unique(references.models) if references is not None else np.array(["a", "b"])

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        return super().scores(vectors, references) if references is not None else np.zeros((len(stack(vectors)), 2))


class First(Nearest):
    """Takes the first two references for all there is."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        scores = super().scores(vectors, references, prompt)
        return scores + (0.01 * float(stack(references.vectors)[0, 0]) if references is not None else 0.0)


class ByPlace(Nearest):
    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        weights = iter((1.0, 0.1))
        weighed = {name: values * next(weights) for name, values in vectors.items()}
        weights = iter((1.0, 0.1))
        if references is None:
            return super().scores(vectors)
        known = {name: references.vectors[name] * next(weights) for name in vectors}
        moved = LabelledEmbeddings(known, references.models, references.prompts, references.families)
        return super().scores(weighed, moved, prompt)


class Careless(Nearest):
    """Lets NaN through as if it were zero."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        return super().scores({name: np.nan_to_num(values) for name, values in vectors.items()}, references, prompt)


class Alone(Nearest):
    """Sees no harm in a single model."""

    def candidates(self, references: LabelledEmbeddings | None = None) -> np.ndarray:
        return np.unique(references.models) if references is not None else super().candidates()


class Writes(Nearest):
    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        scores = super().scores(vectors, references, prompt)
        for values in vectors.values():
            values += 0
            values[0] = values[0][::-1]
        return scores


class WritesInFit(Nearest):
    def fit(self, background: LabelledEmbeddings | None) -> Self:
        if background is not None:
            background.models[0] = "z"
        return super().fit(background)


class Remembers(Nearest):
    """Keeps the first references that it is given for all later calls."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        if references is not None:
            references = self.kept_ = getattr(self, "kept_", references)
        return super().scores(vectors, references, prompt)


class RemembersLabels(Nearest):
    """Prepares references anew only where their labels differ from the last."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        if references is not None:
            kept = getattr(self, "kept_", None)
            if kept is None or not np.array_equal(kept.models, references.models):
                self.kept_ = kept = references
            references = kept
        return super().scores(vectors, references, prompt)


class Adapts(Nearest):
    """Leans towards the queries of the call before; the same call twice gives the same scores."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        scores, x = super().scores(vectors, references, prompt), stack(vectors)
        last, self.last_ = getattr(self, "last_", x), x
        return scores + (0.0 if np.array_equal(last, x) else 1e-3 * float(np.abs(last).mean()))


class Caches(Nearest):
    """Keeps the last references too, and looks at all of them before it takes them up again: sound."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        if references is not None:
            key = stack(references.vectors).tobytes(), references.models.tobytes()
            if getattr(self, "key_", None) != key:
                self.key_, self.kept_ = key, references
            references = self.kept_
        return super().scores(vectors, references, prompt)


class NeedsPrompt(Nearest):
    """Refuses by name what it cannot do."""

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> np.ndarray:
        scores = super().scores(vectors, references, prompt)
        if prompt is None:
            raise NotEnoughReferencesError("needs the prompt.")
        return scores


class Crashes(Nearest):
    def fit(self, background: LabelledEmbeddings | None) -> Self:
        if background is None:
            raise TypeError("no background")
        return super().fit(background)


@pytest.mark.parametrize("name", attributor_names())
def test_every_attributor_of_the_catalogue_passes(name: str) -> None:
    check_attributor(load_attributor(name))


@pytest.mark.parametrize(
    "good", [Nearest(), Nearest(2.0), NeedsPrompt(), Caches(), Changed(), Fused(BankSettings(dims=4), folds=3)]
)
def test_good_attributors_pass(good: Attributor) -> None:
    before = dict(vars(good))
    check_attributor(good)
    assert vars(good) == before  # clones were fitted


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (BatchMean, "other queries"),
        (BatchRank, "other queries"),
        (LowerIsBetter, "highest score"),
        (Transposed, "have shape"),
        (AsList, "returns an array"),
        (Ranks, "floating-point"),
        (Infinite, "are finite"),
        (Random, "other queries|same scores"),
        (Unsorted, "sorted"),
        (Forgetful, "returns the attributor"),
        (Restless, "same parameters: power"),
        (Hasty, "before fit"),
        (First, "order of the references"),
        (ByPlace, "matched by name"),
        (Careless, "NaN in a query"),
        (Alone, "one model only"),
        (Remembers, r"earlier calls \(fewer references after the same\)"),
        (RemembersLabels, r"earlier calls \(other references after the same\)"),
        (Adapts, r"earlier calls \(other queries after the same\)"),
        (Writes, "other queries|leaves its input"),
        (WritesInFit, "fit leaves its input"),
        (object, "a subclass"),
    ],
)
def test_broken_attributors_are_seen(broken: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_attributor(broken())


def test_what_an_attributor_raises_comes_through() -> None:
    with pytest.raises(TypeError, match="no background"):
        check_attributor(Crashes())


def test_the_tolerance_is_relative() -> None:
    class Wobbly(Changed):
        def change(self, scores: np.ndarray) -> Any:
            return 1000 * scores * (1 + 1e-4 * len(scores))

    check_attributor(Wobbly(), tolerance=1e-2)
    with pytest.raises(AssertionError, match="other queries"):
        check_attributor(Wobbly())
