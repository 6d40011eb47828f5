"""The test "derived from": p-values that are uniform under the null, small for a derived model, and named refusals."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.attribution.lineage import Lineage, likeness_of_models, root_bases, stated_bases
from morelli.errors import ArrayError, NotEnoughReferencesError, UnknownNameError
from morelli.types import LabelledEmbeddings


def world(bases: dict[str, str], *, pull: float, seed: int, images: int = 4, dims: int = 8) -> LabelledEmbeddings:
    """Each model has an effect of its own, and ``pull`` times that of its base."""
    rng = np.random.default_rng(seed)
    of_base = {base: rng.normal(size=dims) for base in sorted(set(bases.values()))}
    models = sorted(bases)
    centres = [rng.normal(size=dims) + pull * of_base[bases[model]] for model in models]
    x = np.concatenate([centre + 0.5 * rng.normal(size=(images, dims)) for centre in centres]).astype(np.float32)
    names = np.repeat(models, images)
    return LabelledEmbeddings({"v/a": x}, names, np.full(len(names), ""), names)


LABELS = {"root": "root", "child": "root", "cousin": "root", "asked": "root", **{f"o{j}": f"o{j}" for j in range(9)}}


def labelled(data: LabelledEmbeddings, bases: dict[str, str]) -> np.ndarray:
    return np.array([bases[model] for model in data.models])


def test_p_values_are_uniform_under_the_null():
    """Nothing of the base is in the model: each of the ranks 1/10 … 10/10 comes equally often."""
    ranks = []
    for seed in range(600):
        # "asked" is labelled as derived, and is made like the models of other lineages.
        data = world({**LABELS, "asked": "asked"}, pull=1.0, seed=seed)
        test = Lineage(data, labelled(data, LABELS)).test("asked", "root")
        assert test.others == 9
        ranks.append(round(test.p_value * 10))
    counts = np.bincount(ranks, minlength=11)[1:]
    # 60 each on average; a standard deviation is 7.3. χ² with 9 degrees of freedom is above 27.9 once in a thousand.
    assert ((counts - 60) ** 2 / 60).sum() < 27.9
    assert abs((np.array(ranks) <= 1).mean() - 0.1) < 0.04


def test_a_derived_model_is_found_and_its_own_label_is_not_looked_at():
    hits = 0
    for seed in range(30):
        data = world(LABELS, pull=3.0, seed=seed)
        told, untold = ({**LABELS, "asked": base} for base in ("root", "asked"))
        found = [Lineage(data, labelled(data, bases)).test("asked", "root") for bases in (told, untold)]
        assert found[0] == found[1]
        hits += found[0].p_value <= found[0].smallest
    assert hits >= 27
    assert found[0].smallest == pytest.approx(0.1)
    assert set(found[0].lineage) == {"root", "child", "cousin"}
    assert found[0].nearest_other.startswith("o")


def test_a_base_that_derives_from_another_one_stands_for_itself():
    """a ← b ← c: b is of b's lineage, and what derives from it is of c's too; c is no other lineage."""
    made = {"a": "b", "b": "b", "asked": "b", "c": "c", **{f"o{j}": f"o{j}" for j in range(9)}}
    data = world(made, pull=3.0, seed=1)
    lineage = Lineage(data, labelled(data, {**made, "b": "c", "asked": ""}))
    assert lineage.bases() == ["b", "c"]
    assert lineage.derives("a", "c") and not lineage.derives("c", "a")
    found = lineage.test("asked", "b")
    assert (set(found.lineage), found.others) == ({"a", "b"}, 9)
    assert found.p_value == found.smallest
    assert set(lineage.test("asked", "c").lineage) == {"a", "b", "c"}
    # What is said of b itself decides nothing about b: a, which leads to c through b alone, is on neither side.
    assert (lineage.test("b", "c").lineage, lineage.test("b", "c").others) == (("c",), 10)
    assert root_bases(data.models, labelled(data, {**made, "b": "c", "asked": ""}))["a"] == "c"


def test_a_base_that_one_image_of_a_model_tells_is_the_model_s():
    models, bases = ["a", "a", "b", "c"], ["", "b", "", "c"]
    assert stated_bases(models, bases) == {"a": "b", "b": "b", "c": "c"}
    with pytest.raises(ArrayError, match="a has the bases 'b' and 'c'") as caught:
        stated_bases(["a", "a"], ["b", "c"])
    assert caught.value.fix
    for around in (["b", "a"], ["b", "c", "a"]):
        with pytest.raises(ArrayError, match="derive from one another"):
            stated_bases(["a", "b", "c"][: len(around)], around)


def test_likeness_is_symmetric_in_the_models_and_ignores_their_names():
    data = world(LABELS, pull=1.0, seed=3)
    likeness = likeness_of_models(data)
    np.testing.assert_allclose(likeness, likeness.T)
    np.testing.assert_allclose(likeness.diagonal(), 1.0)
    swap = {"o1": "o2", "o2": "o1"}
    renamed = np.array([swap.get(model, model) for model in data.models])
    other = likeness_of_models(LabelledEmbeddings(data.vectors, renamed, data.prompts, renamed))
    order = [sorted(LABELS).index(swap.get(name, name)) for name in sorted(LABELS)]
    np.testing.assert_allclose(other, likeness[np.ix_(order, order)], atol=1e-8)


def test_every_model_against_every_base_that_another_derives_from():
    data = world(LABELS, pull=2.0, seed=0)
    lineage = Lineage(data, labelled(data, LABELS))
    assert lineage.bases() == ["root"]
    assert [test.model for test in lineage.tests()] == sorted(LABELS)


def test_refusals():
    data = world(LABELS, pull=1.0, seed=0)
    lineage = Lineage(data, labelled(data, LABELS))
    with pytest.raises(UnknownNameError, match="child"):
        lineage.test("chld", "root")
    with pytest.raises(UnknownNameError):
        lineage.test("child", "rot")
    with pytest.raises(NotEnoughReferencesError, match="another model of that lineage"):
        lineage.test("o1", "o1")
    few = {"root": "root", "child": "root", "a": "a", "b": "b", "c": "c"}
    small = world(few, pull=1.0, seed=0)
    with pytest.raises(NotEnoughReferencesError, match="4 of other"):
        Lineage(small, labelled(small, few)).test("child", "root")
    with pytest.raises(ArrayError, match="has the bases"):
        Lineage(small, np.array(["root", "other"] * (len(small) // 2)))
    with pytest.raises(NotEnoughReferencesError):
        likeness_of_models(world(few, pull=1.0, seed=0, images=1))
