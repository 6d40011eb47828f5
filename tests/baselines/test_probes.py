"""Linear probes equal scikit-learn's; Gram matrices by hand; the classifiers on embeddings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.baselines import frozen
from morelli.baselines.gram import BLOCKS, Gram, gram, upper
from morelli.baselines.linear import Span, choose_c, fit_logistic, published_grid
from morelli.baselines.mlp_image import MlpImage
from morelli.baselines.mlp_image_text import MlpImageText
from morelli.baselines.probe import Probe
from morelli.errors import InputError, NotFittedError, UnknownNameError, WeightsError
from morelli.types import EncoderStamp
from tests.baselines.toys import accuracy, pictures, stripes


def blobs(n=90, d=20, classes=3, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(0, 1, (classes, d))[labels] + spread * rng.normal(0, 1, (n, d)), labels


class Texture:
    """Deviations of neighbours: an encoder without a network."""

    stamp = EncoderStamp("texture", "1", "plain", {"down": 3, "across": 3})

    def prepare(self, pixels):
        return pixels.astype(float)

    def encode(self, prepared):
        parts = [[np.diff(x, axis=axis).std(axis=(0, 1)) for x in prepared] for axis in (0, 1)]
        return {name: np.array(part, np.float32) for name, part in zip(("down", "across"), parts, strict=True)}


@pytest.fixture
def texture(monkeypatch):
    monkeypatch.setattr(frozen, "_encoder", lambda spec: Texture())
    return pictures(8, 32, stripes(32), 20, seed=0), pictures(6, 32, stripes(32), 20, seed=1)


@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_the_regression_is_scikit_learn_s(c):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = blobs(spread=2.0)
    theirs = linear_model.LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(x, labels)
    mine = fit_logistic(x, labels, 3, c)
    assert np.allclose(np.exp(mine.log_probabilities(x)), theirs.predict_proba(x), atol=1e-4)


def test_a_regression_in_the_span_is_the_regression():
    x, labels = blobs(n=30, d=200)
    new = np.random.default_rng(5).normal(size=(7, 200))
    span = Span(x)
    plain, inside = fit_logistic(x, labels, 3, 0.1), fit_logistic(span(x), labels, 3, 0.1)
    assert np.allclose(inside.log_probabilities(span(new)), plain.log_probabilities(new), atol=1e-3)
    assert np.allclose(span(x) @ span(x).T, x @ x.T)


def test_the_grid_is_the_published_one():
    grid = published_grid()
    assert (len(grid), grid[0], grid[-1]) == (45, pytest.approx(1e-6), pytest.approx(1e5))


def test_c_is_small_where_features_say_nothing_and_larger_where_they_do():
    x, labels = blobs(n=120, spread=0.5)
    noise = np.random.default_rng(1).normal(size=x.shape)
    grid = (1e-4, 1e-2, 1.0, 100.0)
    assert choose_c(noise, labels, 3, grid) < choose_c(x, labels, 3, grid)
    assert choose_c(x[:3], labels[:3], 3, grid) == 1.0


def test_neighbours_are_scikit_learn_s(texture):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (images, models), (new, _) = texture
    fitted = Probe(classifier="knn", k=5).fit(images, models)
    x, queries = np.stack(fitted.features(images)), np.stack(fitted.features(new))
    theirs = neighbors.KNeighborsClassifier(5, metric="cosine").fit(x, models).predict_proba(queries)
    assert np.array_equal(np.floor(fitted.scores(new) * 5 + 1e-9) / 5, theirs)


@pytest.mark.parametrize("make", [lambda: Probe(grid=5), lambda: Probe(classifier="knn"), lambda: MlpImage(epochs=60)])
def test_easy_models_are_told_apart(texture, make):
    (images, models), new = texture
    assert accuracy(make().fit(images, models), *new) >= 0.9


def test_the_probe_s_scores_are_log_probabilities(texture):
    (images, models), (new, _) = texture
    fitted = Probe(grid=3).fit(images, models)
    assert np.allclose(np.exp(fitted.scores(new)).sum(axis=1), 1)
    assert fitted.embed(new).shape == (len(new), 6)
    with pytest.raises(UnknownNameError, match="linear"):
        Probe(classifier="lineal").fit(images, models)
    with pytest.raises(NotFittedError):
        Probe().scores(new)


def test_methods_of_one_encoder_share_what_it_computed(tmp_path, monkeypatch):
    """A folder of vectors: another method, and another run, encode only what is new; the vectors are the same."""
    encoded = []

    class Counted(Texture):
        def encode(self, prepared):
            encoded.append(len(prepared))
            return super().encode(prepared)

    monkeypatch.setattr(frozen, "_encoder", lambda spec: Counted())
    images, _ = pictures(6, 32, stripes(32), 20, seed=0)
    folder = str(tmp_path)
    plain = Probe().features(images[:16])
    encoded.clear()
    first = Probe(cache=folder).features(images[:16])
    second = MlpImage(cache=folder).features(images)
    assert encoded == [16, 2]
    assert np.array_equal(first, plain)
    assert np.array_equal(second[:16], plain)
    # Another version of the encoder shares nothing.
    monkeypatch.setattr(Counted, "stamp", EncoderStamp("texture", "2", "plain", Texture.stamp.dims))
    Probe(cache=folder).features(images[:3])
    assert encoded == [16, 2, 3]
    assert Probe(cache=folder).features([]) == []


def test_a_gram_matrix_by_hand():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    assert gram(maps).tolist() == [[[2.5, 0.5], [0.5, 5.0]]]
    assert upper(gram(maps)).tolist() == [[2.5, 0.5, 5.0]]


def test_gram_features_are_the_network_s():
    """Against the maps of the same network, one picture at a time, entry by entry."""
    from morelli.encoders.embedded import lite0

    picture = pictures(1, 64, stripes(64), 20, seed=0)[0][0]
    found = Gram(side=64).features([picture])[0]
    x = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 127) / 128
    with torch.inference_mode():
        maps = lite0().network.blocks(x, list(BLOCKS))
    wanted = []
    for block in BLOCKS:
        flat = maps[block][0].flatten(1).double().numpy()
        wanted += [float(flat[i] @ flat[j]) / flat.shape[1] for i in range(len(flat)) for j in range(i, len(flat))]
    assert found.shape == (300 + 820 + 3240 + 6328,)
    assert np.allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_gram_tells_stripes_apart():
    fitted = Gram(side=64, grid=3).fit(*pictures(5, 64, stripes(64), 10, seed=0))
    new = pictures(4, 64, stripes(64), 10, seed=1)
    assert accuracy(fitted, *new) == 1.0
    with pytest.raises(InputError, match="64"):
        Gram(side=32).features(new[0])


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """A tiny CLIP and a tiny BERT with a tokenizer of a few words."""
    tokenizers = pytest.importorskip("tokenizers")
    import transformers as tf

    words = ["[PAD]", "[UNK]", "[EOS]", "a", "red", "blue", "cat", "dog"]
    raw = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]")
    )
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing("$A [EOS]", special_tokens=[("[EOS]", 2)])
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = size | {"vocab_size": 8, "eos_token_id": 2, "pad_token_id": 0, "projection_dim": 12}
    vision = size | {"image_size": 16, "patch_size": 8, "projection_dim": 12}
    torch.manual_seed(0)
    models = {
        "clip": tf.CLIPModel(tf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)),
        "bert": tf.BertModel(tf.BertConfig(vocab_size=8, max_position_embeddings=32, **size)),
    }
    root = tmp_path_factory.mktemp("towers")
    for name, model in models.items():
        model.save_pretrained(root / name)
        fast = tf.PreTrainedTokenizerFast(
            tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", eos_token="[EOS]", model_max_length=16,
            model_input_names=["input_ids", "attention_mask"],
        )  # fmt: skip
        fast.save_pretrained(root / name)
    return root, models


@pytest.mark.parametrize(("kind", "width"), [("clip", 12), ("bert", 16)])
def test_a_text_tower_gives_unit_vectors_whatever_the_batch(towers, kind, width):
    from morelli.baselines.text import embed_texts

    root, models = towers
    texts = ["a red cat", "blue dog", "a red cat", "dog"]
    found = embed_texts(str(root / kind), texts)
    assert found.shape == (4, width)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.array_equal(found[0], found[2])
    assert np.allclose(embed_texts(str(root / kind), ["blue dog"])[0], found[1], atol=1e-5)
    ids = torch.tensor([[5, 7, 2]])
    with torch.inference_mode():
        model = models[kind].eval()
        if kind == "clip":
            raw = model.text_projection(model.text_model(input_ids=ids).pooler_output)[0]
        else:
            raw = model(input_ids=ids).last_hidden_state[0].mean(0)
    assert np.allclose(found[1], (raw / raw.norm()).numpy(), atol=1e-4)


def test_prompts_join_the_image_s_features(texture, towers):
    (images, models), (new, truth) = texture
    tower = str(towers[0] / "bert")
    texts = ["a red cat", "blue dog"] * 12
    fitted = MlpImageText(text=tower, epochs=60).fit(images, models, texts)
    assert fitted.features(images[:2], texts[:2])[0].shape == (6 + 16,)
    scores = fitted.scores(new, ["a red cat"] * len(new))
    assert (fitted.models_[scores.argmax(axis=1)] == truth).mean() >= 0.9
    with pytest.raises(InputError, match="one prompt"):
        fitted.scores(new)
    with pytest.raises(WeightsError, match=r"config\.json"):
        MlpImageText(text="no/such/folder").fit(images, models, texts)


def test_perceptrons_count_as_under_trained_and_keep_their_losses(texture):
    """No paper says how they are trained, so that nobody can say that they were trained to the end."""
    (images, models), _ = texture
    fitted = MlpImage(epochs=3, batch=8).fit(images, models)
    assert fitted.under_trained == "no published recipe: 3 epochs in batches of 8"
    assert fitted.curve_.steps[-1] == 9
    assert all(np.isfinite(each["loss"]) for each in fitted.curve_.losses)
