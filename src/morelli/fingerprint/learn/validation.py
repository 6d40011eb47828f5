"""Validation on synthetic models that training never sees: verification and identification by the cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from morelli.fingerprint.learn.views import Views

Floats = NDArray[np.float32]

Integers = NDArray[np.int64]

#: References of each model, and queries beside them.
REFERENCES, QUERIES = 10, 10
#: Pairs of images of one kind that are compared at most: 72 models have about as many.
PAIRS = 1_000_000
# Images that run together; pairs that are compared together; the word of a stream of chance.
_RUN, _BLOCK, _PAIR = 64, 1 << 14, 108


class Validation:
    """Held-out models over held-out photographs.

    Parameters
    ----------
    views : Views
        Of the held-out models; slots 0 … 9 are references, 10 … 19 queries.
    """

    slots = REFERENCES + QUERIES

    def __init__(self, views: Views) -> None:
        self.views = views

    def __call__(self, network: nn.Module, device: str = "cpu") -> dict[str, float]:
        """The figures of `measure` for a network, which is left as it was."""
        training = network.training
        network.eval()
        features = self.features(network, device)
        network.train(training)
        return measure(features, self.views.groups)

    def features(self, network: nn.Module, device: str) -> Floats:
        """Features of every slot of every model: (models, slots, d)."""
        models = len(self.views.names)
        classes, slots = (np.ravel(each) for each in np.mgrid[:models, : self.slots])
        parts = []
        with torch.inference_mode():
            for at in range(0, len(classes), _RUN):
                spectra = self.views.spectra(classes[at : at + _RUN], slots[at : at + _RUN])
                parts.append(network(spectra.to(device)).float().cpu())
        return torch.cat(parts).numpy().reshape(models, self.slots, -1)


def measure(features: Floats, groups: Sequence[str], references: int = REFERENCES) -> dict[str, float]:
    """Figures of features by the cosine.

    Parameters
    ----------
    features : ndarray, shape (models, slots, d)
        A slot is the same photograph for all models.
    groups : sequence of str, length models
    references : int
        Slots that are references of their model; the others are queries.

    Returns
    -------
    dict
        ``auc``: pairs of one model against pairs of two, over all pairs of different photographs, so that neither kind
        shares content; ``auc_siblings``: the second kind of one architecture alone, NaN where none has two models;
        ``accuracy``: queries whose nearest mean of references is their own model's; ``chance``: of that accuracy.
        Of a kind with more than `PAIRS` pairs so many are drawn, the same ones at every call.
    """
    models, slots, _ = features.shape
    unit = features / np.maximum(np.linalg.norm(features, axis=2, keepdims=True), 1e-12)
    rows = unit.reshape(models * slots, -1)
    kinds = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    own = np.tile(np.arange(models)[:, None], 2)
    others = np.stack(np.triu_indices(models, 1), axis=1)
    kin = others[kinds[others[:, 0]] == kinds[others[:, 1]]]
    below = np.stack(np.triu_indices(slots, 1), axis=1)
    apart = np.argwhere(~np.eye(slots, dtype=bool))
    same, strange, sibling = (
        _cosines(rows, *_pairs(some, photos, slots)) for some, photos in ((own, below), (others, apart), (kin, apart))
    )
    means = features[:, :references].mean(1)
    means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    said = (unit[:, references:] @ means.T).argmax(2)
    return {
        "auc": auc(same, strange),
        "auc_siblings": auc(same, sibling),
        "accuracy": float((said == np.arange(models)[:, None]).mean()),
        "chance": 1 / models,
    }


def _pairs(models: Integers, photos: Integers, slots: int) -> tuple[Integers, Integers]:
    """Rows of every pair of models (n, 2) over every pair of slots (m, 2), each image of its own; `PAIRS` at most."""
    count = len(models) * len(photos)
    codes = np.arange(count) if count <= PAIRS else np.random.default_rng([0, _PAIR]).integers(count, size=PAIRS)
    first, second = (models[codes // len(photos)] * slots + photos[codes % len(photos)]).T
    return first, second


def _cosines(rows: Floats, first: Integers, second: Integers) -> Floats:
    """Products of rows of length 1, some at a time: the rows of all pairs would fill the memory."""
    out = np.empty(len(first), np.float32)
    for at in range(0, len(first), _BLOCK):
        part = slice(at, at + _BLOCK)
        out[part] = np.einsum("ij,ij->i", rows[first[part]], rows[second[part]])
    return out


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Share of pairs of a positive and a negative score in which the positive is higher, ties half; NaN without any."""
    if not len(positive) or not len(negative):
        return float("nan")
    ranks = rankdata(np.concatenate([positive, negative]))
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))
