"""What a perturbation minimises.

The published contrastive loss, the likelihood ratio of the better attributors, and the distance to the embedding of an
image of another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from morelli.attribution.bank import Bank, BankSettings, GroupStatistics, fit_bank, view_groups
from morelli.attribution.base import class_means, stack
from morelli.attribution.centroid import unit_vectors
from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.gaussian import TwoCovariance
    from morelli.types import LabelledEmbeddings

#: Named vectors of an image under one surrogate, each of shape (d,), to a number that is to become small.
Objective = Callable[[Mapping[str, Tensor]], Tensor]

#: T of the contrastive loss. Not published; 0.07–0.1 is usual for InfoNCE (van den Oord et al., 2018).
TEMPERATURE = 0.1
#: Weight of the distance at the numbers' own scale in `collision`. Who learns from protected images of visor was right
#: in 0.43, 0.25 and 0.18 of them with 0, 1 and 10 (``fused``, the surrogate as encoder; chance 0.14), at one PSNR.
OWN_SCALE = 10.0


def unit_point(vectors: Mapping[str, Tensor]) -> Tensor:
    """`unit_vectors` with gradients: each named vector at unit length, side by side, the whole at unit length."""
    parts = [F.normalize(values, dim=0) for values in vectors.values()]
    return F.normalize(torch.cat(parts), dim=0)


def other_models(references: LabelledEmbeddings, model: str) -> NDArray[np.str_]:
    """The models of the references beside one, sorted.

    Raises
    ------
    NotEnoughReferencesError
        There is no other.
    """
    models = np.unique(references.models)
    others = models[models != model]
    if not len(others):
        raise NotEnoughReferencesError(
            f"the references are all of one model, {model}: there is nothing to move the image towards.",
            argument="gallery",
            fix="Add references of another model.",
        )
    return others


def fit_statistics(references: LabelledEmbeddings, settings: BankSettings = BankSettings()) -> Bank:
    """What `likelihood_ratio` needs of the references: the statistics of the attributor ``fused``, view by view.

    Raises
    ------
    NotEnoughReferencesError
        One image a model.
    """
    bank = fit_bank(references, view_groups(tuple(references.vectors)), settings)
    if not bank.has_free:
        raise NotEnoughReferencesError(
            "one image a model does not tell how far seeds scatter.",
            argument="gallery",
            fix="Add references, or take the defence pgd.",
        )
    return bank


def farthest_model(own: NDArray[np.float64], points: NDArray[np.float64], models: NDArray[np.str_]) -> str:
    """The model whose mean lies farthest from one embedding, by cosine; of equal ones the first in order.

    Parameters
    ----------
    own : ndarray, shape (d,)
    points : ndarray, shape (n, d)
        Of the other models' images.
    models : ndarray of str, shape (n,)
    """
    names = np.unique(models)
    means = class_means(points, models, names)
    cosine = means @ own / np.maximum(np.linalg.norm(means, axis=1) * np.linalg.norm(own), 1e-12)
    return str(names[np.argmin(cosine)])


def contrastive(
    own: Mapping[str, NDArray[np.float32]],
    references: LabelledEmbeddings,
    model: str,
    *,
    temperature: float = TEMPERATURE,
) -> Objective:
    """Paper 000's loss: positives are the farthest other model's images, the negative is the image as it was.

    −log Σ_p exp(z·p/T) / (Σ_p exp(z·p/T) + exp(z·n/T)) with all embeddings as the attributor ``euclid`` has them, at
    unit length. The paper gives this family in words; T is ours.

    Parameters
    ----------
    own : mapping of str to ndarray, shape (1, d)
        Of the unprotected image.
    references : LabelledEmbeddings
        Where they are of the image's own prompt, so are the positives.
    model : str
        The model that made the image.
    temperature : float
        T > 0.

    Raises
    ------
    NotEnoughReferencesError, InputError
    """
    if not temperature > 0:
        raise InputError(f"must be above 0; got {temperature:g}.", argument="temperature")
    names = tuple(own)
    others = references.take(np.isin(references.models, other_models(references, model)))
    points = unit_vectors(others.vectors, names)
    here = unit_vectors(own)[0]
    chosen = points[others.models == farthest_model(here, points, others.models)]
    positives, negative = torch.from_numpy(chosen).float(), torch.from_numpy(here).float()

    def loss(vectors: Mapping[str, Tensor]) -> Tensor:
        z = unit_point({name: vectors[name] for name in names})
        near = torch.logsumexp(positives @ z / temperature, dim=0)
        return F.softplus(z @ negative / temperature - near)  # −log of near's share

    return loss


def likelihood_ratio(bank: Bank, references: LabelledEmbeddings, model: str, prompt: str | None = None) -> Objective:
    """How much likelier the image's own model is than the likeliest other, in nats a direction.

    The prompt-free statistics of the attributor ``fused``, every view and block of the encoder in them, learnt from
    the references alone; with the prompt, also those of its same-prompt part. Minimising it moves the image along the
    directions in which models differ and seeds do not: the angle of the embedding alone leaves most of them out.

    Parameters
    ----------
    bank : Bank
        From `fit_statistics`.
    references : LabelledEmbeddings
        What it was learnt from.
    model : str
        The model that made the image.
    prompt : str, optional
        Id of its prompt. Same-prompt statistics take part where every model has a reference of it.

    Raises
    ------
    NotEnoughReferencesError
        One model.
    UnknownNameError
        The references have none of that model.
    """
    others = _rivals(bank, references, model)
    names = np.array(sorted([model, *others.tolist()]))
    inside = references.prompts == prompt if prompt else np.zeros(len(references), dtype=np.bool_)
    paired = bank.has_same and set(references.models[inside].tolist()) == set(names.tolist())
    scorers: list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]] = []
    for group in bank.groups.values():
        scorers.append((group.names, _free_scorer(group)))
        if paired:
            here = references.take(inside)
            scorers.append((group.names, _same_scorer(group, stack(here.vectors, group.names), here.models, names)))
    at = int(np.searchsorted(names, model))
    rest = torch.tensor([i for i in range(len(names)) if i != at])

    def loss(vectors: Mapping[str, Tensor]) -> Tensor:
        scores = torch.stack([score(torch.cat([vectors[n] for n in members])) for members, score in scorers]).mean(0)
        return scores[at] - scores[rest].max()

    return loss


def collision(
    bank: Bank,
    references: LabelledEmbeddings,
    own: Mapping[str, NDArray[np.float32]],
    model: str,
    prompt: str | None,
    draws: np.random.Generator,
) -> Objective:
    """How far an image is from one that another model could have made, the model drawn at random.

    The distance is that of the image's embedding from the embedding of one of the drawn model's images of the same
    prompt: a feature collision (Shafahi et al., *Poison Frogs!*, 2018). Without such an image the embedding as it was,
    moved by the difference of the two models' means, takes its place. The drawn model may be the image's own, which
    then stays where it is. Distance is the mean square in the directions in which seeds scatter alike (the coordinates
    of the attributor ``fused``), plus ten times that of all numbers at their own scale: n references know no more than
    n directions, and an attacker with more of them reads the others.

    A loss without a lower end carries every model's images in a direction of that model, which whoever learns from
    protected images takes for a mark. Here all models' images go to all models alike: at distance 0 nothing is left
    that depends on who made the image.

    Parameters
    ----------
    bank : Bank
        From `fit_statistics`.
    references : LabelledEmbeddings
        What it was learnt from.
    own : mapping of str to ndarray, shape (1, d)
        Of the unprotected image.
    model : str
        The model that made the image.
    prompt : str or None
        Id of its prompt.
    draws : numpy Generator
        Decides the model and which of its images.

    Raises
    ------
    NotEnoughReferencesError
        One model.
    UnknownNameError
        The references have none of that model.
    """
    _rivals(bank, references, model)
    drawn, share = str(draws.choice(bank.models)), draws.random()
    rows = np.flatnonzero((references.prompts == prompt) & (references.models == drawn)) if prompt else np.empty(0, int)
    alike = None
    if drawn != model and len(rows):
        row = rows[int(share * len(rows))]
        alike = references.take(np.arange(row, row + 1)).vectors
    parts: list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]] = []
    for group in bank.groups.values():
        there = stack(own if alike is None else alike, group.names)[0]
        if alike is None and drawn != model:
            there = there + _offset(bank, group, model, drawn)
        parts.append((group.names, _distance(group, torch.from_numpy(there))))

    def loss(vectors: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([apart(torch.cat([vectors[n] for n in names])) for names, apart in parts]).mean()

    return loss


def _rivals(bank: Bank, references: LabelledEmbeddings, model: str) -> NDArray[np.str_]:
    """`other_models` of a model that the references have."""
    others = other_models(references, model)
    if model not in bank.models:
        raise UnknownNameError("model", model, bank.models.tolist())
    return others


def _distance(group: GroupStatistics, there: Tensor) -> Callable[[Tensor], Tensor]:
    """Square distance from an embedding of the group, shape (d,)."""
    spaces = [_axes(group, statistics)[0] for statistics in (group.free, group.same) if statistics is not None]
    scale = torch.from_numpy(group.subspace.scale)

    def apart(x: Tensor) -> Tensor:
        way = x.double() - there
        inside = torch.stack([(way @ matrix).square().mean() for matrix in spaces]).mean()
        return inside + OWN_SCALE * (way / scale).square().mean()

    return apart


def _offset(bank: Bank, group: GroupStatistics, model: str, other: str) -> NDArray[np.float64]:
    """From one model's mean to another's: shape (d,)."""
    assert group.free is not None and group.centroids is not None  # noqa: S101 - the bank has them
    here, there = (group.centroids.means[np.searchsorted(bank.models, name)] for name in (model, other))
    way = group.subspace.basis @ np.linalg.solve(group.free.rotation.T, there - here)
    return np.where(np.isinf(group.subspace.scale), 0.0, way * group.subspace.scale)


def _axes(group: GroupStatistics, statistics: TwoCovariance) -> tuple[Tensor, Tensor]:
    """What an embedding of the group is multiplied by, and what is then taken off, for its coordinates."""
    space = group.subspace
    matrix = torch.from_numpy((space.basis / space.scale[:, None]) @ statistics.rotation)
    return matrix, torch.from_numpy(space.mean) @ matrix


def _free_scorer(group: GroupStatistics) -> Callable[[Tensor], Tensor]:
    assert group.free is not None and group.centroids is not None  # noqa: S101 - the bank has them
    means, counts = group.centroids.means, group.centroids.counts
    return _scorer(group, group.free, means, counts, means.mean(axis=0))


def _same_scorer(
    group: GroupStatistics, x: NDArray[np.float64], models: NDArray[np.str_], names: NDArray[np.str_]
) -> Callable[[Tensor], Tensor]:
    assert group.same is not None  # noqa: S101 - the bank has it
    means = class_means(group.subspace(x) @ group.same.rotation, models, names)
    counts = np.array([float((models == name).sum()) for name in names])
    return _scorer(group, group.same, means, counts, means.mean(axis=0))


def _scorer(
    group: GroupStatistics,
    statistics: TwoCovariance,
    means: NDArray[np.float64],
    counts: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> Callable[[Tensor], Tensor]:
    """`TwoCovariance.predict` for one embedding with gradients, divided by the number of directions: shape (m,)."""
    matrix, origin = _axes(group, statistics)
    offset = origin + torch.from_numpy(centre)
    noise = torch.as_tensor(statistics.reference_noise) / torch.from_numpy(counts)[:, None]
    between = torch.from_numpy(statistics.between)
    gain = between / (between + noise)
    variance = 1.0 + gain * noise
    mu = gain * torch.from_numpy(means - centre)
    constant = variance.log().sum(1) - torch.log1p(between).sum()

    def score(x: Tensor) -> Tensor:
        q = x.double() @ matrix - offset
        population = (q.square() / (1.0 + between)).sum()
        ratio = -0.5 * (((q - mu).square() / variance).sum(1) + constant - population)
        return ratio / len(between)

    return score
