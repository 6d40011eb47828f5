"""Attribution by regeneration from picture to verdict: right answers, honest ones, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.enrol import enrol
from morelli.errors import (
    BadGenerationError,
    ConsentError,
    HostError,
    InputError,
    MissingImageError,
    MorelliError,
    NotEnoughReferencesError,
    StorageError,
    UnknownNameError,
)
from morelli.gallery.store import Gallery
from morelli.generators.base import Generated
from morelli.images.dataset import read_dataset
from morelli.images.load import from_array, load_image
from morelli.inversion.base import Inverted
from morelli.inversion.given import GivenInverter
from morelli.regeneration.by_attributor import ByAttributor, read_background
from morelli.regeneration.engine import Regeneration
from morelli.regeneration.pairwise import ClipCosine, Ssim
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.verdicts import Regenerator
from morelli.testing.datasets import write_dataset
from morelli.types import Verdict

from ..generators.fakes import FakeGenerator
from ..test_identify import Texture
from .painters import Grain, Painter, paint, painters, query

STEPS = ("blur:0.4", "crop:0.95")


class Reader:
    """Inverts by a table: the same wrong words for every picture."""

    id = "reader:x"
    revision = "7"

    def invert(self, pixels: object, *, progress: object = None) -> Inverted:
        return Inverted("some other words", "reader", {"similarity": 0.25})


def regenerator(
    tmp_path: Path,
    similarity: Similarity | None = None,
    *,
    prompt: str = "a cat",
    models: Sequence[Painter] | None = None,
    steps: Sequence[str] = STEPS,
    gamma: int = 4,
) -> Regenerator:
    engine = Regeneration(
        models or painters(4), similarity or ByAttributor("fused", Texture()), gamma=gamma, cache=tmp_path
    )
    return Regenerator(engine, GivenInverter(prompt), stability=steps)


def one(answers: object) -> Verdict:
    (answer,) = list(answers)  # type: ignore[call-overload]
    assert isinstance(answer, Verdict)
    return answer


@pytest.mark.parametrize("kind", ["fused", "plda", "clip-cosine"])
def test_it_names_the_model(kind: str, tmp_path: Path) -> None:
    similarity = ClipCosine(Grain()) if kind == "clip-cosine" else ByAttributor(kind, Grain())
    right = 0
    for prompt in ("a cat", "a dog", "a house"):
        asked = regenerator(tmp_path, similarity, prompt=prompt, steps=(), gamma=6)
        for i in range(4):
            verdict = asked.attribute(query(f"model-{i}", prompt))
            right += verdict.ranking[0].model == f"model-{i}"
    assert right >= (8 if kind == "clip-cosine" else 10)  # 3 of 12 by chance


def test_what_a_verdict_says(tmp_path: Path) -> None:
    stages: list[tuple[str, int, int]] = []
    picture = query("model-2", "a cat")
    verdict = one(regenerator(tmp_path).identify([picture], progress=lambda *stage: stages.append(stage)))
    assert verdict.image == "model-2.png"
    assert verdict.sha256 == picture.sha256
    assert len(verdict.ranking) == 4
    assert sum(line.probability for line in verdict.ranking) == pytest.approx(1.0)
    scores = [line.score for line in verdict.ranking]
    assert scores == sorted(scores, reverse=True)
    assert verdict.ranking[0].family == f"family of {verdict.ranking[0].model}"
    assert (verdict.calibrated, verdict.candidates, verdict.p_value, verdict.rejected) == (False, [], None, False)
    assert [each.name for each in verdict.degradations] == list(STEPS)
    assert len(verdict.evidence) == 5
    for each in verdict.evidence:
        seed = next(s for s in range(4) if (load_image(each.reference).pixels == paint(each.model, "a cat", s)).all())
        assert 0 <= seed < 4
    far = [each.distance for each in verdict.evidence]
    assert far == sorted(far)
    method = dict(verdict.method)
    seconds = method.pop("seconds")
    assert set(seconds) == {"invert", "generate", "embed", "score"}
    assert all(value >= 0 for value in seconds.values())
    assert seconds["generate"] > 0
    assert method == {
        "name": "regeneration",
        "encoder": "texture",
        "encoder_revision": "1",
        "gallery": None,
        "gallery_version": None,
        "k": 4,
        "prompt_used": "a cat",
        "inverter": "given",
        "inverter_revision": "",
        "inversion": {},
        "gamma": 4,
        "seed": 0,
        "similarity": "fused",
        "generators": [
            {"id": f"painter:model-{i}", "model": f"model-{i}", "revision": "r1", "host": None} for i in range(4)
        ],
    }
    assert stages[0] == ("regenerating, γ = 4, 4 models", 1, 16)
    assert stages[-1][1:] == (16, 16)
    assert any(note.startswith("Not calibrated: probabilities") for note in verdict.notes)
    assert not any("size" in note for note in verdict.notes)


def test_without_calibration_every_degradation_must_agree(tmp_path: Path) -> None:
    """The rules of every other verdict: unanimity decides, one dissent or no test does not."""
    seen = set()
    for i in range(4):
        for seed in range(1000, 1006):
            steps = STEPS if seed % 2 else ("blur:1.2", "noise:30")
            asked = regenerator(tmp_path, ClipCosine(Grain()), steps=steps)
            verdict = asked.attribute(query(f"model-{i}", "a cat", seed))
            agrees = all(each.model == verdict.ranking[0].model for each in verdict.degradations)
            assert verdict.agreement == np.mean([e.model == verdict.ranking[0].model for e in verdict.degradations])
            assert verdict.decision == (verdict.ranking[0].model if agrees else "unsure")
            seen.add(agrees)
    assert seen == {True, False}
    untested = regenerator(tmp_path, steps=()).attribute(query("model-1", "a cat"))
    assert (untested.decision, untested.agreement) == ("unsure", None)
    assert "neither a calibration nor a stability test" in untested.notes[0]


def test_a_background_calibrates_only_a_given_prompt(tmp_path: Path) -> None:
    gallery = Gallery.create(tmp_path / "g")
    enrol(gallery, read_dataset(write_dataset(tmp_path / "d", models=4, prompts=8, seeds=3, size=48)), Texture())
    similarity = ByAttributor("fused", Texture(), read_background(gallery, Texture()), folder=tmp_path)
    engine = Regeneration(painters(3), similarity, gamma=2, cache=tmp_path)
    given = Regenerator(engine, GivenInverter("a cat")).attribute(query("model-0", "a cat"))
    assert given.calibrated
    assert given.p_value is not None
    assert given.method["gallery"] == gallery.path
    assert given.method["gallery_version"] == gallery.version
    inverted = Regenerator(engine, Reader()).attribute(query("model-0", "a cat"))
    assert (inverted.calibrated, inverted.candidates, inverted.p_value) == (False, [], None)
    assert any("this query's prompt was inverted" in note for note in inverted.notes)
    assert inverted.method["prompt_used"] == "some other words"
    assert inverted.method["inverter"] == "reader:x"
    assert inverted.method["inversion"] == {"similarity": 0.25}


def test_further_prompts_of_an_inverter_are_asked_for_too(tmp_path: Path) -> None:
    class Unsure(Reader):
        def invert(self, pixels: Any, *, progress: Any = None) -> Inverted:
            return Inverted("a dog", "reader", others=("a cat",))

    engine = Regeneration(painters(3), ClipCosine(Grain()), gamma=3, cache=tmp_path)
    verdict = Regenerator(engine, Unsure()).attribute(query("model-0", "a cat"))
    assert verdict.method["prompt_used"] == "a dog"
    assert verdict.method["inversion"] == {"other_prompts": ["a cat"]}
    made = {(prompt, seed) for each in engine.generators for prompt, seed in each.made}
    assert made == {("a dog", 0), ("a dog", 1), ("a cat", 0)}


def test_the_query_itself_is_no_evidence(tmp_path: Path) -> None:
    verdict = regenerator(tmp_path).attribute(query("model-3", "a cat", 2))
    assert any("model-3 makes this very picture of the prompt with the seed 2" in note for note in verdict.notes)
    pixels = paint("model-3", "a cat", 2)
    assert not any((load_image(each.reference).pixels == pixels).all() for each in verdict.evidence)


def test_another_size_is_told(tmp_path: Path) -> None:
    picture = from_array(paint("model-0", "a cat", 99, 60))
    verdict = regenerator(tmp_path, Ssim()).attribute(picture)
    assert any("60×60" in note for note in verdict.notes)
    assert verdict.method["encoder"] is None


def test_candidates_serve_every_query_of_their_prompt(tmp_path: Path) -> None:
    models = painters(2)
    asked = regenerator(tmp_path, models=models)
    list(asked.identify([query("model-0", "a cat"), query("model-1", "a cat")]))
    assert models[0].made == [("a cat", seed) for seed in range(4)]


class Refusing(Painter):
    """Fails, for ever or for one prompt."""

    def __init__(self, error: MorelliError) -> None:
        super().__init__("refusing")
        self.error = error

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        raise self.error


def test_a_picture_that_fails_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    sources = [tmp_path / "gone.png", query("model-0", "a cat"), tmp_path / "text.png"]
    answers = list(regenerator(tmp_path).identify(sources))
    assert isinstance(answers[0], MissingImageError)
    assert isinstance(answers[1], Verdict)
    assert isinstance(answers[2], InputError)
    bad = Refusing(BadGenerationError("gave a blank image.", argument="painter:refusing"))
    (answer,) = regenerator(tmp_path, models=[*painters(2), bad]).identify([query("model-0", "a cat")])
    assert isinstance(answer, BadGenerationError)


@pytest.mark.parametrize("error", [HostError("is away.", argument="x"), StorageError("is full.", argument="x")])
def test_what_would_fail_every_picture_ends_the_run(error: MorelliError, tmp_path: Path) -> None:
    models = [*painters(1), Refusing(error)]
    with pytest.raises(type(error)):
        list(regenerator(tmp_path, models=models).identify([query("model-0", "a cat")] * 2))
    fresh = painters(1)
    assert regenerator(tmp_path, models=[*fresh, Painter("b")]).attribute(query("b", "a cat"))
    assert fresh[0].made == []  # what was made before is kept


def test_what_is_refused_at_once(tmp_path: Path) -> None:
    similarity = ClipCosine(Grain())
    with pytest.raises(NotEnoughReferencesError, match="here is 1"):
        Regeneration(painters(1), similarity)
    with pytest.raises(InputError, match="called 'model-0'"):
        Regeneration([*painters(2), Painter("model-0")], similarity)
    with pytest.raises(InputError, match="at least 2 candidates a model, and γ is 1"):
        Regeneration(painters(2), ByAttributor("fused", Grain()), gamma=1)
    with pytest.raises(InputError, match="at least 1"):
        Regeneration(painters(2), similarity, gamma=0)
    away = FakeGenerator("away")
    away.hosted, away.host = True, "example.org"
    with pytest.raises(ConsentError, match=r"example\.org") as caught:
        Regeneration([*painters(2), away], similarity)
    assert "--yes-send" in str(caught.value)
    engine = Regeneration([*painters(2), away], similarity, allow_send=True)
    assert len(engine.generators) == 3
    for bad, kind in ((0.0, InputError), (1.0, InputError)):
        with pytest.raises(kind, match="between 0 and 1"):
            Regenerator(engine, GivenInverter("p"), epsilon=bad)
    with pytest.raises(UnknownNameError, match="Did you mean 'blur'"):
        Regenerator(engine, GivenInverter("p"), stability=("blurr:1",))
