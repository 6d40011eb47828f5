"""An image and a gallery become a verdict: what it says, where it comes from, and what is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from morelli._identify.verdict import kinship
from morelli.attribution.calibration import calibrate_attributor
from morelli.attribution.catalogue import load_attributor
from morelli.attribution.decision import UNKNOWN_LEVEL, small_set
from morelli.encoders.catalogue import load_encoder
from morelli.encoders.embed import embed
from morelli.enrol import enrol
from morelli.errors import (
    ArrayError,
    EmptyGalleryError,
    GalleryMismatchError,
    InputError,
    MissingGalleryError,
    NotEnoughReferencesError,
    UnknownNameError,
)
from morelli.gallery.store import Gallery
from morelli.identify import STABILITY, Failure, Identifier
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.degrade import degrade
from morelli.images.load import from_array, load_image
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile
from morelli.types import CheckVerdict, EncoderStamp, Item, Verdict

STAMP = EncoderStamp("texture", "1", "plain", {"colour/mean": 3, "colour/deviation": 3, "grain/fine": 6})
PROMPT = "made-up scene 4"


class Texture:
    """Colour and grain of a picture: enough to tell the made-up models apart, and quick."""

    def __init__(self, stamp: EncoderStamp = STAMP) -> None:
        self.stamp = stamp
        self.batches: list[int] = []

    def prepare(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = pixels.astype(np.float64)
        steps = [np.abs(np.diff(x, axis=axis)).mean(axis=(0, 1)) for axis in (0, 1)]
        return np.concatenate([x.mean(axis=(0, 1)), x.std(axis=(0, 1)), *steps]).astype(np.float32)

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        self.batches.append(len(prepared))
        x = np.stack(prepared)
        return {"colour/mean": x[:, :3], "colour/deviation": x[:, 3:6], "grain/fine": x[:, 6:]}


def gallery_of(path: Path, items: Sequence[Item], encoder: Any = None) -> Gallery:
    gallery = Gallery.create(path)
    enrol(gallery, Dataset(path, tuple(items)), encoder or Texture())
    return gallery


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    folder = tmp_path_factory.mktemp("pictures")
    families = ["one", "one", "two", "two"]
    return read_dataset(write_dataset(folder, models=4, prompts=8, seeds=3, size=96, families=families)).items


@pytest.fixture(scope="module")
def queries(items: tuple[Item, ...]) -> list[Item]:
    """The last seed of prompt 004, one image a model."""
    return [item for item in items if item.prompt_id == "004" and item.seed == 2]


@pytest.fixture(scope="module")
def references(items: tuple[Item, ...], queries: list[Item]) -> list[Item]:
    return [item for item in items if item not in queries]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, references: list[Item]) -> Gallery:
    return gallery_of(tmp_path_factory.mktemp("galleries") / "g", references)


@pytest.fixture
def make(gallery: Gallery, tmp_path: Path):
    """An identifier with the quick encoder and a cache of its own."""

    def made(of: Any = gallery, **options: Any) -> Identifier:
        return Identifier(of, **{"encoder": Texture(), "cache": tmp_path / "cache", "stability": False, **options})

    return made


def one(answers: Any) -> Any:
    (answer,) = list(answers)
    if isinstance(answer, Failure):
        raise answer.error
    return answer


def scores(verdict: Verdict) -> dict[str, float]:
    return {line.model: line.score for line in verdict.ranking}


# -- the whole, with the real encoder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, references: list[Item], queries: list[Item]) -> dict[str, Any]:
    """Verdicts of the default encoder and method, and what they were made from."""
    place = tmp_path_factory.mktemp("real")
    some = [item for item in references if item.prompt_id <= "004"]
    held = gallery_of(place / "g", some, load_encoder("efficientnet-lite0"))
    identifier = Identifier(str(place / "g"), cache=place / "cache")
    verdicts = list(identifier.identify([item.path for item in queries], prompt=PROMPT))
    free = list(identifier.identify([item.path for item in queries]))
    return {"gallery": held, "verdicts": verdicts, "free": free}


def test_the_right_model_comes_first(real: dict[str, Any], queries: list[Item]) -> None:
    for name in ("verdicts", "free"):
        first = [verdict.ranking[0].model for verdict in real[name]]
        assert first == [item.model for item in queries]
        assert all(v.decision in (v.ranking[0].model, "unsure") for v in real[name])


def test_the_json_has_the_documented_fields(real: dict[str, Any], queries: list[Item]) -> None:
    verdict = real["verdicts"][0].to_json()
    assert list(verdict) == [
        *("image", "sha256", "schema", "version", "decision", "calibrated", "ranking", "candidates", "epsilon"),
        *("unknown", "stability", "method", "evidence", "claims", "claims_read", "notes"),
    ]
    assert verdict["schema"] == "morelli.verdict/1"
    assert verdict["image"] == str(queries[0].path)
    assert verdict["sha256"] == load_image(queries[0].path).sha256
    assert set(verdict["ranking"][0]) == {"model", "family", "probability", "score"}
    assert set(verdict["unknown"]) == {"p_value", "rejected"}
    assert [each["name"] for each in verdict["stability"]["degradations"]] == list(STABILITY)
    assert verdict["method"] == {
        "name": "fused",
        "encoder": "efficientnet-lite0",
        "encoder_revision": real["gallery"].stamp("efficientnet-lite0").revision,
        "gallery": real["gallery"].path,
        "gallery_version": 2,
        "k": 2,
        "prompt_used": "004",
    }
    assert real["free"][0].method["k"] == 0
    assert real["free"][0].method["prompt_used"] is None
    assert set(verdict["evidence"][0]) == {"reference", "model", "distance"}
    assert verdict["claims"] == []


def test_a_verdict_holds_together(real: dict[str, Any]) -> None:
    for verdict in real["verdicts"] + real["free"]:
        probabilities = [line.probability for line in verdict.ranking]
        assert sum(probabilities) == pytest.approx(1.0)
        assert probabilities == sorted(probabilities, reverse=True)
        assert verdict.calibrated
        assert verdict.rejected == (verdict.p_value <= UNKNOWN_LEVEL)
        kept = [each.model == verdict.ranking[0].model for each in verdict.degradations]
        assert verdict.agreement == pytest.approx(np.mean(kept))
        distances = [each.distance for each in verdict.evidence]
        assert distances == sorted(distances)
        sure = (
            not verdict.rejected
            and verdict.ranking[0].model in verdict.candidates
            and len(verdict.candidates) <= small_set(4)
            and verdict.agreement >= 0.5
        )
        expected = verdict.ranking[0].model if sure else "none" if verdict.rejected else "unsure"
        assert verdict.decision == expected
        assert any(note.startswith(f"{verdict.decision}: ") for note in verdict.notes) == (not sure)
    assert all(" 004" not in each.reference for v in real["verdicts"] for each in v.evidence)
    assert all("/004_" in each.reference for v in real["verdicts"] for each in v.evidence)


# -- where the figures come from --------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [None, PROMPT])
@pytest.mark.parametrize("method", ["fused", "lda", "euclid"])
def test_the_figures_are_the_attributor_s(
    make: Any, gallery: Gallery, queries: list[Item], method: str, prompt: str | None
) -> None:
    verdict = one(make(method=method, epsilon=0.3).identify([queries[1].path], prompt=prompt))
    _, data = gallery.embeddings("texture")
    others = data.take(data.prompts == "004") if prompt else None
    attributor = load_attributor(method).fit(data)
    query = embed(Texture(), [queries[1].path]).vectors
    expected = attributor.scores(query, others, "004" if prompt else None)
    calibration = calibrate_attributor(attributor, data, 2 if prompt else 0)
    assert calibration is not None
    models = attributor.candidates(others).tolist()
    assert scores(verdict) == pytest.approx(dict(zip(models, expected[0], strict=True)), rel=1e-9)
    probabilities = np.exp(calibration.log_probabilities(expected))[0]
    assert {r.model: r.probability for r in verdict.ranking} == pytest.approx(
        dict(zip(models, probabilities, strict=True))
    )
    p_values = calibration.p_values(expected)[0]
    assert set(verdict.candidates) == {m for m, p in zip(models, p_values, strict=True) if p > 0.3}
    assert verdict.p_value == pytest.approx(calibration.known_p_value(expected)[0])


def test_stability_compares_degraded_copies(make: Any, queries: list[Item]) -> None:
    toy = Texture()
    verdict = one(make(encoder=toy, stability=True, method="euclid").identify([queries[0].path]))
    assert toy.batches == [1 + len(STABILITY)]
    for each in verdict.degradations:
        picture = from_array(degrade(load_image(queries[0].path).pixels, each.name))
        assert each.model == one(make(method="euclid").identify([picture])).ranking[0].model
    assert one(make(method="euclid").identify([queries[0].path])).agreement is None


@pytest.mark.parametrize("prompt", [None, "004"])
def test_a_reference_is_compared_with_the_others(
    make: Any, gallery: Gallery, references: list[Item], tmp_path: Path, prompt: str | None
) -> None:
    query = next(item for item in references if item.prompt_id == "004")
    verdict = one(make(method="euclid").identify([query.path], prompt=prompt))
    without = gallery_of(tmp_path / "less", [item for item in references if item != query])
    expected = one(make(without, method="euclid").identify([query.path], prompt=prompt))
    assert scores(verdict) == pytest.approx(scores(expected), rel=1e-9)
    assert verdict.evidence == expected.evidence
    assert f"This very picture is a reference of {query.model}" in verdict.notes[-1]
    assert not any("very picture" in note for note in expected.notes)


def test_each_picture_is_judged_alone(make: Any, queries: list[Item]) -> None:
    together = list(make().identify([item.path for item in queries]))
    apart = [one(make().identify([item.path])) for item in queries]
    assert together == apart


def test_sources_of_every_kind(make: Any, queries: list[Item]) -> None:
    path = queries[0].path
    kinds = [path, str(path), path.read_bytes(), load_image(path), from_array(load_image(path).pixels, "mine")]
    verdicts = list(make().identify(kinds))
    assert [v.image for v in verdicts] == [str(path), str(path), "bytes", str(path), "mine"]
    assert len({tuple(scores(v).items()) for v in verdicts}) == 1


# -- what is learnt from a gallery ------------------------------------------------------------------------------------


class Watch:
    """A ``progress`` that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.told.append((stage, done, total))

    @property
    def learnt(self) -> bool:
        return any(stage == "learning" for stage, _, _ in self.told)


@pytest.mark.parametrize("damage", [None, b"", b"PK\x03\x04 garbage", "cut"])
def test_statistics_are_learnt_once_and_again_where_damaged(
    make: Any, queries: list[Item], tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = Watch(), Watch(), Watch()
    verdict = one(make().identify([queries[0].path], progress=first))
    assert first.told == [("learning", 0, 1), ("identifying", 1, 1)]
    (file,) = (tmp_path / "cache" / "statistics").iterdir()
    if damage is not None:
        file.write_bytes(file.read_bytes()[:-200] if damage == "cut" else damage)
    assert one(make().identify([queries[0].path], progress=second)) == verdict
    assert second.learnt == (damage is not None)
    assert ("learnt anew" in caplog.text) == (damage is not None)
    assert one(make().identify([queries[0].path], progress=third)) == verdict
    assert not third.learnt


def test_the_same_gallery_elsewhere_needs_no_learning(
    make: Any, gallery: Gallery, queries: list[Item], tmp_path: Path
) -> None:
    one(make().identify([queries[0].path]))
    gallery.export(tmp_path / "g.parquet")
    copy = Gallery.create(tmp_path / "copy")
    copy.import_(tmp_path / "g.parquet")
    watch = Watch()
    one(make(copy).identify([queries[0].path], progress=watch))
    assert not watch.learnt
    copy.remove(contents=[copy.references()[0].content])
    one(make(copy).identify([queries[0].path], progress=watch))
    assert watch.learnt


def test_a_cache_that_cannot_be_written_costs_time_only(
    make: Any, queries: list[Item], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        verdict = one(make(cache=tmp_path / "file").identify([queries[0].path]))
    assert verdict == one(make().identify([queries[0].path]))
    assert "cannot be kept" in caplog.text


def test_few_references_give_no_calibration(make: Any, items: tuple[Item, ...], tmp_path: Path) -> None:
    few = gallery_of(tmp_path / "few", [i for i in items if i.prompt_id == "000" and i.seed != 2])
    query = next(i for i in items if i.prompt_id == "000" and i.seed == 2)
    for options, prompt in (({}, None), ({"stability": True}, "000")):
        verdict = one(make(few, **options).identify([query.path], prompt=prompt))
        assert not verdict.calibrated
        assert (verdict.candidates, verdict.p_value, verdict.rejected) == ([], None, False)
        assert sum(line.probability for line in verdict.ranking) == pytest.approx(1.0)
        assert any("Not calibrated" in note for note in verdict.notes)
        assert verdict.decision == (verdict.ranking[0].model if verdict.agreement == 1.0 else "unsure")


# -- notes ------------------------------------------------------------------------------------------------------------


def test_another_size_is_told(make: Any, queries: list[Item]) -> None:
    pixels = load_image(queries[0].path).pixels
    (same, other) = make().identify([from_array(pixels), from_array(pixels[:80])])
    assert not any("size" in note for note in same.notes)
    assert any("96×80" in note for note in other.notes)


def test_candidates_of_one_family_are_told() -> None:
    families = {"a": "x", "b": "x", "c": "y"}
    assert kinship(["a", "b"], families) == ["All candidates are of the family x."]
    assert kinship(["a", "c"], families) == kinship(["a"], families) == []


# -- prompts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["004", PROMPT, f" {PROMPT.upper()} "])
def test_a_prompt_by_id_or_wording(make: Any, queries: list[Item], text: str) -> None:
    assert one(make().identify([queries[0].path], prompt=text)).method["prompt_used"] == "004"


def test_an_unknown_prompt(make: Any, queries: list[Item]) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean 'made-up scene \d'.*--prompt-free"):
        make().identify([queries[0].path], prompt="made-up scene")
    verdict = one(make(fall_back=True).identify([queries[0].path], prompt="made-up scene"))
    assert verdict.method["prompt_used"] is None
    told = "Compared without the prompt: no prompt is called 'made-up scene'"
    assert any(note.startswith(told) for note in verdict.notes)


def test_a_model_without_references_of_the_prompt(
    make: Any, references: list[Item], queries: list[Item], tmp_path: Path
) -> None:
    kept = [i for i in references if i.prompt_id != "004" or i.model not in ("model-01", "model-03")]
    lacking = gallery_of(tmp_path / "lacking", kept)
    with pytest.raises(NotEnoughReferencesError, match="'004' for model-01, model-03"):
        make(lacking).identify([queries[0].path], prompt="004")
    verdict = one(make(lacking, fall_back=True).identify([queries[0].path], prompt="004"))
    assert verdict.method["prompt_used"] is None
    told = "Compared without the prompt: there is no reference of the prompt '004' for model-01, model-03."
    assert told in verdict.notes
    assert not any("without" in note for note in one(make(lacking).identify([queries[0].path])).notes)


def test_a_method_that_needs_the_prompt(make: Any, queries: list[Item]) -> None:
    with pytest.raises(NotEnoughReferencesError, match="the prompt is not known"):
        make(method="plda").identify([queries[0].path])
    assert one(make(method="plda").identify([queries[0].path], prompt="004")).method["name"] == "plda"


# -- what is refused --------------------------------------------------------------------------------------------------


def test_bad_pictures_do_not_stop_the_others(make: Any, queries: list[Item], tmp_path: Path) -> None:
    bad = [path for name, path in write_hostile(tmp_path / "h").items() if name in BROKEN]
    sources = [*bad, tmp_path / "absent.png", queries[0].path]
    watch = Watch()
    answers = list(make().identify(sources, progress=watch))
    assert [isinstance(answer, Failure) for answer in answers] == [True] * (len(bad) + 1) + [False]
    assert [answer.image for answer in answers] == [str(source) for source in sources]
    assert watch.told[-1] == ("identifying", len(sources), len(sources))


def test_nan_pixels_are_no_picture() -> None:
    with pytest.raises(ArrayError, match="not finite"):
        from_array(np.full((32, 32, 3), np.nan))


def test_an_encoder_that_gives_nan_fails_that_picture_alone(make: Any, queries: list[Item]) -> None:
    class Broken(Texture):
        def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
            out = dict(super().encode(prepared))
            bad = out["colour/mean"].mean(axis=1) == 0
            return {name: np.where(bad[:, None], np.nan, values) for name, values in out.items()}

    black = from_array(np.zeros((96, 96, 3), np.uint8), "black")
    failed, well = make(encoder=Broken()).identify([black, queries[0].path])
    assert isinstance(failed, Failure)
    assert "not finite" in str(failed.error)
    assert isinstance(well, Verdict)


def test_galleries_that_do_not_allow_the_question(
    make: Any, gallery: Gallery, references: list[Item], queries: list[Item], tmp_path: Path
) -> None:
    ask = [queries[0].path]
    with pytest.raises(MissingGalleryError, match="is no gallery"):
        make(tmp_path / "absent").identify(ask)
    with pytest.raises(EmptyGalleryError, match="holds no reference"):
        make(Gallery.create(tmp_path / "empty")).identify(ask)
    alone = gallery_of(tmp_path / "alone", [i for i in references if i.model == "model-02"])
    with pytest.raises(NotEnoughReferencesError, match=r"one model only, model-02\..*morelli check"):
        make(alone).identify(ask)
    with pytest.raises(GalleryMismatchError, match="embeddings of texture, and none of efficientnet-lite0"):
        make(encoder="efficientnet-lite0").identify(ask)
    for stamp in (replace(STAMP, revision="2"), replace(STAMP, preprocessing="other")):
        with pytest.raises(GalleryMismatchError, match="not comparable"):
            make(encoder=Texture(stamp)).identify(ask)
    with pytest.raises(UnknownNameError, match="no encoder is called 'texture'"):
        make(encoder=None).identify(ask)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "fussed"}, "Did you mean 'fused'"),
        ({"encoder": "efficientnet-lit0"}, "Did you mean 'efficientnet-lite0'"),
        ({"epsilon": 0.0}, "between 0 and 1"),
        ({"epsilon": 1.0}, "between 0 and 1"),
        ({"epsilon": float("nan")}, "between 0 and 1"),
    ],
)
def test_options_that_mean_nothing(make: Any, queries: list[Item], options: dict[str, Any], said: str) -> None:
    with pytest.raises((UnknownNameError, InputError), match=said):
        make(**options).identify([queries[0].path])


def test_an_encoder_is_chosen_from_the_gallery_s(
    references: list[Item], queries: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def load(name: str) -> Texture:
        asked.append(name)
        return Texture(replace(STAMP, encoder=name))

    monkeypatch.setattr("morelli._identify.held.load_encoder", load)
    gallery = gallery_of(tmp_path / "g", references[:40], load("b"))
    for held, chosen in (("a", "b"), ("efficientnet-lite0", "efficientnet-lite0")):
        enrol(gallery, Dataset(tmp_path, tuple(references[:40])), load(held))
        verdict = one(
            Identifier(gallery, stability=False, cache=tmp_path / "c", method="euclid").identify([queries[0].path])
        )
        assert verdict.method["encoder"] == asked[-1] == chosen


# -- check ------------------------------------------------------------------------------------------------------------


def test_check_agrees_with_identify(make: Any, queries: list[Item]) -> None:
    for item in queries:
        verdict = one(make().identify([item.path], prompt="004"))
        answers = {m: one(make().check([item.path], m, prompt="004")) for m in scores(verdict)}
        for line in verdict.ranking:
            first = answers[line.model].case_1
            assert first["probability"] == pytest.approx(line.probability)
            assert first["accepted"] == (line.model in verdict.candidates)  # α = 0.9 and ε = 0.1
            assert first["first"] == (line is verdict.ranking[0])
            assert first["known_p_value"] == verdict.p_value
        accepted = [model for model, answer in answers.items() if answer.decision == "yes"]
        assert accepted in ([], [verdict.ranking[0].model])


def test_check_s_json(make: Any, queries: list[Item]) -> None:
    answer = one(make().check([queries[2].path], "model-02", prompt="004")).to_json()
    assert list(answer) == [
        *("image", "sha256", "schema", "version", "model", "family", "decision", "alpha"),
        *("case_1", "case_2", "method", "notes"),
    ]
    assert answer["schema"] == "morelli.check/1"
    assert (answer["model"], answer["family"], answer["alpha"]) == ("model-02", "two", 0.9)
    assert answer["case_2"]["references"] == 2
    assert answer["case_2"]["conformal"]["attainable"] is False
    assert any("2 references cannot refuse anything at α = 0.9: at least 9" in note for note in answer["notes"])
    assert answer["method"]["prompt_used"] == "004"


def test_check_without_the_prompt_takes_all_the_model_s_references(make: Any, queries: list[Item]) -> None:
    own = one(make().check([queries[0].path], "model-00", case="2"))
    assert own.case_1 is None
    assert own.case_2["references"] == 23
    assert (own.method["name"], own.method["k"], own.method["prompt_used"]) == ("case-2", 0, None)
    of_prompt = one(make().check([queries[0].path], "model-00", prompt="004", case="2"))
    assert (of_prompt.method["k"], of_prompt.method["prompt_used"]) == (of_prompt.case_2["references"], "004")
    assert own.case_2["conformal"]["attainable"]
    assert own.decision == ("yes" if own.case_2["conformal"]["accepted"] else "no")
    assert one(make().check([queries[0].path], "model-00", case="1")).case_2 is None


def test_check_with_one_model_in_the_gallery(
    make: Any, references: list[Item], queries: list[Item], tmp_path: Path
) -> None:
    alone = gallery_of(tmp_path / "alone", [i for i in references if i.model == "model-02"])
    answers = list(make(alone).check([item.path for item in queries], "model-02"))
    assert all(isinstance(a, CheckVerdict) and a.case_1 is None and a.case_2 for a in answers)
    with pytest.raises(NotEnoughReferencesError, match="one model only"):
        make(alone).check([queries[0].path], "model-02", case="1")


def test_check_leaves_the_query_s_own_row_out(make: Any, references: list[Item]) -> None:
    query = next(i for i in references if i.model == "model-00" and i.prompt_id == "000")
    answer = one(make().check([query.path], "model-00"))
    assert answer.case_2["references"] == 22
    assert any("very picture" in note for note in answer.notes)
    alone = one(make().check([query.path], "model-00", case="2"))
    assert alone.case_2 == answer.case_2


def test_check_falls_back_where_other_models_lack_the_prompt(
    make: Any, references: list[Item], queries: list[Item], tmp_path: Path
) -> None:
    lacking = gallery_of(
        tmp_path / "lacking", [i for i in references if i.prompt_id != "004" or i.model in ("model-00", "model-01")]
    )
    answer = one(make(lacking).check([queries[0].path], "model-00", prompt="004"))
    assert answer.method["prompt_used"] is None
    assert answer.case_2["references"] == 2
    assert "Compared without the prompt" in answer.notes[0]
    with pytest.raises(NotEnoughReferencesError, match="model-02, model-03"):
        make(lacking).check([queries[0].path], "model-00", prompt="004", case="1")
    none = one(make(lacking).check([queries[0].path], "model-02", prompt="004"))
    assert none.case_2 is None
    assert any(note.startswith("Case 2 was not asked: 0 references of model-02") for note in none.notes)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"model": "model-0"}, "Did you mean 'model-0"),
        ({"model": "model-00", "alpha": 1.0}, "between 0 and 1"),
        ({"model": "model-00", "case": "3"}, "no case is called '3'"),
        ({"model": "model-00", "prompt": "made"}, "no prompt is called"),
    ],
)
def test_check_refuses(make: Any, queries: list[Item], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((UnknownNameError, InputError), match=said):
        make().check([queries[0].path], **arguments)
