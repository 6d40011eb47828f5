"""Is a query from one given model? Case 1 with the references of all models, Case 2 with that model's alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution import one_vs_many
from morelli.attribution.centroid import unit_vectors
from morelli.attribution.compare import Comparison
from morelli.attribution.decision import UNKNOWN_LEVEL, UNSURE, state
from morelli.errors import NotEnoughReferencesError
from morelli.types import LabelledEmbeddings

if TYPE_CHECKING:
    from morelli.attribution.base import Vectors

YES = "yes"
NO = "no"


def case_1(comparison: Comparison, vectors: Vectors, model: str, alpha: float) -> dict[str, Any]:
    """How one query of shape (1, d) stands to a model among all: fields of ``case_1`` in ``morelli.check/1``.

    With a calibration the model is accepted where its conformal p-value exceeds 1 − α, which α of its own images
    reach; without one, where it comes first.
    """
    if model not in comparison.models:
        raise NotEnoughReferencesError(f"{model} has no other reference than this very picture.", argument="model")
    scores = comparison.scores(vectors)[:1]
    stated = state(comparison.calibration, scores, comparison.is_degraded(vectors)[:1])
    at, best = comparison.models.index(model), int(scores[0].argmax())
    p_value = None if stated.p_values is None else stated.p_values[at]
    return {
        "accepted": at == best if p_value is None else p_value > 1.0 - alpha,
        "first": at == best,
        "top_model": comparison.models[best],
        "probability": stated.probabilities[at],
        "p_value": p_value,
        "known_p_value": stated.known,
        "calibrated": comparison.calibration is not None,
    }


class Own:
    """One model's references, for Case 2: embeddings at unit length, as published.

    Parameters
    ----------
    data : LabelledEmbeddings
        The gallery.
    model : str
    prompts : sequence of str
        Ids of the prompt whose references count; none: all of the model's.
    """

    def __init__(self, data: LabelledEmbeddings, model: str, prompts: Sequence[str] = ()) -> None:
        own = data.models == model
        if prompts:
            own &= np.isin(data.prompts, prompts)
        self.model = model
        self.rows = np.flatnonzero(own)
        self._points = unit_vectors(data.take(self.rows).vectors)

    def case_2(
        self, vectors: Vectors, alpha: float, leave_out: int | None = None
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """How one query of shape (1, d) stands to the model's references: fields of ``case_2``, and notes.

        Parameters
        ----------
        leave_out : int, optional
            Row of the gallery that is the query itself.

        Raises
        ------
        NotEnoughReferencesError
            Fewer than two references.
        """
        points = self._points[self.rows != leave_out] if leave_out is not None else self._points
        if len(points) < 2:
            raise NotEnoughReferencesError(
                f"{len(points)} references of {self.model} are too few to compare with them alone: it takes 2.",
                argument="references",
                fix="Add some.",
            )
        query = unit_vectors(vectors)[0]
        as_published = one_vs_many.published(query, points, alpha)
        exact = one_vs_many.conformal(query, points, alpha)
        answer = {
            "references": len(points),
            "published": {"accepted": as_published.accepted, "ratio": as_published.statistic},
            "conformal": {"accepted": exact.accepted, "p_value": exact.statistic, "attainable": exact.attainable},
        }
        return answer, tuple(note for note in (as_published.note, exact.note) if note)


def decide_one(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> str:
    """ "yes", "no" or "unsure" from the two cases; Case 1 counts where it was asked, for it knows the rivals.

    Case 1: "no" where the model is not accepted or the query fits no known model, "yes" where the model comes first,
    else "unsure". Case 2: the conformal answer, "unsure" where the references are too few to refuse anything.
    """
    if first is not None:
        strange = first["known_p_value"] is not None and first["known_p_value"] <= UNKNOWN_LEVEL
        if strange or not first["accepted"]:
            return NO
        return YES if first["first"] else UNSURE
    if second is None or not second["conformal"]["attainable"]:
        return UNSURE
    return YES if second["conformal"]["accepted"] else NO
