"""Pictures embedded by workers: the vectors, the records, the errors and the cache are those of one process."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morelli.encoders.across import PlacedEncoder, place, placed_like
from morelli.encoders.base import Encoder
from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import Embedded, embed
from morelli.engine.base import Engine
from morelli.engine.local import LocalEngine
from morelli.enrol import enrol
from morelli.errors import ArrayError, InputError, MorelliError, WorkerLostError, WorkFailedError
from morelli.gallery.store import Gallery
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.testing.encoders import check_encoder

from ..encoders.toys import PickyEncoder, ToyEncoder, flat
from .fakes import PickledEngine
from .work import CrashingEncoder


def files(folder: Path, greys: list[int | None]) -> list[Path]:
    """Pictures of one grey; None is a file that is no picture."""
    paths = []
    for number, grey in enumerate(greys):
        path = folder / f"{number}.png"
        if grey is None:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(flat(grey, width=40 + number)).save(path)
        paths.append(path)
    return paths


def same(one: Embedded, other: Embedded) -> None:
    assert list(one.vectors) == list(other.vectors)
    for name, values in one.vectors.items():
        np.testing.assert_array_equal(values, other.vectors[name])
        assert values.dtype == other.vectors[name].dtype == np.float32
    np.testing.assert_array_equal(one.rows, other.rows)
    assert one.pictures == other.pictures
    assert [(i, type(e), str(e)) for i, e in one.errors] == [(i, type(e), str(e)) for i, e in other.errors]


def double(pixels: Any) -> Any:
    return np.minimum(pixels, 127) * 2


GREYS = [3, None, 5, 0, 9, 255, 3, 80, 81, None, 83, 84]


@pytest.mark.parametrize("batch", [1, 4, 5, 16])
def test_as_in_one_process(batch: int, tmp_path: Path) -> None:
    paths, engine, steps = files(tmp_path, GREYS), PickledEngine(), []
    here = embed(PickyEncoder(), paths, batch=batch, transform=double)
    there = embed(
        place(PickyEncoder(), engine),
        paths,
        batch=batch,
        transform=double,
        progress=lambda done, total: steps.append((done, total)),
    )
    same(there, here)
    assert [i for i, _ in here.errors] == [1, 3, 9]  # no pictures, and a black one that the encoder refuses
    assert steps == [(i, 12) for i in range(1, 13)]
    assert [len(part) for part in engine.items] == [batch] * (12 // batch) + ([12 % batch] if 12 % batch else [])


def test_nothing_to_embed() -> None:
    made = embed(place(ToyEncoder(), PickledEngine()), [])
    assert len(made) == 0
    assert made.vectors["mean"].shape == (0, 3)


def test_what_the_cache_has_is_not_embedded_and_what_is_new_goes_in(tmp_path: Path) -> None:
    paths, cache = files(tmp_path, GREYS), EmbeddingCache(tmp_path / "c")
    first = embed(place(ToyEncoder(), PickledEngine()), paths[:7], cache=cache, batch=3)
    encoder = ToyEncoder()
    again = embed(place(encoder, PickledEngine()), paths, cache=cache, batch=3)
    # Of the first seven all that are pictures are known; of the last five four are pictures.
    assert encoder.prepared == 4
    same(again, embed(ToyEncoder(), paths))
    assert len(first) == 6
    local = ToyEncoder()
    same(embed(local, paths, cache=cache), again)
    assert local.prepared == 0


def test_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    paths, cache = files(tmp_path, [1, 2, 3, 4]), EmbeddingCache(tmp_path / "c")
    whole = embed(place(ToyEncoder(), PickledEngine()), paths, cache=cache)
    cache.close()
    with sqlite3.connect(cache.path(ToyEncoder().stamp)) as file:
        content = whole.pictures[2].content
        file.execute("UPDATE embeddings SET vectors = ? WHERE content = ?", (b"x" * 28, content))
    encoder = ToyEncoder()
    same(embed(place(encoder, PickledEngine()), paths, cache=cache, batch=2), whole)
    assert encoder.prepared == 1
    assert content in cache.get(ToyEncoder().stamp, [content])


def test_only_the_picture_that_kills_its_worker_is_lost(tmp_path: Path) -> None:
    paths = files(tmp_path, [1, 2, 3, 4, 5, 6])
    engine = PickledEngine(loses=lambda part: paths[3] in part)
    made = embed(place(ToyEncoder(), engine), paths, batch=3)
    assert made.rows.tolist() == [0, 1, 2, 4, 5]
    assert [(i, type(error)) for i, error in made.errors] == [(3, WorkerLostError)]
    assert [len(part) for part in engine.items] == [3, 3, 1, 1, 1]
    with pytest.raises(WorkerLostError):
        embed(place(ToyEncoder(), engine), paths, batch=3, on_error="raise")


def test_a_broken_encoder_ends_the_work_as_it_would_here(tmp_path: Path) -> None:
    class Broken(ToyEncoder):
        def encode(self, prepared: Any) -> Any:
            return {"mean": np.zeros((1, 99), np.float32)}

    for encoder in (Broken(), place(Broken(), PickledEngine())):
        with pytest.raises(ArrayError, match="must give"):
            embed(encoder, files(tmp_path, [1, 2]))
    with pytest.raises(InputError, match="1 or more"):
        embed(place(ToyEncoder(), PickledEngine()), [], batch=0)


def test_placed_encoders_keep_the_contract() -> None:
    engine = PickledEngine()
    placed = place(ToyEncoder(), engine)
    assert isinstance(placed, PlacedEncoder)
    assert isinstance(placed, Encoder)
    check_encoder(placed)
    plain = ToyEncoder()
    assert place(plain, LocalEngine()) is plain
    assert place(plain, None) is plain
    assert placed_like(plain, placed) is placed
    assert placed_like(placed, plain).engine is engine


def test_a_gallery_is_the_same_wherever_it_was_made(tmp_path: Path) -> None:
    dataset = read_dataset(write_dataset(tmp_path / "d", models=3, prompts=2, seeds=2, size=40))
    engine = PickledEngine()
    made = []
    for name, encoder in (("here", ToyEncoder()), ("there", place(ToyEncoder(), engine))):
        gallery = Gallery.create(tmp_path / name)
        report = enrol(gallery, dataset, encoder, copies=4)
        references, data = gallery.embeddings("toy")
        thumbnails = [gallery.thumbnail(r.content) for r in references]
        made.append((report, references, thumbnails, data))
    (report, references, thumbnails, here), (also, others, pictures, there) = made
    assert report == also
    assert references == others
    assert thumbnails == pictures
    for name in here.vectors:
        np.testing.assert_array_equal(here.vectors[name], there.vectors[name])
        assert here.degraded is not None
        assert there.degraded is not None
        np.testing.assert_array_equal(here.degraded.vectors[name], there.degraded.vectors[name])
    assert len(engine.items) > 2  # it was the engine that read, embedded and degraded


@pytest.mark.slow
def test_on_ray_as_in_one_process(ray_engine: Engine, tmp_path: Path) -> None:
    paths = files(tmp_path, GREYS)
    cache = EmbeddingCache(tmp_path / "c")
    for _ in range(2):  # without what the cache has, and with it
        there = embed(place(PickyEncoder(), ray_engine), paths, batch=4, cache=cache, transform=double)
        same(there, embed(PickyEncoder(), paths, transform=double))


@pytest.mark.slow
def test_on_ray_a_crash_and_a_foreign_error_cost_one_picture_each(ray_engine: Engine, tmp_path: Path) -> None:
    paths = files(tmp_path, [7, 0, 9, 255])
    made = embed(place(CrashingEncoder(), ray_engine), paths, batch=2)
    assert made.rows.tolist() == [0, 2]
    assert [(i, type(error)) for i, error in made.errors] == [(1, WorkerLostError), (3, WorkFailedError)]
    assert isinstance(made.errors[1][1], MorelliError)
    assert "out of white" in made.errors[1][1].message
