from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from morelli.encoders.copies import choose_sample, embed_copies
from morelli.errors import InputError, UnknownNameError
from morelli.images.degrade import degrade
from morelli.images.pixels import content_hash

from .toys import ToyEncoder, flat


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(0, 12), st.randoms())
def test_the_sample_is_even_and_does_not_depend_on_the_order(models, count, random):
    contents = [f"{random.getrandbits(64):016x}{i}" for i in range(len(models))]
    rows = choose_sample(models, contents, count)
    assert len(rows) == min(count, len(models)) == len(set(rows.tolist()))
    taken = {m: sum(models[row] == m for row in rows) for m in set(models)}
    spare = [m for m in taken if taken[m] < models.count(m)]
    # A model that has images left has at most one fewer than any other.
    assert all(taken[m] >= max(taken.values()) - 1 for m in spare)
    order = list(range(len(models)))
    random.shuffle(order)
    again = choose_sample([models[i] for i in order], [contents[i] for i in order], count)
    assert {contents[order[row]] for row in again} == {contents[row] for row in rows}


def test_images_that_a_model_has_already_count_for_its_turn():
    models, contents = ["a"] * 4 + ["b"] * 4, [f"{i}" for i in range(8)]
    assert choose_sample(models, contents, 3, {"a": 2}).tolist() == [0, 4, 5]
    assert choose_sample(models, contents, 3).tolist() == [0, 1, 4]


def test_a_file_that_has_changed_has_no_copy(tmp_path):
    Image.fromarray(flat(9)).save(tmp_path / "a.png")
    how = {"conditions": ("blur:1",)}
    right = content_hash(flat(9))
    found = embed_copies(ToyEncoder(), [tmp_path / "a.png"], np.array([0]), contents=[right], **how)
    assert found is not None and len(found) == 1
    assert embed_copies(ToyEncoder(), [tmp_path / "a.png"], np.array([0]), contents=["0" * 64], **how) is None


def test_a_negative_sample_is_refused():
    with pytest.raises(InputError):
        choose_sample(["a"], ["0"], -1)


def test_copies_are_the_embeddings_of_degraded_pixels(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 32, 3), dtype=np.uint8) for _ in range(3)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    steps: list[tuple[int, int]] = []
    found = embed_copies(
        ToyEncoder(),
        paths,
        np.array([7, 4, 9]),
        conditions=("resize:0.5", "jpeg:50"),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert found is not None
    assert found.names.tolist() == ["resize:0.5"] * 3 + ["jpeg:50"] * 3
    assert found.rows.tolist() == [7, 4, 9] * 2
    assert found.vectors["shape"].tolist() == [[20, 16]] * 3 + [[40, 32]] * 3
    expected = [degrade(pixels, "jpeg:50").mean(axis=(0, 1)) for pixels in pictures]
    np.testing.assert_allclose(found.vectors["mean"][3:], expected, rtol=1e-6)
    assert steps[-1] == (6, 6)


def test_what_cannot_be_read_has_no_copy_and_nothing_gives_none(tmp_path):
    Image.fromarray(flat(9)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = embed_copies(
        ToyEncoder(), [tmp_path / "b.png", tmp_path / "a.png"], np.array([0, 1]), conditions=("blur:1",)
    )
    assert found is not None
    assert found.rows.tolist() == [1]
    assert embed_copies(ToyEncoder(), [], np.array([], dtype=int)) is None
    assert embed_copies(ToyEncoder(), [tmp_path / "a.png"], np.array([0]), conditions=()) is None
    with pytest.raises(UnknownNameError):
        embed_copies(ToyEncoder(), [tmp_path / "a.png"], np.array([0]), conditions=("jpg:80",))
