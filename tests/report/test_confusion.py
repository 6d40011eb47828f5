"""The picture shows the matrix that it was given: read back from its pixels and from its text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from morelli.errors import ArrayError, InputError, StorageError
from morelli.report.confusion import confusion_figure


def words(path) -> list[str]:
    return re.findall(r">([^<>]+)</text>", path.read_text(encoding="utf-8"))


def test_rows_are_percent_of_their_queries(tmp_path):
    path = confusion_figure([[2, 1], [0, 8]], ["first", "second"], tmp_path / "c.svg", title="a title")
    found = words(path)
    assert {"first", "second", "a title", "67", "33"} <= set(found)
    assert not {"11", "89"} & set(found)  # what percent of the columns would be


def test_labels_stand_by_family(tmp_path):
    labels, families = ["c1", "a1", "b1", "a2"], ["x", "y", "x", "y"]
    found = words(confusion_figure(np.eye(4), labels, tmp_path / "c.svg", families=families))
    order = [w for w in found if w in labels]
    assert order[:4] == ["b1", "c1", "a1", "a2"]


def test_the_diagonal_is_dark_and_the_rest_is_light(tmp_path):
    path = confusion_figure(np.eye(6) * 5, [f"m{i}" for i in range(6)], tmp_path / "c.png")
    grey = np.asarray(Image.open(path).convert("L"), dtype=float)
    dark = (grey < 80).mean()
    other = confusion_figure(np.ones((6, 6)), [f"m{i}" for i in range(6)], tmp_path / "o.png")
    assert dark > 3 * (np.asarray(Image.open(other).convert("L")) < 80).mean()


def test_many_labels_make_a_larger_picture_without_numbers(tmp_path):
    rng = np.random.default_rng(0)
    few = confusion_figure(rng.integers(1, 9, (7, 7)), [f"model {i}" for i in range(7)], tmp_path / "few.png")
    labels = [f"owner/model-{i}-v{i}" for i in range(41)]
    families = [f"f{i // 4}" for i in range(41)]
    many = confusion_figure(rng.integers(1, 9, (41, 41)), labels, tmp_path / "many.png", families=families)
    assert Image.open(many).size > Image.open(few).size
    text = words(confusion_figure(np.eye(41) * 3, labels, tmp_path / "many.svg", families=families))
    assert set(labels) <= set(text)
    assert text.count("100") <= 1  # the colour bar's own


def test_names_that_look_like_formulas_and_very_long_ones(tmp_path):
    names = ["$a_b$", "owner/" + "x" * 80 + "-v2", "<&>"]
    found = words(confusion_figure(np.eye(3), names, tmp_path / "c.svg"))
    assert "$a_b$" in found
    assert any(w.startswith("owner/") and w.endswith("-v2") and "…" in w for w in found)


def test_the_same_matrix_gives_the_same_file(tmp_path):
    for ending in ("svg", "png"):
        a = confusion_figure(np.eye(3), list("abc"), tmp_path / f"a.{ending}")
        b = confusion_figure(np.eye(3), list("abc"), tmp_path / "new" / f"b.{ending}")
        assert a.read_bytes() == b.read_bytes()


def test_a_row_without_queries_is_drawn(tmp_path):
    assert confusion_figure([[0, 0], [1, 3]], ["a", "b"], tmp_path / "c.png").stat().st_size > 1000


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match=r"\.png"):
        confusion_figure(np.eye(2), ["a", "b"], tmp_path / "c.jpg")
    for matrix in (np.eye(3), -np.eye(2), [[np.nan, 1], [0, 1]]):
        with pytest.raises(ArrayError):
            confusion_figure(matrix, ["a", "b"], tmp_path / "c.png")
    with pytest.raises(ArrayError, match="families"):
        confusion_figure(np.eye(2), ["a", "b"], tmp_path / "c.png", families=["x"])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        confusion_figure(np.eye(2), ["a", "b"], tmp_path / "file" / "c.png")
