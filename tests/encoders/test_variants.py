"""Pictures and their degraded copies in one run; a batch spread over threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from morelli.encoders.cache import EmbeddingCache
from morelli.encoders.embed import embed
from morelli.encoders.split import SplitEncoder
from morelli.encoders.variants import Variants, embed_variants, source_name
from morelli.errors import ArrayError, MissingImageError, MorelliError, TruncatedImageError
from morelli.images.degrade import degrade, parse
from morelli.images.load import from_array, load_image

from .toys import PickyEncoder, ToyEncoder, flat

STEPS = ("blur:2", "noise:30")


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return paths


def test_each_copy_is_what_its_degradation_makes(files: list[Path]) -> None:
    toy = ToyEncoder()
    made = list(embed_variants(toy, files, [parse(step) for step in STEPS]))
    for path, variants in zip(files, made, strict=True):
        assert isinstance(variants, Variants)
        pixels = load_image(path).pixels
        assert variants.info.content == load_image(path).content
        means = [p.mean(axis=(0, 1)) for p in (pixels, *(degrade(pixels, step) for step in STEPS))]
        np.testing.assert_allclose(variants.vectors["mean"], means, rtol=1e-6)
    assert toy.batches == [3, 3, 3]


def test_without_degradations_it_is_embed(files: list[Path]) -> None:
    made = [v for v in embed_variants(ToyEncoder(), files) if isinstance(v, Variants)]
    expected = embed(ToyEncoder(), files)
    assert [v.info for v in made] == expected.pictures
    assert np.array_equal(np.concatenate([v.vectors["mean"] for v in made]), expected.vectors["mean"])


def test_a_bad_source_gives_its_error_in_its_place(files: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(files[0].read_bytes()[:400])
    black, white = from_array(flat(0), "black"), from_array(flat(255), "white")
    made = list(embed_variants(PickyEncoder(), [cut, files[0], black, tmp_path / "no.png", white, files[1]]))
    kinds = [type(each) for each in made]
    assert kinds == [TruncatedImageError, Variants, ArrayError, MissingImageError, ArrayError, Variants]


def test_nothing_to_do() -> None:
    assert list(embed_variants(ToyEncoder(), [])) == []


def test_the_cache_knows_the_copies(files: list[Path], tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "c")
    steps = [parse(step) for step in STEPS]
    first = list(embed_variants(ToyEncoder(), files, steps, cache))
    toy = ToyEncoder()
    second = list(embed_variants(toy, files, steps, cache))
    assert toy.batches == []
    for a, b in zip(first, second, strict=True):
        assert isinstance(a, Variants)
        assert isinstance(b, Variants)
        assert np.array_equal(a.vectors["mean"], b.vectors["mean"])


def test_what_sources_are_called() -> None:
    assert source_name(Path("a") / "b.png") == "a/b.png"
    assert source_name("c.png") == "c.png"
    assert source_name(b"x") == "bytes"
    assert source_name(from_array(flat(1), "mine")) == "mine"


class Threads(ToyEncoder):
    """Notes how many threads torch would use."""

    def encode(self, prepared: Sequence[Any]) -> Mapping[str, NDArray[np.float32]]:
        import torch

        self.seen = torch.get_num_threads()
        return super().encode(prepared)


@pytest.mark.parametrize(("workers", "count", "parts"), [(2, 5, [2, 3]), (8, 3, [1, 1, 1]), (1, 4, [4])])
def test_a_split_batch_gives_the_same_in_order(workers: int, count: int, parts: list[int]) -> None:
    import torch

    toy = Threads()
    prepared = [np.arange(5.0) + i for i in range(count)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = SplitEncoder(toy, workers).encode(prepared)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert toy.seen == 1
    assert sorted(toy.batches) == parts
    expected = ToyEncoder().encode(prepared)
    assert list(made) == list(expected)
    assert all(np.array_equal(made[name], expected[name]) for name in expected)


def test_a_split_encoder_passes_errors_on_and_restores_the_threads() -> None:
    import torch

    before = torch.get_num_threads()
    with pytest.raises(MorelliError, match="black"):
        SplitEncoder(PickyEncoder(), 2).encode([np.zeros(5), np.ones(5)])
    assert torch.get_num_threads() == before


def test_the_embedded_encoder_split_is_itself() -> None:
    from morelli.encoders.embedded import lite0

    encoder = lite0()
    rng = np.random.default_rng(0)
    prepared = [encoder.prepare(rng.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(3)]
    split = SplitEncoder(encoder, 2)
    assert split.stamp == encoder.stamp
    made, expected = split.encode(prepared), encoder.encode(prepared)
    for name, values in expected.items():
        np.testing.assert_allclose(made[name], values, rtol=1e-3, atol=1e-3)
