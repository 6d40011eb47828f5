"""Identification and verification by what methods learnt from other models (paper 002, tables VIII and IX).

A trained method learns from the seen models' training images; then pictures of seen and of unseen models are compared
by the cosine of what it embeds them to, the layer before its head. Methods over embeddings learn from the same images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.image import FeatureAttributor, ImageAttributor, is_image_attributor, load_image_attributor
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.identification import identification
from morelli.evaluation.model_split import ModelSplit
from morelli.evaluation.pictures import read_texts, show
from morelli.evaluation.protocols import Task, run_tasks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.evaluation.data import EvaluationSet
    from morelli.evaluation.plan import Plan
    from morelli.evaluation.scored import Scored
    from morelli.types import LabelledEmbeddings

    Rows = NDArray[np.intp]
    Progress = Callable[[int, int], None]

# Before the names of models that are learnt from, so that none is a candidate's.
_OTHER = "\x1e"
# Pictures in memory at once when they are embedded.
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Learnt:
    """What one method makes of the images that are tested.

    Attributes
    ----------
    embeddings : LabelledEmbeddings
        Of all rows of the data; rows that are not tested are NaN where a method that sees pictures made them.
    rule : str
        The attributor that compares them.
    encoder : bool
        Whether they are the encoder's, and the rule may learn from the training images.
    under_trained : str
    fitted : ImageAttributor or None
    fit_seconds : float
        Of the processor, for learning.
    """

    embeddings: LabelledEmbeddings
    rule: str
    encoder: bool
    under_trained: str = ""
    fitted: ImageAttributor | None = None
    fit_seconds: float = 0.0


def learn(
    name: str,
    data: EvaluationSet,
    split: ModelSplit,
    progress: Progress | None = None,
    folders: Mapping[str, str] | None = None,
) -> Learnt:
    """Train a method on the seen models' images and embed those that are tested; an attributor's name is taken as is.

    Methods keep what they compute in ``folders`` (`morelli.attribution.image.load_image_attributor`).

    Raises
    ------
    InputError
        The method gives no embeddings, or needs prompts that the dataset does not have.
    """
    if not is_image_attributor(name):
        return Learnt(data.embeddings, name, True)
    attributor = load_image_attributor(name, folders)
    started = time.process_time()
    _fit(attributor, data, split.training)
    seconds = time.process_time() - started
    tested = np.sort(np.concatenate(list(split.tested.values())))
    parts = []
    for start in range(0, len(tested), _BATCH):
        rows = tested[start : start + _BATCH]
        parts.append(_embed(attributor, data, rows))
        if progress is not None:
            progress(min(start + _BATCH, len(tested)), len(tested))
    vectors = _spread(parts, tested, len(data), name)
    embeddings = replace(data.embeddings, vectors={"embedding": vectors}, degraded=None)
    return Learnt(embeddings, "cosine", False, attributor.under_trained, attributor, seconds)


def _fit(attributor: ImageAttributor, data: EvaluationSet, rows: Rows) -> None:
    models = data.embeddings.models[rows]
    if isinstance(attributor, FeatureAttributor):
        attributor.fit(show(attributor, data, rows), models, read_texts(attributor, data, rows))
    else:
        attributor.fit(show(attributor, data, rows), models)


def _embed(attributor: ImageAttributor, data: EvaluationSet, rows: Rows) -> NDArray[np.float32]:
    pictures = show(attributor, data, rows)
    if isinstance(attributor, FeatureAttributor):
        return attributor.embed(pictures, read_texts(attributor, data, rows))
    return attributor.embed(pictures)


def _spread(parts: list[NDArray[np.float32]], rows: Rows, count: int, name: str) -> NDArray[np.float32]:
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise InputError("gives pictures of different sizes embeddings of different lengths.", argument=name)
    out = np.full((count, widths.pop()), np.nan, dtype=np.float32)
    out[rows] = np.concatenate(parts)
    return out


def identify(learnt: Learnt, split: ModelSplit, group: str, k: int | None, seed: int) -> tuple[Scored, Plan[Task]]:
    """Queries of one group named among its models by k references each, uncalibrated.

    The gallery is the same for every method, and all that a method knows of a candidate is its references: methods that
    learn from a background learn from the training images, whose models count as others there. Else a seen model would
    be compared by the mean of all its training images, and not by its references.

    Raises
    ------
    NotEnoughReferencesError
        As `identification`, or the method compares inside one prompt.
    """
    if learnt.rule == "plda":
        raise NotEnoughReferencesError(
            "compares inside one prompt, which identification does not tell.", argument="--method"
        )
    rows = split.tested[group]
    plan = identification(learnt.embeddings.take(rows), k, seed)
    # Queries and references first, what is learnt from behind them; it is the same for all tasks.
    background = len(rows) + np.arange(len(split.training)) if learnt.encoder else None
    tasks = tuple(replace(task, key=(0,), background=background, references=task.background) for task in plan)
    source = learnt.embeddings.take(np.concatenate([rows, split.training]) if learnt.encoder else rows)
    names = [source.models[: len(rows)], np.char.add(_OTHER, source.models[len(rows) :])]
    source = replace(source, models=np.concatenate(names))
    scored = run_tasks(partial(load_attributor, learnt.rule), source, tasks, calibrate=False)
    return replace(scored, under_trained=learnt.under_trained), replace(plan, items=tasks)
