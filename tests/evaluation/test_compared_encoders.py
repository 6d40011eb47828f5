"""Several encoders in one evaluation: the same queries for all, and the paired difference to a row that is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.attribution.image import IMAGE_REGISTRY
from morelli.encoders.joined import JoinedEncoder
from morelli.errors import FlatImageError, InputError, NotEnoughReferencesError, UnknownNameError
from morelli.evaluation.against import Against
from morelli.evaluation.data import prepare_each
from morelli.evaluation.runner import Evaluation, Settings, evaluate
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import EncoderStamp

from .samples import STAMP, TextureEncoder, relabel
from .test_runner import ROW_KEYS, MeanColour


class Again(TextureEncoder):
    """The same under another name."""

    stamp = replace(STAMP, encoder="again")


class Colour:
    """The mean colour, which says little of the model. Refuses what is dark."""

    stamp = EncoderStamp("colour", "1", "plain", {"mean": 3})
    darkest = -1.0

    def prepare(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        found = pixels.mean(axis=(0, 1))
        if found.mean() < self.darkest:
            raise FlatImageError("too dark.", argument="pixels")
        return found

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]:
        return {"mean": np.stack(list(prepared)).astype(np.float32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("set") / "d"
    return write_dataset(where, models=6, prompts=8, seeds=2, size=32, families=["x", "x", "y", "z", "w", "v"])


def run(folder: Path, *encoders: Any, **settings: Any) -> Evaluation:
    return evaluate(read_dataset(folder), encoders, Settings(**settings))


def without(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


LIFT = ("lift", "lift_low", "lift_high")
PROTOCOLS = ("same-prompt", "any-prompt", "identification", "verification")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rows_of_each_encoder_are_those_of_an_evaluation_of_its_own(folder, protocol):
    settings = {"protocol": protocol, "ablate": False, "pairs": 200}
    settings["methods"] = ("cosine", "plda") if protocol == "verification" else ("euclid", "cosine")
    both = run(folder, TextureEncoder(), Colour(), **settings).result
    alone = [run(folder, encoder, **settings).result for encoder in (TextureEncoder(), Colour())]
    assert both["rows"] == [*alone[0]["rows"], *alone[1]["rows"]]
    assert both["encoder"] == both["encoders"][0] == alone[0]["encoder"]
    assert both["encoders"][1] == alone[1]["encoders"][0] == {"id": "colour", "revision": "1", "preprocessing": "plain"}
    assert both["n_queries"] == alone[0]["n_queries"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_lift_over_a_named_row_is_the_difference_of_the_figures(folder, protocol):
    pairs = protocol == "verification"
    figure, methods = ("auroc", ("cosine", "plda")) if pairs else ("top1", ("euclid", "cosine"))
    settings = {"protocol": protocol, "methods": methods, "ablate": False, "pairs": 200}
    whole = Against("texture", methods[1])
    result = run(folder, TextureEncoder(), Colour(), against=whole, **settings).result
    assert result["against"] == {"encoder": "texture", "method": methods[1]}
    reference = {
        row.get("pairs"): row for row in result["rows"] if (row["encoder"], row["method"]) == ("texture", methods[1])
    }
    for row in result["rows"]:
        over = reference[row.get("pairs")]
        if row is over:
            assert [row[key] for key in LIFT] == [None] * 3
            continue
        assert row["lift"] == pytest.approx(row[figure] - over[figure])
        assert row["lift_low"] <= row["lift"] <= row["lift_high"]
    # Without a method each row is compared with its own method's.
    result = run(folder, TextureEncoder(), Colour(), against=Against("texture"), **settings).result
    of_texture = {(row["method"], row.get("pairs")): row for row in result["rows"] if row["encoder"] == "texture"}
    assert all(row["lift"] is None for row in of_texture.values())
    for row in (row for row in result["rows"] if row["encoder"] == "colour"):
        assert row["lift"] == pytest.approx(row[figure] - of_texture[row["method"], row.get("pairs")][figure])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_encoder_is_no_better_than_itself(folder, protocol):
    """Resamples are shared: the interval of a difference of nothing has no width, whatever those of the figures."""
    methods = ("cosine",) if protocol == "verification" else ("euclid",)
    settings = {"protocol": protocol, "methods": methods, "ablate": False, "pairs": 200}
    result = run(folder, TextureEncoder(), Again(), against=Against("texture"), **settings).result
    half = len(result["rows"]) // 2
    for row, same in zip(result["rows"][:half], result["rows"][half:], strict=True):
        assert [same[key] for key in LIFT] == [0, 0, 0]
        assert without(row, "encoder", *LIFT) == without(same, "encoder", *LIFT)
    width = [row[key] for row in result["rows"] for key in row if key in ("top1_low", "auroc_low")]
    assert min(width) < 1


def test_what_joining_adds_to_fused_has_an_interval(tmp_path, monkeypatch):
    """The texture tells these models and their colour does not: joined to the colour it adds nearly everything."""
    folder = write_dataset(tmp_path / "d", models=4, prompts=15, seeds=3, size=48)
    monkeypatch.setattr("morelli.evaluation.runner.SAMPLE", 0)
    joined = JoinedEncoder([Colour(), TextureEncoder()])
    settings = {"protocol": "identification", "methods": ("fused",), "k": 30, "against": Against("colour")}
    colour, both = run(folder, Colour(), joined, **settings).result["rows"]
    assert (colour["encoder"], both["encoder"]) == ("colour", "colour+texture")
    assert colour["lift"] is None
    assert both["lift"] == pytest.approx(both["top1"] - colour["top1"])
    assert 0 < both["lift_low"] < both["lift"] <= both["lift_high"]


def test_a_row_without_candidates_is_compared_on_the_same_candidates(folder, monkeypatch):
    monkeypatch.setattr("morelli.evaluation.runner.SAMPLE", 0)  # what degradation does is no part of this
    settings = {"protocol": "any-prompt", "methods": ("euclid", "lda"), "against": Against("texture", "lda")}
    result = run(folder, TextureEncoder(), Colour(), **settings).result
    keys = [(row["background"], row["encoder"], row["method"]) for row in result["rows"]]
    assert keys == [(b, e, m) for b in ("all", "without candidates") for e in ("texture", "colour")
                    for m in ("euclid", "lda")]  # fmt: skip
    rows = dict(zip(keys, result["rows"], strict=True))
    for (background, _, _), row in rows.items():
        over = rows[background, "texture", "lda"]
        assert row["lift"] is None if row is over else row["lift"] == pytest.approx(row["top1"] - over["top1"])


def test_what_one_encoder_refuses_is_left_out_of_all(folder, monkeypatch):
    first, second = prepare_each([read_dataset(folder)], [TextureEncoder(), Colour()], copies=0)
    (one,), (two,) = first, second
    assert len(one) == 96
    means = two.embeddings.vectors["mean"].mean(axis=1)
    monkeypatch.setattr(Colour, "darkest", float(np.sort(means)[2:4].mean()))
    (fewer,), (other,) = prepare_each([read_dataset(folder)], [TextureEncoder(), Colour()], copies=0)
    assert len(fewer) == len(other) == 93
    np.testing.assert_array_equal(fewer.contents, other.contents)
    np.testing.assert_array_equal(fewer.contents, one.contents[np.sort(np.argsort(means)[3:])])
    kept = np.isin(one.contents, fewer.contents)
    np.testing.assert_array_equal(fewer.embeddings.vectors["fine/std"], one.embeddings.vectors["fine/std"][kept])
    np.testing.assert_array_equal(other.embeddings.vectors["mean"], two.embeddings.vectors["mean"][kept])
    assert fewer.notes == other.notes
    assert any(note.startswith("3 images could not be read") and "too dark" in note for note in fewer.notes)


@pytest.mark.parametrize("protocol", ["open-set", "one-vs-many", "robustness"])
def test_other_protocols_take_several_encoders_too(folder, protocol):
    settings: dict[str, Any] = {"protocol": protocol, "methods": ("euclid",), "against": Against("texture")}
    if protocol == "robustness":
        settings["degrade"] = ("jpeg:60",)
    result = run(folder, TextureEncoder(), Colour(), **settings).result
    assert {row["encoder"] for row in result["rows"]} == {"texture", "colour"}
    assert all(set(row) >= ROW_KEYS for row in result["rows"])
    rows = {(row["encoder"], row.get("degradation")): row for row in result["rows"] if row["method"] == "euclid"}
    for (encoder, degradation), row in rows.items():
        over = rows["texture", degradation]
        assert row["lift"] is None if encoder == "texture" else row["lift"] == pytest.approx(row["top1"] - over["top1"])


def test_what_sees_pictures_stands_in_the_table_once_and_can_be_the_reference(folder, monkeypatch):
    monkeypatch.setitem(IMAGE_REGISTRY._loaded, "mean-colour", MeanColour)
    settings = {"protocol": "any-prompt", "methods": ("mean-colour", "euclid"), "ablate": False}
    over = Against(method="mean-colour")
    result = run(folder, TextureEncoder(), Colour(), against=over, **settings).result
    assert [(row["method"], row["encoder"]) for row in result["rows"]] == [
        ("mean-colour", None), ("euclid", "texture"), ("euclid", "colour"),
    ]  # fmt: skip
    reference, *others = result["rows"]
    assert reference["lift"] is None
    for row in others:
        assert row["lift"] == pytest.approx(row["top1"] - reference["top1"])


class Learning(MeanColour):
    """With embeddings: one number a picture."""

    def embed(self, images: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.array([[image[..., 0].mean(), 40.0] for image in images], dtype=np.float32)


@pytest.mark.parametrize("protocol", ["identification", "verification"])
def test_split_models_are_compared_under_every_encoder(folder, protocol, monkeypatch):
    """The reference's candidates include models that it learnt from, those of the picture method do not."""
    monkeypatch.setitem(IMAGE_REGISTRY._loaded, "learning", Learning)
    figure = "auroc" if protocol == "verification" else "top1"
    settings = {"protocol": protocol, "methods": ("cosine", "learning"), "unseen": 0.5, "pairs": 100}
    if protocol == "identification":
        settings["k"] = 2
    result = run(folder, TextureEncoder(), Colour(), against=Against("texture", "cosine"), **settings).result
    rows = {(row["models"], row["method"], row["encoder"]): row for row in result["rows"]}
    assert list(rows) == [
        (models, method, encoder)
        for method, encoder in (("cosine", "texture"), ("learning", None), ("cosine", "colour"))
        for models in ("seen", "unseen")
    ]
    for (models, _, _), row in rows.items():
        over = rows[models, "cosine", "texture"]
        assert row["lift"] is None if row is over else row["lift"] == pytest.approx(row[figure] - over[figure])


def test_pictures_are_of_the_last_encoder(folder):
    found = run(folder, TextureEncoder(), Colour(), protocol="any-prompt", methods=("euclid", "cosine"), ablate=False)
    assert list(found.confusion) == ["euclid, texture", "cosine, texture", "euclid, colour", "cosine, colour"]
    assert found.encoder == "colour"
    assert found.queries is not None
    assert list(found.queries.embeddings.vectors) == ["mean"]


def test_bases_under_several_encoders(folder, tmp_path):
    where = tmp_path / "b"
    where.mkdir()
    for child in folder.iterdir():
        if child.is_dir():
            (where / child.name).symlink_to(child)
    (where / "metadata.csv").write_text((folder / "metadata.csv").read_text())
    bases = {"model-00": "root", "model-01": "root"}
    relabel(where, lambda rows: [{**row, "source": bases.get(row["model"], "")} for row in rows])
    text = (where / "metadata.csv").read_text()
    (where / "metadata.csv").write_text(text.replace("source", "base", 1))
    settings = {"level": "base", "methods": ("euclid", "cosine"), "against": Against("texture")}
    result = run(where, TextureEncoder(), Colour(), **settings).result
    keys = [(row["background"], row["encoder"], row["method"]) for row in result["rows"]]
    assert keys == [(b, e, m) for b in ("all", "without the model") for e in ("texture", "colour")
                    for m in ("euclid", "cosine")]  # fmt: skip
    rows = dict(zip(keys, result["rows"], strict=True))
    for (background, encoder, method), row in rows.items():
        over = rows[background, "texture", method]
        assert row["lift"] is None if encoder == "texture" else row["lift"] == pytest.approx(row["top1"] - over["top1"])
    assert {test["encoder"] for test in result["derived"]} == {"texture", "colour"}
    assert sum(note.startswith(("texture: derived", "colour: derived")) for note in result["notes"]) == 2


def test_encoders_and_rows_that_are_not_there(folder):
    dataset = read_dataset(folder)
    with pytest.raises(InputError, match="must name different encoders"):
        evaluate(dataset, [TextureEncoder(), TextureEncoder()], Settings())
    with pytest.raises(InputError, match="got none"):
        evaluate(dataset, [], Settings())
    with pytest.raises(UnknownNameError, match="Did you mean 'texture'"):
        evaluate(dataset, TextureEncoder(), Settings(against=Against("textur")))
    with pytest.raises(UnknownNameError, match="Did you mean 'fused'"):
        evaluate(dataset, TextureEncoder(), Settings(against=Against(method="fusd")))
    with pytest.raises(NotEnoughReferencesError, match="prompt is not known"):
        evaluate(dataset, TextureEncoder(), Settings("any-prompt", ("euclid",), against=Against(method="plda")))
