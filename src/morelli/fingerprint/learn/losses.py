"""Losses over a batch of features: cross-entropy, triplets, supervised contrast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, relu

from morelli.fingerprint.learn.settings import LearnSettings


def distances(features: Tensor) -> Tensor:
    """Euclidean distances between rows (n, d): (n, n), with a finite gradient at zero."""
    squares = features.square().sum(1)
    squared = squares[:, None] + squares[None] - 2 * features @ features.T
    # The root has no gradient at zero, where an image meets itself.
    return squared.clamp_min(1e-12).sqrt()


def batch_hard(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Triplets of the farthest positive and the nearest negative of each anchor (Hermans et al. 2017).

    An anchor without another image of its model has itself, at distance 0, as its positive, as in the common code. A
    batch of one model alone has no negatives and costs nothing.

    Parameters
    ----------
    features : Tensor, shape (n, d)
    labels : Tensor, shape (n,), int64
    margin : float

    Returns
    -------
    Tensor, scalar
        Mean over the anchors of ``relu(d(a, p) − d(a, n) + margin)``.
    """
    apart, same = distances(features), labels[:, None] == labels[None]
    if bool(same.all()):
        return features.sum() * 0
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positive = apart.masked_fill(~same | own, 0.0).amax(1)
    negative = apart.masked_fill(same, torch.inf).amin(1)
    return relu(positive - negative + margin).mean()


def semi_hard(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Every positive pair against the nearest negative that is farther than the positive (Schroff et al. 2015).

    Where no negative is farther, the farthest one is taken. The mean is over ordered positive pairs; without one it is
    0.
    """
    apart, same = distances(features), labels[:, None] == labels[None]
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors, positives = torch.nonzero(same & ~own, as_tuple=True)
    if not len(anchors) or bool(same.all()):
        return features.sum() * 0
    pair = apart[anchors, positives]
    rows, foreign = apart[anchors], ~same[anchors]
    beyond = rows.masked_fill(~foreign | (rows <= pair[:, None]), torch.inf).amin(1)
    farthest = rows.masked_fill(~foreign, 0.0).amax(1)
    return relu(pair - torch.where(beyond.isinf(), farthest, beyond) + margin).mean()


def supervised_contrast(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The supervised contrastive loss, with the sum outside the logarithm (Khosla et al. 2020, equation 2).

    Features are brought to length 1. Anchors without another image of their model are left out; without any anchor it
    is 0.
    """
    unit = normalize(features, dim=1)
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    scores = (unit @ unit.T / temperature).masked_fill(own, -torch.inf)
    same = (labels[:, None] == labels[None]) & ~own
    counts = same.sum(1)
    if not bool(counts.any()):
        return features.sum() * 0
    logs = (scores - scores.logsumexp(1, keepdim=True)).masked_fill(~same, 0.0)
    return -(logs.sum(1)[counts > 0] / counts[counts > 0]).mean()


def total(features: Tensor, logits: Tensor | None, labels: Tensor, settings: LearnSettings) -> dict[str, Tensor]:
    """The loss that settings ask for, under ``loss``, and its parts by name.

    Parameters
    ----------
    features : Tensor, shape (n, d), float32
    logits : Tensor, shape (n, classes), or None
        Of the head, where the loss has one.
    labels : Tensor, shape (n,), int64
    """
    parts: dict[str, Tensor] = {}
    if logits is not None:
        parts["ce"] = cross_entropy(logits, labels)
    if "triplet" in settings.loss:
        form = batch_hard if settings.triplet == "batch-hard" else semi_hard
        seen = normalize(features, dim=1) if settings.normalise else features
        parts["triplet"] = form(seen, labels, settings.margin)
    if settings.loss == "supcon":
        parts["supcon"] = supervised_contrast(features, labels, settings.temperature)
    weights = {"triplet": settings.weight if settings.loss == "ce+triplet" else 1.0}
    loss = sum((weights.get(name, 1.0) * value for name, value in parts.items()), torch.zeros((), device=labels.device))
    return {"loss": loss, **parts}
