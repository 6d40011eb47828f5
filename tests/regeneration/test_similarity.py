"""Measures of likeness: by hand, against attributors called directly, and their catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from morelli.attribution.likelihood import Fused, Plda
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.encoders.transformers_vision import TransformersEncoder
from morelli.enrol import enrol
from morelli.errors import GalleryMismatchError, InputError, UnknownNameError, WeightsError
from morelli.gallery.store import Gallery
from morelli.generators.base import Generated
from morelli.generators.zoo import manifest
from morelli.images.dataset import read_dataset
from morelli.images.load import from_array, load_image
from morelli.regeneration.by_attributor import ByAttributor, read_background
from morelli.regeneration.candidates import Candidates, regenerate
from morelli.regeneration.catalogue import load_similarity, similarity_names
from morelli.regeneration.pairwise import ClipCosine, Hybrid, Ssim
from morelli.regeneration.similarity import Similarity
from morelli.regeneration.ssim import ssim
from morelli.regeneration.stopwatch import Stopwatch
from morelli.testing.datasets import write_dataset
from morelli.types import LabelledEmbeddings

from ..generators.fakes import FakeGenerator
from ..inversion.checkpoints import save_clip
from ..test_identify import Texture
from .painters import Angle, Grain, paint, painters, query


class Flat(FakeGenerator):
    """Each seed is a direction in the plane of red and green, a little grain on it."""

    def __init__(self, model: str, degrees: list[float]) -> None:
        super().__init__(model)
        self.degrees = degrees

    def _one(self, prompt: str, seed: int) -> Generated:
        pixels = flat(self.degrees[seed], seed)
        return Generated(pixels, self.model, self.family, self.revision, prompt, seed, {})


def flat(degrees: float, seed: int = 0) -> NDArray[np.uint8]:
    """A square whose mean red and green lie at that angle, with length 200."""
    red, green = 200 * np.cos(np.radians(degrees)), 200 * np.sin(np.radians(degrees))
    out = np.empty((40, 40, 3))
    out[:] = [red, green, 100]
    out[:, ::2] += 3 + seed
    out[:, 1::2] -= 3 + seed
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


@pytest.fixture
def angles(tmp_path: Path) -> Candidates:
    return regenerate([Flat("near", [30, 40]), Flat("far", [60, 70])], "p", 2, tmp_path / "regenerated")


def test_cosines_by_hand(angles: Candidates) -> None:
    watch = Stopwatch()
    forms = [from_array(flat(20)), from_array(flat(65))]
    found = ClipCosine(Angle()).compare(forms, angles, watch)

    def cos(*degrees: float) -> float:
        return float(np.mean(np.cos(np.radians(degrees))))

    # Columns are sorted by name: far, near.
    wanted = [[cos(40, 50), cos(10, 20)], [cos(5, 5), cos(35, 25)]]
    np.testing.assert_allclose(found.scores, wanted, atol=0.005)
    np.testing.assert_allclose(found.distances, [1 - cos(d) for d in (10, 20, 40, 50)], atol=0.005)
    assert found.calibration is None
    assert watch.seconds["embed"] > 0
    assert watch.seconds["generate"] == 0


def test_ssim_and_hybrid(tmp_path: Path) -> None:
    candidates = regenerate(painters(2), "p", 2, tmp_path)
    asked = [query("model-0", "p"), from_array(paint("model-1", "p", 7, 60))]
    by_ssim = Ssim().compare(asked, candidates, Stopwatch())
    one = [ssim(asked[0].pixels, paint(image.model, "p", image.seed)) for image in candidates.images]
    np.testing.assert_allclose(by_ssim.scores[0], [np.mean(one[:2]), np.mean(one[2:])])
    np.testing.assert_allclose(by_ssim.distances, 1 - np.array(one))
    assert np.isfinite(by_ssim.scores[1]).all()  # another size
    cosine = ClipCosine(Grain())
    by_cosine = cosine.compare(asked, candidates, Stopwatch())
    both = Hybrid(cosine).compare(asked, candidates, Stopwatch())
    np.testing.assert_allclose(both.scores, (by_cosine.scores + by_ssim.scores) / 2)
    third = Hybrid(cosine, 0.25).compare(asked, candidates, Stopwatch())
    np.testing.assert_allclose(third.scores, 0.75 * by_cosine.scores + 0.25 * by_ssim.scores)
    for each in (Ssim(), cosine, Hybrid(cosine), ByAttributor("fused", Grain())):
        assert isinstance(each, Similarity)


def references(candidates: Candidates, prompt: str = "p") -> LabelledEmbeddings:
    vectors = embed(Texture(), [image.path for image in candidates.images]).vectors
    return LabelledEmbeddings(vectors, candidates.labels, np.full(len(candidates.images), prompt), candidates.labels)


@pytest.mark.parametrize(("name", "kind"), [("fused", Fused), ("plda", Plda)])
def test_an_attributor_without_a_background(name: str, kind: type[Fused], tmp_path: Path) -> None:
    candidates = regenerate(painters(3), "p", 4, tmp_path)
    asked = [query("model-2", "p"), query("model-0", "p")]
    similarity = ByAttributor(name, Texture(), folder=tmp_path)
    found = similarity.compare(asked, candidates, Stopwatch())
    direct = kind().fit(None).scores(embed(Texture(), asked).vectors, references(candidates), "p")
    np.testing.assert_allclose(found.scores, direct)
    assert found.calibration is None
    assert (similarity.least, similarity.gallery) == (2, None)
    assert found.distances.shape == (12,)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Eight prompts by other models than the painters."""
    folder = tmp_path_factory.mktemp("g")
    held = Gallery.create(folder / "g")
    enrol(held, read_dataset(write_dataset(folder / "d", models=4, prompts=8, seeds=3, size=48)), Texture())
    return held


def test_an_attributor_with_a_background(gallery: Gallery, tmp_path: Path) -> None:
    candidates = regenerate(painters(3), "p", 2, tmp_path)
    asked = [query("model-1", "p")]
    background = read_background(gallery.path, Texture())
    learnt: list[int] = []
    similarity = ByAttributor("fused", Texture(), background, folder=tmp_path, on_learn=lambda: learnt.append(1))
    found = similarity.compare(asked, candidates, Stopwatch())
    direct = Fused().fit(background.data).scores(embed(Texture(), asked).vectors, references(candidates), "p")
    np.testing.assert_allclose(found.scores, direct, rtol=1e-6)
    assert found.calibration is not None
    assert (similarity.least, similarity.gallery) == (1, (gallery.path, gallery.version))
    again = ByAttributor("fused", Texture(), background, folder=tmp_path, on_learn=lambda: learnt.append(1))
    np.testing.assert_allclose(again.compare(asked, candidates, Stopwatch()).scores, found.scores, rtol=1e-6)
    assert learnt == [1]  # kept on disk


def test_a_query_that_is_in_the_background_is_left_out(gallery: Gallery, tmp_path: Path) -> None:
    candidates = regenerate(painters(3), "p", 2, tmp_path)
    background = read_background(gallery.path, Texture())
    row = 5
    known = background.references[row]
    path = Path(gallery.path).parent / "d" / known.name
    asked = [load_image(path)]
    found = ByAttributor("fused", Texture(), background, folder=tmp_path).compare(asked, candidates, Stopwatch())
    whole = Fused().fit(background.data)
    vectors = embed(Texture(), asked).vectors
    plain = whole.scores(vectors, references(candidates), "p")
    assert not np.allclose(found.scores, plain)
    kept = Fused().fit(background.data.take(np.arange(len(background.data)) != row))
    kept.weights_ = dict(whole.weights_)
    np.testing.assert_allclose(found.scores, kept.scores(vectors, references(candidates), "p"), rtol=1e-6)
    assert "This very picture is a reference of" in found.notes[0]


def test_an_attributor_of_another_kind(tmp_path: Path) -> None:
    candidates = regenerate(painters(2), "p", 1, tmp_path)
    similarity = ByAttributor("euclid", Grain(), cache=EmbeddingCache(tmp_path))
    found = similarity.compare([query("model-0", "p")], candidates, Stopwatch())
    assert similarity.least == 1
    np.testing.assert_allclose(found.distances, -found.scores[0], rtol=1e-4)  # one candidate a model: its centroid


def test_the_catalogue(tmp_path: Path, gallery: Gallery) -> None:
    assert similarity_names()[:3] == ("clip-cosine", "ssim", "hybrid")
    assert {"fused", "plda"} <= set(similarity_names())
    clip = save_clip(tmp_path / "clip")
    made = load_similarity("clip-cosine", encoder=str(clip), cache=tmp_path)
    assert made.stamp == TransformersEncoder(str(clip), ["projected"]).stamp
    layered = load_similarity("hybrid", encoder=f"{clip}@block1/mean", cache=tmp_path)
    assert layered.stamp is not None
    assert list(layered.stamp.dims) == ["block1/mean"]
    assert load_similarity("ssim").stamp is None
    assert load_similarity("plda", encoder=Texture(), gallery=gallery.path).gallery == (gallery.path, gallery.version)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"name": "clip-cosin"}, UnknownNameError, "Did you mean 'clip-cosine'"),
        ({"name": "ssim", "encoder": "toy"}, InputError, "without an encoder"),
        ({"name": "ssim", "gallery": "g"}, InputError, "learns nothing from a gallery"),
        ({"name": "fused", "encoder": "efficientnet-lite9"}, UnknownNameError, "Did you mean"),
        ({"name": "clip-cosine", "encoder": "./nowhere"}, WeightsError, "no such folder"),
    ],
)
def test_bad_choices(options: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        load_similarity(**options)


def test_a_gallery_of_another_encoder(gallery: Gallery) -> None:
    with pytest.raises(GalleryMismatchError):
        load_similarity("fused", encoder=Grain(), gallery=gallery.path)


def test_the_zoo_s_own_clip_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "read_manifest", lambda: manifest.Manifest(tmp_path, {}, {}))
    with pytest.raises(WeightsError, match="carries no clip of the zoo"):
        load_similarity("clip-cosine")
    save_clip(tmp_path / "clip")
    files = manifest.list_files(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"schema": manifest.SCHEMA, "models": {}, "files": files}))
    monkeypatch.undo()
    found = manifest.read_manifest(tmp_path)
    monkeypatch.setattr(manifest, "read_manifest", lambda: found)
    made = load_similarity("clip-cosine", cache=tmp_path)
    assert made.stamp is not None
    assert made.stamp.encoder == f"{tmp_path / 'clip'}@projected"
