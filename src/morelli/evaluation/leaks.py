"""What gives a model away besides its pixels: size, format, quantisation tables, and pictures that occur twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.errors import ArrayError, NotEnoughReferencesError
from morelli.evaluation.bootstrap import Interval, prompt_bootstrap
from morelli.evaluation.plan import labels
from morelli.evaluation.splits import prompt_folds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from morelli.images.probe import FileInfo

_BYTE_BINS = 16


@dataclass(frozen=True)
class LeakReport:
    """How well the model is predicted without looking at the picture.

    Attributes
    ----------
    accuracy : float
        From size, format and quantisation tables together; every model counts the same.
    chance : float
        1 / number of models.
    by : mapping of str to Interval
        The same for "size", "format" (with the colour mode), "quantisation", "all" of these, and "bytes", the length of
        the file. Bytes depend on the content as well, so they are shown and do not decide.
    sources : tuple of str
        Which of them leak: the lower end of their interval is above chance.
    """

    accuracy: float
    chance: float
    by: Mapping[str, Interval]
    sources: tuple[str, ...]

    @property
    def leaking(self) -> bool:
        """Whether the form of the files gives the models away."""
        return bool(self.sources)

    def to_json(self) -> dict[str, Any]:
        """The ``leaks`` object of schema ``morelli.evaluation/1``; a bound that does not exist is null."""
        return {
            "accuracy": self.accuracy,
            "chance": self.chance,
            "leaking": self.leaking,
            "sources": list(self.sources),
            "by": {
                name: {"accuracy": i.point, "low": _or_none(i.low), "high": _or_none(i.high)}
                for name, i in self.by.items()
            },
        }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def leak_test(
    infos: Sequence[FileInfo], models: ArrayLike, prompts: ArrayLike, n_folds: int = 5, seed: int = 0
) -> LeakReport:
    """Predict the model from the form of the file alone, on prompts that the predictor has not seen.

    The predictor names the model for which this form is most frequent among the other folds' prompts; where several are
    equally likely it guesses among them and earns the expected fraction. So files of one form earn chance exactly.

    Parameters
    ----------
    infos : sequence of FileInfo, length n
    models, prompts : array of str, shape (n,)
        Where fewer than two prompts are known, every image counts as a prompt of its own.
    n_folds, seed
        Of the folds over prompts.

    Raises
    ------
    NotEnoughReferencesError
        For fewer than two models.
    """
    names, texts = labels(models=models, prompts=prompts)
    if len(infos) != len(names):
        raise ArrayError(f"needs one entry an image, {len(names)}, got {len(infos)}.", argument="infos")
    known, truth = np.unique(names, return_inverse=True)
    if len(known) < 2:
        raise NotEnoughReferencesError("a leak is a difference between models, and here is one.", argument="models")
    if len(np.unique(texts[texts != ""])) < 2:
        texts = np.full(len(texts), "")
    folds = prompt_folds(texts, n_folds, seed, names)
    # Each model counts the same, however many images it has, so that chance is 1 / number of models.
    weight = len(names) / (len(known) * np.bincount(truth)[truth])
    by = {
        name: prompt_bootstrap(weight * _credits(form, truth, folds), texts, seed=seed)
        for name, form in _forms(infos).items()
    }
    chance = 1 / len(known)
    sources = tuple(name for name, found in by.items() if name != "bytes" and found.low > chance + 1e-9)
    return LeakReport(by["all"].point, chance, by, sources)


def _forms(infos: Sequence[FileInfo]) -> dict[str, NDArray[np.intp]]:
    """Each view of the files as category numbers, shape (n,)."""
    size = _codes([f"{i.width}x{i.height}" for i in infos])
    kind = _codes([f"{i.format} {i.mode}" for i in infos])
    tables = _codes([i.quantisation for i in infos])
    length = np.array([i.bytes for i in infos], dtype=np.float64)
    edges = np.quantile(length, np.linspace(0, 1, _BYTE_BINS + 1)[1:-1])
    return {
        "size": size,
        "format": kind,
        "quantisation": tables,
        "all": _codes([f"{a} {b} {c}" for a, b, c in zip(size, kind, tables, strict=True)]),
        "bytes": np.searchsorted(edges, length, side="left"),
    }


def _codes(values: list[str]) -> NDArray[np.intp]:
    return np.unique(values, return_inverse=True)[1]


def _credits(form: NDArray[np.intp], truth: NDArray[np.intp], folds: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each image 1 / (number of models that are equally likely) if the truth is one of them, else 0."""
    shape = (int(form.max()) + 1, int(truth.max()) + 1)
    out = np.zeros(len(form))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        counts = np.zeros(shape)
        np.add.at(counts, (form[train], truth[train]), 1)
        likely = counts / np.maximum(counts.sum(axis=0), 1)
        best = likely == likely.max(axis=1, keepdims=True)
        out[test] = best[form[test], truth[test]] / best.sum(axis=1)[form[test]]
    return out


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Pictures that occur more than once.

    Attributes
    ----------
    groups : list of ndarray of int
        Rows that share a content hash, two or more each.
    across : list of ndarray of int
        Those of the groups that carry more than one model's name.
    keep : ndarray of bool, shape (n,)
        Rows to work with: the first of a group, and none of a group across models, as nobody knows whose it is.
    """

    groups: list[NDArray[np.intp]]
    across: list[NDArray[np.intp]]
    keep: NDArray[np.bool_]


def find_duplicates(contents: ArrayLike, models: ArrayLike) -> Duplicates:
    """Group images by the hash of their decoded pixels.

    Parameters
    ----------
    contents, models : array of str, shape (n,)
    """
    hashes, names = labels(contents=contents, models=models)
    _, code, count = np.unique(hashes, return_inverse=True, return_counts=True)
    order = np.argsort(code, kind="stable")
    groups = [rows for rows in np.split(order, np.cumsum(count)[:-1]) if len(rows) > 1]
    groups.sort(key=lambda rows: int(rows[0]))
    across = [rows for rows in groups if len(np.unique(names[rows])) > 1]
    keep = np.ones(len(names), dtype=np.bool_)
    for rows in groups:
        keep[rows[1:]] = False
    for rows in across:
        keep[rows] = False
    return Duplicates(groups, across, keep)
