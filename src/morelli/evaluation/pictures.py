"""Tasks run by an image attributor: it is given pictures where others are given embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from morelli.attribution.image import (
    FeatureAttributor,
    ImageAttributor,
    is_image_attributor,
    load_image_attributor,
)
from morelli.errors import InputError, NotEnoughReferencesError
from morelli.evaluation.data import EvaluationSet
from morelli.evaluation.protocols import Task
from morelli.evaluation.scored import Collector, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.images.uniform import Uniform

    Rows = NDArray[np.intp]
    Progress = Callable[[int, int], None]

# Pictures in memory at once when queries are scored, or features computed.
_BATCH = 64


def run_on_pictures(
    make: Callable[[], ImageAttributor],
    versions: Sequence[EvaluationSet],
    tasks: Sequence[Task],
    source: EvaluationSet,
    *,
    progress: Progress | None = None,
) -> list[Scored]:
    """Fit on the pictures of each background and score the queries' of each version, uncalibrated.

    Where the prompt is known, attributors that are quick to fit learn from the background and the references of the
    prompt together, once for each prompt; the others learn from the background, once for each fold. Either way the
    candidates are the models that have references.

    Raises
    ------
    NotEnoughReferencesError
        A candidate has no picture to learn from.
    InputError
        The attributor needs the prompts' texts, and the dataset has none.
    """
    collectors = [Collector(np.unique(source.embeddings.models)) for _ in versions]
    example = make()
    joins = isinstance(example, FeatureAttributor) and example.joins_references
    total = len(tasks)
    reader: _Pixels | _Features = _Pixels(source)
    if isinstance(example, FeatureAttributor):
        reader = _Features(example, source)
        total += reader.plan(versions, tasks, joins)
        reader.read(lambda done: progress(done, total) if progress else None)
    fitted: tuple[object, ...] | None = None
    attributor, lacks = example, ""
    for done, task in enumerate(tasks):
        key = (task.key, done) if joins and task.references is not None else task.key
        if key != fitted:
            attributor, fitted = reader.fit(make(), learnt_from(task, joins)), key
            lacks = attributor.under_trained
        candidates, columns = _candidates(attributor, task, source)
        for version, collector in zip(versions, collectors, strict=True):
            for start in range(0, len(task.queries), _BATCH):
                rows = task.queries[start : start + _BATCH]
                scores = reader.scores(attributor, version, rows)[:, columns]
                labels = version.embeddings.models[rows], rows, version.embeddings.prompts[rows]
                collector.add(candidates, scores, *labels, None, np.zeros(len(rows), dtype=np.bool_))
        if progress is not None:
            progress(total - len(tasks) + done + 1, total)
    return [collector.result(lacks) for collector in collectors]


def learnt_from(task: Task, joins: bool) -> Rows:
    """Rows that an attributor is fitted on: background, and the references of the prompt where they join it."""
    rows = [part for part in (task.background, task.references if joins else None) if part is not None]
    if not rows:
        raise NotEnoughReferencesError(
            "a method that learns from other prompts' images has none.",
            argument="--method",
            fix="Use --protocol any-prompt, or images of more prompts.",
        )
    return np.unique(np.concatenate(rows))


def _candidates(attributor: ImageAttributor, task: Task, source: EvaluationSet) -> tuple[NDArray[np.str_], Rows]:
    """The models that compete, and their columns among the attributor's."""
    models = attributor.models_
    if task.references is None:
        return models, np.arange(len(models))
    candidates = np.unique(source.embeddings.models[task.references])
    absent = np.setdiff1d(candidates, models)
    if len(absent):
        raise NotEnoughReferencesError(
            f"{absent[0]} has references, and no image of another prompt to learn it from.",
            argument="--method",
            fix="Add images of it, or leave the method out.",
        )
    return candidates, np.searchsorted(models, candidates)


def show(attributor: ImageAttributor, data: EvaluationSet, rows: Rows) -> list[NDArray[np.uint8]]:
    """The pictures of some rows as an attributor takes them: of one size, resized or cut."""
    return data.pictures(rows, resized=attributor.resizes)


def cut_notes(methods: Iterable[str], form: Uniform | None) -> list[str]:
    """A sentence for each method that had pictures of mixed sizes in another form than the rest.

    Parameters
    ----------
    methods : iterable of str
        Specs; attributors over embeddings are passed over.
    form : Uniform or None
        What the rest had; None: all as they are.
    """
    if form is None:
        return []
    side = f"{form.side}×{form.side}"
    return [
        f"{name} takes no resized pictures and had the middle of each at its own scale, {side} pixels: scales and "
        "formats may show in it."
        for name in dict.fromkeys(methods)
        if is_image_attributor(name) and not load_image_attributor(name).resizes
    ]


class _Pixels:
    """Hands out pictures as they are."""

    def __init__(self, source: EvaluationSet) -> None:
        self._source = source

    def fit(self, attributor: ImageAttributor, rows: Rows) -> ImageAttributor:
        return attributor.fit(show(attributor, self._source, rows), self._source.embeddings.models[rows])

    def scores(self, attributor: ImageAttributor, data: EvaluationSet, rows: Rows) -> NDArray[np.float64]:
        return attributor.scores(show(attributor, data, rows))


class _Features:
    """Hands out features, each computed once."""

    def __init__(self, maker: FeatureAttributor, source: EvaluationSet) -> None:
        self._maker, self._source = maker, source
        self._held: dict[int, dict[int, NDArray[np.float32]]] = {}
        self._wanted: list[tuple[EvaluationSet, list[int]]] = []

    def plan(self, versions: Sequence[EvaluationSet], tasks: Sequence[Task], joins: bool) -> int:
        """Find out whose features the tasks need; how many those are."""
        asked = np.concatenate([task.queries for task in tasks])
        wanted: dict[int, tuple[EvaluationSet, set[int]]] = {
            id(self._source): (self._source, {int(row) for task in tasks for row in learnt_from(task, joins)})
        }
        for version in versions:
            wanted.setdefault(id(version), (version, set()))[1].update(asked.tolist())
        self._wanted = [(data, sorted(rows)) for data, rows in wanted.values()]
        return sum(len(rows) for _, rows in self._wanted)

    def read(self, report: Callable[[int], None]) -> None:
        """Compute the features that are planned."""
        count = 0
        for data, rows in self._wanted:
            held = self._held.setdefault(id(data), {})
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                held |= zip(some, self._features(data, np.array(some)), strict=True)
                count += len(some)
                report(count)

    def fit(self, attributor: ImageAttributor, rows: Rows) -> ImageAttributor:
        held = self._held[id(self._source)]
        features = [held[row] for row in rows.tolist()]
        return cast("FeatureAttributor", attributor).fit_features(features, self._source.embeddings.models[rows])

    def scores(self, attributor: ImageAttributor, data: EvaluationSet, rows: Rows) -> NDArray[np.float64]:
        held = self._held[id(data)]
        return cast("FeatureAttributor", attributor).scores_features([held[row] for row in rows.tolist()])

    def _features(self, data: EvaluationSet, rows: Rows) -> list[NDArray[np.float32]]:
        return self._maker.features(show(self._maker, data, rows), read_texts(self._maker, data, rows))


def read_texts(attributor: FeatureAttributor, data: EvaluationSet, rows: Rows) -> list[str] | None:
    """The prompts of the chosen rows for an attributor that is told them, else None.

    Raises
    ------
    InputError
        It needs them, and the dataset does not have them all.
    """
    if not attributor.uses_texts:
        return None
    texts = [] if data.texts is None else data.texts[rows].tolist()
    if not all(texts) or not texts:
        raise InputError(
            "needs the prompt of every image, and the dataset does not have it.",
            argument="--method",
            fix="Add the column prompt to the dataset's metadata, or leave the method out.",
        )
    return texts
