"""Curves, example pairs and maps: what is drawn follows from the rows, and refusals are named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from morelli.errors import InputError, MissingExtraError
from morelli.report import embedding_map as maps
from morelli.report.cases import Example, cases_figure
from morelli.report.curves import curves, robustness_figure
from morelli.types import LabelledEmbeddings


def row(method: str, degradation: str, top1: float) -> dict[str, object]:
    interval = {"top1_low": top1 - 0.1, "top1_high": top1 + 0.1}
    return {"method": method, "degradation": degradation, "top1": top1, **interval}


ROWS = [
    row("euclid", "none", 0.9),
    row("euclid", "jpeg:100", 0.8),
    row("euclid", "jpeg:50", 0.4),
    row("euclid", "blur:1", 0.3),
    row("euclid", "resize:0.5+jpeg:75", 0.2),
]


def test_curves_are_sorted_and_leave_out_chains_and_single_strengths():
    found = curves(ROWS)
    assert list(found) == ["jpeg"]
    np.testing.assert_allclose(found["jpeg"]["euclid"], [(50, 0.4, 0.3, 0.5), (100, 0.8, 0.7, 0.9)])


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_curves_are_drawn(tmp_path, ending):
    path = robustness_figure([*ROWS, row("fused", "jpeg:50", 0.5)], tmp_path / f"c.{ending}", title="an encoder")
    if ending == "png":
        assert min(Image.open(path).size) > 100
    else:
        assert all(word in path.read_text() for word in ("JPEG quality", "euclid", "fused", "an encoder"))


def test_no_curve_without_two_strengths(tmp_path):
    with pytest.raises(InputError, match="two strengths"):
        robustness_figure([*ROWS[:2], ROWS[3]], tmp_path / "c.png")
    with pytest.raises(InputError, match="png"):
        robustness_figure(ROWS, tmp_path / "c.jpg")


def test_cases_say_what_was_said_and_what_is_true(tmp_path):
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    examples = [
        Example((pixels, pixels), ("$a_1$", "$a_1$"), True, 2.0, 1.0),
        Example((pixels, pixels[:, :9]), ("b", "c"), False, 1.5, 1.0),
    ]
    assert [example.right for example in examples] == [True, False]
    text = cases_figure(examples, tmp_path / "x.svg").read_text()
    assert "$a_1$" in text
    assert "b | c" in text
    assert "said same: right (2.00, threshold 1.00)" in text
    assert "said same: wrong (1.50, threshold 1.00)" in text
    with pytest.raises(InputError):
        cases_figure([], tmp_path / "x.svg")


def clusters() -> LabelledEmbeddings:
    rng = np.random.default_rng(0)
    x = np.repeat(10 * np.eye(3, 8), 12, axis=0) + rng.normal(0, 0.5, (36, 8))
    models = np.repeat(["a", "b", "c"], 12)
    return LabelledEmbeddings({"v": x.astype(np.float32)}, models, np.full(36, ""), models)


def test_neighbours_on_the_map_are_of_one_model(tmp_path):
    data = clusters()
    points = maps.place(data)
    distance = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(36, np.inf))
    assert (data.models[distance.argmin(axis=1)] == data.models).all()
    np.testing.assert_array_equal(points, maps.place(data))
    text = maps.embedding_map(data, tmp_path / "m.svg", seen={"a", "b"}).read_text()
    assert "c (no references)" in text
    assert "a (no references)" not in text


def test_a_map_needs_images_and_scikit_learn(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="four images"):
        maps.place(clusters().take(np.arange(3)))
    monkeypatch.setattr(maps.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="figures"):
        maps.embedding_map(clusters(), tmp_path / "m.png")
