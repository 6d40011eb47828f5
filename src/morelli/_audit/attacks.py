"""The attacks of an audit, as tasks: the main one, fewer references, smaller pools, references against themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.plan import Trial
from morelli.evaluation.protocols import SAME_PROMPT_FOLDS, Task
from morelli.evaluation.splits import prompt_folds, same_prompt_trials

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from morelli.types import LabelledEmbeddings

#: Choices of references a prompt from which D(i) and the expected accuracy are predicted, and held-out images judged.
ROTATIONS = 4
#: Choices within the references for the expected accuracy, and for the points of the curve over k.
CHOICES = 4
#: Random pools a prompt and size.
POOLS = 3
CURVE_K = (1, 2, 3, 5, 10, 20, 30)
POOL_SIZES = (2, 3, 5, 10, 15, 22, 30, 40)


@dataclass(frozen=True, eq=False)
class Attack:
    """One task with what it is for.

    Attributes
    ----------
    kind : {"main", "inner", "k", "pool"}
    number : int
        main and inner: which choice of references of the prompt; k: references a model; pool: its size.
    task : Task
    """

    kind: str
    number: int
    task: Task


@dataclass(frozen=True, eq=False)
class AttackPlan:
    """All attacks of an audit.

    Attributes
    ----------
    attacks : tuple of Attack
        Those that share a background side by side.
    trials : tuple of Trial
        Of the main attack.
    k : int
        References a model, as they are used.
    notes : tuple of str
        Sentences on what was reduced.
    inner_k : int or None
        References a model where references are attributed by the rest of them; None where that is not done.
    """

    attacks: tuple[Attack, ...]
    trials: tuple[Trial, ...]
    k: int
    notes: tuple[str, ...]
    inner_k: int | None = None


def plan_attacks(data: LabelledEmbeddings, k: int | None, seed: int, *, sweeps: bool = True) -> AttackPlan:
    """Plan the attacks on a dataset.

    Every query is held out from its references, and statistics come from the prompts of other folds.

    Raises
    ------
    NotEnoughReferencesError
        One model only, or no prompt where an image can be held out.
    """
    most = most_references(data.models, data.prompts)
    used = most if k is None else min(k, most)
    notes = [] if k is None or k <= most else [f"k = {k} is more than there is beside a query; k = {most} was used."]
    folds = prompt_folds(data.prompts, SAME_PROMPT_FOLDS, seed)
    main = same_prompt_trials(data.models, data.prompts, used, folds, seed)
    notes += main.notes
    attacks = list(_main(main.items, used))
    if sweeps:
        left, half = most + 1 - used, (most + 1) // 2
        if 4 * left <= most + 1:
            notes.append(
                f"Beside k = {used} references {left} of {most + 1} images of a model judge what is foretold; "
                f"k = {half} leaves {most + 1 - half}."
            )
        attacks += _inner(data, [a for a in attacks if a.number < ROTATIONS], used, seed)
        for fewer in (each for each in CURVE_K if each < used):
            plan = same_prompt_trials(data.models, data.prompts, fewer, folds, seed, CHOICES)
            attacks += [Attack("k", fewer, _task(trial, fewer)) for trial in plan.items]
        attacks += _pools(data, main.items, used, seed)
    known = folds[data.prompts != ""]
    backgrounds = {fold: np.flatnonzero((folds != fold) & (data.prompts != "")) for fold in np.unique(known).tolist()}
    placed = [
        Attack(each.kind, each.number, _placed(each.task, backgrounds))
        for each in sorted(attacks, key=lambda each: each.task.key)
    ]
    inside = next((each.task.k for each in attacks if each.kind == "inner"), None)
    return AttackPlan(tuple(placed), main.items, used, tuple(notes), inside)


def most_references(models: NDArray[np.str_], prompts: NDArray[np.str_]) -> int:
    """One less than the most images that a model has of one prompt.

    Parameters
    ----------
    models, prompts : ndarray of str, shape (n,)
        Of each image; "" where the prompt is not known.

    Raises
    ------
    NotEnoughReferencesError
        One model only, or no prompt where an image can be held out.
    """
    if len(np.unique(models)) < 2:
        raise NotEnoughReferencesError(
            "exposure compares models, and the dataset has one.", argument="dataset", fix="Add images of other models."
        )
    known = prompts != ""
    if not known.any():
        raise NotEnoughReferencesError(
            "no image has a known prompt, and exposure is measured prompt by prompt.",
            argument="dataset",
            fix="Write a metadata.csv with the columns file_name, model and prompt_id.",
        )
    cells = np.char.add(np.char.add(models[known], "\x1f"), prompts[known])
    most = int(np.unique(cells, return_counts=True)[1].max()) - 1
    if most < 1:
        raise NotEnoughReferencesError(
            "every model has one image of each prompt, so that nothing can be held out.",
            argument="dataset",
            fix="Add images of the same prompts with other seeds: two at least of each model.",
        )
    return most


def _task(trial: Trial, k: int) -> Task:
    return Task((trial.fold,), None, trial.references, trial.queries, trial.prompt, k)


def _placed(task: Task, backgrounds: dict[int, NDArray[np.intp]]) -> Task:
    background = backgrounds[int(task.key[0])]  # type: ignore[call-overload]
    return Task(task.key, background if len(background) else None, task.references, task.queries, task.prompt, task.k)


def _main(trials: tuple[Trial, ...], k: int) -> Iterator[Attack]:
    number: dict[str, int] = {}
    for trial in trials:
        number[trial.prompt] = number.get(trial.prompt, -1) + 1
        yield Attack("main", number[trial.prompt], _task(trial, k))


def _inner(data: LabelledEmbeddings, main: list[Attack], k: int, seed: int) -> Iterator[Attack]:
    """References against themselves: a quarter of them, one at least, is held out and compared with the rest."""
    inside = k - max(1, k // 4)
    if inside < 1:
        return
    for attack in main:
        rows = attack.task.references
        assert rows is not None  # noqa: S101 - a same-prompt trial has references
        models = data.models[rows]
        if np.unique(models, return_counts=True)[1].max() < 2:
            continue
        fold = np.full(len(rows), int(attack.task.key[0]))  # type: ignore[call-overload]
        plan = same_prompt_trials(models, data.prompts[rows], inside, fold, seed, CHOICES)
        for trial in plan.items:
            queries, references = rows[trial.queries], rows[trial.references]
            yield Attack("inner", attack.number, Task(attack.task.key, None, references, queries, trial.prompt, inside))


def _pools(data: LabelledEmbeddings, trials: tuple[Trial, ...], k: int, seed: int) -> Iterator[Attack]:
    """Random pools of models: the others have no references, and their images are no queries."""
    rng = np.random.default_rng(seed)
    by_prompt: dict[str, list[Trial]] = {}
    for trial in trials:
        by_prompt.setdefault(trial.prompt, []).append(trial)
    for own in by_prompt.values():
        models = np.unique(data.models[own[0].references])
        for size in (each for each in POOL_SIZES if each < len(models)):
            for draw in range(POOLS):
                pool = rng.permutation(models)[:size]
                trial = own[draw % len(own)]
                queries = trial.queries[np.isin(data.models[trial.queries], pool)]
                references = trial.references[np.isin(data.models[trial.references], pool)]
                if len(queries):
                    yield Attack("pool", size, Task((trial.fold,), None, references, queries, trial.prompt, k))
