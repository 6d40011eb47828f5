"""Statistics of a background: for each group of named vectors a subspace and two two-covariance models in it.

*Free*: classes are models over all prompts; noise is what a model's images differ by, prompts included. It needs no
prompt of the query. *Same*: classes are (prompt, model) cells compared inside their prompt; noise is what seeds change.
It needs references of the query's own prompt, and works from one a model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from morelli.attribution.base import stack
from morelli.attribution.gaussian import Subspace, TwoCovariance, fit_subspace, fit_two_covariance, group_means
from morelli.errors import NotEnoughReferencesError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.base import Vectors
    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]
    Projected = Mapping[str, tuple[Array, Array]]


#: Numbers of a background whose groups are learnt side by side; of more one after the other, for memory's sake.
SIDE_BY_SIDE = 100_000_000


@dataclass(frozen=True, slots=True)
class BankSettings:
    """Constants of the estimates, chosen on two real sets (docs/decisions/0004).

    Attributes
    ----------
    dims : int
        Principal directions a group keeps.
    free_shrinkage, same_shrinkage : float
        Of the noise covariance, 0–1.
    floor : float
        Added to every between-class variance, as a share of their mean.
    """

    dims: int = 320
    free_shrinkage: float = 0.1
    same_shrinkage: float = 0.2
    floor: float = 0.1


@dataclass(frozen=True, eq=False)
class Centroids:
    """Prompt-free class means of one group: rotated means (m, r), and how many prompts each stands on."""

    means: Array
    counts: Array


@dataclass(frozen=True, eq=False)
class GroupStatistics:
    """What is learnt for one group of named vectors; ``free`` or ``same`` is None where the data do not give it."""

    names: tuple[str, ...]
    subspace: Subspace
    free: TwoCovariance | None
    same: TwoCovariance | None
    centroids: Centroids | None

    def rotate(self, z: Array) -> tuple[Array, Array]:
        """Coordinates in the subspace, shape (n, r), as the free and the same-prompt model see them."""
        return (
            z @ self.free.rotation if self.free is not None else z,
            z @ self.same.rotation if self.same is not None else z,
        )

    def noisier(self, noise: Array, settings: BankSettings) -> GroupStatistics:
        """For queries with more noise; see `TwoCovariance.noisier`."""
        free, centroids, same = self.free, self.centroids, self.same
        if free is not None:
            free, turn = free.noisier(noise, shrinkage=settings.free_shrinkage, floor=settings.floor)
            if centroids is not None:
                centroids = Centroids(centroids.means @ turn, centroids.counts)
        if same is not None:
            same, _ = same.noisier(noise, shrinkage=settings.same_shrinkage, floor=settings.floor)
        return GroupStatistics(self.names, self.subspace, free, same, centroids)


@dataclass(frozen=True, eq=False)
class Bank:
    """Statistics of every group, and the models whose prompt-free means are known (sorted)."""

    groups: Mapping[str, GroupStatistics]
    models: NDArray[np.str_]

    @property
    def has_free(self) -> bool:
        return all(group.free is not None for group in self.groups.values())

    @property
    def has_same(self) -> bool:
        return all(group.same is not None for group in self.groups.values())

    def coordinates(self, vectors: Vectors) -> dict[str, Array]:
        """Embeddings in each group's subspace: arrays of shape (n, r)."""
        return {name: group.subspace(stack(vectors, group.names)) for name, group in self.groups.items()}

    def rotate(self, coordinates: Mapping[str, Array]) -> Projected:
        """Such coordinates as the models of every group see them."""
        return {name: group.rotate(coordinates[name]) for name, group in self.groups.items()}

    def project(self, vectors: Vectors) -> Projected:
        """Embeddings as the models of every group see them."""
        return self.rotate(self.coordinates(vectors))

    def refit(self, coordinates: Mapping[str, Array], labels: Labels, settings: BankSettings) -> Bank:
        """Statistics of other rows in the subspaces of this bank."""
        bases = {name: (group.names, group.subspace) for name, group in self.groups.items()}
        return _fit_statistics(bases, coordinates, labels, settings)

    def with_mean(self, model: str, coordinates: Mapping[str, Array], prompts: NDArray[np.str_]) -> Bank:
        """The same statistics with another prompt-free mean of one model: of n ≥ 1 rows, (n, r) for each group."""
        at, codes = int(np.searchsorted(self.models, model)), prompt_codes(prompts)
        groups = {}
        for name, group in self.groups.items():
            groups[name] = group
            if group.free is not None and group.centroids is not None:
                cells = group_means(coordinates[name] @ group.free.rotation, codes)[0]
                means, counts = group.centroids.means.copy(), group.centroids.counts.copy()
                means[at], counts[at] = cells.mean(axis=0), len(cells)
                groups[name] = replace(group, centroids=Centroids(means, counts))
        return Bank(groups, self.models)

    def noisier(self, noise: Mapping[str, Array], settings: BankSettings) -> Bank:
        """Statistics for queries with more noise: a covariance of shape (r, r) for each group.

        ``settings`` are those that this bank was fitted with.
        """
        with _one_blas_thread_each() as pool:
            made = pool.map(lambda name: self.groups[name].noisier(noise[name], settings), self.groups)
            return Bank(dict(zip(self.groups, made, strict=True)), self.models)

    def free_scores(self, queries: Projected, references: Projected, labels: Labels, models: NDArray[np.str_]) -> Array:
        """Log-likelihood ratios without the prompt, one layer a group: shape (groups, n, m).

        A model's mean comes from the background; one that the background lacks takes the references'.
        """
        return np.stack(
            [
                self._free(group, queries[name][0], references[name][0], labels, models)
                for name, group in self.groups.items()
            ]
        )

    def _free(
        self, group: GroupStatistics, queries: Array, references: Array, labels: Labels, models: NDArray[np.str_]
    ) -> Array:
        if group.free is None or group.centroids is None:
            raise NotEnoughReferencesError(
                "prompt-free statistics need a model with two images.", argument="background"
            )
        means = np.empty((len(models), references.shape[1]))
        counts = np.empty(len(models))
        for j, model in enumerate(models):
            at = np.searchsorted(self.models, model)
            if at < len(self.models) and self.models[at] == model:
                means[j], counts[j] = group.centroids.means[at], group.centroids.counts[at]
                continue
            rows = labels.models == model
            cells = group_means(references[rows], prompt_codes(labels.prompts[rows]))[0]
            means[j], counts[j] = cells.mean(axis=0), len(cells)
        return group.free.predict(queries, means, counts, group.centroids.means.mean(axis=0))

    def same_scores(self, queries: Projected, references: Projected, labels: Labels, models: NDArray[np.str_]) -> Array:
        """Log-likelihood ratios from references of the queries' own prompt: shape (groups, n, m)."""
        layers = []
        for name, group in self.groups.items():
            if group.same is None:
                raise NotEnoughReferencesError(
                    "same-prompt statistics need a prompt with two images of one model.", argument="background"
                )
            z = references[name][1]
            means = np.stack([z[labels.models == model].mean(axis=0) for model in models])
            counts = np.array([float((labels.models == model).sum()) for model in models])
            layers.append(group.same.predict(queries[name][1], means, counts, means.mean(axis=0)))
        return np.stack(layers)


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of projected references: arrays of shape (n,)."""

    models: NDArray[np.str_]
    prompts: NDArray[np.str_]


def prompt_codes(prompts: NDArray[np.str_]) -> NDArray[np.intp]:
    """0-based code of each row's prompt; a row whose prompt is unknown ("") has a code of its own."""
    named = np.char.add("p", prompts)
    alone = prompts == ""
    named = np.where(alone, np.char.add("row ", np.arange(len(prompts)).astype(np.str_)), named)
    return np.unique(named, return_inverse=True)[1]


def view_groups(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Named vectors grouped by the part before the slash, in order: {"native": ("native/2", …)}."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition("/")[0], []).append(name)
    return {group: tuple(members) for group, members in groups.items()}


def fit_bank(background: LabelledEmbeddings, groups: Mapping[str, tuple[str, ...]], settings: BankSettings) -> Bank:
    """Learn the statistics of a background of n ≥ 2 images of at least two models."""

    def fit_group(members: tuple[str, ...]) -> tuple[Subspace, Array]:
        x = stack(background.vectors, members)
        subspace = fit_subspace(x, settings.dims)
        return subspace, subspace(x)

    size = sum(values.size for values in background.vectors.values())
    if size > SIDE_BY_SIDE:
        fitted = {name: fit_group(members) for name, members in groups.items()}
    else:
        with _one_blas_thread_each() as pool:
            fitted = dict(zip(groups, pool.map(fit_group, groups.values()), strict=True))
    bases = {name: (members, fitted[name][0]) for name, members in groups.items()}
    coordinates = {name: z for name, (_, z) in fitted.items()}
    return _fit_statistics(bases, coordinates, Labels(background.models, background.prompts), settings)


@contextmanager
def _one_blas_thread_each() -> Iterator[ThreadPoolExecutor]:
    """Threads for the groups, one BLAS thread each: those that wait for each other on a busy machine cost tenfold."""
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield pool


def _fit_statistics(
    bases: Mapping[str, tuple[tuple[str, ...], Subspace]],
    coordinates: Mapping[str, Array],
    labels: Labels,
    settings: BankSettings,
) -> Bank:
    models, model_codes = np.unique(labels.models, return_inverse=True)
    prompts = prompt_codes(labels.prompts)
    cells = np.unique(prompts.astype(np.int64) * len(models) + model_codes, return_inverse=True)[1]
    repeated = len(labels.models) > len(models)
    # Seeds must vary inside some cell, and some prompt must show two models.
    paired = len(labels.models) > cells.max() + 1 and cells.max() > prompts.max()

    def fit_group(name: str) -> GroupStatistics:
        z = coordinates[name]
        free = same = centroids = None
        if repeated:
            free = fit_two_covariance(z, model_codes, shrinkage=settings.free_shrinkage, floor=settings.floor)
            centroids = _centroids(z @ free.rotation, cells, model_codes)
        if paired:
            same = fit_two_covariance(z, cells, prompts, shrinkage=settings.same_shrinkage, floor=settings.floor)
        return GroupStatistics(*bases[name], free, same, centroids)

    with _one_blas_thread_each() as pool:
        return Bank(dict(zip(bases, pool.map(fit_group, bases), strict=True)), models)


def _centroids(z: Array, cells: NDArray[np.intp], models: NDArray[np.intp]) -> Centroids:
    """Each model's mean over its cells' means: a prompt with many images counts once."""
    means, _ = group_means(z, cells)
    owner = np.zeros(len(means), dtype=np.intp)
    owner[cells] = models
    centroids, counts = group_means(means, owner)
    return Centroids(centroids, counts.astype(np.float64))
