"""The facade for exposure: models that answered the same prompts → how exposed a leaderboard of them is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._audit.attacks import most_references, plan_attacks
from morelli._audit.encoders import encoder_row
from morelli._audit.measured import measure
from morelli._audit.result import Seen, check_prices, exposure_result
from morelli._audit.settings import AuditSettings, check_audit
from morelli.attribution.catalogue import load_attributor
from morelli.encoders.copies import SAMPLE
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.data import EvaluationSet, prepare, require_models
from morelli.exposure.separability import separability
from morelli.exposure.variance import variances
from morelli.images.probe import probe
from morelli.images.small import SMALL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.images.dataset import Dataset

    Progress = Callable[[str, int, int], None]

__all__ = ["Audit", "AuditSettings", "audit"]


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes
    ----------
    result : dict
        Schema ``morelli.exposure/1``.
    data : EvaluationSet
        Images and embeddings of the first encoder, for pictures.
    """

    result: dict[str, Any]
    data: EvaluationSet


def audit(
    dataset: Dataset,
    encoders: Sequence[Encoder],
    settings: AuditSettings | None = None,
    *,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Measure how exposed a leaderboard of a dataset's models is.

    Everything is measured with the first encoder; of the others, what compares encoders.

    Parameters
    ----------
    dataset : Dataset
        Models that answered the same prompts, several images each.
    encoders : sequence of Encoder
    settings : AuditSettings, optional
    cache : EmbeddingCache, optional
    progress : callable, optional
        Called with the stage, how much is done and how much there is.

    Raises
    ------
    UnknownNameError, InputError
        What is asked cannot be.
    DatasetError, NotEnoughReferencesError
        The data do not allow it: one model, no prompts, one image a model and prompt.
    """
    started, asked = time.monotonic(), settings or AuditSettings()
    check_audit(asked)
    check_prices(asked, sorted({item.model for item in dataset.items}))
    if not encoders:
        raise InputError("names no encoder.", argument="encoders")
    _check_labels(dataset, asked)
    first, *others = [
        _see(dataset, encoder, replace(asked, sweeps=asked.sweeps and not number), cache, progress)
        for number, encoder in enumerate(encoders)
    ]
    result = exposure_result(dataset, first, asked)
    result["encoders"] = [first.row, *(other.row for other in others)]
    result["notes"] += _small(first.data)
    result["seconds"] = time.monotonic() - started
    return Audit(result, first.data)


def _small(data: EvaluationSet) -> list[str]:
    """A sentence on pictures that encoders enlarge."""
    side = SMALL if data.form is None else data.form.side
    count = len(data) if side < SMALL else sum(min(_size(path)) < SMALL for path in data.paths.tolist())
    return [f"{count} images are smaller than {SMALL} pixels a side, and encoders enlarge them."] if count else []


def _size(path: Path) -> tuple[int, int]:
    found = probe(path)
    return found.width, found.height


def _check_labels(dataset: Dataset, asked: AuditSettings) -> None:
    """Refuse what the labels alone rule out, before anything is embedded; duplicates may rule out more afterwards.

    Raises
    ------
    NotEnoughReferencesError
    """
    models, prompts = (np.array([getattr(item, name) for item in dataset.items]) for name in ("model", "prompt_id"))
    most_references(models, prompts)
    _check_prompts(prompts, asked)


def _check_prompts(prompts: NDArray[np.str_], asked: AuditSettings) -> None:
    learns = any(load_attributor(method).uses_background for method in asked.methods)
    if learns and len(np.unique(prompts)) < 2:
        raise NotEnoughReferencesError(
            f"{asked.method} learns from images of other prompts, and the dataset has one prompt.",
            argument="method",
            fix="Add images of other prompts, or take the method euclid.",
        )


def _see(
    dataset: Dataset, encoder: Encoder, asked: AuditSettings, cache: EmbeddingCache | None, progress: Progress | None
) -> Seen:
    name = encoder.stamp.encoder

    def stage(text: str) -> Callable[[int, int], None] | None:
        return partial(progress, f"{text}, {name}") if progress else None

    learns = any(load_attributor(method).uses_background for method in asked.methods)
    # Degraded copies teach attributors that learn; the published rule needs none.
    data = prepare([dataset], encoder, cache=cache, copies=SAMPLE if learns else 0, progress=stage("embedding"))[0]
    require_models(data)
    _check_prompts(data.embeddings.prompts, asked)
    plan = plan_attacks(data.embeddings, asked.k, asked.seed, sweeps=asked.sweeps)
    found = separability(data.embeddings, unit=asked.unit, progress=stage("neighbours"))
    measured = tuple(measure(method, data.embeddings, plan, stage(method)) for method in asked.methods)
    row = encoder_row(encoder.stamp, variances(data.embeddings), found, measured, asked.tau, asked.seed)
    return Seen(encoder.stamp, data, plan, found, measured, row)
