"""The audit: the same figures as the evaluation's, nothing that a query helps itself with, gaps named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from morelli._audit.attacks import plan_attacks
from morelli._audit.filtering import filtered_confusion, filtered_rows
from morelli._audit.measured import Measured, battle, confusion, measure
from morelli._audit.prediction import Prediction, chosen_rows, held_out_rows, predict
from morelli._audit.result import prompt_labels
from morelli._version import __version__
from morelli.audit import AuditSettings, audit
from morelli.cli.output import plain
from morelli.defence.prompts import from_audit
from morelli.errors import InputError, MorelliError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.runner import Settings, evaluate
from morelli.exposure.simulation import VoteSettings, typical
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import EncoderStamp, Item, LabelledEmbeddings

from ..evaluation.samples import TextureEncoder, gaussian, relabel

FEW = VoteSettings(votes=500, simulations=10, most=300)


class Other(TextureEncoder):
    stamp = EncoderStamp("other", "1", "plain", TextureEncoder.stamp.dims)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("audit") / "d", models=3, prompts=6, seeds=4, size=32)

    def categorise(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | {"category": "odd" if int(row["prompt_id"]) % 2 else "even"} for row in rows]

    path = folder / "metadata.csv"
    header, rest = path.read_text(encoding="utf-8").split("\n", 1)
    path.write_text("\n".join([f"{header},category", *(f"{line}," for line in rest.split("\n") if line)]) + "\n")
    relabel(folder, categorise)
    return folder


@pytest.fixture(scope="module")
def result(pictures: Path) -> dict:
    settings = AuditSettings("cosine", k=2, votes=FEW)
    return plain(audit(read_dataset(pictures), [TextureEncoder(), Other()], settings).result)


def test_fields_of_the_schema(result):
    assert (result["schema"], result["version"]) == ("morelli.exposure/1", __version__)
    assert (result["tau"], result["k"], result["n_models"], result["n_prompts"]) == (0.5, 2, 3, 6)
    assert result["k_expected"] == 1  # one of two references is held out from the other
    assert {"prompt_id", "prompt", "d", "accuracy", "expected_accuracy"} <= set(result["prompts"][0])
    assert {"model", "separable", "accuracy"} <= set(result["models"][0])
    assert {"k", "pool", "tau", "band", "category", "chosen", "filtered"} == set(result["curves"])
    assert all(0 <= row["d"] <= 1 and 0 <= row["accuracy"] <= 1 for row in result["prompts"])
    assert [row["encoder"] for row in result["encoders"]] == ["texture", "other"]
    first, second = ({**row, "encoder": ""} for row in result["encoders"])
    assert first == second  # one network under two names
    assert [row["category"] for row in result["curves"]["category"]] == ["even", "odd"]
    assert [row["k"] for row in result["curves"]["k"]] == [1, 2, 1, 2]
    assert [row["models"] for row in result["curves"]["pool"]] == [2, 3, 2, 3]
    assert {(row["predictor"], row["images"]) for row in result["correlation"]} == {
        ("d", "same"), ("mean_frac", "same"), ("d", "held out"), ("mean_frac", "held out"),
        ("expected_accuracy", "held out"),
    }  # fmt: skip
    undefended = [row["target"] for row in result["votes"]["rows"] if row["defence"] == "none"]
    assert undefended == [row["model"] for row in result["models"]]


def test_accuracy_is_that_of_the_evaluation(result, pictures):
    wanted = evaluate(
        read_dataset(pictures), TextureEncoder(), Settings("same-prompt", ("euclid", "cosine"), k=2, ablate=False)
    )
    found = result["encoders"][0]["attacks"]
    for row, other in zip(wanted.result["rows"], found, strict=True):
        assert other["method"] == row["method"]
        assert (other["top1"], other["low"], other["high"]) == pytest.approx(
            (row["top1"], row["top1_low"], row["top1_high"])
        )
    labels, matrix = wanted.confusion["cosine"]
    # Of the four images of a prompt each is asked several times, with other two references, and counts once.
    assert result["confusion"] == {"labels": labels, "matrix": matrix.tolist(), "images": [24] * 3}
    assert result["votes"]["images"] == [24] * 3
    assert np.mean([row["accuracy"] for row in result["models"]]) == pytest.approx(found[1]["top1"])
    assert np.mean([row["accuracy"] for row in result["prompts"]]) == pytest.approx(found[1]["top1"])


def test_no_attack_sees_its_queries():
    data = gaussian(5, 8, 5)
    plan = plan_attacks(data, 3, 0)
    assert {each.kind for each in plan.attacks} == {"main", "inner", "k", "pool"}
    main = {(a.task.prompt, a.number): a.task for a in plan.attacks if a.kind == "main"}
    for attack in plan.attacks:
        task = attack.task
        assert not set(task.references) & set(task.queries)
        assert set(data.prompts[task.references]) == set(data.prompts[task.queries]) == {task.prompt}
        assert task.prompt not in set(data.prompts[task.background])
        if attack.kind == "inner":
            whole = main[task.prompt, attack.number]
            assert set(task.references) | set(task.queries) == set(whole.references)
        if attack.kind == "k":
            assert np.unique(data.models[task.references], return_counts=True)[1].tolist() == [attack.number] * 5
        if attack.kind == "pool":
            assert len(set(data.models[task.references])) == attack.number
            assert set(data.models[task.queries]) <= set(data.models[task.references])
    asked = np.concatenate([a.task.queries for a in plan.attacks if a.kind == "main"])
    assert set(asked) == set(range(len(data)))


def test_what_is_predicted_does_not_depend_on_the_judged_images():
    data = gaussian(4, 10, 3)
    plan = plan_attacks(data, 2, 0)
    before = predict(data, plan, measure("euclid", data, plan), 0.5)
    judged = np.concatenate([a.task.queries for a in plan.attacks if (a.kind, a.number) == ("main", 0)])
    other = {name: values.copy() for name, values in data.vectors.items()}
    for values in other.values():
        values[judged] = np.random.default_rng(0).standard_normal(values[judged].shape)
    changed = replace(data, vectors=other)
    after = predict(changed, plan, measure("euclid", changed, plan), 0.5)
    for name in ("d", "mean_frac", "expected"):
        assert np.array_equal(getattr(before, name)[0], getattr(after, name)[0])
    assert not np.array_equal(before.accuracy[0], after.accuracy[0])
    assert not np.array_equal(before.mean_frac[1], after.mean_frac[1])  # there they are references


def test_prompts_that_differ_in_exposure_are_predicted_and_picked():
    # Half of the prompts show the model, the other half only noise.
    clear, blind = gaussian(5, 20, 4, effect=4.0), gaussian(5, 20, 4, effect=0.0, seed=1)
    data = LabelledEmbeddings(
        {name: np.concatenate([clear.vectors[name], blind.vectors[name]]) for name in clear.vectors},
        np.concatenate([clear.models, blind.models]),
        np.concatenate([clear.prompts, np.char.add("x", blind.prompts)]),
        np.concatenate([clear.families, blind.families]),
    )
    plan = plan_attacks(data, 3, 0)
    held = predict(data, plan, measure("euclid", data, plan), 0.5)
    rows = chosen_rows(held, 0)
    half = next(row for row in rows if row["m"] == 20)
    assert half["by_d"] > rows[-1]["all_prompts"] + 0.25
    assert half["by_expected"] > rows[-1]["all_prompts"] + 0.25
    assert rows[-1]["by_d"] == pytest.approx(rows[-1]["all_prompts"])
    for row in rows:
        assert row["by_d_low"] <= row["by_d"] <= row["by_d_high"]
    assert half["by_d_low"] > rows[-1]["by_d_high"]
    # Without the exposing half the others are left, which is far less than all.
    without = next(row for row in filtered_rows(held, 0)[0] if row["dropped"] == 20)
    assert without["by_d_lift"] == pytest.approx(without["by_d"] - rows[-1]["all_prompts"])
    assert without["by_d_lift_low"] < without["by_d_lift"] < without["by_d_lift_high"] < -0.1
    # And so the votes without them are cast by who recognises little.
    found = measure("euclid", data, plan)
    ((name, table),), (note,) = filtered_confusion(held, found)[0].items(), filtered_confusion(held, found)[1]
    assert name == "without 20 of 40 prompts"
    assert note.startswith(f"{name}: the most exposing by expected accuracy")
    by_expected = without["by_expected"]
    assert table.accuracy == pytest.approx(by_expected, abs=0.05)
    assert table.accuracy < confusion_accuracy(found) - 0.2


def test_together_is_better_than_alone_and_both_are_counted():
    data = gaussian(4, 20, 3, effect=0.8)
    plan = plan_attacks(data, None, 0, sweeps=False)
    found = measure("euclid", data, plan)
    row = battle(found, 0)
    assert row["battles"] == 20 * 3 * 6  # prompts × trials × pairs of models
    assert row["both_together"] > row["both_alone"]
    assert row["lift"] == pytest.approx(row["both_together"] - row["both_alone"])
    assert row["image_alone"] == pytest.approx(found.hit.mean())
    counts = np.array(confusion(found)["matrix"])
    assert np.trace(counts) / counts.sum() == pytest.approx(found.hit.mean())
    assert confusion(found)["images"] == [60] * 4 == counts.sum(axis=1).tolist()


def test_an_image_that_is_asked_several_times_counts_once():
    data = gaussian(4, 20, 5, effect=0.8)
    found = measure("euclid", data, plan_attacks(data, 2, 0, sweeps=False))
    rows = found.rows("main")
    assert len(rows) > 4 * 20 * 5  # other references, the same images
    table = confusion(found)
    assert table["images"] == [100] * 4
    counts = np.array(table["matrix"])
    np.testing.assert_allclose(counts.sum(axis=1), 100)
    assert np.trace(counts) / counts.sum() == pytest.approx(found.accuracy(rows)["top1"])


def confusion_accuracy(found: Measured) -> float:
    """Share of the main attack's images that are named right."""
    counts = np.array(confusion(found)["matrix"])
    return float(np.trace(counts) / counts.sum())


def test_who_is_judged_without_the_exposing_prompts_by_hand():
    data = gaussian(4, 7, 3, effect=0.8)
    plan = plan_attacks(data, None, 0)
    found = measure("euclid", data, plan)
    held = predict(data, plan, found, 0.5)
    ((name, table),) = filtered_confusion(held, found)[0].items()
    assert name == "without 4 of 7 prompts"
    counts = np.zeros((4, 4))
    for number in range(len(held.d)):
        kept = held.prompts[np.argsort(held.expected[number], kind="stable")[:3]]
        for row in found.rows("main", number):
            if found.scored.prompts[row] in kept:
                counts[found.scored.truth[row], found.scored.scores[row].argmax()] += 1
    # With all but one image as references each image is asked once.
    assert table.images.tolist() == counts.sum(axis=1).tolist()
    np.testing.assert_allclose(table.rates, counts / counts.sum(axis=1, keepdims=True))
    # By D(i) where nothing was expected, and not at all where nothing can be judged.
    nothing = np.full_like(held.d, np.nan)
    assert "by D(i)" in filtered_confusion(replace(held, expected=nothing), found)[1][0]
    assert filtered_confusion(replace(held, accuracy=nothing), found)[0] == {}
    # A model whose every prompt is left out cannot be voted for.
    few = data.take((data.models != data.models[-1]) | (data.prompts == data.prompts[0]))
    plan = plan_attacks(few, None, 0)
    found = measure("euclid", few, plan)
    held = predict(few, plan, found, 0.5)
    exposing = np.broadcast_to(held.prompts == data.prompts[0], held.d.shape).astype(np.float64)
    confusions, (note,) = filtered_confusion(replace(held, expected=exposing), found)
    assert confusions == {}
    assert "a model has no image of them" in note


def test_votes_are_simulated_without_the_exposing_prompts_too(result):
    votes = result["votes"]
    assert [row["defence"] for row in votes["rows"]] == ["none", "without 3 of 6 prompts"] * 3
    assert any(note.startswith("Votes: without 3 of 6 prompts: the most exposing by") for note in result["notes"])
    # What a campaign costs is of the leaderboard as it is.
    plain_rows = [row for row in votes["rows"] if row["defence"] == "none"]
    assert result["cost"]["campaign_battles"] == typical(plain_rows, "battles")


def made_up(choices: int, prompts: int) -> Prediction:
    """Scores and accuracies that are drawn at random."""
    d, frac, expected, accuracy = np.random.default_rng(0).random((4, choices, prompts))
    return Prediction(np.array([f"p{i:02}" for i in range(prompts)]), d, frac, expected, accuracy)


def part(held: Prediction, choices: list[int], prompts: NDArray[np.intp]) -> Prediction:
    """Of some choices of references and some prompts alone."""
    tables = {
        name: getattr(held, name)[np.ix_(choices, prompts)] for name in ("d", "mean_frac", "expected", "accuracy")
    }
    return replace(held, prompts=held.prompts[prompts], **tables)


def test_a_row_of_filtered_prompts_is_about_the_same_prompts():
    """One predictor says nothing of two prompts: the other and the best possible are not judged on them either."""
    held = made_up(2, 10)
    held.expected[:, [2, 5]] = np.nan
    rows, notes = filtered_rows(held, 0)
    assert (rows, []) == filtered_rows(part(held, [0, 1], np.setdiff1d(np.arange(10), [2, 5])), 0)
    (note,) = notes
    assert "2 of 2 choices" in note and "8 of 10 prompts" in note
    rows, notes = filtered_rows(replace(held, expected=np.full_like(held.d, np.nan)), 0)
    assert (rows[0]["kept"], notes) == (10, [])
    rows, notes = filtered_rows(replace(held, accuracy=np.full_like(held.d, np.nan)), 0)
    assert (rows, len(notes)) == ([], 1)


def test_a_choice_that_some_prompts_lack_is_left_out_of_the_table_and_the_prompts_stay():
    """As `morelli.defence.prompts.from_audit` has it."""
    held = made_up(3, 10)
    held.accuracy[2, [2, 5]] = held.d[2, [2, 5]] = held.expected[2, [2, 5]] = np.nan
    rows, notes = filtered_rows(held, 0)
    assert (rows, []) == filtered_rows(part(held, [0, 1], np.arange(10)), 0)
    assert rows[0]["kept"] == 10
    (note,) = notes
    assert "2 of 3 choices" in note and "10 of 10 prompts" in note
    result = {"prompts": [{"prompt_id": name, "held_out": one} for name, one in held_out_rows(held).items()]}
    for row in rows:
        for name, by in (("by_d", "d"), ("by_expected", "expected_accuracy")):
            (other,) = from_audit(plain(result), [row["dropped"]], by=by)
            assert (other.kept, other.accuracy) == (row["kept"], pytest.approx(row[name]))


def test_prompts_are_filtered_by_references_and_judged_on_other_images(result):
    """The figures once more from the JSON, choice by choice and by hand."""
    rows = result["prompts"]
    assert {len(row["held_out"]) for row in rows} == {4}  # as many choices of references as an audit looks at
    d, accuracy = (np.array([[one[name] for one in row["held_out"]] for row in rows]).T for name in ("d", "accuracy"))
    for found in result["curves"]["filtered"]:
        kept = found["kept"]
        assert found["dropped"] + kept == len(rows)
        by_hand = [row[np.argsort(score, kind="stable")[:kept]].mean() for score, row in zip(d, accuracy, strict=True)]
        assert found["by_d"] == pytest.approx(np.mean(by_hand))
        assert found["oracle"] == pytest.approx(np.sort(accuracy, axis=1)[:, :kept].mean())
        assert from_audit(result, [found["dropped"]], by="d")[0].accuracy == pytest.approx(found["by_d"])
        assert from_audit(result, [found["dropped"]])[0].accuracy == pytest.approx(found["by_expected"])


def test_labels_that_say_nothing():
    data = gaussian(5, 40, 4, effect=0.0, prompt_effect=0.0)
    plan = plan_attacks(data, 3, 0)
    found = measure("euclid", data, plan)
    assert found.accuracy(found.rows("main"))["top1"] == pytest.approx(0.2, abs=0.06)
    held = predict(data, plan, found, 0.5)
    assert np.nanmean(held.expected) == pytest.approx(0.2, abs=0.06)


def test_the_references_that_expected_accuracy_is_measured_with():
    data = gaussian(3, 4, 10)
    for k, inside in ((9, 7), (4, 3), (2, 1), (1, None)):
        plan = plan_attacks(data, k, 0)
        assert plan.inner_k == inside
        assert {each.task.k for each in plan.attacks if each.kind == "inner"} == ({inside} if inside else set())
    assert plan_attacks(data, 9, 0, sweeps=False).inner_k is None


def labelled(*rows: tuple[str, str, str]) -> list[Item]:
    """Items of (prompt_id, prompt, category)."""
    return [
        Item(Path(f"{number}.png"), f"{number}.png", model="m", family="m", prompt_id=name, prompt=text,
             category=category)
        for number, (name, text, category) in enumerate(rows)
    ]  # fmt: skip


def test_text_and_category_of_a_prompt_are_the_first_that_are_given():
    items = labelled(
        ("p", "", ""), ("p", "a hat", ""), ("p", "", "still"), ("p", "", ""), ("q", "", ""), ("", "x", "y")
    )
    assert prompt_labels(items) == ({"p": ("a hat", "still"), "q": ("", "")}, [])


def test_a_prompt_of_two_categories_is_named():
    texts, notes = prompt_labels(
        labelled(("p", "a hat", "still"), ("p", "a cat", "life"), ("q", "", "life"), ("q", "", "still"), ("r", "", ""))
    )
    assert texts == {"p": ("a hat", "still"), "q": ("", "life"), "r": ("", "")}
    assert notes == [
        "More than one text is given for 1 of the prompts, and the first was taken: 'p' has 'a hat' and 'a cat'.",
        "More than one category is given for 2 of the prompts, and the first was taken: 'p' has 'still' and 'life'.",
    ]


def test_an_audit_says_what_labels_disagree_on(pictures):
    whole = read_dataset(pictures)
    items = [replace(item, category="") for item in whole.items]
    prompt = items[0].prompt_id
    second, third = [place for place, item in enumerate(items) if item.prompt_id == prompt][1:3]
    items[second], items[third] = (replace(items[second], category="first"), replace(items[third], category="other"))
    settings = AuditSettings("euclid", sweeps=False, votes=FEW)
    found = audit(replace(whole, items=tuple(items)), [TextureEncoder()], settings).result
    assert [row["category"] for row in found["prompts"] if row["prompt_id"] == prompt] == ["first"]
    assert [row["category"] for row in found["curves"]["category"]] == ["first"]
    assert any(note.startswith("More than one category") for note in found["notes"])


def test_votes_of_few_simulations_are_among_the_notes(pictures):
    whole = read_dataset(pictures)
    two = replace(whole, items=tuple(item for item in whole.items if item.model != whole.items[0].model))
    # One vote between two equals: in an odd number of simulations one of them is ahead in most.
    votes = VoteSettings(votes=1, simulations=41, most=50, gap=0.0)
    found = audit(two, [TextureEncoder()], AuditSettings("euclid", sweeps=False, votes=votes)).result
    (seldom,) = {row["target"] for row in found["votes"]["rows"] if row["possible"] < 0.5}
    (note,) = [note for note in found["notes"] if note.startswith("Votes: Fewer")]
    assert f"for {seldom} (" in note


def test_more_references_than_there_are_is_said():
    plan = plan_attacks(gaussian(3, 4, 3), 9, 0, sweeps=False)
    assert plan.k == 2
    assert plan.notes[0] == "k = 9 is more than there is beside a query; k = 2 was used."


def test_few_images_to_judge_a_prompt_by_are_said():
    data = gaussian(3, 4, 8)
    (note,) = plan_attacks(data, None, 0).notes
    assert note == "Beside k = 7 references 1 of 8 images of a model judge what is foretold; k = 4 leaves 4."
    assert plan_attacks(data, 6, 0).notes[0].startswith("Beside k = 6 references 2 of 8 images")
    for k, sweeps in ((5, True), (4, True), (None, False)):
        assert plan_attacks(data, k, 0, sweeps=sweeps).notes == ()


def test_models_that_lack_prompts_take_part_where_they_can():
    data = gaussian(4, 6, 3)
    gone = (data.models == "m03") & np.isin(data.prompts, ["p00", "p01"])
    single = (data.models == "m02") & (data.prompts == "p02")
    keep = np.flatnonzero(~gone & ~(single & (np.cumsum(single) > 1)))
    plan = plan_attacks(data.take(keep), 2, 0)
    found = measure("euclid", data.take(keep), plan)
    assert np.isneginf(found.scored.scores[found.scored.prompts == "p00"][:, 3]).all()
    assert any("their model's only one" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda d: d.take(d.models == "m00"), NotEnoughReferencesError),
        (lambda d: replace(d, prompts=np.full(len(d), "")), NotEnoughReferencesError),
        (lambda d: d.take(np.arange(len(d)) % 3 == 0), NotEnoughReferencesError),
    ],
    ids=["one model", "no prompts", "one image each"],
)
def test_what_cannot_be_measured_has_a_name(change, error):
    with pytest.raises(error) as caught:
        plan_attacks(change(gaussian(3, 4, 3)), None, 0)
    assert caught.value.fix


def test_a_method_that_learns_needs_other_prompts(tmp_path):
    folder = write_dataset(tmp_path / "d", models=3, prompts=1, seeds=3, size=32)
    with pytest.raises(NotEnoughReferencesError, match="other prompts"):
        audit(read_dataset(folder), [TextureEncoder()], AuditSettings("fused", votes=FEW))
    assert audit(read_dataset(folder), [TextureEncoder()], AuditSettings("euclid", votes=FEW)).result["n_prompts"] == 1


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (AuditSettings(method="nearly"), UnknownNameError),
        (AuditSettings(tau=1.0), InputError),
        (AuditSettings(k=0), InputError),
        (AuditSettings(seed=-1), InputError),
        (AuditSettings(price=-1.0), InputError),
        (AuditSettings(price={"model-00": 1.0}), InputError),
        (AuditSettings(votes=VoteSettings(noise=3.0)), InputError),
    ],
)
def test_wrong_settings_stop_before_the_work(pictures, settings, error):
    class Never(TextureEncoder):
        def encode(self, prepared):
            raise AssertionError("nothing may be embedded")

    with pytest.raises(error):
        audit(read_dataset(pictures), [Never()], settings)
    with pytest.raises(MorelliError):
        audit(read_dataset(pictures), [], AuditSettings())


def test_what_labels_rule_out_is_said_before_the_work(pictures):
    class Never(TextureEncoder):
        def encode(self, prepared):
            raise AssertionError("nothing may be embedded")

    whole = read_dataset(pictures)
    prompt, model = whole.items[0].prompt_id, whole.items[0].model
    for keep, method, said in (
        (lambda item: item.model == model, "euclid", "has one"),
        (lambda item: item.prompt_id == prompt, "fused", "one prompt"),
        (lambda item: item.seed == whole.items[0].seed, "euclid", "one image of each prompt"),
    ):
        part = replace(whole, items=tuple(filter(keep, whole.items)))
        with pytest.raises(NotEnoughReferencesError, match=said):
            audit(part, [Never()], AuditSettings(method, votes=FEW))
    bare = replace(whole, items=tuple(replace(item, prompt_id="", prompt="") for item in whole.items))
    with pytest.raises(NotEnoughReferencesError, match="known prompt"):
        audit(bare, [Never()], AuditSettings("euclid", votes=FEW))
