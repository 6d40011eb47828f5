"""One evaluation: datasets, a protocol, methods → a table of schema ``morelli.evaluation/1``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli._version import __version__
from morelli.encoders.base import Encoder
from morelli.encoders.copies import SAMPLE
from morelli.errors import InputError
from morelli.evaluation.data import prepare_each, require_models
from morelli.evaluation.groups import GROUPS, expand_groups
from morelli.evaluation.identification import REFERENCES
from morelli.evaluation.pictures import cut_notes
from morelli.evaluation.rows import Progress, RowMaker
from morelli.evaluation.scored import Scored, image_confusion
from morelli.evaluation.sets import Sets
from morelli.evaluation.settings import Settings, check_settings, default_methods, learning
from morelli.evaluation.tables import measure
from morelli.types import EVALUATION_SCHEMA, EncoderStamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.cache import EmbeddingCache
    from morelli.evaluation.data import EvaluationSet
    from morelli.evaluation.verification import Case
    from morelli.images.dataset import Dataset

__all__ = ["Evaluation", "Settings", "default_methods", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """The result, and what pictures of it need.

    Attributes
    ----------
    result : dict
        Schema ``morelli.evaluation/1``.
    confusion : mapping of str to (labels, matrix)
        By method, of several encoders by "method, encoder": names and counts, rows true, columns named; methods of the
        "all" background only. An image counts once: one that was asked several times is divided among its answers.
    families : mapping of str to str
        Family of each model.
    queries : EvaluationSet or None
        What was evaluated, under the last encoder.
    seen : frozenset of str
        Models that the references have.
    cases : sequence of Case
        Example pairs of the protocol verification, judged under the last encoder.
    encoder : str
        Id of the last encoder.
    scored : mapping of (encoder, method) to Scored
        Every query of the "all" background, by each method; rows are those of ``queries``.
    """

    result: dict[str, Any]
    confusion: dict[str, tuple[list[str], NDArray[np.float64]]] = field(default_factory=dict)
    families: Mapping[str, str] = field(default_factory=dict)
    queries: EvaluationSet | None = None
    seen: frozenset[str] = frozenset()
    cases: Sequence[Case] = ()
    encoder: str = ""
    scored: Mapping[tuple[str, str], Scored] = field(default_factory=dict)


def evaluate(
    dataset: Dataset,
    encoder: Encoder | Sequence[Encoder],
    settings: Settings,
    *,
    references: Dataset | None = None,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate methods on a dataset by a protocol.

    Parameters
    ----------
    dataset : Dataset
    encoder : Encoder or sequence of Encoder
        Several are compared on the same queries, references and pairs.
    settings : Settings
    references : Dataset, optional
        Where references and background come from.
    cache : EmbeddingCache, optional
    progress : callable, optional
        ``progress(stage, done, total)``.

    Raises
    ------
    UnknownNameError
        For a protocol, a method or a reference row that there is not.
    InputError, NotEnoughReferencesError, DatasetError
        Where the data do not allow what is asked.
    """
    started = time.monotonic()
    settings = _written_out(settings, dataset if references is None else references)
    check_settings(settings, second=references is not None)
    encoders = _different([encoder] if isinstance(encoder, Encoder) else encoder)
    stamps = [each.stamp for each in encoders]
    settings.reference.require([stamp.encoder for stamp in stamps])
    datasets = [dataset] if references is None else [dataset, references]
    # Degraded copies teach attributors that learn; the published rules need none.
    copies = SAMPLE if _learns(settings) else 0
    report = partial(progress, "embedding") if progress else None
    prepared = prepare_each(datasets, encoders, cache=cache, copies=copies, progress=report)
    parts = prepared[0]  # what is said of files and labels is the same under every encoder
    whole = Sets(*parts)
    require_models(whole.source)
    families, shared = whole.families, whole.without_shared()[1]
    makers = [
        RowMaker(
            Sets(*own).without_shared()[0], settings, stamp.encoder, families, not number, progress,
            cache=str(cache.folder) if cache is not None else "",
        )
        for number, (own, stamp) in enumerate(zip(prepared, stamps, strict=True))
    ]  # fmt: skip
    table = measure(makers, encoders, cache)
    sets = makers[-1].sets
    data = sets.queries.embeddings
    result = {
        "schema": EVALUATION_SCHEMA,
        "version": __version__,
        "protocol": table.protocol,
        "level": settings.level,
        "dataset": str(dataset.root),
        "references": None if references is None else str(references.root),
        "n_queries": max((row.get("n_queries") or 0 for row in table.rows), default=0),
        "n_models": len(np.unique(data.models)),
        "n_prompts": len(np.unique(data.prompts[data.prompts != ""])),
        "k": REFERENCES if settings.k is None and table.protocol == "identification" else settings.k,
        "seed": settings.seed,
        "epsilon": settings.epsilon,
        "encoder": _told(stamps[0]),
        "encoders": [_told(stamp) for stamp in stamps],
        "against": settings.reference.to_json(),
        "rows": table.rows,
        "leaks": parts[0].leaks if references is None else parts[0].leaks | {"references": parts[1].leaks},
        "notes": list(dict.fromkeys(
            [*(note for part in parts for note in part.notes), *shared, *table.notes, *_under_trained(table.rows),
             *cut_notes([row["method"] for row in table.rows], parts[0].form)]
        )),
        "seconds": time.monotonic() - started,
    }  # fmt: skip
    if table.derived is not None:
        result["derived"] = table.derived
    confusion = {
        name if len(encoders) == 1 else f"{name}, {under}": _confusion(found)
        for (under, name), found in table.scored.items()
    }
    seen = frozenset(sets.source.embeddings.models.tolist())
    kin = table.families or families
    return Evaluation(result, confusion, kin, sets.queries, seen, table.cases, stamps[-1].encoder, table.scored)


def _different(encoders: Sequence[Encoder]) -> list[Encoder]:
    """The encoders, of which one at least and none twice."""
    names = [encoder.stamp.encoder for encoder in encoders]
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"must name different encoders, one at least; got {', '.join(names) or 'none'}.", argument="encoder"
        )
    return list(encoders)


def _told(stamp: EncoderStamp) -> dict[str, str]:
    return {"id": stamp.encoder, "revision": stamp.revision, "preprocessing": stamp.preprocessing}


def _written_out(settings: Settings, source: Dataset) -> Settings:
    """The settings with groups of methods written out."""
    if settings.methods is None or not set(GROUPS) & set(settings.methods):
        return settings
    models = len({item.model for item in source.items})
    methods, optional = expand_groups(settings.methods, models)
    return replace(settings, methods=tuple(methods), optional=optional)


def _under_trained(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each method whose training fell short of the published one, or for which there is none."""
    short = {row["method"]: row["under_trained"] for row in rows if row.get("under_trained")}
    return [f"{method} is under-trained: {what}." for method, what in short.items()]


def _learns(settings: Settings) -> bool:
    """Whether a method that is asked for learns from degraded copies."""
    if settings.protocol == "verification" or settings.level == "base":
        return False
    if settings.methods is None:
        return True
    against = settings.reference.method
    return bool(learning([*settings.methods, *([against] if against else [])]))


def _confusion(scored: Scored) -> tuple[list[str], NDArray[np.float64]]:
    labels, matrix, _ = image_confusion(scored, np.flatnonzero(scored.truth >= 0))
    return labels, matrix
