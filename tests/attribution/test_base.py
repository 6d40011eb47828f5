from __future__ import annotations

import numpy as np
import pytest

from morelli.attribution.base import class_means, stack
from morelli.attribution.catalogue import DEFAULT_METHOD, attributor_names, load_attributor
from morelli.attribution.centroid import Euclid
from morelli.attribution.likelihood import Fused
from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError, UnknownNameError
from tests.attribution.toys import labelled


def test_stack_puts_vectors_side_by_side() -> None:
    vectors = {"b": np.array([[1.0, 2.0]], np.float32), "a": np.array([[3.0]], np.float32)}
    assert stack(vectors).tolist() == [[1, 2, 3]]
    assert stack(vectors, ("a", "b")).tolist() == [[3, 1, 2]]
    assert stack(vectors).dtype == np.float64


@pytest.mark.parametrize(
    "vectors",
    [
        {},
        {"a": np.array([[np.nan]])},
        {"a": np.array([[np.inf]])},
        {"a": np.zeros(3)},
        {"a": np.zeros((2, 1)), "b": np.zeros((3, 1))},
    ],
)
def test_stack_refuses_what_is_no_embedding(vectors: dict[str, np.ndarray]) -> None:
    with pytest.raises(ArrayError):
        stack(vectors)


def test_stack_names_a_missing_vector() -> None:
    with pytest.raises(ArrayError, match="native/9"):
        stack({"a": np.zeros((1, 1))}, ("a", "native/9"))


def test_class_means() -> None:
    x = np.array([[1.0], [3.0], [10.0]])
    means = class_means(x, np.array(["b", "b", "a"]), np.array(["a", "b", "c"]))
    assert means[:2].tolist() == [[10], [2]]
    assert np.isnan(means[2])


def test_candidates_are_sorted_and_two_at_least() -> None:
    method = Euclid()
    assert method.candidates(labelled(np.eye(3), ["c", "a", "c"])).tolist() == ["a", "c"]
    with pytest.raises(NotFittedError):
        method.candidates()
    with pytest.raises(NotEnoughReferencesError, match="here is 1"):
        method.candidates(labelled(np.eye(2), ["a", "a"]))
    with pytest.raises(NotEnoughReferencesError, match="here is 0"):
        method.fit(None).candidates()


def test_clone_keeps_parameters_and_forgets_the_rest() -> None:
    fitted = Fused(folds=3).fit(labelled(np.random.default_rng(0).normal(size=(8, 2)), ["a", "b"] * 4, ["p"] * 8))
    clone = fitted.clone()
    assert (clone.folds, clone.settings) == (3, fitted.settings)
    assert not hasattr(clone, "bank_")
    assert isinstance(Euclid().clone(), Euclid)  # a class without an __init__ of its own


def test_the_catalogue_has_every_method() -> None:
    assert {"euclid", "cosine", "lda", "plda", "fused"} <= set(attributor_names())
    assert DEFAULT_METHOD == "fused"
    assert load_attributor("fused") is not load_attributor("fused")
    with pytest.raises(UnknownNameError, match="'euclid'"):
        load_attributor("euclidean")
