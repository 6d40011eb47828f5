"""Whatever the data and the protocol: no query helps itself, and who memorises what he is shown gains nothing."""

from __future__ import annotations

from typing import Self

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.centroid import Euclid
from morelli.errors import NotEnoughReferencesError
from morelli.evaluation.plan import Plan
from morelli.evaluation.protocols import Task, any_prompt, open_set, run_tasks, same_prompt, without_candidates
from morelli.evaluation.scored import Scored
from morelli.evaluation.second_dataset import second_dataset
from morelli.types import LabelledEmbeddings

from .samples import bare, gaussian

FAMILY = {"a": "x", "b": "x", "c": "y", "d": "z", "e": "w"}
labels = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["", *"pqrstu"])), min_size=4, max_size=70)
seeds = st.integers(0, 50)
ks = st.integers(1, 4)
few = settings(deadline=None, max_examples=60)


def data_of(rows) -> LabelledEmbeddings:
    models, prompts = zip(*rows, strict=True)
    return bare(models, prompts, [FAMILY[model] for model in models])


def plan_of(make, *arguments) -> Plan[Task]:
    try:
        return make(*arguments)
    except NotEnoughReferencesError:
        assume(False)
        raise


def check(data: LabelledEmbeddings, task: Task, source: LabelledEmbeddings | None = None) -> None:
    """What every task keeps, with queries and references in one set or in two."""
    if source is None:
        used = [part for part in (task.background, task.references) if part is not None]
        assert not np.isin(task.queries, np.concatenate(used)).any()
        source = data
    assert len(task.queries)
    background = source.take(task.background) if task.background is not None else None
    references = background if task.references is None else source.take(task.references)
    assert references is not None
    assert len(np.unique(references.models)) >= 2
    asked = set(data.prompts[task.queries]) - {""}
    if background is not None:
        assert not asked & set(background.prompts)
    if task.prompt is not None:
        assert asked == {task.prompt} == set(references.prompts)
    else:
        assert not asked & set(references.prompts)


@few
@given(labels, ks, seeds)
def test_same_prompt(rows, k, seed):
    data = data_of(rows)
    plan = plan_of(same_prompt, data, k, seed)
    for task in plan:
        check(data, task)
        assert task.references is not None
        assert np.isin(data.models[task.queries], data.models[task.references]).all()
        # k references a model, fewer only where the model has no other image of the prompt.
        for model in np.unique(data.models[task.references]):
            here = (data.models == model) & (data.prompts == task.prompt)
            assert (data.models[task.references] == model).sum() == max(1, min(k, here.sum() - 1))
    assert [task.key for task in plan] == sorted(task.key for task in plan)


@few
@given(labels, st.none() | ks, seeds)
def test_any_prompt(rows, k, seed):
    data = data_of(rows)
    for task in plan_of(any_prompt, data, k, seed):
        check(data, task)
        assert (task.references, task.prompt, task.k) == (None, None, 0)
        assert np.isin(data.models[task.queries], data.models[task.background]).all()
        if k is not None:
            assert np.unique(data.models[task.background], return_counts=True)[1].max() <= k


@few
@given(labels, ks, seeds, st.booleans())
def test_without_candidates(rows, k, seed, prompt_known):
    data = data_of(rows)
    plan = plan_of(same_prompt, data, k, seed) if prompt_known else plan_of(any_prompt, data, None, seed)
    try:
        tasks = list(without_candidates(data, plan.items, seed, repeats=2))
    except NotEnoughReferencesError:
        return
    for task in tasks:
        check(data, task)
        candidates = set(data.models[task.references])
        assert set(data.models[task.queries]) <= candidates
        assert not candidates & set(data.models[task.background])
        # Nor their relatives, whose weights are the candidates' own.
        assert not {FAMILY[model] for model in candidates} & set(data.families[task.background])


def test_without_candidates_every_model_is_a_candidate_once():
    data = gaussian(models=6, prompts=6, seeds=3, per_family=2)
    tasks = list(without_candidates(data, same_prompt(data, 2, 0).items, 0))
    plain = np.concatenate([task.queries for task in same_prompt(data, 2, 0)])
    reduced = np.concatenate([task.queries for task in tasks])
    assert sorted(reduced.tolist()) == sorted(plain.tolist())
    assert {task.key[0] for task in tasks} == {0, 1}


@few
@given(labels, st.integers(0, 3), seeds)
def test_open_set(rows, k, seed):
    data = data_of(rows)
    plan = plan_of(open_set, data, k, seed)
    scored = run_tasks(Constant, data, plan.items)
    left_out: dict[object, set[str]] = {}
    for task in plan:
        check(data, task)
        shown = data.models[task.background if task.references is None else task.references]
        used = set(shown) | set(data.models[task.background])
        left_out.setdefault(task.key, set(data.models)).intersection_update(set(data.models) - used)
    # One model at least is shown nowhere in a round.
    assert all(left_out.values())
    queries = np.concatenate([task.queries for task in plan])
    assert (scored.rows == queries).all()
    known = scored.truth >= 0
    assert (scored.models[scored.truth[known]] == data.models[queries[known]]).all()


def test_open_set_scores_the_left_out_model_as_unknown_and_the_others_as_known():
    data = gaussian(models=4, prompts=10, seeds=3)
    plan = open_set(data, 2, 0)
    for number, model in enumerate(np.unique(data.models)):
        tasks = [task for task in plan if task.key == (number,)]
        scored = run_tasks(Constant, data, tasks)
        made = data.models[scored.rows]
        assert set(made) == set(data.models)
        assert (scored.truth[made == model] == -1).all()
        assert (scored.models[scored.truth[made != model]] == made[made != model]).all()
        assert (scored.scores[:, scored.models == model] == -np.inf).all()
        for task in tasks:
            assert task.background is not None
            assert model not in data.models[task.background]


def test_open_set_leaves_each_of_many_models_out_once_in_ten_rounds():
    data = gaussian(models=23, prompts=14, seeds=2, dims=2)
    plan = open_set(data, 1, 0)
    assert len({task.key for task in plan}) == 10
    rounds: dict[object, set[str]] = {}
    for task in plan:
        assert task.background is not None
        assert task.references is not None
        shown = set(data.models[task.background]) | set(data.models[task.references])
        assert rounds.setdefault(task.key, shown) == shown
    left_out = [model for shown in rounds.values() for model in set(data.models) - shown]
    assert sorted(left_out) == sorted(set(data.models))


def test_open_set_draws_the_references_that_were_asked_for():
    data = gaussian(models=4, prompts=10, seeds=1)
    for task in open_set(data, 0, 0, others=2):
        assert task.background is not None
        assert np.unique(data.models[task.background], return_counts=True)[1].tolist() == [2, 2, 2]


def test_open_set_passes_over_prompts_where_one_candidate_is_left():
    # Of prompt p, a and b only: without a there is nothing to compare b with.
    cells = [("a", "p"), ("b", "p")] * 2 + [(m, q) for m in "abc" for q in "qrs"] * 2
    data = bare(*zip(*cells, strict=True))
    plan = open_set(data, 1, 0)
    scored = run_tasks(Constant, data, plan.items)
    assert len(scored)
    pairs = bare(*zip(*[("a", "p"), ("b", "p"), ("a", "q"), ("b", "q")] * 2, strict=True))
    with pytest.raises(NotEnoughReferencesError):
        open_set(pairs, 1, 0)


@few
@given(labels, labels, st.none() | ks, seeds, st.booleans())
def test_second_dataset(first, second, k, seed, prompt_known):
    queries, references = data_of(first), data_of(second)
    assume(len(np.unique(references.models)) >= 2)
    plan = plan_of(second_dataset, queries, references, "same-prompt" if prompt_known else "any-prompt", k, seed)
    asked = np.concatenate([task.queries for task in plan])
    assert len(set(asked.tolist())) == len(asked)
    for task in plan:
        check(queries, task, references)
        assert (task.prompt is not None) == prompt_known
        shown = references.models[task.background if task.references is None else task.references]
        if k is not None:
            assert np.unique(shown, return_counts=True)[1].max() <= k
        # Unknown is who is nowhere among the references, not who has none of this prompt.
        missing = set(queries.models[task.queries]) - set(shown)
        assert not missing & set(references.models)
    left_out = len(queries) - len(asked)
    said = sum(int(note.split()[0]) for note in plan.notes if "left out" in note)
    assert said == left_out


def test_second_dataset_uses_everything_for_a_new_prompt():
    references = gaussian(models=3, prompts=5, seeds=2)
    queries = bare(["m00", "new", "m01"], ["else", "else", ""])
    (task,) = second_dataset(queries, references, "any-prompt", None, 0)
    assert task.background is not None
    assert task.background.tolist() == list(range(30))
    assert task.queries.tolist() == [0, 1, 2]


def test_second_dataset_says_which_protocol_would_do():
    references = gaussian(models=3, prompts=5, seeds=2)
    with pytest.raises(NotEnoughReferencesError, match="any-prompt"):
        second_dataset(bare(["m00"], ["else"]), references, "same-prompt", None, 0)
    one = references.take(references.prompts == "p00")
    with pytest.raises(NotEnoughReferencesError, match="same-prompt"):
        second_dataset(bare(["m00"], ["p00"]), one, "any-prompt", None, 0)


class Constant(Attributor):
    """Says nothing."""

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        self.models_ = np.unique(background.models) if background is not None else np.empty(0, dtype=np.str_)
        return self

    def scores(self, vectors, references=None, prompt=None):
        return np.zeros((len(next(iter(vectors.values()))), len(self.candidates(references))))


class Memory(Constant):
    """A cheat: knows every image of its background and of its references by heart, and guesses about the others."""

    def fit(self, background: LabelledEmbeddings | None) -> Self:
        super().fit(background)
        self.seen_ = self._learn(background)
        return self

    def _learn(self, shown: LabelledEmbeddings | None) -> dict[bytes, str]:
        return {} if shown is None else dict(zip(keys(shown.vectors), shown.models.tolist(), strict=True))

    def scores(self, vectors, references=None, prompt=None):
        # Only fit learns: what an earlier call showed is forgotten, as the contract of an attributor wants it.
        seen = self.seen_ | self._learn(references)
        models = self.candidates(references)
        rows = keys(vectors)
        guesses = [np.random.default_rng(list(row)).random(len(models)) for row in rows]
        known = [2.0 * (models == seen.get(row)) for row in rows]
        return np.array(guesses) + np.array(known)


def keys(vectors) -> list[bytes]:
    return [b"".join(parts) for parts in zip(*([row.tobytes() for row in x] for x in vectors.values()), strict=True)]


def first_place(scored: Scored) -> float:
    closed = scored.truth >= 0
    return float((scored.scores.argmax(axis=1) == scored.truth)[closed].mean())


RANDOM = gaussian(models=4, prompts=25, seeds=4, effect=0)
AGAIN = gaussian(models=4, prompts=25, seeds=4, effect=0, seed=1)


def tasks_of(protocol: str) -> tuple[list[Task], LabelledEmbeddings | None]:
    if protocol == "second dataset":
        return list(second_dataset(RANDOM, AGAIN, "same-prompt", None, 0)), AGAIN
    if protocol == "second dataset, any prompt":
        return list(second_dataset(RANDOM, AGAIN, "any-prompt", None, 0)), AGAIN
    plans = {
        "same-prompt": lambda: same_prompt(RANDOM, 3, 0),
        "any-prompt": lambda: any_prompt(RANDOM, None, 0),
        "open-set": lambda: open_set(RANDOM, 3, 0),
        "without candidates": lambda: without_candidates(RANDOM, same_prompt(RANDOM, 3, 0).items, 0),
    }
    return list(plans[protocol]()), None


@pytest.mark.parametrize(
    "protocol",
    ["same-prompt", "any-prompt", "open-set", "without candidates", "second dataset", "second dataset, any prompt"],
)
def test_a_memory_of_all_that_is_shown_is_worth_nothing(protocol):
    tasks, source = tasks_of(protocol)
    scored = run_tasks(Memory, RANDOM, tasks, source=source)
    chance = float((1 / np.isfinite(scored.scores).sum(axis=1))[scored.truth >= 0].mean())
    images = len(np.unique(scored.rows))
    assert images >= 390 if protocol != "open-set" else images >= 300
    assert abs(first_place(scored) - chance) < 3.5 * np.sqrt(chance * (1 - chance) / images)


@pytest.mark.parametrize("where", ["references", "background"])
def test_a_leak_would_be_seen(where):
    """The check above can fail: a query among what the attributor is shown is recognised."""
    leaky = []
    for number, task in enumerate(same_prompt(RANDOM, 3, 0).items[:12]):
        assert task.references is not None
        assert task.background is not None
        shown = {
            "references": np.union1d(task.references, task.queries),
            "background": np.union1d(task.background, task.queries),
        }
        references = shown["references"] if where == "references" else task.references
        background = shown["background"] if where == "background" else task.background
        leaky.append(Task((number,), background, references, task.queries, task.prompt, task.k))
    assert first_place(run_tasks(Memory, RANDOM, leaky)) == 1


@pytest.mark.parametrize("method", ["euclid", "cosine", "lda", "plda", "fused"])
def test_labels_that_say_nothing_give_chance(method):
    plan = same_prompt(RANDOM, 3, 0)
    found = first_place(run_tasks(lambda: load_attributor(method), RANDOM, plan.items))
    assert abs(found - 0.25) < 3.5 * np.sqrt(0.25 * 0.75 / 400)


@pytest.mark.parametrize("method", ["euclid", "lda", "fused"])
def test_labels_that_mean_something_are_found(method):
    """The same without the prompt, on models that differ: chance is what the labels give, not the protocol."""
    data = gaussian(models=4, prompts=14, seeds=2, effect=2.0, prompt_effect=0.5)
    plan = any_prompt(data, None, 0)
    assert first_place(run_tasks(lambda: load_attributor(method), data, plan.items)) > 0.8


def test_an_attributor_is_fitted_once_a_background_and_never_on_a_query():
    fits: list[int] = []

    class Counting(Euclid):
        def fit(self, background):
            fits.append(0 if background is None else len(background))
            return super().fit(background)

    data = gaussian(models=3, prompts=10, seeds=3)
    plan = same_prompt(data, 2, 0)
    reports: list[tuple[int, int]] = []
    run_tasks(Counting, data, plan.items, progress=lambda done, total: reports.append((done, total)))
    # Five folds, each fitted once; calibration fits clones on four fifths of a background of eight prompts.
    assert [size for size in fits if size == 72] == [72] * 5
    assert reports == [(i + 1, len(plan)) for i in range(len(plan))]


def test_methods_give_the_same_queries_in_the_same_order():
    data = gaussian(models=4, prompts=8, seeds=3)
    plan = same_prompt(data, 2, 0)
    one, other = (run_tasks(lambda name=name: load_attributor(name), data, plan.items) for name in ("euclid", "fused"))
    assert (one.rows == other.rows).all()
    assert (one.truth == other.truth).all()
    assert (np.isfinite(one.scores) == np.isfinite(other.scores)).all()


def test_a_query_is_scored_on_its_own():
    """Each query alone gives the score that it has among the others."""
    data = gaussian(models=3, prompts=8, seeds=3)
    task = same_prompt(data, 2, 0).items[0]
    alone = [Task(task.key, task.background, task.references, task.queries[i : i + 1], task.prompt, task.k)
             for i in range(len(task.queries))]  # fmt: skip
    for name in ("euclid", "plda", "fused"):
        together = run_tasks(lambda name=name: load_attributor(name), data, [task])
        apart = run_tasks(lambda name=name: load_attributor(name), data, alone)
        assert np.allclose(together.scores, apart.scores, atol=1e-8)


def test_one_prompt_only_gives_scores_without_calibration():
    data = gaussian(models=3, prompts=1, seeds=5)
    plan = same_prompt(data, 4, 0)
    assert all(task.background is None for task in plan)
    for method in ("euclid", "plda", "lda", "fused"):
        scored = run_tasks(lambda method=method: load_attributor(method), data, plan.items)
        assert scored.p_values is None
        assert len(np.unique(scored.rows)) == 15


def test_a_background_of_one_model_counts_as_none():
    # Prompt q is of one model only, so that p's background shows no difference between models.
    full = gaussian(models=3, prompts=2, seeds=4)
    data = full.take((full.prompts == "p00") | (full.models == "m01"))
    plan = same_prompt(data, 3, 0)
    assert any(task.background is not None for task in plan)
    shown: list[int] = []

    class Looking(Euclid):
        def fit(self, background):
            shown.append(0 if background is None else len(np.unique(background.models)))
            return super().fit(background)

    run_tasks(Looking, data, plan.items)
    assert 1 not in shown
    assert 0 in shown
    for method in ("euclid", "fused"):
        assert run_tasks(lambda method=method: load_attributor(method), data, plan.items).p_values is None
