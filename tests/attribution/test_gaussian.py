"""Subspace and two-covariance model against scikit-learn, scipy and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag, eigh
from scipy.stats import multivariate_normal
from sklearn.covariance import shrunk_covariance
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from morelli.attribution.gaussian import (
    TwoCovariance,
    between_scatter,
    fit_subspace,
    fit_two_covariance,
    group_means,
    pooled_scatter,
    shrink,
)
from morelli.errors import NotEnoughReferencesError


def spd(rng: np.random.Generator, d: int) -> np.ndarray:
    a = rng.normal(size=(d, d))
    return a @ a.T + 0.3 * np.eye(d)


@pytest.mark.parametrize(("n", "d"), [(200, 12), (25, 60), (40, 40)])
def test_the_subspace_is_that_of_pca(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    # Well separated leading directions, so that each is determined up to its sign.
    x = rng.normal(size=(n, 4)) * [9, 5, 3, 2] @ np.linalg.qr(rng.normal(size=(d, 4)))[0].T
    x = (x + 0.1 * rng.normal(size=(n, d))) * rng.uniform(0.01, 100, d) + rng.normal(size=d)
    subspace = fit_subspace(x, 4)
    z = StandardScaler().fit_transform(x)
    pca = PCA(4).fit(z)
    assert np.abs(subspace.basis.T @ subspace.basis - np.eye(4)).max() < 1e-4
    assert np.abs(np.abs(pca.components_ @ subspace.basis) - np.eye(4)).max() < 1e-3
    assert np.abs(subspace(x)) == pytest.approx(np.abs(pca.transform(z)), abs=2e-3)


@pytest.mark.parametrize(("n", "d", "rank"), [(30, 200, 29), (200, 30, 30), (60, 100, 5), (100, 60, 5)])
def test_the_subspace_has_the_rank_of_the_data(n: int, d: int, rank: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) if rank == 5 else rng.normal(size=(n, d))
    subspace = fit_subspace(x, 320)
    assert subspace.basis.shape == (d, rank)
    assert np.abs(subspace.basis.T @ subspace.basis - np.eye(rank)).max() < 1e-3
    # All of the data lie in it: distances stay.
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    assert np.linalg.norm(subspace(x), axis=1) == pytest.approx(np.linalg.norm(z, axis=1), rel=1e-3)


@pytest.mark.parametrize("n", [8, 100])
def test_a_constant_dimension_adds_nothing(n: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20))
    constants = np.broadcast_to(np.float64([0.0, 0.1, -1e6, 1e-12]), (n, 4))
    plain, wider = fit_subspace(x, 5), fit_subspace(np.hstack([x, constants]), 5)
    assert np.abs(wider(np.hstack([x, constants]))) == pytest.approx(np.abs(plain(x)), abs=1e-4)
    # Nor does a query that differs there.
    far = np.hstack([x[:1], constants[:1] + 1e3])
    assert np.isfinite(wider(far)).all()
    assert wider(far) == pytest.approx(wider(np.hstack([x[:1], constants[:1]])))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_group_means_against_a_loop(raw: list[int]) -> None:
    codes = np.unique(raw, return_inverse=True)[1]
    x = np.random.default_rng(len(raw)).normal(size=(len(raw), 3))
    means, counts = group_means(x, codes)
    for code in range(codes.max() + 1):
        rows = [row for row, c in zip(x, codes, strict=True) if c == code]
        assert counts[code] == len(rows)
        assert means[code] == pytest.approx(sum(rows) / len(rows))


def test_pooled_scatter_by_hand() -> None:
    scatter, dof = pooled_scatter(np.array([[0.0], [2.0], [10.0], [13.0], [16.0]]), np.array([0, 0, 1, 1, 1]))
    # (1 + 1) + (9 + 0 + 9) over 5 rows less 2 groups
    assert (scatter.item(), dof) == (pytest.approx(20 / 3), 3)


@pytest.mark.parametrize("amount", [0.0, 0.2, 1.0])
def test_shrink_is_scikit_learn_s(amount: float) -> None:
    s = spd(np.random.default_rng(0), 5)
    assert shrink(s, amount) == pytest.approx(shrunk_covariance(s, amount))
    assert np.trace(shrink(s, amount)) == pytest.approx(np.trace(s))


def exact_ratio(q: np.ndarray, references: np.ndarray, centre: np.ndarray, b: np.ndarray, w: np.ndarray) -> float:
    """log p(q | references of the class) − log p(q), by conditioning the joint normal of all of them."""
    k, r = references.shape
    joint = np.tile(b, (k + 1, k + 1)) + block_diag(*[w] * (k + 1))
    seen, cross = joint[: k * r, : k * r], joint[k * r :, : k * r]
    pull = np.linalg.solve(seen, cross.T).T
    mean = centre + pull @ (references - centre).ravel()
    covariance = joint[k * r :, k * r :] - pull @ cross.T
    return multivariate_normal(mean, covariance).logpdf(q) - multivariate_normal(centre, b + w).logpdf(q)


@pytest.mark.parametrize("seed", range(4))
def test_predict_is_the_exact_log_likelihood_ratio(seed: int) -> None:
    rng = np.random.default_rng(seed)
    b, w, centre = spd(rng, 4), spd(rng, 4), rng.normal(size=4)
    if seed == 3:  # classes that differ in one direction only
        b = np.outer(b[0], b[0])
    values, vectors = eigh(b, w)
    model = TwoCovariance(vectors, np.maximum(values, 0.0))
    classes = [centre + rng.normal(size=(k, 4)) for k in (1, 2, 7)]
    queries = centre + 2 * rng.normal(size=(5, 4))
    means = np.stack([x.mean(axis=0) for x in classes])
    counts = np.array([len(x) for x in classes])
    found = model.predict(queries @ vectors, means @ vectors, counts, centre @ vectors)
    slow = [[exact_ratio(q, x, centre, b, w) for x in classes] for q in queries]
    assert found == pytest.approx(np.array(slow), abs=1e-6)


def test_predict_far_from_the_origin() -> None:
    rng = np.random.default_rng(0)
    model = TwoCovariance(np.eye(3), np.array([4.0, 1.0, 0.0]))
    q, means, counts, centre = rng.normal(size=(6, 3)), rng.normal(size=(2, 3)), np.array([2.0, 3.0]), np.zeros(3)
    near = model.predict(q, means, counts, centre)
    assert model.predict(q + 1e6, means + 1e6, counts, centre + 1e6) == pytest.approx(near, abs=1e-5)


def recovered(model: TwoCovariance) -> tuple[np.ndarray, np.ndarray]:
    """W and B in the original coordinates."""
    back = np.linalg.inv(model.rotation)
    return back.T @ back, back.T @ np.diag(model.between) @ back


def draw(rng: np.random.Generator, b: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """600 parents with effects much larger than the cells', 5 cells each, 2–5 rows a cell."""
    parents, cells = 600, 5
    owner = np.repeat(np.arange(parents), cells)
    means = rng.normal(0, 30, (parents, 3))[owner] + rng.multivariate_normal(np.zeros(3), b, parents * cells)
    codes = np.repeat(np.arange(parents * cells), rng.integers(2, 6, parents * cells))
    return means[codes] + rng.multivariate_normal(np.zeros(3), w, len(codes)), codes, owner[codes]


def test_the_covariances_are_recovered() -> None:
    rng = np.random.default_rng(1)
    b, w = spd(rng, 3), spd(rng, 3)
    x, cells, parents = draw(rng, b, w)
    model = fit_two_covariance(x, cells, parents, shrinkage=0.0, floor=0.0)
    found_w, found_b = recovered(model)
    assert np.linalg.norm(found_w - w) < 0.05 * np.linalg.norm(w)
    assert np.linalg.norm(found_b - b) < 0.10 * np.linalg.norm(b)
    assert (np.diff(model.between) <= 0).all()
    # Without the parents their effects count as the cells'.
    assert np.linalg.norm(recovered(fit_two_covariance(x, cells, shrinkage=0.0, floor=0.0))[1]) > 100 * np.linalg.norm(
        b
    )


def test_noise_in_the_means_is_not_taken_for_classes() -> None:
    rng = np.random.default_rng(2)
    cells = np.repeat(np.arange(4000), 2)
    x = rng.normal(size=(len(cells), 2))
    within, _ = pooled_scatter(x, cells)
    assert np.abs(between_scatter(x, cells, None, within)).max() < 0.05
    assert np.cov(group_means(x, cells)[0].T)[0, 0] == pytest.approx(0.5, abs=0.05)


def test_the_floor_is_a_share_of_the_mean() -> None:
    rng = np.random.default_rng(3)
    x, cells, parents = draw(rng, spd(rng, 3), spd(rng, 3))
    bare = fit_two_covariance(x, cells, parents, shrinkage=0.1, floor=0.0)
    raised = fit_two_covariance(x, cells, parents, shrinkage=0.1, floor=0.5)
    assert raised.between == pytest.approx(bare.between + 0.5 * bare.between.mean())


def test_cells_without_noise_are_refused() -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 2, axis=0)
    with pytest.raises(NotEnoughReferencesError, match="equal embeddings"):
        fit_two_covariance(x, np.repeat(np.arange(5), 2), shrinkage=0.1, floor=0.1)
    with pytest.raises(NotEnoughReferencesError):
        fit_two_covariance(np.empty((4, 0)), np.array([0, 0, 1, 1]), shrinkage=0.1, floor=0.1)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_more_noise_is_the_model_of_the_sum_of_both_covariances(floor: float) -> None:
    rng = np.random.default_rng(4)
    d, shrinkage = 6, 0.2
    within, noise, loadings = spd(rng, d), 3.0 * spd(rng, d), rng.normal(size=(d, d))
    between = loadings @ loadings.T
    values, vectors = eigh(between, shrink(within, shrinkage))
    plain = TwoCovariance(vectors[:, ::-1], values[::-1] + floor * values.mean())
    noisy, turn = plain.noisier(noise, shrinkage=shrinkage, floor=floor)
    # Independent: both covariances written out, and diagonalised by scipy.
    direct = eigh(between, shrink(within + noise, shrinkage), eigvals_only=True)[::-1]
    assert noisy.between == pytest.approx(direct + floor * direct.mean())
    assert noisy.rotation.T @ shrink(within + noise, shrinkage) @ noisy.rotation == pytest.approx(np.eye(d), abs=1e-9)
    assert noisy.rotation == pytest.approx(plain.rotation @ turn)
    same, _ = plain.noisier(np.zeros((d, d)), shrinkage=shrinkage, floor=floor)
    assert same.between == pytest.approx(plain.between)
