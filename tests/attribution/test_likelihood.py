"""lda, plda and fused on data drawn from the model that they assume, and where data are missing."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.attribution.bank import Labels
from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.crossbank import CrossBank
from morelli.attribution.likelihood import Fused, Lda, LikelihoodAttributor, Plda
from morelli.errors import ArrayError, NotEnoughReferencesError, NotFittedError
from morelli.types import LabelledEmbeddings
from tests.attribution.toys import labelled, simulate, split

VIEWS = {"good/1": 0.7, "good/2": 0.7, **{f"noise/{i}": 0.0 for i in range(6)}}


@pytest.fixture(scope="module")
def data() -> LabelledEmbeddings:
    """One view in which models differ, and one of pure noise, three times as wide."""
    return simulate(1, models=8, prompts=60, seeds=3, strength=VIEWS)


def component_scores(fused: Fused, _: str, references: LabelledEmbeddings, queries: LabelledEmbeddings) -> np.ndarray:
    """Unweighted: shape (components, n, m)."""
    bank = fused.bank_
    assert bank is not None
    asked, known = bank.project(queries.vectors), bank.project(references.vectors)
    labels, models = Labels(references.models, references.prompts), fused.candidates(references)
    return np.concatenate([rule(asked, known, labels, models) for rule in (bank.free_scores, bank.same_scores)])


def top1(attributor: Attributor, rounds: list, prompt_known: bool = True) -> float:
    right = []
    for prompt, references, queries in rounds:
        scores = attributor.scores(queries.vectors, references, prompt if prompt_known else None)
        right.extend(attributor.candidates(references)[scores.argmax(axis=1)] == queries.models)
    return float(np.mean(right))


def test_fused_leaves_a_view_of_noise_out(data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 30, 2)
    fused = Fused().fit(background)
    assert fused.bank_ is not None
    assert list(fused.bank_.groups) == ["good", "noise"]
    # What each component adds to the score: its weight times how far it spreads the candidates.
    layers = np.concatenate([component_scores(fused, *one) for one in rounds], axis=1)
    spread = (layers - layers.mean(axis=2, keepdims=True)).std(axis=(1, 2))
    good_free, noise_free, good_same, noise_same = fused.weights(2) * spread
    assert noise_free + noise_same < 0.1 * (good_free + good_same)
    rates = {name: top1(load_attributor(name).fit(background), rounds) for name in ("euclid", "cosine", "lda", "plda")}
    assert top1(fused, rounds) > max(rates.values()) + 0.05
    assert min(rates["lda"], rates["plda"]) > max(rates["euclid"], rates["cosine"]) > 1 / 8


@pytest.mark.parametrize("k", [1, 2])
def test_a_candidate_that_the_background_lacks(k: int) -> None:
    data = simulate(2, models=8, prompts=40, seeds=3, strength={"a/1": 0.8, "b/1": 0.8})
    background, rounds = split(data, 15, k)
    without = background.take(~np.isin(background.models, ["model-6", "model-7"]))
    new = [(p, r, q.take(np.isin(q.models, ["model-6", "model-7"]))) for p, r, q in rounds]
    fused = Fused().fit(without)
    assert fused.candidates(rounds[0][1]).tolist() == [f"model-{i}" for i in range(8)]
    assert top1(fused, new) > 4 / 8
    assert top1(fused, rounds) > 4 / 8


def test_new_candidates_have_weights_of_their_own(data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 20, 2)
    seldom = (background.models == "model-5") & (background.prompts > "prompt-01")
    fused = Fused().fit(background.take(~seldom & ~np.isin(background.models, ["model-6", "model-7"])))
    # Two prompts are fewer than three, and than most models have.
    assert fused.is_new(fused.candidates(rounds[0][1])).tolist() == [False] * 5 + [True] * 3
    known, new = fused.weights(2), fused.weights(2, new=True)
    assert not np.allclose(known, new)
    prompt, references, queries = rounds[0]
    layers = component_scores(fused, prompt, references, queries)
    slow = [sum(w * layer[:, j] for w, layer in zip(new if j >= 5 else known, layers, strict=True)) for j in range(8)]
    assert fused.scores(queries.vectors, references, prompt) == pytest.approx(np.stack(slow, axis=1))


@pytest.mark.parametrize("kind", [Lda, Plda])
def test_a_single_component_learns_no_weight(kind: type[LikelihoodAttributor], data, monkeypatch) -> None:
    background, rounds = split(data, 20, 2)
    prompt, references, queries = rounds[0]
    fitted = kind().fit(background)
    bank, labels = fitted.bank_, Labels(references.models, references.prompts)
    assert bank is not None
    rule = bank.free_scores if kind is Lda else bank.same_scores
    raw = rule(bank.project(queries.vectors), bank.project(references.vectors), labels, fitted.candidates(references))
    with monkeypatch.context() as patched:
        patched.setattr(CrossBank, "tables", lambda *_: pytest.fail("held-out scores for a scale"))
        fitted.learn_weights(2, fitted.candidates(references))
        assert fitted.scores(queries.vectors, references, prompt) == pytest.approx(raw[0])
    table = fitted.cross_scores(2)
    mixture, _ = fitted._cross.tables(2 if kind is Plda else fitted._simulable(2))
    assert np.array_equal(table.scores, mixture.mean()[0])  # what calibration learns from has the same scale


def test_a_single_component_counts_relatively_among_known_and_new(data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 20, 2)
    fitted = Lda().fit(background.take(~np.isin(background.models, ["model-6", "model-7"])))
    prompt, references, queries = rounds[0]
    bank, models = fitted.bank_, fitted.candidates(references)
    assert bank is not None
    labels = Labels(references.models, references.prompts)
    raw = bank.free_scores(bank.project(queries.vectors), bank.project(references.vectors), labels, models)[0]
    share = fitted.weights(0, new=True)[0] / fitted.weights(0)[0]
    assert share != pytest.approx(1.0)
    assert fitted.scores(queries.vectors, references, prompt) == pytest.approx(
        np.where(fitted.is_new(models), share, 1.0) * raw
    )


def test_too_few_models_to_play_new_ones(data: LabelledEmbeddings) -> None:
    fused = Fused().fit(data.take(np.isin(data.models, ["model-0", "model-1", "model-2"])))
    assert len(fused.cross_scores(2, new=True)) == 0
    assert np.array_equal(fused.weights(2, new=True), fused.weights(2))


def test_without_a_background_the_references_give_the_statistics(data: LabelledEmbeddings) -> None:
    rounds = split(simulate(3, models=8, prompts=12, seeds=6, strength={"a/1": 0.8}), 12, 4)[1]
    for attributor in (Lda(), Plda(), Fused()):
        for nothing in (None, data.take(np.array([], dtype=int)), data.take(data.models == "model-0")):
            assert top1(attributor.fit(nothing), rounds) > 3 / 8


def test_a_background_of_one_image_a_model_is_as_none() -> None:
    data = simulate(4, models=5, prompts=3, seeds=3, strength={"a/1": 1.0})
    single = data.take(np.arange(0, 15, 3))
    _, rounds = split(data, 1, 2)
    for attributor in (Lda(), Plda(), Fused()):
        bare, thin = attributor.clone().fit(None), attributor.clone().fit(single)
        (prompt, references, queries) = rounds[0]
        found = thin.scores(queries.vectors, references, prompt)
        assert found == pytest.approx(bare.scores(queries.vectors, references, prompt))
        assert len(thin.cross_scores(2)) == 0
        with pytest.raises(NotEnoughReferencesError, match="background"):
            thin.weights(2)


def test_one_image_a_model_and_no_background_is_refused() -> None:
    references = labelled(np.random.default_rng(0).normal(size=(4, 3)), list("abcd"), ["p"] * 4)
    query = {"v": np.ones((1, 3), np.float32)}
    for attributor in (Lda(), Plda(), Fused()):
        with pytest.raises(NotEnoughReferencesError):
            attributor.fit(None).scores(query, references, "p")
    with pytest.raises(NotEnoughReferencesError, match="euclid or cosine"):
        Fused().fit(None).scores(query, references)


def test_no_prompts_at_all() -> None:
    data = simulate(5, models=6, prompts=30, seeds=2, strength={"a/1": 1.0, "b/1": 1.0})
    blank = LabelledEmbeddings(data.vectors, data.models, np.full(len(data), "", dtype="U1"), data.families)
    known, query = blank.take(np.arange(300)), blank.take(np.arange(300, 360))
    for attributor in (Lda(), Fused()):
        fitted = attributor.fit(known)
        found = fitted.models_[fitted.scores(query.vectors).argmax(axis=1)]
        assert (found == query.models).mean() > 0.6
        assert len(fitted.cross_scores(0)) == 300
        assert len(fitted.cross_scores(2)) == 300  # nothing but prompt-free scores can be played through
    with pytest.raises(NotEnoughReferencesError, match="prompt is not known"):
        Plda().fit(known).scores(query.vectors, known)


def test_an_unknown_prompt_falls_back_to_prompt_free(data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 30, 2)
    fused = Fused().fit(background)
    assert 1 / 4 < top1(fused, rounds, prompt_known=False) < top1(fused, rounds)
    _, references, queries = rounds[0]
    # With the prompt unknown, the models' own means count and the references' prompts do not.
    renamed = LabelledEmbeddings(
        references.vectors, references.models, np.full(len(references), "other"), references.families
    )
    assert np.array_equal(fused.scores(queries.vectors, references), fused.scores(queries.vectors, renamed))


@pytest.mark.parametrize("method", [Plda, Fused])
def test_a_model_without_references_of_the_prompt_is_named(
    method: type[LikelihoodAttributor], data: LabelledEmbeddings
) -> None:
    background, rounds = split(data, 5, 2)
    prompt, references, queries = rounds[0]
    elsewhere = background.take(background.prompts == "prompt-00")
    some = np.concatenate([np.flatnonzero(~np.isin(references.models, ["model-2", "model-5"]))])
    mixed = LabelledEmbeddings(
        {n: np.concatenate([v[some], elsewhere.vectors[n]]) for n, v in references.vectors.items()},
        np.concatenate([references.models[some], elsewhere.models]),
        np.concatenate([references.prompts[some], elsewhere.prompts]),
        np.concatenate([references.families[some], elsewhere.families]),
    )
    with pytest.raises(NotEnoughReferencesError, match=rf"'{prompt}' for model-2, model-5") as caught:
        method().fit(background).scores(queries.vectors, mixed, prompt)
    assert caught.value.fix


def test_fitting_twice_gives_the_same(data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 5, 2)
    prompt, references, queries = rounds[0]
    fused = Fused().fit(background)
    first = fused.scores(queries.vectors, references, prompt)
    assert np.array_equal(first, fused.fit(background).scores(queries.vectors, references, prompt))
    assert np.array_equal(first, Fused().fit(background).scores(queries.vectors, references, prompt))
    # Nothing of another background stays behind.
    fused.fit(background.take(background.prompts < "prompt-10")).scores(queries.vectors, references, prompt)
    assert np.array_equal(first, fused.fit(background).scores(queries.vectors, references, prompt))


@pytest.mark.parametrize("method", [Lda, Plda, Fused])
def test_more_queries_in_the_batch_change_nothing(method: type[LikelihoodAttributor], data: LabelledEmbeddings) -> None:
    background, rounds = split(data, 5, 2)
    fitted = method().fit(background)
    prompt, references, queries = rounds[0]
    alone = np.vstack([fitted.scores(queries.take(np.array([i])).vectors, references, prompt) for i in range(8)])
    rng = np.random.default_rng(0)
    crowd = {
        n: np.concatenate([v, rng.normal(50, 20, (100, v.shape[1]))]).astype(np.float32)
        for n, v in queries.vectors.items()
    }
    together = fitted.scores(crowd, references, prompt)[:8]
    assert together == pytest.approx(alone, abs=1e-9 * np.abs(alone).max())


def test_weights_for_more_references_than_the_background_can_play(data: LabelledEmbeddings) -> None:
    fused = Fused().fit(data.take(data.prompts < "prompt-10"))
    assert np.array_equal(fused.weights(9), fused.weights(2))  # three seeds a cell: one is the query
    assert not np.array_equal(fused.weights(1), fused.weights(2))
    assert len(fused.weights(0)) == 2
    assert len(fused.weights(1)) == 4
    assert (fused.weights(1) >= 0).all()


def test_nearness_is_the_distance_in_the_whitened_space() -> None:
    data = simulate(6, models=5, prompts=12, seeds=3, strength={"v": 1.0}, d=6)
    plda = Plda().fit(data)
    found = plda.nearness(data.take(np.arange(4)).vectors, data)
    assert plda.bank_ is not None
    z = plda.bank_.project(data.vectors)["all"][1]
    slow = [[np.sqrt(np.mean((z[i] - row) ** 2)) for row in z] for i in range(4)]
    assert found == pytest.approx(np.array(slow), abs=1e-6)
    assert found.argmin(axis=1).tolist() == [0, 1, 2, 3]
    # Noise has unit variance in it, up to the shrinkage: two seeds of one cell lie about √2 apart.
    siblings = [np.sqrt(np.mean((z[3 * c] - z[3 * c + 1]) ** 2)) for c in range(60)]
    assert np.mean(siblings) == pytest.approx(np.sqrt(2), rel=0.2)


def test_unfitted_and_foreign_embeddings_are_named(data: LabelledEmbeddings) -> None:
    for call in (
        lambda: Fused().scores(data.vectors, data),
        lambda: Fused().nearness(data.vectors, data),
        lambda: Fused().weights(1),
        lambda: Fused().cross_scores(1),
    ):
        with pytest.raises(NotFittedError):
            call()
    fused = Fused().fit(data.take(data.prompts < "prompt-05"))
    with pytest.raises(ArrayError, match="good/1"):
        fused.scores({"other/1": np.zeros((1, 3), np.float32)})
