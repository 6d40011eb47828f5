"""A fitted attributor without one of its references: a query never helps to build its own centroid."""

from __future__ import annotations

from morelli.attribution.base import Attributor
from morelli.attribution.enough import enough
from morelli.attribution.likelihood import LikelihoodAttributor
from morelli.types import LabelledEmbeddings


def refit(attributor: Attributor, kept: LabelledEmbeddings) -> Attributor:
    """The same attributor fitted on what is kept of its background.

    Means and covariances are learnt anew, of a huge background as `enough` says. The weights of a
    `LikelihoodAttributor` stay: they are a handful of numbers from out-of-fold scores of all the background's images,
    and to learn them takes several times as long as the rest.
    """
    fresh = attributor.clone()
    fresh.fit(enough(kept) if isinstance(fresh, LikelihoodAttributor) else kept)
    if isinstance(fresh, LikelihoodAttributor) and isinstance(attributor, LikelihoodAttributor):
        old, new = attributor.bank_, fresh.bank_
        if old is not None and new is not None and (old.has_free, old.has_same) == (new.has_free, new.has_same):
            fresh.weights_ = dict(attributor.weights_)
    return fresh
