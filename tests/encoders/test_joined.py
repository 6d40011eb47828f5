"""Encoders side by side: the parts' vectors under names that tell them apart, and the parts' caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morelli.attribution.bank import view_groups
from morelli.encoders.across import PlacedEncoder, place, placed_like
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.catalogue import REGISTRY, load_encoder
from morelli.encoders.embed import embed
from morelli.encoders.joined import JoinedEncoder
from morelli.enrol import enrol
from morelli.errors import FlatImageError, GalleryMismatchError, InputError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.testing.encoders import check_encoder
from morelli.types import EncoderStamp, Verdict
from tests.encoders.toys import STAMP, ToyEncoder, flat
from tests.engine.fakes import PickledEngine
from tests.evaluation.samples import TextureEncoder

OTHER = replace(STAMP, encoder="hf:some/other", revision="7")


class Spread(ToyEncoder):
    """Minimum and maximum; refuses flat pictures."""

    def __init__(self) -> None:
        super().__init__(replace(STAMP, encoder="spread", dims={"mean": 2}))

    def prepare(self, pixels: Any) -> Any:
        if pixels.min() == pixels.max():
            raise FlatImageError("one colour all over.", argument="pixels")
        self.prepared += 1
        return np.array([pixels.min(), pixels.max()], dtype=np.float32)

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]:
        self.batches.append(len(prepared))
        return {"mean": np.stack(list(prepared))}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A ramp, a picture of one grey, a file that is no picture, another ramp."""
    out = [tmp_path / f"{i}.png" for i in range(4)]
    for number in (0, 3):
        ramp = np.tile(np.arange(40, dtype=np.uint8)[None, :, None] + 10 * number, (32, 1, 3))
        Image.fromarray(ramp).save(out[number])
    Image.fromarray(flat(7)).save(out[1])
    out[2].write_bytes(b"no picture")
    return out


def test_it_keeps_the_contract_of_encoders() -> None:
    joined = JoinedEncoder([ToyEncoder(), ToyEncoder(OTHER)])
    check_encoder(joined)
    assert isinstance(joined, Encoder)


def test_names_of_two_encoders_stay_apart_and_views_stay_groups() -> None:
    views = replace(OTHER, dims={"a/1": 1, "a/2": 1, "b/1": 1})
    stamp = JoinedEncoder([ToyEncoder(), ToyEncoder(views)]).stamp
    assert stamp.encoder == "toy+hf:some/other"
    names = ["toy:mean", "toy:shape", "hf:some_other:a/1", "hf:some_other:a/2", "hf:some_other:b/1"]
    assert list(stamp.dims.items()) == list(zip(names, [3, 2, 1, 1, 1], strict=True))
    assert list(view_groups(names)) == ["toy:mean", "toy:shape", "hf:some_other:a", "hf:some_other:b"]


def test_revision_and_preprocessing_are_of_all_parts() -> None:
    def stamp(**changes: Any) -> Any:
        return JoinedEncoder([ToyEncoder(), ToyEncoder(replace(OTHER, **changes))]).stamp

    usual = stamp()
    assert stamp() == usual
    assert stamp(revision="8").revision != usual.revision
    assert stamp(revision="8").preprocessing == usual.preprocessing
    assert stamp(preprocessing="x").preprocessing != usual.preprocessing
    turned = JoinedEncoder([ToyEncoder(OTHER), ToyEncoder()]).stamp
    assert (turned.encoder, turned.revision == usual.revision) == ("hf:some/other+toy", False)


def test_vectors_are_the_parts_own_and_refused_pictures_have_the_first_error(paths: list[Path]) -> None:
    steps: list[tuple[int, int]] = []
    made = embed(
        JoinedEncoder([ToyEncoder(), Spread()]),
        paths,
        progress=lambda done, total: steps.append((done, total)),
        side_work=lambda picture: picture.name,
    )
    assert made.rows.tolist() == [0, 3]
    assert [(row, type(error).__name__) for row, error in made.errors] == [
        (1, "FlatImageError"),
        (2, "UnreadableImageError"),
    ]
    np.testing.assert_array_equal(made.vectors["toy:shape"], [[32, 40], [32, 40]])
    np.testing.assert_array_equal(made.vectors["spread:mean"], [[0, 39], [30, 69]])
    np.testing.assert_array_equal(made.vectors["toy:mean"][:, 0], [19.5, 49.5])
    assert [info.side for info in made.pictures] == [info.name for info in made.pictures]
    assert steps[-1] == (4, 4)
    assert steps == sorted(steps)
    with pytest.raises(FlatImageError):
        embed(JoinedEncoder([ToyEncoder(), Spread()]), paths[:2], on_error="raise")


def test_what_a_part_embedded_before_is_not_embedded_again(paths: list[Path], tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    alone = embed(ToyEncoder(), paths, cache=cache)
    toy, spread = ToyEncoder(), Spread()
    first = embed(JoinedEncoder([toy, spread]), paths, cache=cache)
    assert (toy.prepared, spread.prepared) == (0, 2)
    again = Spread()
    embed(again, paths, cache=cache)
    assert again.prepared == 0
    np.testing.assert_array_equal(first.vectors["toy:mean"], alone.vectors["mean"][[0, 2]])


def test_a_file_that_changes_between_the_parts_has_no_embedding(paths: list[Path]) -> None:
    class Changing(ToyEncoder):
        def encode(self, prepared: Sequence[Any]) -> Mapping[str, Any]:
            Image.fromarray(flat(99)).save(paths[1])
            return super().encode(prepared)

    made = embed(JoinedEncoder([Changing(), ToyEncoder(OTHER)]), paths[:2])
    assert made.rows.tolist() == [0]
    assert "changed while it was read" in str(made.errors[0][1])


def test_parts_run_on_an_engine_with_their_own_caches(paths: list[Path], tmp_path: Path) -> None:
    cache, engine = EmbeddingCache(tmp_path / "cache"), PickledEngine()
    here = embed(JoinedEncoder([ToyEncoder(), Spread()]), paths)
    placed = place(JoinedEncoder([ToyEncoder(), Spread()]), engine)
    for _ in range(2):
        there = embed(placed, paths, cache=cache)
        assert there.rows.tolist() == here.rows.tolist()
        for name, values in here.vectors.items():
            np.testing.assert_array_equal(there.vectors[name], values)
    assert engine.items
    assert len(cache.contents(ToyEncoder().stamp)) == 3
    assert placed.stamp == JoinedEncoder([ToyEncoder(), Spread()]).stamp
    other = placed_like(placed, ToyEncoder(OTHER))
    assert isinstance(other, PlacedEncoder)
    assert embed(other, paths).rows.tolist() == [0, 1, 3]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY._loaded, "toy", ToyEncoder)
    monkeypatch.setitem(REGISTRY._loaded, "spread", Spread)


@pytest.mark.usefixtures("registered")
def test_specs() -> None:
    joined = load_encoder("toy + spread")
    assert joined.stamp.encoder == "toy+spread"
    assert load_encoder(joined.stamp.encoder).stamp == joined.stamp
    with pytest.raises(UnknownNameError, match="Did you mean 'spread'"):
        load_encoder("toy+spred")
    for bad in ("toy+", "+toy", "+"):
        with pytest.raises(InputError, match="either side"):
            load_encoder(bad)
    with pytest.raises(InputError, match="different encoders"):
        load_encoder("toy+toy")


def test_default_is_the_embedded_network() -> None:
    assert load_encoder("default").stamp == load_encoder("efficientnet-lite0").stamp


class Colour(ToyEncoder):
    """Mean colour alone."""

    def __init__(self, revision: str = "1") -> None:
        super().__init__(EncoderStamp("colour", revision, "plain", {"mean": 3}))

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, Any]:
        return {"mean": super().encode(prepared)["mean"]}


def test_a_gallery_of_a_joined_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY._loaded, "texture", TextureEncoder)
    monkeypatch.setitem(REGISTRY._loaded, "colour", Colour)
    folder = write_dataset(tmp_path / "d", models=3, prompts=5, seeds=2, size=40)
    gallery = Gallery.create(str(tmp_path / "g"))
    enrol(gallery, read_dataset(folder), load_encoder("texture+colour"), copies=0)
    (stamp,) = gallery.stamps()
    assert stamp == load_encoder("texture+colour").stamp
    _, data = gallery.embeddings("texture+colour")
    assert {name: values.shape for name, values in data.vectors.items()} == {
        "texture:fine/std": (30, 6),
        "texture:fine/mean": (30, 3),
        "texture:coarse/std": (30, 6),
        "colour:mean": (30, 3),
    }
    held = embed(Colour(), [next(folder.rglob("*.png"))]).vectors["mean"][0]
    assert (data.vectors["colour:mean"] == held).all(axis=1).sum() == 1
    (verdict,) = Identifier(str(tmp_path / "g"), method="fused").identify([str(next(folder.rglob("*.png")))])
    assert isinstance(verdict, Verdict)
    assert verdict.method["encoder"] == "texture+colour"
    assert {ranked.model for ranked in verdict.ranking} == {"model-00", "model-01", "model-02"}
    with pytest.raises(GalleryMismatchError, match="not comparable"):
        gallery.require(JoinedEncoder([TextureEncoder(), Colour("2")]).stamp)
