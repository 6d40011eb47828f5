"""The better attributors: likelihood ratios under Gaussian statistics of the background.

``lda`` needs no prompt, ``plda`` needs references of the query's prompt, ``fused`` adds both over every view of the
encoder with weights that it learns from the background alone.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np

from morelli.attribution.bank import Bank, BankSettings, Labels, fit_bank, view_groups
from morelli.attribution.base import Attributor
from morelli.attribution.conditions import CLEAN, Mixture, fit_conditions
from morelli.attribution.crossbank import SMALL_BACKGROUND, CrossBank, components
from morelli.attribution.crossfit import FOLDS, OutOfFold, gather
from morelli.attribution.trials import seeds_per_cell
from morelli.errors import NotEnoughReferencesError, NotFittedError
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.attribution.bank import Projected
    from morelli.attribution.base import Vectors
    from morelli.attribution.conditions import Conditions, Coordinates


# A model that the background shows in fewer prompts than this, and than most models, counts as new.
KNOWN_PROMPTS = 3
# Folds for a small background: a prompt more to learn from counts there.
SMALL_FOLDS = 12


class LikelihoodAttributor(Attributor):
    """Common ground of `Lda`, `Plda` and `Fused`.

    Parameters
    ----------
    settings : BankSettings
        Constants of the covariance estimates.
    folds : int or None
        Prompt folds for the weights and for calibration. None: 12 for a small background, where a fold more is a prompt
        more to learn from and held-out scores would otherwise be too modest; 5 for one of over 1,000 images.

    Attributes
    ----------
    bank_ : Bank or None
        Statistics of the background; None where there was none, or one image a model. Statistics then come from the
        references.
    conditions_ : Conditions or None
        What degradation does to queries; None where the background has no degraded copies.
    models_ : ndarray of str
        Models of the background, sorted.
    """

    #: Which models of the bank take part: "free" (no prompt needed), "same" (references of the prompt needed).
    parts: tuple[str, ...] = ("free", "same")
    #: One group of all named vectors, or one a view with a fitted weight each.
    by_view: bool = False

    def __init__(self, settings: BankSettings = BankSettings(), folds: int | None = None) -> None:
        self.settings = settings
        self.folds = folds

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        """Learn the statistics; the weights of each k are learnt when they are first needed."""
        empty = background is None or len(np.unique(background.models)) < 2
        self.background_ = None if empty else background
        self.models_ = np.unique(background.models) if background is not None else np.empty(0, dtype=np.str_)
        bank = None if self.background_ is None else self._fit_bank(self.background_)
        self.bank_ = bank if bank is not None and self._serves(bank) else None
        self.known_: NDArray[np.str_] | None = None
        self.weights_: dict[tuple[int, bool, str], NDArray[np.float64]] = {}
        self._cross = self.conditions_ = None
        if self.background_ is not None and self.bank_ is not None:
            self.conditions_ = self._fit_conditions(self.background_, self.bank_)
            folds = self.folds or (FOLDS if len(self.background_) > SMALL_BACKGROUND else SMALL_FOLDS)
            self._cross = CrossBank(self.background_, self.bank_, self.settings, self.parts, folds)
        return self

    def _fit_conditions(self, background: LabelledEmbeddings, bank: Bank) -> Conditions | None:
        if background.degraded is None:
            return None
        return fit_conditions(bank, bank.coordinates(background.vectors), background.degraded, self.settings)

    def _serves(self, bank: Bank) -> bool:
        """Whether a bank has what this attributor cannot do without."""
        return bank.has_free if "free" in self.parts else bank.has_same

    def _require_fit(self) -> None:
        if not hasattr(self, "bank_"):
            raise NotFittedError("call fit first.", argument=type(self).__name__)

    def _fit_bank(self, background: LabelledEmbeddings) -> Bank:
        names = tuple(background.vectors)
        return fit_bank(background, view_groups(names) if self.by_view else {"all": names}, self.settings)

    # -- scores ---------------------------------------------------------------------------------------------------

    def scores(
        self, vectors: Vectors, references: LabelledEmbeddings | None = None, prompt: str | None = None
    ) -> NDArray[np.float64]:
        """Weighted sum of log-likelihood ratios; see the base class.

        Several components are added up under each condition that a query may be in, and the sums joined by the law of
        total probability (`Mixture.marginal`). A single component has no weight, which would be a temperature, and
        calibration learns one; conditions are then averaged. Among known and new candidates it counts relatively.

        Raises
        ------
        NotEnoughReferencesError
            A candidate has no reference of the prompt, or there is neither background nor two references a model.
        """
        self._require_fit()
        models = self.candidates(references)
        used = references if references is not None and len(references) else self.background_
        if used is None:
            raise NotEnoughReferencesError("there is nothing to compare with.", argument="references")
        bank, weighted = self.bank_, True
        if bank is None:
            bank, weighted = self._fit_bank(used), False
        k = self._references_of_prompt(used, models, prompt, bank)
        mixture = self._component_scores(bank, vectors, used, models, prompt, k)
        if not weighted:
            return mixture.mean().mean(axis=0)
        new = self.is_new(models)
        kinds = np.unique(new).tolist()
        if len(mixture.layers) == 1:
            return self._single(mixture, new, k)
        out = np.empty((len(mixture.likeliest), len(models)))
        for kind in kinds:
            out[:, new == kind] = mixture.of(new == kind).marginal(partial(self.weights, k, kind))
        return out

    def _single(self, mixture: Mixture, new: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
        layer = mixture.mean()[0]
        if new.any() and not new.all():
            for state in np.unique(mixture.likeliest).tolist():
                part = np.ix_(mixture.likeliest == state, new)
                layer[part] *= self.weights(k, True, state) / self.weights(k, False, state)
        return layer

    def conditions_of(self, vectors: Vectors) -> tuple[str, ...]:
        """See the base class, and `Conditions`."""
        self._require_fit()
        if self.bank_ is None or self.conditions_ is None:
            return super().conditions_of(vectors)
        return self.conditions_.likeliest(self.bank_.coordinates(vectors))

    def is_new(self, models: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which of the models the background does not know, or knows from far fewer prompts than most: shape (m,).

        Their prompt-free means stand on little, so that components count otherwise than for known models.
        """
        self._require_fit()
        if self.known_ is not None:
            return ~np.isin(models, self.known_)
        if self.bank_ is None:
            return np.zeros(len(models), dtype=np.bool_)
        group = next(iter(self.bank_.groups.values()))
        counts = np.zeros(0) if group.centroids is None else group.centroids.counts
        known = self.bank_.models
        if len(counts):
            known = known[counts >= min(KNOWN_PROMPTS, float(np.median(counts)))]
        return ~np.isin(models, known)

    def _references_of_prompt(
        self, references: LabelledEmbeddings, models: NDArray[np.str_], prompt: str | None, bank: Bank
    ) -> int:
        """Typical number of same-prompt references a model; 0 where the prompt is unknown or plays no part."""
        if prompt is None or "same" not in self.parts or (not bank.has_same and "free" in self.parts and bank.has_free):
            if "free" not in self.parts:
                raise NotEnoughReferencesError(
                    "compares inside one prompt, and the prompt is not known.",
                    argument="plda",
                    fix="Give the prompt, or take lda or fused.",
                )
            return 0
        here = references.models[references.prompts == prompt]
        counts = np.array([(here == model).sum() for model in models])
        if (counts == 0).any():
            missing = ", ".join(models[counts == 0])
            raise NotEnoughReferencesError(
                f"no reference of the prompt {prompt!r} for {missing}.",
                argument="references",
                fix="Add some, leave these models out, or leave the prompt out to compare without it.",
            )
        return int(np.median(counts))

    def _component_scores(
        self,
        bank: Bank,
        vectors: Vectors,
        references: LabelledEmbeddings,
        models: NDArray[np.str_],
        prompt: str | None,
        k: int,
    ) -> Mixture:
        """Scores of each component under each condition that a query may be in."""
        free = "free" in self.parts and bank.has_free
        if not (free or k):
            raise NotEnoughReferencesError(
                "one image a model and no background: nothing tells how far seeds scatter.",
                argument="references",
                fix="Add references of other prompts, or take euclid or cosine.",
            )
        held = bank.coordinates(references.vectors)
        labels = Labels(references.models, references.prompts)
        here = references.prompts == prompt
        chosen = Labels(labels.models[here], labels.prompts[here])

        def score(bank: Bank, coordinates: Coordinates, _rows: NDArray[np.intp]) -> NDArray[np.float64]:
            queries: Projected = bank.rotate(coordinates)
            projected = bank.rotate(held)
            layers = [bank.free_scores(queries, projected, labels, models)] if free else []
            if k:
                inside = {name: (z_free[here], z_same[here]) for name, (z_free, z_same) in projected.items()}
                layers.append(bank.same_scores(queries, inside, chosen, models))
            return np.concatenate(layers)

        coordinates = bank.coordinates(vectors)
        if self.conditions_ is None or bank is not self.bank_:
            count = len(next(iter(coordinates.values())))
            return Mixture.clean(score(bank, coordinates, np.arange(count)))
        return self.conditions_.mix(coordinates, score)

    # -- weights and calibration ------------------------------------------------------------------------------------

    def weights(self, k: int, new: bool = False, condition: str = CLEAN) -> NDArray[np.float64]:
        """Weight of each component: shape (components,).

        Parameters
        ----------
        k : int
            Same-prompt references a model; 0 for none.
        new : bool
            For candidates that the background does not know.
        condition : str
            What the queries went through: one of the background's degradations.
        """
        self._require_fit()
        k = self._simulable(k)
        if (k, new, condition) not in self.weights_:
            if self._cross is None:
                raise NotEnoughReferencesError("weights need a background.", argument="background")
            found = self._cross.weights(k, new, condition != CLEAN)
            if found and condition == CLEAN:
                self.weights_[k, new, CLEAN] = found[CLEAN]
            elif found:
                # All that were learnt at once; of a condition with too few copies those of all together.
                names = () if self.conditions_ is None else self.conditions_.names[1:]
                for name in dict.fromkeys((*names, condition)):
                    self.weights_[k, new, name] = found.get(name, found[CLEAN])
            elif condition != CLEAN:
                self.weights_[k, new, condition] = self.weights(k, new)
            elif new:
                # Too few models to play new ones: those for known models, which measured better than leaving the
                # prompt-free part out (decision 0004).
                self.weights_[k, new, CLEAN] = self.weights(k)
            else:
                count = 0 if self.bank_ is None else components(self.bank_, self.parts, k)
                self.weights_[k, new, CLEAN] = np.full(count, 1.0 / max(count, 1))
        return self.weights_[k, new, condition]

    def learn_weights(self, k: int, models: NDArray[np.str_]) -> None:
        """Learn every weight that queries may need among these candidates, as they come and degraded."""
        kinds = np.unique(self.is_new(models)).tolist()
        single = self.bank_ is not None and components(self.bank_, self.parts, self._simulable(k)) == 1
        if single and len(kinds) == 1:
            return
        for new in kinds:
            for condition in (CLEAN,) if self.conditions_ is None else self.conditions_.names:
                self.weights(k, new, condition)

    def cross_scores(self, k: int, new: bool = False, degraded: bool = False) -> OutOfFold:
        """The background's images scored by statistics that saw other prompts only: what calibration learns from.

        With ``new`` they had not seen the models either; with ``degraded`` it is their degraded copies. Empty where
        there is no background, or none with what this attributor compares.
        """
        self._require_fit()
        if self._cross is None:
            return gather([], self.models_, self.models_)
        return self._cross.scores(self._simulable(k), new, degraded)

    def _simulable(self, k: int) -> int:
        """The largest k up to the one asked for that the background can play through."""
        if k == 0 or "same" not in self.parts or self.background_ is None:
            return 0
        if self.bank_ is None or not self.bank_.has_same:
            return 0
        return max(1, min(k, seeds_per_cell(self.background_) - 1))

    def without(self, others: LabelledEmbeddings) -> Self:
        """The same, with the prompt-free mean of one model from these of its images alone.

        Covariances, weights and conditions stay: where images are many, one more or less is not seen in them.

        Parameters
        ----------
        others : LabelledEmbeddings
            One or more images of one model of the statistics.
        """
        self._require_fit()
        made = copy.copy(self)
        if self.bank_ is not None:
            model, coordinates = str(others.models[0]), self.bank_.coordinates(others.vectors)

            def change(bank: Bank) -> Bank:
                return bank.with_mean(model, coordinates, others.prompts)

            # One image less makes no model new: for new ones no weights may have been learnt.
            made.known_ = self.models_[~self.is_new(self.models_)]
            made.bank_ = change(self.bank_)
            made.conditions_ = None if self.conditions_ is None else self.conditions_.of(change)
        return made

    # -- evidence ---------------------------------------------------------------------------------------------------

    def nearness(self, vectors: Vectors, references: LabelledEmbeddings) -> NDArray[np.float64]:
        """Distance of each query to each reference in the noise-whitened space: shape (n, references)."""
        self._require_fit()
        bank = self.bank_ if self.bank_ is not None else self._fit_bank(references)
        index = 1 if bank.has_same else 0
        queries, others = bank.project(vectors), bank.project(references.vectors)
        squared = []
        for name in bank.groups:
            a, b = queries[name][index], others[name][index]
            squared.append(np.maximum((a**2).sum(1)[:, None] - 2.0 * a @ b.T + (b**2).sum(1), 0.0) / a.shape[1])
        return np.sqrt(np.mean(squared, axis=0))


class Lda(LikelihoodAttributor):
    """Prompt-free linear discriminant: one mean a model over all prompts, one shrunk covariance for all."""

    parts = ("free",)


class Plda(LikelihoodAttributor):
    """Same-prompt centroids under background statistics: shrunk to the prompt's mean, with predictive variance."""

    parts = ("same",)


class Fused(LikelihoodAttributor):
    """The default: `lda` and `plda` of every view, weighted by what the background shows."""

    by_view = True
