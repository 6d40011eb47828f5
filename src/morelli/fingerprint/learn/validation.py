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

#: References of each model, and queries beside them.
REFERENCES, QUERIES = 10, 10
_RUN = 64


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
    """
    models, slots, _ = features.shape
    unit = features / np.maximum(np.linalg.norm(features, axis=2, keepdims=True), 1e-12)
    rows = unit.reshape(models * slots, -1)
    model, slot = (np.ravel(each) for each in np.mgrid[:models, :slots])
    first, second = np.triu_indices(len(rows), 1)
    other_photo = slot[first] != slot[second]
    first, second = first[other_photo], second[other_photo]
    scores = (rows @ rows.T)[first, second]
    same = model[first] == model[second]
    names = np.asarray(groups)
    kin = (names[model[first]] == names[model[second]]) & ~same
    means = features[:, :references].mean(1)
    means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    said = (unit[:, references:] @ means.T).argmax(2)
    return {
        "auc": auc(scores[same], scores[~same]),
        "auc_siblings": auc(scores[same], scores[kin]),
        "accuracy": float((said == np.arange(models)[:, None]).mean()),
        "chance": 1 / models,
    }


def auc(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Share of pairs of a positive and a negative score in which the positive is higher, ties half; NaN without any."""
    if not len(positive) or not len(negative):
        return float("nan")
    ranks = rankdata(np.concatenate([positive, negative]))
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))
