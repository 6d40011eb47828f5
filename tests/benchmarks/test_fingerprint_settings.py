"""Kinds of pairs on a circle, intervals beside a slow loop, attribution to weights, and the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.fingerprint import settings_report
from benchmarks.fingerprint.settings import main
from benchmarks.fingerprint.settings_pairs import QUESTIONS, Resampled, centred, compare, pair_codes
from benchmarks.fingerprint.settings_report import settings_map
from benchmarks.fingerprint.settings_weights import OTHER, OWN, attribute, find_deployments, weights_tasks
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from morelli.errors import ArrayError, DatasetError, InputError, NotEnoughReferencesError
from morelli.evaluation.bootstrap import expanded_tail
from morelli.types import LabelledEmbeddings

#: a, a@x, b, c: b derives from a, c from nothing.
CODES = pair_codes(["a", "a", "b", "c"], ["a", "a", "a", "c"])
DEGREES = [0.0, 60.0, 90.0, 180.0]


def circle(prompts: int) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """One image of each of the four deployments and of each prompt: embeddings, deployments, prompts."""
    angles = np.radians(np.tile(DEGREES, prompts))
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return unit, np.tile(np.arange(4), prompts), np.repeat(np.arange(prompts), 4)


def test_codes_tell_how_two_deployments_are_related() -> None:
    assert CODES.tolist() == [[0, 2, 3, 4], [2, 0, 3, 4], [3, 3, 1, 4], [4, 4, 4, 1]]


def test_figures_on_a_circle() -> None:
    unit, deployments, prompts = circle(2)
    found = compare(unit, deployments, prompts, np.arange(8), CODES)
    half = np.sqrt(3) / 2
    expected = [[1, 0.5, 0, -1], [0.5, 1, half, -0.5], [0, half, 1, 0], [-1, -0.5, 0, 1]]
    assert found.matrix == pytest.approx(np.array(expected), abs=1e-6)
    drawn = Resampled(found.different)
    assert [drawn.count([code]) for code in range(5)] == [2, 2, 2, 4, 6]
    assert drawn.mean([0, 1]).point == pytest.approx(1)
    assert drawn.mean([2]).point == pytest.approx(0.5)
    assert drawn.mean([3]).point == pytest.approx(half / 2)
    assert drawn.mean([4]).point == pytest.approx(-0.5)
    assert drawn.spread([4]) == pytest.approx(np.sqrt(1 / 6))
    assert drawn.spread([0, 1]) == pytest.approx(0, abs=1e-3)
    # 1 above −1, −0.5, 0; 0.5 above 0, −1, −0.5, 0 of five; 0 and half above −1, −0.5 and 0 (one tie).
    areas = [drawn.area(*codes).point for codes in QUESTIONS.values()]
    assert areas == pytest.approx([1, 8 / 10, 5.5 / 6, 1])


def test_pairs_of_one_prompt_stand_apart_and_pairs_of_one_seed_nowhere() -> None:
    unit, deployments, prompts = circle(2)
    found = compare(unit, deployments, prompts, np.arange(8), CODES)
    alike = Resampled(found.same)
    assert [alike.count([code]) for code in range(5)] == [0, 0, 1 * 2, 2 * 2, 3 * 2]
    assert np.isnan(alike.mean([0, 1]).point) and np.isnan(alike.spread([0])) and np.isnan(alike.area([0], [4]).point)
    assert alike.mean([2]).point == pytest.approx(0.5)
    by_prompt = compare(unit, deployments, prompts, prompts, CODES)
    assert by_prompt.same.counts.sum() == 0 and by_prompt.different.counts.sum() == 16
    nowhere = compare(unit, deployments, prompts, np.zeros(8, dtype=np.intp), CODES)
    assert nowhere.different.counts.sum() == 0 and np.isnan(nowhere.matrix).all()


def test_lengths_must_be_equal() -> None:
    unit, deployments, prompts = circle(2)
    with pytest.raises(ArrayError, match="a label an image"):
        compare(unit, deployments, prompts[1:], np.arange(8), CODES)


def test_centring_takes_the_mean_of_each_vector() -> None:
    vectors = {"v": np.array([[9, 0], [11, 0]], dtype=np.float32), "w": np.array([[5.0], [7.0]], dtype=np.float32)}
    assert centred(vectors) == pytest.approx(np.array([[-1, 0, -1], [1, 0, 1]]) / np.sqrt(2))


@pytest.mark.parametrize("shared", [False, True])
def test_intervals_are_those_of_a_slow_loop(shared: bool) -> None:
    rng = np.random.default_rng(3)
    unit = rng.standard_normal((40, 3)) + np.repeat(rng.standard_normal((5, 3)), 8, axis=0)
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32)
    deployments, prompts = np.tile(np.arange(4), 10), np.repeat(np.arange(5), 8)
    found = compare(unit, deployments, prompts, np.arange(40), CODES)
    drawn = Resampled(found.same if shared else found.different, seed=7, draws=60)
    pairs = [(i, j) for i, j in combinations(range(40), 2) if (prompts[i] == prompts[j]) == shared]
    scores = np.array([float(unit[i] @ unit[j]) for i, j in pairs])
    codes = np.array([CODES[deployments[i], deployments[j]] for i, j in pairs])
    means, areas = [], []
    for weight in np.random.default_rng(7).multinomial(5, np.full(5, 0.2), 60):
        w = np.array([weight[prompts[i]] * (1 if shared else weight[prompts[j]]) for i, j in pairs])
        mine, two = codes == 2, np.isin(codes, (2, 4))
        if w[mine].sum() and w[codes == 4].sum():
            means.append(np.average(scores[mine], weights=w[mine]))
            areas.append(roc_auc_score(codes[two] == 2, scores[two], sample_weight=w[two]))
    tail = expanded_tail(0.95, 5)
    for found_interval, slow in ((drawn.mean([2]), means), (drawn.area([2], [4]), areas)):
        assert found_interval[1:] == pytest.approx(np.quantile(slow, [tail, 1 - tail]), abs=2e-3)
        assert found_interval.low < found_interval.point < found_interval.high


def test_two_prompts_give_no_interval_and_equal_ones_no_width() -> None:
    def areas(prompts: int) -> list[float]:
        unit, deployments, codes = circle(prompts)
        found = compare(unit, deployments, codes, np.arange(len(unit)), CODES)
        return list(Resampled(found.different).area([3], [4]))

    assert np.isnan(areas(2)[1:]).all()
    assert areas(3) == pytest.approx([5.5 / 6] * 3) and areas(4) == pytest.approx([5.5 / 6] * 3)
    unit, deployments, prompts = circle(2)
    alike = Resampled(compare(unit, deployments, prompts, np.arange(8), CODES).same)
    assert list(alike.area([3], [4])) == pytest.approx([5.5 / 6] * 3)


def test_deployments_stand_by_base_and_weights() -> None:
    names = ["z", "m-tuned", "m@b", "m@a", "m", "z"]
    found = find_deployments(names, ["p", "q"] * 3, ["", "m", "m", "m", "m", ""])
    assert found.names == ("m", "m@a", "m@b", "m-tuned", "z")
    assert found.weights == ("m", "m", "m", "m-tuned", "z") and found.bases == ("m", "m", "m", "m", "z")


@pytest.mark.parametrize(
    ("models", "prompts", "bases", "error", "said"),
    [
        (["a", "b"], ["p", "q"], ["a", "b"], DatasetError, "has an @"),
        (["a@x", "b"], ["p", "q"], ["a", "b"], DatasetError, "no image of a at its own"),
        (["a@x", "a", "b"], ["p", "q", "p"], ["", "", ""], DatasetError, "derive from"),
        (["a@x", "a", "b"], ["p", "", "p"], ["a", "a", "b"], DatasetError, "1 images have no prompt"),
        (["a@x", "a", "b"], ["p", "p", "p"], ["a", "a", "b"], NotEnoughReferencesError, "2 prompts"),
        (["a@x", "a"], ["p", "q"], ["a", "a"], NotEnoughReferencesError, "2 weights"),
        (["a@x", "a", "b"], ["p", "q", "p"], ["a", "b", "b"], DatasetError, "a has the bases a and b"),
    ],
)
def test_what_cannot_be_compared(
    models: list[str], prompts: list[str], bases: list[str], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        find_deployments(models, prompts, bases)


def embedded(directions: dict[str, int], prompts: int = 6, images: int = 3) -> LabelledEmbeddings:
    """Embeddings along one axis for each deployment, with a little noise."""
    rng = np.random.default_rng(0)
    index = np.indices((len(directions), prompts, images)).reshape(3, -1)
    names = np.array(list(directions))[index[0]]
    x = 5 * np.eye(4)[[directions[name] for name in names.tolist()]] + 0.3 * rng.standard_normal((len(names), 4))
    return LabelledEmbeddings({"v": x.astype(np.float32)}, names, np.array([f"p{i}" for i in index[1]]), names)


@pytest.mark.parametrize("method", ["lda", "cosine"])
def test_a_setting_that_breaks_the_fingerprint_is_told(method: str) -> None:
    data = embedded({"a": 0, "a@near": 0, "a@far": 1, "b": 1, "c": 2})
    bases = ["a" if name[0] in "ab" else "c" for name in data.models.tolist()]
    found = find_deployments(data.models.tolist(), data.prompts.tolist(), bases)
    rows = {row["setting"]: row for row in attribute(data, found, method, seed=0)}
    assert list(rows) == [OTHER, OWN, "a@far", "a@near"]
    assert [rows[name]["top1"] for name in rows] == [0.5, 1.0, 0.0, 1.0]
    assert [rows[name]["n"] for name in rows] == [36, 54, 18, 18]
    assert [rows[name]["base_top1"] for name in rows] == [1.0] * 4
    assert rows[OTHER]["own_top1"] == 1.0
    assert (rows["a@far"]["taken_for"], rows["a@far"]["taken_share"]) == ("b", 1.0)
    assert rows[OTHER]["taken_share"] == 0.5 and rows["a@near"]["taken_for"] is None


def test_references_are_at_own_settings_and_of_other_prompts() -> None:
    data = embedded({"a": 0, "a@near": 0, "b": 1})
    tasks = weights_tasks(data.models, data.prompts, seed=1)
    assert len(tasks) == 4
    for task in tasks:
        assert task.background is not None
        assert set(data.models[task.background]) == {"a", "b"}
        assert not set(data.prompts[task.background]) & set(data.prompts[task.queries])
    queries = np.concatenate([task.queries for task in tasks])
    assert sorted(queries.tolist()) == list(range(len(data)))


def write_dataset(folder: Path, change: Callable[[dict[str, str]], dict[str, str]] = lambda row: row) -> Path:
    """Noise of a blur that the weights decide, and one deployment with the blur of other weights."""
    blurs = {"a": 0.4, "a@calm": 0.4, "a@odd": 2.0, "b": 0.9, "c": 2.0}
    folder.mkdir()
    rows, rng = [], np.random.default_rng(0)
    for model, blur in blurs.items():
        for prompt in range(4):
            for seed in range(3):
                noise = gaussian_filter(rng.standard_normal((64, 64, 3)), (blur, blur, 0))
                pixels = np.clip(128 + 40 * noise / noise.std() + 20 * prompt, 0, 255).astype(np.uint8)
                name = f"{model}-{prompt}-{seed}.png"
                Image.fromarray(pixels).save(folder / name)
                row = {"file_name": name, "model": model, "base": "c" if model == "c" else "a"}
                rows.append(change(row | {"prompt_id": str(prompt), "seed": str(seed)}))
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_dataset(tmp_path / "images"), tmp_path / "out"
    assert main([str(data), "--out", str(out), "--encoder", "residual-spectrum", "--images", "2"]) == 0
    told = capsys.readouterr().out
    result = json.loads((out / "settings.json").read_text())
    assert told == (out / "settings.md").read_text()
    assert (result["n_images"], result["n_prompts"], result["chance"]) == (40, 4, pytest.approx(1 / 3))
    assert [each["name"] for each in result["deployments"]] == ["a", "a@calm", "a@odd", "b", "c"]
    (encoder,) = result["encoders"]
    assert encoder["id"] == "residual-spectrum" and encoder["revision"]
    kinds = {(row["prompts"], row["kind"]): row for row in encoder["kinds"]}
    # Two images of each of 5 deployments and 4 prompts; half of the pairs of two cells have different seeds.
    assert kinds["different", "one deployment"]["n"] == 5 * 6 * 2
    assert kinds["one", "one deployment"]["n"] == 5 * 4
    assert kinds["different", "other bases"]["n"] == 4 * 12 * 2
    matrix = np.array(encoder["matrix"], dtype=float)
    assert matrix[0, 1] > 0.5 > matrix[0, 2] and matrix[2, 4] > 0.5
    rows = {(row["method"], row["setting"]): row for row in encoder["weights"]}
    for method in ("lda", "cosine"):
        assert rows[method, "a@calm"]["top1"] == 1.0
        assert rows[method, "a@odd"]["top1"] == 0.0 and rows[method, "a@odd"]["taken_for"] == "c"
    assert f"| residual-spectrum | cosine | a@odd | 8 | {0:.1f} (0.0 to 0.0) | 0.0 | 100.0 | c (100.0 %) |" in told
    for figure in ("figure", "map"):
        with Image.open(out / encoder[figure]) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300


def test_a_map_has_each_image_in_the_panel_of_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    asked: list[int] = []

    def keep(figure: Figure, path: Path) -> Path:
        drawn.append(figure)
        return path

    def line(data: LabelledEmbeddings, *, seed: int) -> NDArray[np.float32]:
        asked.append(len(data))
        return np.stack([np.arange(len(data)), 2 * np.arange(len(data))], axis=1).astype(np.float32)

    monkeypatch.setattr(settings_report, "save_figure", keep)
    monkeypatch.setattr(settings_report, "place", line)
    data = embedded({"a": 0, "a@x": 0, "b": 1}, prompts=6)
    weights = np.array([name[0] for name in data.models.tolist()])
    settings_map(data, weights, weights == data.models, tmp_path / "m.png", "t")
    assert asked == [len(data)]  # one map, in two panels
    own, other = drawn[0].axes
    assert (own.get_title(), other.get_title()) == ("t: own settings", "t: other settings")
    assert own.get_xlim() == other.get_xlim() and own.get_ylim() == other.get_ylim()
    for axes, name, model in ((own, "a", "a"), (own, "b", "b"), (other, "a", "a@x"), (other, "b", "b@x")):
        (points,) = (each for each in axes.collections if each.get_label() == name)
        assert np.asarray(points.get_offsets())[:, 0].tolist() == np.flatnonzero(data.models == model).tolist()
    first, second = (own.collections[0].get_facecolor(), other.collections[0].get_facecolor())
    assert np.array_equal(first, second) and not np.array_equal(first, own.collections[1].get_facecolor())


def test_of_too_many_images_a_map_has_some_and_of_three_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(settings_report, "save_figure", lambda figure, path: drawn.append(figure))
    monkeypatch.setattr(settings_report, "MOST", 20)
    data = embedded({"a": 0, "a@x": 0, "b": 1}, prompts=6)
    weights = np.array([name[0] for name in data.models.tolist()])
    settings_map(data, weights, weights == data.models, tmp_path / "m.png", "t")
    assert sum(len(np.asarray(points.get_offsets())) for axes in drawn[0].axes for points in axes.collections) == 20
    three = np.arange(3)
    with pytest.raises(InputError, match="four images"):
        settings_map(data.take(three), weights[three], np.ones(3, dtype=bool), tmp_path / "m.png", "t")


def test_without_scikit_learn_there_is_no_map_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    data, out = write_dataset(tmp_path / "images"), tmp_path / "out"
    assert main([str(data), "--out", str(out), "--encoder", "residual-spectrum", "--images", "2"]) == 0
    assert "no map: " in capsys.readouterr().err
    assert json.loads((out / "settings.json").read_text())["encoders"][0]["map"] is None


def lacking(column: str, value: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda row: row | {column: value}


def without_at(row: dict[str, str]) -> dict[str, str]:
    return row | {"model": row["model"].replace("@", "-")}


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (without_at, [], "has an @"),
        (lacking("prompt_id", "0"), [], "2 prompts are the least"),
        (lacking("base", ""), [], "derive from"),
        (lacking("seed", "1"), ["--encoder", "residual-spectrun"], "residual-spectrum"),
        (lacking("seed", "1"), ["--images", "-1"], "0 or more"),
    ],
)
def test_bad_input_is_one_line(
    change: Any, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "images", change)
    assert main([str(data), "--out", str(tmp_path / "out"), "--encoder", "residual-spectrum", *options]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and said in told and told.count("\n") == 1
    assert not (tmp_path / "out" / "settings.json").exists()


def test_no_dataset_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
