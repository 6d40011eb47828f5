"""Models split into seen and unseen ones: who learns from what, and what is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from morelli.attribution.image import (
    IMAGE_REGISTRY,
    ImageAttributor,
    is_image_attributor,
    load_image_attributor,
)
from morelli.errors import InputError, MissingExtraError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.data import prepare
from morelli.evaluation.groups import BUDGETS, RULES, budgeted, expand_groups
from morelli.evaluation.identification import f1_interval
from morelli.evaluation.model_split import split_models
from morelli.evaluation.runner import evaluate
from morelli.evaluation.scored import figures
from morelli.evaluation.settings import Settings
from morelli.evaluation.zero_shot import identify, learn
from morelli.evaluation.zero_shot_pairs import draw_group_pairs, pair_rows
from morelli.images.dataset import read_dataset
from morelli.report.evaluation import render_evaluation
from morelli.testing.datasets import write_dataset
from tests.evaluation.samples import TextureEncoder, bare, gaussian


class Texture(ImageAttributor):
    """Embeds what the encoder sees; writes down what it was fitted on."""

    fits: list[tuple[int, tuple[str, ...]]]
    under_trained = "1 of 2 published steps"

    def fit(self, images, models):
        type(self).fits.append((len(images), tuple(np.unique(models).tolist())))
        self.models_ = np.unique(models)
        return self

    def scores(self, images):
        return np.zeros((len(images), len(self.models_)))

    def embed(self, images):
        encoder = TextureEncoder()
        found = encoder.encode([encoder.prepare(image) for image in images])
        return np.concatenate(list(found.values()), axis=1)


class Silent(Texture):
    """Has scores and no embeddings."""

    embed = ImageAttributor.embed


class Absent(Texture):
    """Lacks a package."""

    def fit(self, images, models):
        raise MissingExtraError("transformers", "A test")


@pytest.fixture(autouse=True)
def named(monkeypatch):
    Texture.fits = []
    for name, made in {"texture": Texture, "silent": Silent, "absent": Absent}.items():
        monkeypatch.setitem(IMAGE_REGISTRY._loaded, name, made)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("split") / "d", models=6, prompts=6, seeds=3, size=32)


@pytest.fixture(scope="module")
def data(folder):
    return prepare([read_dataset(folder)], TextureEncoder(), copies=0)[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(4, 12), st.integers(1, 3), st.floats(0.05, 0.95), st.integers(0, 99))
def test_training_and_test_have_nothing_in_common(models, per_family, share, seed):
    labels = gaussian(models=models, prompts=6, seeds=2, per_family=per_family, dims=2)
    split = split_models(labels, share, seed)
    seen, unseen = (set(labels.models[split.tested[group]]) for group in ("seen", "unseen"))
    assert not seen & unseen
    assert min(len(seen), len(unseen)) >= 2
    assert seen | unseen == set(labels.models)
    assert set(labels.models[split.training]) == seen
    tested = np.concatenate(list(split.tested.values()))
    assert not set(labels.prompts[split.training]) & set(labels.prompts[tested])
    whole = not any("families" in note for note in split.notes)
    kin = [set(labels.families[split.tested[group]]) for group in ("seen", "unseen")]
    assert whole == (not kin[0] & kin[1])


def test_a_model_with_too_few_images_is_left_out_by_name():
    models = ["a", "b", "c", "d"] * 8 + ["few"]
    prompts = [f"p{i // 4}" for i in range(32)] + ["p0"]
    split = split_models(bare(models, prompts), 0.5, 0)
    assert 32 not in np.concatenate([split.training, *split.tested.values()])
    assert any("few" in note for note in split.notes)


def test_too_little_for_a_split():
    with pytest.raises(NotEnoughReferencesError, match="one prompt"):
        split_models(bare(list("aabbccdd"), ["p"] * 8), 0.5, 0)
    with pytest.raises(NotEnoughReferencesError, match="two models that are seen"):
        split_models(bare(list("aabbcc") * 4, [f"p{i}" for i in range(4) for _ in range(6)]), 0.5, 0)
    with pytest.raises(InputError, match="between 0 and 1"):
        split_models(gaussian(), 1.0, 0)


def test_identification_is_what_a_loop_finds(data):
    split = split_models(data.embeddings, 0.5, 0)
    learnt = learn("texture", data, split)
    assert Texture.fits == [(len(split.training), tuple(np.unique(data.embeddings.models[split.training]).tolist()))]
    assert np.isnan(learnt.embeddings.vectors["embedding"][split.training]).all()
    for group, rows in split.tested.items():
        scored, plan = identify(learnt, split, group, 3, 0)
        (task,) = plan.items
        x = learnt.embeddings.vectors["embedding"][rows].astype(float)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        models = data.embeddings.models[rows]
        names = np.unique(models)
        gallery = [x[task.references][models[task.references] == name].mean(axis=0) for name in names]
        said, truth = [], []
        for query in task.queries:
            cosines = [mean @ x[query] / np.linalg.norm(mean) for mean in gallery]
            said.append(names[int(np.argmax(cosines))])
            truth.append(models[query])
        found = scored.models[scored.scores.argmax(axis=1)]
        assert found.tolist() == said
        assert not np.isin(task.queries, task.references).any()
        row = figures(scored, {name: name for name in names}, baseline=None, epsilon=0.1, seed=0)
        assert row["top1"] == pytest.approx(accuracy_score(truth, said))
        assert f1_interval(scored).point == pytest.approx(f1_score(truth, said, average="macro"))


@pytest.mark.parametrize("rule", ["lda", "fused"])
def test_a_seen_model_is_known_by_its_references_alone(data, rule):
    """The training images of a model that is seen teach statistics, and are no references in disguise."""
    split = split_models(data.embeddings, 0.5, 0)
    learnt = learn(rule, data, split)
    first, plan = identify(learnt, split, "seen", 3, 0)
    (task,) = plan.items
    rows = split.tested["seen"]
    # Two models change their references' pictures, and nothing else.
    names = np.unique(data.embeddings.models[rows])[:2]
    places = [rows[task.references][data.embeddings.models[rows[task.references]] == name] for name in names]
    vectors = {}
    for name, values in learnt.embeddings.vectors.items():
        swapped = values.copy()
        swapped[places[0]], swapped[places[1]] = values[places[1]], values[places[0]]
        vectors[name] = swapped
    changed = replace(learnt, embeddings=replace(learnt.embeddings, vectors=vectors))
    again, _ = identify(changed, split, "seen", 3, 0)
    columns = np.searchsorted(first.models, names)
    mine, theirs = first.scores[:, columns], again.scores[:, columns]
    # What spoke for the one now speaks for the other: nearly, as references of a prompt count as one.
    assert np.corrcoef(mine[:, 0] - mine[:, 1], theirs[:, 1] - theirs[:, 0])[0, 1] > 0.5
    assert np.isneginf(
        first.scores[:, [n for n, m in enumerate(first.models) if m not in rows_models(data, rows)]]
    ).all()


def rows_models(data, rows):
    """Names of the models of some rows."""
    return set(data.embeddings.models[rows].tolist())


def test_pairs_are_judged_by_the_other_group(data):
    split = split_models(data.embeddings, 0.5, 0)
    learnt = learn("texture", data, split)
    drawn = draw_group_pairs(data.embeddings, split, 60, 0)
    rows = pair_rows(learnt, split, drawn, 0)
    x = learnt.embeddings.vectors["embedding"].astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for group, row in rows.items():
        pairs = drawn[group]
        models = data.embeddings.models
        assert (models[pairs.same.first] == models[pairs.same.second]).all()
        assert (models[pairs.different.first] != models[pairs.different.second]).all()
        scores = [
            x[kind.first[i]] @ x[kind.second[i]] for kind in (pairs.same, pairs.different) for i in range(len(kind))
        ]
        truth = [1] * len(pairs.same) + [0] * len(pairs.different)
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, scores))
        assert row["best_accuracy"] >= row["accuracy"]
        assert row["best_accuracy_low"] <= row["best_accuracy"] <= row["best_accuracy_high"]
        other = rows["unseen" if group == "seen" else "seen"]["best_threshold"]
        accepted = np.array(scores) >= other
        assert row["tpr"] == pytest.approx(accepted[: len(pairs.same)].mean())
        assert row["fpr"] == pytest.approx(accepted[len(pairs.same) :].mean())


@pytest.mark.parametrize("protocol", ["identification", "verification"])
def test_seen_and_unseen_models_have_rows_of_their_own(folder, protocol):
    methods = ("cosine", "texture", *(["plda"] if protocol == "verification" else ["lda"]))
    asked = Settings(protocol, methods, k=2 if protocol == "identification" else None, unseen=0.5, pairs=50)
    result = evaluate(read_dataset(folder), TextureEncoder(), asked).result
    assert [(row["method"], row["models"]) for row in result["rows"]] == [
        (method, group) for method in methods for group in ("seen", "unseen")
    ]
    assert len(Texture.fits) == 1
    assert all("under_trained" not in row for row in result["rows"] if row["method"] != "texture")
    assert any("3 models are seen" in note for note in result["notes"])
    text = render_evaluation(result)
    assert "seen in training" in text
    assert "texture (under-trained)" in text


def test_verification_of_methods_that_see_pictures_splits_by_itself(folder):
    result = evaluate(read_dataset(folder), TextureEncoder(), Settings("verification", ("texture",), pairs=50)).result
    assert [row["models"] for row in result["rows"]] == ["seen", "unseen"]
    with pytest.raises(InputError, match="no embeddings"):
        evaluate(read_dataset(folder), TextureEncoder(), Settings("verification", ("silent",), pairs=50))
    with pytest.raises(InputError, match="--unseen"):
        evaluate(read_dataset(folder), TextureEncoder(), Settings("any-prompt", ("euclid",), unseen=0.5))
    with pytest.raises(UnknownNameError, match="cosine"):
        evaluate(read_dataset(folder), TextureEncoder(), Settings("verification", ("cosin",), unseen=0.5))


def test_groups_name_every_method_once():
    methods, optional = expand_groups(("all",), 8)
    names = [name.partition("@")[0] for name in methods]
    assert len(names) == len(set(names))
    assert {"euclid", "cosine", "plda", "lda", "fused", *BUDGETS, "marra", "texture"} <= set(names)
    assert set(methods) == optional
    mine, fewer = expand_groups(("published", "yu@steps=5", "fused"), 8)
    assert "yu@steps=5" in mine
    assert [name for name in mine if name.startswith("yu")] == ["yu@steps=5"]
    assert not {"yu@steps=5", "fused"} & fewer
    assert not {"plda", "lda"} & set(mine)
    assert set(RULES) <= set(mine)


def test_steps_cost_the_same_for_every_method():
    for name, budget in BUDGETS.items():
        for models in (4, 20):
            steps = int(budgeted(name, models, 10_000).partition("steps=")[2])
            each = budget.step(models)
            assert 10_000 - each < steps * each <= 10_000
    assert budgeted("marra", 4, 100) == "marra"
    assert budgeted("yu", 4, 1e-9).endswith("steps=8")


def test_what_groups_name_can_be_made():
    for name in expand_groups(("all",), 8)[0]:
        if is_image_attributor(name):
            load_image_attributor(name)


@pytest.mark.parametrize("protocol", ["robustness", "identification", "verification"])
def test_other_protocols_skip_what_cannot_run(folder, protocol, monkeypatch):
    wanted = ("euclid", "cosine", "absent", "texture")
    monkeypatch.setattr("morelli.evaluation.runner.expand_groups", lambda *_: (list(wanted), frozenset(wanted)))
    asked = Settings(protocol, ("all",), degrade=("jpeg:60",) if protocol == "robustness" else None, pairs=50)
    result = evaluate(read_dataset(folder), TextureEncoder(), asked).result
    there = {"cosine", "texture"} | (set() if protocol == "verification" else {"euclid"})
    assert {row["method"] for row in result["rows"]} == there
    assert any(note.startswith("absent was not run") for note in result["notes"])
    assert protocol != "verification" or "euclid was not run: it compares no pairs." in result["notes"]


def test_what_a_group_names_and_cannot_run_is_a_note(folder, monkeypatch):
    wanted = ("euclid", "plda", "absent", "texture")
    monkeypatch.setattr("morelli.evaluation.runner.expand_groups", lambda *_: (list(wanted), frozenset(wanted)))
    result = evaluate(read_dataset(folder), TextureEncoder(), Settings("any-prompt", ("all",), ablate=False)).result
    assert {row["method"] for row in result["rows"]} == {"euclid", "texture"}
    assert any(note.startswith("plda was not run") for note in result["notes"])
    assert any(note.startswith("absent was not run") and "transformers" in note for note in result["notes"])
    with pytest.raises(MissingExtraError):
        evaluate(read_dataset(folder), TextureEncoder(), Settings("any-prompt", ("absent",), ablate=False))
