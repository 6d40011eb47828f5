"""Is a model derived from a base? Its likeness to the base's lineage, ranked among models of other lineages.

The test is over *models*: one likeness a model, however many images it has, for what varies from model to model is the
question, and images of one model are no independent witnesses of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.base import class_means, stack
from morelli.attribution.centroid import unit
from morelli.attribution.gaussian import fit_subspace, pooled_scatter, shrink
from morelli.errors import ArrayError, NotEnoughReferencesError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from morelli.types import LabelledEmbeddings

    Array = NDArray[np.float64]

DIMS = 128
SHRINKAGE = 0.2
#: Fewer models of other lineages than this could give no p-value below 0.2.
LEAST_OTHERS = 4


@dataclass(frozen=True, slots=True)
class DerivedTest:
    """Outcome of the test "derived from".

    Attributes
    ----------
    model, base : str
    likeness : float
        Mean cosine, −1 to 1, between the model's mean and those of the base's lineage; see `likeness_of_models`.
    p_value : float
        (1 + models of other lineages that are at least as like the base) / (1 + models of other lineages), one-sided.
    others : int
        Models of other lineages. No p-value is below 1/(others + 1).
    lineage : tuple of str
        Models that stand for the base: itself and those known to derive from it, without ``model``.
    nearest_other : str
        The model of another lineage that is most like the base.
    """

    model: str
    base: str
    likeness: float
    p_value: float
    others: int
    lineage: tuple[str, ...]
    nearest_other: str

    @property
    def smallest(self) -> float:
        """The smallest p-value that there can be."""
        return 1.0 / (self.others + 1)


def stated_bases(models: ArrayLike, bases: ArrayLike) -> dict[str, str]:
    """What each model derives from: what any of its images says of it, or itself where none says anything.

    Parameters
    ----------
    models, bases : array of str, shape (n,)
        Of each image; "" where its base is not known.

    Raises
    ------
    ArrayError
        Two bases for one model, or models that derive from one another.
    """
    found: dict[str, str] = {}
    for model, base in sorted(set(zip(np.asarray(models).tolist(), np.asarray(bases).tolist(), strict=True))):
        known = found.get(model, "")
        if known and base and known != base:
            raise ArrayError(
                f"{model} has the bases {known!r} and {base!r}.",
                argument="bases",
                fix="Give all images of a model the same base.",
            )
        found[model] = base or known
    stated = {model: base or model for model, base in found.items()}
    for model in stated:
        ancestors(model, stated)
    return stated


def ancestors(model: str, stated: Mapping[str, str]) -> list[str]:
    """A model's base, that base's base and so on, as far as they are stated; none where it derives from nothing.

    Raises
    ------
    ArrayError
        The way comes back to a model that it passed.
    """
    way = [model]
    while (base := stated.get(way[-1], way[-1])) != way[-1]:
        if base in way:
            raise ArrayError(
                f"{' and '.join(sorted(way))} derive from one another.", argument="bases", fix="Mend the column base."
            )
        way.append(base)
    return way[1:]


def root_bases(models: ArrayLike, bases: ArrayLike) -> dict[str, str]:
    """The model at the beginning of each model's lineage; itself for one that derives from nothing.

    Raises
    ------
    ArrayError
        As `stated_bases`.
    """
    stated = stated_bases(models, bases)
    return {model: [model, *ancestors(model, stated)][-1] for model in stated}


class Lineage:
    """Likeness of models, and the test "derived from" on it.

    **Null hypothesis**: the model is not of the base's lineage, and its likeness to that lineage is exchangeable with
    those of the models of other lineages. Under it P(p ≤ α) ≤ α for every α, however few models there are (a rank
    among exchangeable values; Vovk et al., *Algorithmic learning in a random world*, 2005).

    What the null takes for granted: that models of other lineages are like one draw after another from one population.
    Where several of them are one vendor's, or some have images of other prompts, it holds less well.

    Parameters
    ----------
    data : LabelledEmbeddings
        Images of all models, best of the same prompts.
    bases : array of str, shape (n,)
        Base of each image's model; "" or the model's own name for one that derives from no other, or of which another
        image says it. A base may itself derive from one.

    Raises
    ------
    ArrayError
        Bases that do not fit the images, two bases for one model, or models that derive from one another.
    NotEnoughReferencesError
        No model with two images.
    """

    def __init__(self, data: LabelledEmbeddings, bases: ArrayLike) -> None:
        given = np.asarray(bases, dtype=np.str_)
        if given.shape != data.models.shape:
            raise ArrayError(f"needs a base an image, {data.models.shape}, got {given.shape}.", argument="bases")
        self.models = np.unique(data.models)
        self.base = stated_bases(data.models, given)
        self._above = {model: ancestors(model, self.base) for model in self.models.tolist()}
        self.likeness = likeness_of_models(data)

    def bases(self) -> list[str]:
        """Bases from which at least one other model derives, be it through another, sorted."""
        return sorted({base for above in self._above.values() for base in above})

    def derives(self, model: str, base: str) -> bool:
        """Whether the labels say that the model derives from the base, be it through another."""
        return base in self._above[model]

    def test(self, model: str, base: str) -> DerivedTest:
        """Is the model derived from the base?

        What the labels say of the model itself is not looked at: it counts neither to the lineage nor to the others.

        Raises
        ------
        UnknownNameError
            No such model or base.
        NotEnoughReferencesError
            No other model of the base's lineage, or fewer than four models of other lineages.
        """
        names = self.models.tolist()
        if model not in names:
            raise UnknownNameError("model", model, names)
        known = {*self.bases(), *self.base.values()}
        if base not in known:
            raise UnknownNameError("base", base, sorted(known))
        lineage, others = self._sides(model, base)
        if not self.can_test(model, base):
            raise NotEnoughReferencesError(
                f"whether {model} derives from {base} takes another model of that lineage and {LEAST_OTHERS} of other "
                f"ones; here are {len(lineage)} and {len(others)}.",
                argument="base",
                fix="Add images of other models.",
            )
        scores = self.likeness[:, lineage].mean(axis=1)
        own = float(scores[names.index(model)])
        # Ties count against the claim: exactness must not hang on rounding.
        at_least = int((scores[others] >= own - 1e-12).sum())
        nearest = str(self.models[others[scores[others].argmax()]])
        p_value = (1.0 + at_least) / (1.0 + len(others))
        return DerivedTest(model, base, own, p_value, len(others), tuple(self.models[lineage].tolist()), nearest)

    def tests(self) -> list[DerivedTest]:
        """The test of every model against every base that allows one; p-values are not corrected for their number."""
        pairs = [(model, base) for model in self.models.tolist() for base in self.bases()]
        return [self.test(model, base) for model, base in pairs if self.can_test(model, base)]

    def can_test(self, model: str, base: str) -> bool:
        """Whether there are another model of the base's lineage and enough models of other ones."""
        kin, others = self._sides(model, base)
        return len(kin) > 0 and len(others) >= LEAST_OTHERS

    def _sides(self, model: str, base: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The lineage of the base, and the models of other ones.

        In neither are the model in question, those that derive from it, as its own label would then decide, and those
        that the base itself derives from.
        """
        names = self.models.tolist()
        kin = np.array([name == base or base in self._above[name] for name in names])
        asked = np.array([name == model or (model != base and model in self._above[name]) for name in names])
        above = np.isin(names, ancestors(base, self.base))
        return np.flatnonzero(kin & ~asked), np.flatnonzero(~kin & ~above & ~asked)


def likeness_of_models(data: LabelledEmbeddings, *, dims: int = DIMS, shrinkage: float = SHRINKAGE) -> Array:
    """Cosine between every two models' means, where images of one model scatter equally in all directions.

    The principal directions of the images are whitened by the pooled covariance within models, and the mean of the
    models' means is the origin. Every model is treated alike and only "same model or not" is used of the labels, so
    that exchangeable models have exchangeable likenesses.

    Returns
    -------
    ndarray, shape (m, m), −1 to 1
        Rows and columns in the order of ``np.unique(data.models)``.

    Raises
    ------
    NotEnoughReferencesError
        Fewer than two models, or one image a model.
    """
    models, codes = np.unique(data.models, return_inverse=True)
    if len(models) < 2 or len(codes) == len(models):
        raise NotEnoughReferencesError(
            f"likeness takes two models and two images of one; here are {len(codes)} images of {len(models)}.",
            argument="references",
        )
    x = stack(data.vectors)
    z = fit_subspace(x, dims)(x)
    within = shrink(pooled_scatter(z, codes)[0], shrinkage)
    values, vectors = np.linalg.eigh(within)
    kept = values > 1e-12 * max(float(values[-1]), 1e-30)
    if not kept.any() or values[-1] <= 0:
        raise NotEnoughReferencesError("the images of each model are all alike.", argument="references")
    white = z @ (vectors[:, kept] / np.sqrt(values[kept]))
    means = class_means(white, data.models, models)
    turned = unit(means - means.mean(axis=0))
    return turned @ turned.T
