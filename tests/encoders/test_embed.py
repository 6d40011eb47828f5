from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.errors import ArrayError, InputError, MissingImageError, UnreadableImageError
from morelli.images.load import Limits, from_array, load_image
from morelli.images.pixels import content_hash
from morelli.types import EncoderStamp
from tests.encoders.toys import STAMP, PickyEncoder, ToyEncoder, flat


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Ten greys 10, 20, … 100 as PNG files."""
    out = []
    for i in range(10):
        path = tmp_path / f"{i}.png"
        Image.fromarray(flat(10 * (i + 1))).save(path)
        out.append(path)
    return out


def test_values_order_and_information(files: list[Path]) -> None:
    found = embed(ToyEncoder(), files, batch=4, workers=3)
    assert found.rows.tolist() == list(range(10))
    assert found.vectors["mean"].dtype == np.float32
    np.testing.assert_array_equal(found.vectors["mean"], np.repeat(10.0 * np.arange(1, 11)[:, None], 3, axis=1))
    np.testing.assert_array_equal(found.vectors["shape"], [[32, 40]] * 10)
    info, picture = found.pictures[7], load_image(files[7])
    assert (info.content, info.sha256, info.format, info.name) == (
        picture.content,
        picture.sha256,
        "PNG",
        str(files[7]),
    )
    assert (info.width, info.height, info.embedded_content, info.side) == (40, 32, info.content, None)
    assert found.errors == []


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 23),
    batch=st.integers(1, 9),
    workers=st.integers(1, 5),
    bad=st.sets(st.integers(0, 22), max_size=6),
)
def test_every_source_is_a_row_or_an_error(n: int, batch: int, workers: int, bad: set[int]) -> None:
    sources = [b"no image" if i in bad else from_array(flat(i + 1)) for i in range(n)]
    encoder, seen = ToyEncoder(), []
    found = embed(
        encoder, sources, batch=batch, workers=workers, progress=lambda done, total: seen.append((done, total))
    )
    good = [i for i in range(n) if i not in bad]
    assert found.rows.tolist() == good
    assert found.vectors["mean"].shape == (len(good), 3)
    assert found.vectors["mean"][:, 0].tolist() == [i + 1 for i in good]
    assert [i for i, _ in found.errors] == sorted(bad & set(range(n)))
    assert seen == [(i + 1, n) for i in range(n)]
    assert max(encoder.batches, default=0) <= batch
    assert len(encoder.batches) == -(-len(good) // batch)


def test_one_bad_file_does_not_stop_the_others(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    sources = [files[0], tmp_path / "absent.png", files[1], tmp_path / "text.png", files[2]]
    found = embed(ToyEncoder(), sources)
    assert found.rows.tolist() == [0, 2, 4]
    assert [(i, type(e)) for i, e in found.errors] == [(1, MissingImageError), (3, UnreadableImageError)]
    with pytest.raises(MissingImageError):
        embed(ToyEncoder(), sources, on_error="raise")


def test_limits_reach_the_loader(files: list[Path]) -> None:
    found = embed(ToyEncoder(), files[:2], limits=Limits(min_side=33))
    assert len(found) == 0
    assert len(found.errors) == 2
    assert found.vectors["mean"].shape == (0, 3)


def test_a_batch_that_is_refused_costs_only_the_culprit() -> None:
    sources = [from_array(flat(v), f"grey {v}") for v in (5, 0, 7, 255, 9)]
    found = embed(PickyEncoder(), sources, batch=5)
    assert found.vectors["mean"][:, 0].tolist() == [5, 7, 9]
    assert [i for i, _ in found.errors] == [1, 3]
    assert all(isinstance(e, ArrayError) for _, e in found.errors)
    assert "not finite" in str(found.errors[1][1])
    assert found.errors[1][1].argument == "grey 255"


def test_values_that_are_not_finite_are_not_cached(tmp_path: Path) -> None:
    cache, white = EmbeddingCache(tmp_path), from_array(flat(255))
    embed(PickyEncoder(), [white], cache=cache)
    assert cache.get(STAMP, [white.content]) == {}


def test_an_encoder_that_breaks_its_stamp_is_no_fault_of_the_pictures() -> None:
    wrong = ToyEncoder(EncoderStamp("toy", "1", "plain", {"mean": 4, "shape": 2}))
    with pytest.raises(ArrayError, match="must give"):
        embed(wrong, [from_array(flat(1)), from_array(flat(2))])


def test_transform_and_both_hashes() -> None:
    picture = from_array(flat(40))
    found = embed(ToyEncoder(), [picture], transform=lambda pixels: pixels[:5] * 2)
    assert found.vectors["mean"].tolist() == [[80, 80, 80]]
    info = found.pictures[0]
    assert info.content == picture.content
    assert info.embedded_content == content_hash(np.full((5, 40, 3), 80, np.uint8))
    assert (info.width, info.height) == (40, 32)
    bad = embed(ToyEncoder(), [picture], transform=lambda pixels: pixels / 255)  # type: ignore[arg-type, return-value]
    assert isinstance(bad.errors[0][1], ArrayError)


def test_the_cache_spares_the_network_and_keeps_the_numbers(files: list[Path], tmp_path: Path) -> None:
    cache, first, second = EmbeddingCache(tmp_path / "c"), ToyEncoder(), ToyEncoder()
    cold = embed(first, files[:6], cache=cache)
    warm = embed(second, files, cache=cache)
    assert first.prepared == 6
    assert (second.prepared, sum(second.batches)) == (4, 4)
    np.testing.assert_array_equal(warm.vectors["mean"][:6], cold.vectors["mean"])
    assert warm.rows.tolist() == list(range(10))
    assert warm.vectors["mean"][:, 0].tolist() == [10 * (i + 1) for i in range(10)]
    # Another preprocessing, another transform: other entries.
    third = ToyEncoder(EncoderStamp("toy", "1", "other", STAMP.dims))
    embed(third, files[:2], cache=cache)
    assert third.prepared == 2
    fourth = ToyEncoder()
    doubled = embed(fourth, files[:2], cache=cache, transform=lambda pixels: pixels + 1)
    assert fourth.prepared == 2
    assert doubled.vectors["mean"][:, 0].tolist() == [11, 21]


def test_side_work_runs_in_the_threads(files: list[Path]) -> None:
    main, names = threading.get_ident(), []

    def work(picture: object) -> int:
        names.append(threading.get_ident())
        return picture.pixels[0, 0, 0]  # type: ignore[attr-defined]

    found = embed(ToyEncoder(), files, side_work=work)
    assert [info.side for info in found.pictures] == [10 * (i + 1) for i in range(10)]
    assert main not in names


def test_memory_is_bounded_however_many_sources() -> None:
    made: list[int] = []
    encoder = ToyEncoder()

    class Lazy(list):
        def __getitem__(self, i: int) -> object:  # type: ignore[override]
            made.append(i)
            return from_array(flat(1 + i % 200))

    ahead = []
    embed(
        encoder,
        Lazy(range(300)),
        batch=8,
        workers=2,
        progress=lambda done, total: ahead.append(len(made) - done),
    )
    assert len(made) == 300
    assert max(ahead) <= 8 + (8 + 2 * 2)  # the batch in hand, and the window before it


def _reading_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("morelli-read")]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_stops_the_threads(stop: type[BaseException]) -> None:
    started: list[int] = []

    def slow(picture: object) -> None:
        started.append(1)
        time.sleep(0.01)

    def progress(done: int, total: int) -> None:
        raise stop

    sources = [from_array(flat(1))] * 500
    with pytest.raises(stop) as caught:
        embed(ToyEncoder(), sources, batch=2, workers=2, progress=progress, side_work=slow)
    count = len(started)
    assert count < 20
    assert _reading_threads() == []  # although the traceback is still held
    assert caught.value is not None
    time.sleep(0.05)
    assert len(started) == count


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"workers": 0}])
def test_numbers_below_one(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        embed(ToyEncoder(), [], **wrong)  # type: ignore[arg-type]


def test_real_pictures(data_dir: Path) -> None:
    files = sorted((data_dir / "visor").rglob("*.png"))[::200]
    assert len(files) > 4
    found = embed(ToyEncoder(), files, batch=3)
    for row, file in enumerate(files):
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"), dtype=np.float64).mean(axis=(0, 1))
        np.testing.assert_allclose(found.vectors["mean"][row], expected, rtol=1e-6)
    assert len({info.content for info in found.pictures}) == len(files)
