"""The tool that reads pictures: its arithmetic by hand, its training's resume, and its weights on new scenes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from training.zoo import reader, reader_data, reader_train

from morelli.errors import InputError, WeightsError
from morelli.generators.zoo.world import COLOURS, SHAPES, draw, parse_caption, placed_objects, prompts

TWO = "two red circles left of one blue star on sand at dusk"
ONE = "three white hearts on paper in daylight"


def reading(*pictures: dict[str, tuple[int, str, tuple[float, float]]]) -> reader.Reading:
    """A reading written by hand: for each picture, shape to (count, colour, centroid)."""
    n = len(pictures)
    out = reader.Reading(
        np.zeros((n, 8), np.int64),
        np.zeros((n, 8), np.int64),
        np.zeros((n, 8), np.int64),
        np.zeros((n, 8, 2), np.float32),
    )
    for i, picture in enumerate(pictures):
        for shape, (count, colour, centroid) in picture.items():
            k = SHAPES.index(shape)
            out.counts[i, k], out.colours[i, k], out.centroids[i, k] = count, COLOURS.index(colour), centroid
    return out


CIRCLES = (2, "red", (0.2, 0.5))
STAR = (1, "blue", (0.7, 0.6))
HEARTS = (3, "white", (0.5, 0.5))
RIGHT = {"circle": CIRCLES, "star": STAR}


@pytest.mark.parametrize(
    ("first", "second", "want"),
    [
        (RIGHT, {"heart": HEARTS}, (1, 1, 1, 1)),
        ({**RIGHT, "ring": (1, "red", (0.1, 0.1))}, {"heart": HEARTS}, (1 / 2, 1, 1, 1)),  # one shape too many
        ({"circle": CIRCLES}, {"heart": HEARTS}, (1 / 2, 2 / 3, 2 / 3, 0)),  # the star is missing
        ({**RIGHT, "star": (1, "cyan", (0.7, 0.6))}, {"heart": HEARTS}, (1, 2 / 3, 1, 1)),
        ({**RIGHT, "circle": (3, "red", (0.2, 0.5))}, {"heart": HEARTS}, (1, 1, 2 / 3, 1)),
        ({**RIGHT, "star": (1, "blue", (0.3, 0.9))}, {"heart": HEARTS}, (1, 1, 1, 0)),  # further below than right
        (RIGHT, {}, (1 / 2, 2 / 3, 2 / 3, 1)),  # nothing is seen in the second picture
    ],
)
def test_agreement_by_hand(
    monkeypatch: pytest.MonkeyPatch, first: dict, second: dict, want: tuple[float, float, float, float]
) -> None:
    monkeypatch.setattr(reader, "read", lambda images, net=None: reading(first, second))
    got = reader.agreement(np.zeros((2, 64, 64, 3), np.uint8), [TWO, ONE])
    assert list(got) == ["objects", "colours", "counts", "relations"]
    assert list(got.values()) == pytest.approx(want)


def test_without_pairs_there_is_no_relation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "read", lambda images, net=None: reading({"heart": HEARTS}))
    assert math.isnan(reader.agreement(np.zeros((1, 64, 64, 3), np.uint8), [ONE])["relations"])


@pytest.mark.parametrize(
    ("shift", "want"),
    [((-0.3, 0.1), "left of"), ((0.3, -0.2), "right of"), ((0.1, -0.3), "above"), ((-0.2, 0.25), "below")],
)
def test_the_larger_displacement_decides(shift: tuple[float, float], want: str) -> None:
    centre = np.array([0.5, 0.5], np.float32)
    assert reader.relation_between(centre + np.array(shift, np.float32), centre) == want


def test_bad_input_is_named(tmp_path: Path) -> None:
    images = np.zeros((2, 64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="1 prompts for 2 pictures"):
        reader.agreement(images, [ONE])
    with pytest.raises(InputError, match="word 1, 'many'"):
        reader.agreement(images[:1], ["many stars on sand at dusk"])
    with pytest.raises(InputError, match="must be pictures"):
        reader.read(images[:, :32])
    with pytest.raises(InputError, match="must be pictures"):
        reader.read(images.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="there is no reader"):
        reader.load_reader(tmp_path / "none.safetensors")


def test_the_truth_that_the_reader_learns_is_the_scenes() -> None:
    batch = reader_data.make_batch("train", 6, 3, spoiled=False)
    again = reader_data.make_batch("train", 6, 3)
    assert (batch.count == again.count).all()
    assert (batch.pixels - again.pixels).abs().mean() < 0.12
    scene, seed = parse_caption(TWO), 5
    truth = reader_data._truth([scene], [seed])
    circles = placed_objects(scene, seed)[0]
    k = SHAPES.index("circle")
    assert truth["count"][0].tolist() == [2 * (s == "circle") + (s == "star") for s in SHAPES]
    assert truth["colour"][0, k] == COLOURS.index("red")
    assert truth["centroid"][0, k].numpy() == pytest.approx(circles.centres.mean(axis=0), abs=1e-6)
    column, row = (circles.centres[0] * 16).astype(int)
    assert truth["heat"][0, k, row, column] > 0.5
    assert truth["heat"][0, SHAPES.index("ring")].max() == 0


def test_an_interrupted_training_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_train, "BATCH", 4)
    straight, broken = tmp_path / "a" / "reader.safetensors", tmp_path / "b" / "reader.safetensors"
    whole = reader_train.train(straight, 4, save_every=2)

    def cut(split: str, count: int, seed: int) -> reader_data.Batch:
        if seed == 3:
            raise KeyboardInterrupt
        return reader_data.make_batch(split, count, seed)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(reader_train, "make_batch", cut)
        with pytest.raises(KeyboardInterrupt):
            reader_train.train(broken, 4, save_every=2)
    assert not broken.exists()
    assert broken.with_name("reader.safetensors.state").exists()
    resumed = reader_train.train(broken, 4, save_every=2)
    for name, value in whole.state_dict().items():
        assert (value == resumed.state_dict()[name]).all(), name
    assert [path.name for path in broken.parent.iterdir()] == ["reader.safetensors"]
    loaded = reader.load_reader(broken).state_dict()
    assert all(
        abs(loaded[name] - value).max() < 1e-2 for name, value in whole.state_dict().items() if "num_b" not in name
    )


def test_the_shipped_reader_reads_new_scenes_and_is_not_fooled() -> None:
    texts = prompts("test", 250, 90)
    pictures = np.stack([draw(parse_caption(text), seed) for seed, text in enumerate(texts)])
    got = reader.agreement(pictures, texts)
    assert min(got.values()) >= 0.95
    wrong = reader.agreement(pictures, texts[1:] + texts[:1])
    assert wrong["objects"] < 0.15
    assert wrong["colours"] < 0.15
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    assert reader.agreement(noise, texts[:20])["objects"] < 0.2


def test_the_reader_is_small() -> None:
    assert reader.WEIGHTS.stat().st_size <= 1.5e6
    assert sum(p.numel() for p in reader.load_reader().parameters()) <= 1.5e6
