"""One evaluation: datasets, a protocol, methods → a table of schema ``morelli.evaluation/1``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.image import IMAGE_REGISTRY, load_image_attributor
from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation import one_vs_many, protocols
from morelli.evaluation.data import EvaluationSet, prepare, require_models
from morelli.evaluation.metrics import confusion_matrix
from morelli.evaluation.pictures import run_on_pictures
from morelli.evaluation.protocols import Task, run_tasks
from morelli.evaluation.scored import FIGURES, Scored, figures
from morelli.evaluation.second_dataset import second_dataset
from morelli.evaluation.splits import Plan, prompt_folds, same_prompt_trials
from morelli.types import EVALUATION_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.encoders.base import Encoder
    from morelli.encoders.cache import EmbeddingCache
    from morelli.images.dataset import Dataset
    from morelli.types import LabelledEmbeddings

PROTOCOLS = ("same-prompt", "any-prompt", "one-vs-many", "open-set")
BASELINE = "euclid"
DEFAULT_EPSILON = 0.1

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """The result, and what pictures of it need.

    Attributes
    ----------
    result : dict
        Schema ``morelli.evaluation/1``.
    confusion : mapping of str to (labels, matrix)
        By method: names and counts, rows true, columns named; methods of the "all" background only.
    families : mapping of str to str
        Family of each model.
    """

    result: dict[str, Any]
    confusion: dict[str, tuple[list[str], NDArray[np.int64]]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What is asked of an evaluation.

    Attributes
    ----------
    protocol : {"same-prompt", "any-prompt", "one-vs-many", "open-set"} or None
        None: same-prompt where the data allow it, else any-prompt.
    methods : sequence of str or None
        Names of attributors; None: `default_methods`.
    k : int or None
        References a model, of the same prompt or of others; None: all there are.
    epsilon : float
        Of the candidate sets: they aim to hold the right model with probability 1 − ε.
    seed : int
        Decides folds, draws and resamples.
    ablate : bool
        Whether to add, for each method that learns from a background, the row without the candidates in it.
    """

    protocol: str | None = None
    methods: Sequence[str] | None = None
    k: int | None = None
    epsilon: float = DEFAULT_EPSILON
    seed: int = 0
    ablate: bool = True


def evaluate(
    dataset: Dataset,
    encoder: Encoder,
    settings: Settings,
    *,
    references: Dataset | None = None,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate methods on a dataset by a protocol.

    Raises
    ------
    UnknownNameError
        For a protocol or a method that there is not.
    InputError, NotEnoughReferencesError, DatasetError
        Where the data do not allow what is asked.
    """
    started = time.monotonic()
    _check(settings)
    datasets = [dataset] if references is None else [dataset, references]
    sets = prepare(datasets, encoder, cache=cache, progress=partial(progress, "embedding") if progress else None)
    run = _Run(settings, encoder, sets, progress)
    rows = run.rows()
    data = run.data.embeddings
    result = {
        "schema": EVALUATION_SCHEMA,
        "protocol": run.protocol,
        "dataset": str(dataset.root),
        "references": None if references is None else str(references.root),
        "n_queries": max((row.get("n_queries") or 0 for row in rows), default=0),
        "n_models": len(np.unique(data.models)),
        "n_prompts": len(np.unique(data.prompts[data.prompts != ""])),
        "k": settings.k,
        "seed": settings.seed,
        "epsilon": settings.epsilon,
        "encoder": {"id": encoder.stamp.encoder, "revision": encoder.stamp.revision,
                    "preprocessing": encoder.stamp.preprocessing},
        "rows": rows,
        "leaks": sets[0].leaks if references is None else sets[0].leaks | {"references": sets[1].leaks},
        "notes": list(dict.fromkeys(run.notes)),
        "seconds": time.monotonic() - started,
    }  # fmt: skip
    return Evaluation(result, run.confusion, run.families)


def default_methods(prompt_known: bool) -> list[str]:
    """The built-in methods that can be run: plda compares inside one prompt."""
    return ["euclid", "cosine", *(["plda"] if prompt_known else []), "lda", "fused"]


def _check(settings: Settings) -> None:
    if settings.protocol is not None and settings.protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", settings.protocol, PROTOCOLS)
    if settings.k is not None and settings.k < 1:
        raise InputError(f"must be 1 or more; got {settings.k}.", argument="--k")
    if not 0.0 < settings.epsilon < 1.0:
        raise InputError(f"must lie between 0 and 1; got {settings.epsilon:g}.", argument="--epsilon")
    for name in settings.methods or ():
        if name not in IMAGE_REGISTRY:
            load_attributor(name)
        elif settings.protocol not in ("any-prompt", "open-set"):
            raise InputError(
                f"{name} sees pictures and learns models over all prompts; "
                f"{settings.protocol or PROTOCOLS[0]} compares inside one.",
                argument="--method",
                fix="Use --protocol any-prompt.",
            )


class _Run:
    """The work of one evaluation."""

    def __init__(
        self, settings: Settings, encoder: Encoder, sets: Sequence[EvaluationSet], progress: Progress | None
    ) -> None:
        self.settings, self.encoder, self.progress = settings, encoder, progress
        self.data, self.notes = sets[0], [note for part in sets for note in part.notes]
        self.source = sets[1] if len(sets) > 1 else None
        self.families: dict[str, str] = {}
        for part in sets:
            self.families |= dict(zip(part.embeddings.models.tolist(), part.embeddings.families.tolist(), strict=True))
        self.confusion: dict[str, tuple[list[str], NDArray[np.int64]]] = {}
        self.protocol = settings.protocol or PROTOCOLS[0]
        require_models(self.data if self.source is None else self.source)

    def rows(self) -> list[dict[str, Any]]:
        """All rows of the table."""
        settings = self.settings
        self._drop_shared()
        plan = self._plan()
        self.notes.extend(plan.notes)
        self._require_known(plan.items)
        prompt_known = all(task.prompt is not None for task in plan.items)
        methods = list(dict.fromkeys(default_methods(prompt_known) if settings.methods is None else settings.methods))
        baseline = self._score(BASELINE, plan.items)
        scored = {name: baseline if name == BASELINE else self._score(name, plan.items) for name in methods}
        rows = [self._row(name, found, baseline, plan.items, "all") for name, found in scored.items()]
        for name, found in scored.items():
            self.confusion[name] = self._confusion(found)
        if self.protocol == "one-vs-many":
            for row, found in zip(rows, scored.values(), strict=True):
                row |= one_vs_many.case_one(found)
            return rows + self._case_two()
        if settings.ablate and self.protocol in ("same-prompt", "any-prompt") and self.source is None:
            rows += self._ablated(methods, plan.items)
        return rows

    def _plan(self) -> Plan[Task]:
        try:
            return self._plan_of(self.protocol)
        except NotEnoughReferencesError as error:
            if self.settings.protocol is not None:
                raise
            self.protocol = "any-prompt"
            self.notes.append(f"The protocol is any-prompt, for same-prompt cannot be run: {error.message}")
            return self._plan_of(self.protocol)

    def _plan_of(self, protocol: str) -> Plan[Task]:
        k, seed, data = self.settings.k, self.settings.seed, self.data.embeddings
        if self.source is not None:
            if protocol not in ("same-prompt", "any-prompt"):
                self.notes.append(f"With a second dataset {protocol} compares without the prompt.")
            return second_dataset(data, self.source.embeddings, protocol, k, seed)
        if protocol == "any-prompt":
            return protocols.any_prompt(data, k, seed)
        if protocol == "open-set":
            return protocols.open_set(data, self._same_prompt_k(optional=True), seed, k)
        return protocols.same_prompt(data, self._same_prompt_k(), seed)

    def _require_known(self, tasks: Sequence[Task]) -> None:
        source = (self.data if self.source is None else self.source).embeddings.models
        if not any(np.isin(self.data.embeddings.models[task.queries], source).any() for task in tasks):
            raise NotEnoughReferencesError(
                "no query is of a model that the references have, so there is nothing to get right.",
                argument="dataset",
                fix="Check how the models are called in both datasets.",
            )

    def _same_prompt_k(self, *, optional: bool = False) -> int:
        """``--k``, or all but the query: one less than the most images that a model has of one prompt."""
        data = self.data.embeddings
        known = data.prompts != ""
        cells = np.char.add(np.char.add(data.models[known], "\x1f"), data.prompts[known])
        most = int(np.unique(cells, return_counts=True)[1].max()) if known.any() else 0
        if optional and (most < 2 or np.median(np.unique(cells, return_counts=True)[1]) < 2):
            return 0
        return self.settings.k or max(1, most - 1)

    def _drop_shared(self) -> None:
        """Queries that are among the references as well are left out."""
        if self.source is None:
            return
        shared = np.isin(self.data.contents, self.source.contents)
        if shared.any():
            if shared.all():
                raise NotEnoughReferencesError(
                    "all of its images are among the references too, so that no query is left.",
                    argument="dataset",
                    fix="Leave --references out to evaluate a dataset on itself.",
                )
            self.notes.append(f"{int(shared.sum())} queries are also references and were left out.")
            self.data = self.data.take(np.flatnonzero(~shared))

    def _score(self, name: str, tasks: Sequence[Task]) -> Scored:
        if name in IMAGE_REGISTRY:
            source = self.data if self.source is None else self.source
            return run_on_pictures(partial(load_image_attributor, name), self.data, tasks, source)
        source = None if self.source is None else self.source.embeddings
        report = partial(self.progress, name) if self.progress else None
        return run_tasks(partial(load_attributor, name), self.data.embeddings, tasks, source=source, progress=report)

    def _row(
        self, name: str, scored: Scored, baseline: Scored, tasks: Sequence[Task], background: str
    ) -> dict[str, Any]:
        found = figures(
            scored, self.families, baseline=baseline, epsilon=self.settings.epsilon, seed=self.settings.seed
        )
        return {
            "method": name,
            "encoder": self.encoder.stamp.encoder,
            **found,
            "references_used": self._references_used(tasks),
            "background": background,
        }

    def _references_used(self, tasks: Sequence[Task]) -> float:
        """Mean references a candidate."""
        source: LabelledEmbeddings = (self.data if self.source is None else self.source).embeddings
        counts = []
        for task in tasks:
            rows = task.background if task.references is None else task.references
            if rows is not None and len(rows):
                counts.append(len(rows) / len(np.unique(source.models[rows])))
        return float(np.mean(counts)) if counts else 0.0

    def _ablated(self, methods: Sequence[str], tasks: Sequence[Task]) -> list[dict[str, Any]]:
        """Rows without the candidates in the background, each with its lift over ``euclid`` on the same candidates."""
        arrays = [name for name in methods if name not in IMAGE_REGISTRY]
        learnt = [name for name in arrays if load_attributor(name).uses_background]
        if not learnt:
            return []
        try:
            reduced = list(protocols.without_candidates(self.data.embeddings, tasks, self.settings.seed))
        except InputError as error:
            self.notes.append(f"No row without the candidates in the background: {error}")
            return []
        if not reduced:
            self.notes.append("No row without the candidates in the background: too few models or prompts.")
            return []
        baseline = self._score(BASELINE, reduced)
        rows = []
        for name in [BASELINE, *learnt] if BASELINE in methods else learnt:
            try:
                scored = baseline if name == BASELINE else self._score(name, reduced)
            except NotEnoughReferencesError as error:
                # Half of the models may be too few for statistics that all of them gave.
                self.notes.append(f"No row of {name} without the candidates in the background: {error}")
                continue
            rows.append(self._row(name, scored, baseline, reduced, "without candidates"))
        return rows

    def _confusion(self, scored: Scored) -> tuple[list[str], NDArray[np.int64]]:
        closed = scored.truth >= 0
        labels = scored.models.tolist()
        predicted = scored.models[scored.scores[closed].argmax(axis=1)]
        return labels, confusion_matrix(scored.models[scored.truth[closed]], predicted, labels)

    def _case_two(self) -> list[dict[str, Any]]:
        data, seed = self.data.embeddings, self.settings.seed
        if self.source is not None:
            self.notes.append("Case 2 needs references and queries in one dataset; it was not run.")
            return []
        folds = prompt_folds(data.prompts, protocols.SAME_PROMPT_FOLDS, seed)
        trials = same_prompt_trials(data.models, data.prompts, self._same_prompt_k(), folds, seed)
        found = one_vs_many.case_two(data, trials.items, seed=seed)
        if not found:
            self.notes.append("Case 2 needs two references of the target of one prompt; it was not run.")
        common = {"encoder": self.encoder.stamp.encoder, "references_used": None, "background": "none"}
        return [{"method": f"case 2, {row['rule']}", **dict.fromkeys(FIGURES), **common, **row} for row in found]
