"""Evaluations from files to the table: honest where labels say nothing, repeatable, plain about what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli._version import __version__
from morelli.attribution.catalogue import REGISTRY
from morelli.attribution.centroid import Euclid
from morelli.attribution.image import IMAGE_REGISTRY, ImageAttributor
from morelli.cli.output import plain
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.errors import InputError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.runner import Evaluation, Settings, default_methods, evaluate
from morelli.images.dataset import Dataset, read_dataset
from morelli.testing.datasets import write_dataset

from .samples import TextureEncoder, relabel, take_turns

#: DESIGN: the schema morelli.evaluation/1.
TOP_KEYS = {
    "schema", "protocol", "dataset", "n_queries", "n_models", "n_prompts", "k", "seed", "rows", "leaks", "seconds",
}  # fmt: skip
ROW_KEYS = {
    "method", "encoder", "family_top1", "f1", "ece",
    *(f"top{k}{end}" for k in (1, 2, 3, 5) for end in ("", "_low", "_high")),
    "coverage", "set_size", "balanced_accuracy", "auroc", "oscr", "lift", "lift_low", "lift_high", "references_used",
    "background",
}  # fmt: skip
ALL = ("euclid", "cosine", "plda", "lda", "fused")


def run(folder: Path | Dataset, *, references: Path | None = None, **settings: Any) -> Evaluation:
    dataset = folder if isinstance(folder, Dataset) else read_dataset(folder)
    second = None if references is None else read_dataset(references)
    return evaluate(dataset, TextureEncoder(), Settings(**settings), references=second)


def rows_of(found: Evaluation) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["method"], row["background"]): row for row in found.result["rows"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("set") / "d"
    return write_dataset(where, models=4, prompts=12, seeds=3, size=40, families=["x", "x", "y", "z"])


@pytest.fixture(scope="module")
def found(folder) -> Evaluation:
    return run(folder)


@pytest.fixture
def small(tmp_path) -> Path:
    return write_dataset(tmp_path / "small", models=3, prompts=6, seeds=3, size=32)


def test_json_has_the_fields_of_the_schema(found, folder):
    result = found.result
    assert set(result) >= TOP_KEYS
    assert (result["schema"], result["version"]) == ("morelli.evaluation/1", __version__)
    assert (result["protocol"], result["dataset"], result["references"]) == ("same-prompt", str(folder), None)
    assert (result["n_queries"], result["n_models"], result["n_prompts"], result["k"]) == (144, 4, 12, None)
    assert result["encoder"] == {"id": "texture", "revision": "1", "preprocessing": "plain"}
    assert result["seconds"] > 0
    for row in result["rows"]:
        assert set(row) >= ROW_KEYS
        assert row["encoder"] == "texture"
        assert row["references_used"] == 2
    assert json.loads(json.dumps(plain(result), allow_nan=False))["rows"][0]["method"] == "euclid"


@pytest.mark.parametrize("protocol", ["any-prompt", "open-set", "one-vs-many"])
def test_every_protocol_s_rows_have_the_fields(small, protocol):
    found = run(small, protocol=protocol)
    assert found.result["protocol"] == protocol
    assert all(set(row) >= ROW_KEYS for row in found.result["rows"])
    json.dumps(plain(found.result), allow_nan=False)


def test_copies_are_embedded_for_methods_that_learn_alone(small, monkeypatch):
    seen = []
    real = TextureEncoder.prepare
    monkeypatch.setattr(TextureEncoder, "prepare", lambda self, pixels: seen.append(0) or real(self, pixels))
    run(small, methods=("euclid", "cosine"))
    assert len(seen) == 3 * 6 * 3
    run(small, methods=("euclid", "lda"))
    assert len(seen) > 3 * 3 * 6 * 3


def test_all_methods_by_default_and_each_again_without_the_candidates(found):
    rows = list(rows_of(found))
    assert rows == [(name, "all") for name in ALL] + [
        (name, "without candidates") for name in ("euclid", "plda", "lda", "fused")
    ]
    for (_, background), row in rows_of(found).items():
        assert row["n_candidates"] == (4 if background == "all" else 2)
        assert row["n_queries"] == 144


def test_fused_beats_the_published_rule_on_models_that_differ(found):
    rows = rows_of(found)
    assert rows["fused", "all"]["lift_low"] > 0
    assert rows["fused", "all"]["top1"] - rows["euclid", "all"]["top1"] == pytest.approx(rows["fused", "all"]["lift"])
    assert rows["euclid", "all"]["lift"] is None
    assert rows["plda", "without candidates"]["lift_low"] > 0
    assert rows["euclid", "without candidates"]["lift"] is None


def test_confusion_agrees_with_top1(found):
    labels, matrix = found.confusion["fused"]
    assert labels == [f"model-{j:02}" for j in range(4)]
    assert matrix.sum() == 144
    assert matrix.trace() / matrix.sum() == pytest.approx(rows_of(found)["fused", "all"]["top1"])
    assert found.families == {"model-00": "x", "model-01": "x", "model-02": "y", "model-03": "z"}
    assert list(found.confusion) == list(ALL)


def test_the_same_seed_gives_the_same_result_and_another_one_other_folds(folder):
    one, again, other = (
        run(folder, methods=("euclid",), seed=seed, protocol="any-prompt").result for seed in (0, 0, 1)
    )
    assert one | {"seconds": 0} == again | {"seconds": 0}
    assert one["rows"] != other["rows"]


@pytest.mark.parametrize("protocol", ["same-prompt", "any-prompt"])
def test_labels_that_say_nothing_give_chance(folder, tmp_path, protocol):
    """The honesty test: images dealt to the models at random; whoever beats chance has seen the answer."""
    dataset = dealt(folder, tmp_path)
    rows = rows_of(run(dataset, protocol=protocol))
    assert len(rows) >= 7
    for row in rows.values():
        chance = 1 / row["n_candidates"]
        deviation = np.sqrt(chance * (1 - chance) / row["n_queries"])
        assert row["top1"] < chance + 3 * deviation
        assert row["top1_low"] <= chance
        if row["method"] != "euclid":
            assert row["lift_low"] <= 0.03


def dealt(folder: Path, tmp_path: Path) -> Dataset:
    """The same pictures under labels that say nothing."""
    copy = tmp_path / "dealt"
    copy.mkdir()
    for child in folder.iterdir():
        if child.is_dir():
            (copy / child.name).symlink_to(child)
    (copy / "metadata.csv").write_text((folder / "metadata.csv").read_text())
    relabel(copy, take_turns)
    return read_dataset(copy)


def test_a_query_in_the_background_would_be_seen(folder, tmp_path, monkeypatch):
    """The honesty test can fail: with the queries among the references, labels that say nothing are found."""
    from morelli.evaluation import protocols

    honest = protocols.any_prompt

    def leaky(*arguments):
        plan = honest(*arguments)
        items = tuple(replace(task, background=np.append(np.asarray(task.background), task.queries)) for task in plan)
        return replace(plan, items=items)

    monkeypatch.setattr(protocols, "any_prompt", leaky)
    monkeypatch.setattr(
        "morelli.evaluation.rows.load_attributor", lambda name: Nearest() if name == "lda" else REGISTRY.get(name)()
    )
    found = run(dealt(folder, tmp_path), protocol="any-prompt", methods=("lda",), ablate=False)
    assert found.result["rows"][0]["top1"] > 0.9


class Nearest(Euclid):
    """The nearest reference's model."""

    def scores(self, vectors, references=None, prompt=None):
        used = self.background_ if references is None else references
        assert used is not None
        models = self.candidates(references)
        x, y = (np.concatenate(list(v.values()), axis=1).astype(float) for v in (vectors, used.vectors))
        distances = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        return np.stack([-distances[:, used.models == model].min(axis=1) for model in models], axis=1)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"protocol": "same-promt"}, UnknownNameError, "Did you mean 'same-prompt'"),
        ({"methods": ("fuse",)}, UnknownNameError, "Did you mean 'fused'"),
        ({"k": 0}, InputError, "--k: must be 1 or more"),
        ({"epsilon": 1.0}, InputError, "--epsilon: must lie between 0 and 1"),
    ],
)
def test_bad_settings_are_refused_before_any_picture_is_read(settings, error, text):
    with pytest.raises(error, match=text):
        evaluate(Dataset(Path("nowhere"), ()), TextureEncoder(), Settings(**settings))


def test_one_model_is_refused(tmp_path):
    folder = write_dataset(tmp_path / "one", models=1, prompts=3, seeds=2, size=32)
    with pytest.raises(NotEnoughReferencesError, match="needs 2 models"):
        run(folder)


def test_plda_says_that_it_needs_the_prompt(small):
    with pytest.raises(NotEnoughReferencesError, match="prompt is not known"):
        run(small, protocol="any-prompt", methods=("plda",))


def test_k_is_kept_and_a_larger_one_than_there_is_said(small):
    one = run(small, methods=("euclid",), k=1)
    assert one.result["k"] == 1
    assert one.result["rows"][0]["references_used"] == 1
    many = run(small, methods=("euclid",), k=9)
    assert many.result["rows"][0]["references_used"] == 2
    assert any("had fewer than 9 references" in note for note in many.result["notes"])
    drawn = run(small, methods=("euclid",), k=5, protocol="any-prompt")
    assert drawn.result["rows"][0]["references_used"] == 5
    assert run(small, methods=("euclid",), protocol="any-prompt").result["rows"][0]["references_used"] == 15


def test_without_prompts_the_default_is_any_prompt(tmp_path):
    folder = write_dataset(tmp_path / "f", models=3, prompts=4, seeds=3, size=32, layout="folders")
    result = run(folder, ablate=False).result
    assert (result["protocol"], result["n_prompts"], result["n_queries"]) == ("any-prompt", 0, 36)
    assert [row["method"] for row in result["rows"]] == ["euclid", "cosine", "lda", "fused"]
    assert any("protocol is any-prompt" in note for note in result["notes"])
    with pytest.raises(NotEnoughReferencesError, match="Use the protocol any-prompt"):
        run(folder, protocol="same-prompt")


def test_open_set_runs_with_one_image_a_prompt(tmp_path):
    folder = write_dataset(tmp_path / "f", models=4, prompts=9, seeds=1, size=32)
    result = run(folder, protocol="open-set", k=3).result
    assert [row["method"] for row in result["rows"]] == ["euclid", "cosine", "lda", "fused"]
    for row in result["rows"]:
        assert row["references_used"] == 3
        assert row["n_unknown"] > 0
        assert 0 <= row["oscr"] <= row["top1"]
        assert 0 <= row["auroc"] <= 1


def test_default_methods():
    assert set(default_methods(True)) - set(default_methods(False)) == {"plda"}


def test_one_vs_many_shows_both_cases(small):
    result = run(small, protocol="one-vs-many", methods=("euclid", "fused"), k=2).result
    first, second, *rest = result["rows"]
    assert [(row["method"], row["case"]) for row in (first, second)] == [("euclid", 1), ("fused", 1)]
    assert {row["case"] for row in rest} == {2}
    assert {row["method"] for row in rest} == {"case 2, published", "case 2, conformal"}
    for row in result["rows"]:
        assert 0 <= row["balanced_accuracy"] <= 1
        assert 0 <= row["auroc"] <= 1
    one = run(small, protocol="one-vs-many", methods=("euclid",), k=1).result
    assert len(one["rows"]) == 1
    assert any("Case 2 needs two references" in note for note in one["notes"])


def part(folder: Path, keep: Callable[[str, str], bool], where: Path) -> Path:
    """A part of a dataset, by model and prompt, as a dataset of links."""
    where.mkdir()
    for child in folder.iterdir():
        if child.is_dir():
            (where / child.name).symlink_to(child)
    (where / "metadata.csv").write_text((folder / "metadata.csv").read_text())
    relabel(where, lambda rows: [row for row in rows if keep(row["model"], row["file_name"])])
    return where


@pytest.fixture
def two(folder, tmp_path) -> tuple[Path, Path]:
    """Seed 2 of all models as queries; seeds 0 and 1 of three models as references."""
    queries = part(folder, lambda model, name: name.endswith("_2.png"), tmp_path / "queries")
    references = part(
        folder, lambda model, name: not name.endswith("_2.png") and model != "model-03", tmp_path / "references"
    )
    return queries, references


@pytest.mark.parametrize("protocol", ["same-prompt", "any-prompt"])
def test_models_that_only_the_queries_have_are_unknown(two, protocol):
    queries, references = two
    methods = ("euclid", "plda" if protocol == "same-prompt" else "lda")
    found = run(queries, references=references, protocol=protocol, methods=methods)
    result = found.result
    assert (result["n_queries"], result["n_models"], result["references"]) == (36, 4, str(references))
    for row in result["rows"]:
        assert (row["n_queries"], row["n_unknown"], row["n_candidates"]) == (36, 12, 3)
        assert None not in (row["auroc"], row["oscr"], row["fpr95"])
        assert row["references_used"] == (2 if protocol == "same-prompt" else pytest.approx(24 * 6 / 7, rel=0.1))
    # Top-k is over the known queries alone: without the unknown ones it is the same.
    known = part(queries, lambda model, name: model != "model-03", references.parent / "known")
    again = run(known, references=references, protocol=protocol, methods=methods)
    for row, without in zip(result["rows"], again.result["rows"], strict=True):
        assert [row[key] for key in ("method", "top1", "top2", "f1", "lift")] == [
            without[key] for key in ("method", "top1", "top2", "f1", "lift")
        ]
        assert without["auroc"] is None
    assert found.confusion[methods[1]][0] == ["model-00", "model-01", "model-02"]


def test_queries_that_are_among_the_references_are_dropped(folder, two):
    _, references = two
    both = part(folder, lambda model, name: name.endswith("_2.png") or "000_" in name, references.parent / "both")
    result = run(both, references=references, methods=("euclid",)).result
    assert "6 queries are also references and were left out." in result["notes"]
    assert result["n_queries"] == 36
    with pytest.raises(NotEnoughReferencesError, match="no query is left"):
        run(references, references=references)


def test_references_that_know_no_query_s_model_are_refused(folder, two):
    queries, references = two
    strangers = part(queries, lambda model, name: model == "model-03", references.parent / "strangers")
    with pytest.raises(NotEnoughReferencesError, match="no query is of a model that the references have"):
        run(strangers, references=references, methods=("euclid",))


def test_queries_of_other_prompts_are_compared_without_the_prompt(folder, tmp_path):
    queries = part(folder, lambda model, name: "/00" in name, tmp_path / "q")
    references = part(folder, lambda model, name: "/01" in name, tmp_path / "r")
    result = run(queries, references=references).result
    assert result["protocol"] == "any-prompt"
    assert [row["method"] for row in result["rows"]] == ["euclid", "cosine", "lda", "fused"]
    assert "references" in result["leaks"]
    with pytest.raises(NotEnoughReferencesError, match="any-prompt"):
        run(queries, references=references, protocol="same-prompt")


def test_one_vs_many_with_references_has_no_case_two(two):
    queries, references = two
    result = run(queries, references=references, protocol="one-vs-many", methods=("euclid",)).result
    assert {row["case"] for row in result["rows"]} == {1}
    assert any("Case 2 needs references and queries in one dataset" in note for note in result["notes"])


def test_too_few_models_for_the_second_row_is_a_note(tmp_path):
    folder = write_dataset(tmp_path / "d", models=3, prompts=6, seeds=2, size=32)
    result = run(folder, methods=("euclid", "lda")).result
    assert {row["background"] for row in result["rows"]} == {"all"}
    assert any(note.startswith("No row without the candidates") for note in result["notes"])
    bare = run(folder, methods=("euclid", "lda"), ablate=False).result
    assert not any(note.startswith("No row") for note in bare["notes"])


def test_a_method_that_half_of_the_models_do_not_allow_costs_only_its_own_row(tmp_path):
    """Two of four models have one image a prompt, so that their background cannot show how seeds scatter."""
    folder = write_dataset(tmp_path / "d", models=4, prompts=10, seeds=2, size=32, families=["x", "x", "y", "y"])
    relabel(folder, lambda rows: [row for row in rows if row["family"] == "x" or row["file_name"].endswith("_0.png")])
    result = run(folder, methods=("euclid", "plda")).result
    assert {row["method"] for row in result["rows"] if row["background"] == "all"} == {"euclid", "plda"}


def test_few_images_with_their_like_do_not_speak_for_all(tmp_path):
    """One model of four has two images a prompt: same-prompt would ask of its images alone."""
    folder = write_dataset(tmp_path / "d", models=4, prompts=10, seeds=2, size=32)
    first = read_dataset(folder).items[0].model
    relabel(folder, lambda rows: [row for row in rows if row["model"] == first or row["file_name"].endswith("_0.png")])
    result = run(folder, methods=("euclid",)).result
    assert (result["protocol"], result["n_queries"]) == ("any-prompt", 50)
    assert any("most images are the only one of their prompt" in note for note in result["notes"])
    assert run(folder, methods=("euclid",), protocol="same-prompt").result["protocol"] == "same-prompt"


class MeanColour(ImageAttributor):
    """Distance to the mean colour of each model's pictures."""

    def fit(self, images, models):
        colours = np.array([image.mean(axis=(0, 1)) for image in images])
        self.models_ = np.unique(models)
        self.means_ = np.stack([colours[models == model].mean(axis=0) for model in self.models_])
        return self

    def scores(self, images):
        colours = np.array([image.mean(axis=(0, 1)) for image in images])
        return -np.linalg.norm(colours[:, None] - self.means_, axis=2)


def test_a_method_that_sees_pictures_stands_in_the_same_table(small, monkeypatch):
    monkeypatch.setitem(IMAGE_REGISTRY._loaded, "mean-colour", MeanColour)
    result = run(small, protocol="any-prompt", methods=("mean-colour", "lda")).result
    rows = [row for row in result["rows"] if row["background"] == "all"]
    assert [row["method"] for row in rows] == ["mean-colour", "lda"]
    for row in rows:
        assert (row["n_queries"], row["references_used"]) == (54, 15)
        assert row["lift"] is not None
    with pytest.raises(UnknownNameError, match="mean-colour"):
        run(small, protocol="any-prompt", methods=("mean-color",))


def test_progress_tells_stage_and_counts(small):
    seen: dict[str, tuple[int, int]] = {}
    evaluate(
        read_dataset(small), TextureEncoder(), Settings("same-prompt", ("euclid", "lda"), ablate=False),
        progress=lambda stage, done, total: seen.__setitem__(stage, (done, total)),
    )  # fmt: skip
    assert list(seen) == ["embedding", "euclid", "lda"]
    assert all(done == total for done, total in seen.values())


@pytest.mark.slow
@pytest.mark.realdata
def test_on_real_images_fused_beats_the_published_rule(data_dir):
    """Seven real models, ten prompts, three references a model: the paired lift over paper 000's rule is real."""
    visor = read_dataset(data_dir / "visor")
    prompts = sorted({item.prompt_id for item in visor.items})[:10]
    subset = Dataset(visor.root, tuple(item for item in visor.items if item.prompt_id in prompts))
    settings = Settings("same-prompt", ("euclid", "fused"), k=3, ablate=False)
    result = evaluate(subset, load_encoder(DEFAULT_ENCODER), settings).result
    euclid, fused = result["rows"]
    assert (result["n_queries"], result["n_models"], result["leaks"]["form"]) == (280, 7, "untouched")
    assert result["leaks"]["leaking"] is False
    assert fused["lift_low"] > 0
    assert fused["top1"] > 0.7
    assert fused["top1"] > euclid["top1"] > 1 / 7
