"""The papers' bench from data sets to tables, on made-up pictures and with an encoder that is quick."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from benchmarks.papers import __main__ as papers
from benchmarks.papers import costs, jobs, methods, plan, training, work
from PIL import Image

from morelli.attribution.image import IMAGE_REGISTRY, ImageAttributor
from morelli.encoders.catalogue import DEFAULT_ENCODER
from morelli.engine import catalogue as engines
from morelli.errors import WeightsError
from morelli.evaluation.groups import BUDGETS, Budget
from morelli.testing.datasets import write_dataset
from tests.engine.fakes import PickledEngine
from tests.evaluation.samples import TextureEncoder


class Tiny(ImageAttributor):
    """Stands for a network: it has steps, a curve, and texture in place of features."""

    published_batch, published_form = 4, (("side", 8),)
    fits: ClassVar[list[int]] = []

    def __init__(self, steps: int = 8, batch: int = 2, side: int = 4, checkpoint: str = "") -> None:
        self.steps, self.batch, self.side, self.checkpoint = steps, batch, side, checkpoint

    def fit(self, images: Any, models: Any) -> Tiny:
        type(self).fits.append(self.steps)
        self.models_ = np.unique(models)
        self.steps_, self.published_steps_ = self.steps, 1000
        self.curve_ = SimpleNamespace(steps=[self.steps], losses=[{"loss": 1 / self.steps}])
        self.under_trained = f"{self.steps} of 1,000 published steps"
        x = self.embed(images)
        self.means_ = np.stack([x[models == model].mean(axis=0) for model in self.models_])
        return self

    def scores(self, images: Any) -> Any:
        return -np.linalg.norm(self.embed(images)[:, None] - self.means_, axis=2).astype(np.float64)

    def embed(self, images: Any) -> Any:
        encoder = TextureEncoder()
        return np.concatenate(list(encoder.encode([encoder.prepare(each) for each in images]).values()), axis=1)


def load(spec: str) -> TextureEncoder:
    if spec == "fingerprint":
        raise WeightsError("this version carries no weights for it.", argument=spec)
    return TextureEncoder()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    Tiny.fits = []
    monkeypatch.setitem(IMAGE_REGISTRY._loaded, "tiny", Tiny)
    for module in (costs, jobs, plan, training):
        monkeypatch.setattr(module, "BUDGETS", {**BUDGETS, "tiny": Budget("batch=2", 0.1)})
    monkeypatch.setattr("morelli.evaluation.groups.BUDGETS", {**BUDGETS, "tiny": Budget("batch=2", 0.1)})
    for module in (papers, work, methods):
        monkeypatch.setattr(module, "load_encoder", load)
    methods._stamp.cache_clear()
    # The real network's cells have tests of their own: test_papers_tuned.
    monkeypatch.setattr(jobs, "tuned_jobs", lambda *_: ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("papers") / "made-up", models=5, prompts=6, seeds=3, size=32)


def bench(folder: Path | str, out: Path, *more: str) -> int:
    """Without the zoo, whose 8,000 images are not for a test; `test_papers_attacks` has painters in its place."""
    small = ("--processes", "1", "--seconds", "4", "--k", "2", "--weights", str(out / "no-zoo"))
    return papers.main([str(folder), "--out", str(out), *small, *more])


def cells(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "papers.jsonl").read_text().splitlines()]
    assert lines[0]["schema"] == "morelli.papers/1"
    return {line["cell"]: line["result"] for line in lines[1:]}


@pytest.mark.slow
def test_all_three_tables(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    methods = ("--method", "euclid,cosine,plda,lda,tiny,dzanic")
    assert bench(folder, tmp_path, *methods) == 0
    talk = capsys.readouterr().err
    assert "SKIPPED" not in talk  # nobody asked for the zoo
    assert "min left" in talk
    found = cells(tmp_path)
    assert {key for key in found if key.startswith("002/made-up/tiny")} == {
        f"002/made-up/tiny{part}" for part in ("", "@0.25", "@0.5")
    }
    # Five folds of table 000, and three trainings of table 002 of which the shortest have the fewest steps.
    assert sorted(Tiny.fits) == [10, 20, *[40] * 6]
    main = found["000/made-up/tiny"]["row"]
    for figure in ("top1", "top2", "top3"):
        assert main[f"{figure}_low"] <= main[figure] <= main[f"{figure}_high"]
    assert "accuracy" in found["000/made-up/tiny"]["leaks"]
    text = (tmp_path / "papers.md").read_text()
    for wanted in ("tiny (under-trained)", "on their data", "methods under attacks, made-up", "Leak test",
                   "Table VIII", "Table IX", "Learning curves", "What full scale would take",
                   "What the cells took"):  # fmt: skip
        assert wanted in text, wanted
    assert "cosine, fingerprint (not run) |" in text
    assert "cosine, fingerprint was not run: fingerprint: this version carries no weights" in text
    assert "11.79 / 21.57 / 28.43" in text
    page = (tmp_path / "papers.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    with Image.open(tmp_path / "map-made-up.png") as picture:
        assert picture.width > 500
    with np.load(tmp_path / "embeddings" / "made-up" / "cosine-residual-spectrum.npz") as held:
        mine = [set(held["models"][held["group"] == group]) for group in ("seen", "unseen")]
    assert not mine[0] & mine[1]
    # Again: nothing but what could not be run.
    Tiny.fits = []
    assert bench(folder, tmp_path, *methods) == 0
    assert Tiny.fits == []


def test_a_row_of_an_unseen_group_is_of_other_models(folder: Path, tmp_path: Path) -> None:
    assert bench(folder, tmp_path, "--method", "tiny", "--table", "002") == 0
    cell = cells(tmp_path)["002/made-up/tiny"]
    assert cell["models"] == {"seen": 3, "unseen": 2}
    assert cell["groups"]["unseen"]["identification"]["n_candidates"] == 2
    assert cell["training"]["steps"] == 40
    assert cell["training"]["work"] == pytest.approx(2 * 4)


def test_an_engine_gives_the_same_cells_and_tables(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = PickledEngine(loses=lambda item: "method" in item and item["method"] == "dzanic")
    monkeypatch.setitem(engines.REGISTRY._loaded, "elsewhere", lambda address: engine)
    ask = ("--method", "euclid,tiny,dzanic", "--table", "000", "--table", "002")
    assert bench(folder, tmp_path / "here", *ask) == 0
    assert bench(folder, tmp_path / "there", *ask, "--engine", "elsewhere") == 1
    assert "error: 2 cells failed" in capsys.readouterr().err
    here, there = cells(tmp_path / "here"), cells(tmp_path / "there")
    lost = {"000/made-up/dzanic", "002/made-up/dzanic"}
    assert {key for key in there if "failed" in there[key]} == lost
    assert all(there[key]["failed"] == "the process was gone." for key in lost)
    assert "dzanic (failed)" in (tmp_path / "there" / "papers.md").read_text()
    # The pictures were embedded there, too.
    assert sum(len(item) for item in engine.items if not isinstance(item, dict)) == 90
    engine.loses = lambda item: False
    engine.items.clear()
    assert bench(folder, tmp_path / "there", *ask, "--engine", "elsewhere") == 0
    assert [item["method"] for item in engine.items if isinstance(item, dict)] == ["dzanic", "dzanic"]
    # A note names the folder of the trainings, which is another one.
    elsewhere = json.dumps(cells(tmp_path / "there")).replace(str(tmp_path / "there"), str(tmp_path / "here"))
    assert timeless(here) == timeless(json.loads(elsewhere))
    assert bench(folder, tmp_path / "there", *ask, "--engine", "rai") == 1
    assert "'ray'" in capsys.readouterr().err


def timeless(value: Any) -> Any:
    """Cells without their seconds."""
    if isinstance(value, dict):
        return {key: timeless(each) for key, each in value.items() if key != "seconds"}
    return value


def test_other_settings_are_measured_again(folder: Path, tmp_path: Path) -> None:
    ask = ("--method", "tiny", "--table", "002")
    assert bench(folder, tmp_path, *ask) == 0
    before = len(Tiny.fits)
    assert bench(folder, tmp_path, *ask, "--seed", "1") == 0
    assert len(Tiny.fits) == 2 * before


def test_another_version_of_a_method_is_measured_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ("--method", "tiny,dzanic", "--table", "002")
    assert bench(folder, tmp_path, *ask) == 0
    before, made = cells(tmp_path), len(Tiny.fits)
    assert bench(folder, tmp_path, *ask) == 0
    assert len(Tiny.fits) == made
    method = methods._method
    monkeypatch.setattr(methods, "_method", lambda name: "edited" if name == "tiny" else method(name))
    assert bench(folder, tmp_path, *ask) == 0
    assert len(Tiny.fits) == 2 * made
    after = cells(tmp_path)
    assert after["002/made-up/dzanic"]["seconds"] == before["002/made-up/dzanic"]["seconds"]


def test_a_method_that_crashes_is_told_in_every_output(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(self: Tiny, images: Any, models: Any) -> Tiny:
        raise IndexError("no such layer")

    ask = ("--method", "tiny,dzanic", "--table", "000", "--table", "002")
    with monkeypatch.context() as patched:
        patched.setattr(Tiny, "fit", crash)
        assert bench(folder, tmp_path, *ask) == 1
    talk = capsys.readouterr()
    assert "error: 4 cells failed" in talk.err and "002/made-up/tiny@0.25" in talk.err
    found = cells(tmp_path)
    assert all("no such layer" in found[key]["failed"] for key in found if "tiny" in key)
    for kept in ("000/made-up/dzanic", "002/made-up/dzanic"):
        assert "failed" not in found[kept]
    for name in ("papers.md", "papers.html"):
        text = (tmp_path / name).read_text()
        assert text.count("tiny (failed)") == 3, name
        assert "000/made-up/tiny failed: IndexError: no such layer, at test_papers_run.py:" in text, name
        assert "002/made-up/tiny@0.25 failed" in text, name
    # Mended, it is measured; the others are not measured again.
    assert bench(folder, tmp_path, *ask) == 0
    assert "(failed)" not in (tmp_path / "papers.md").read_text()


def test_a_file_of_weights_stands_for_the_fingerprint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def own(spec: str) -> TextureEncoder:
        asked.append(spec)
        if spec.endswith("wrong.safetensors"):
            raise WeightsError("is no extractor.", argument=spec)
        return TextureEncoder() if "@" in spec else load(spec)

    for module in (papers, work, methods):
        monkeypatch.setattr(module, "load_encoder", own)
    file, ask = tmp_path / "mine.safetensors", ("--method", "cosine", "--table", "002")
    file.write_bytes(b"one")
    assert bench(folder, tmp_path / "out", *ask, "--fingerprint", str(file)) == 0
    assert f"fingerprint@{file}" in asked
    digest = hashlib.sha256(b"one").hexdigest()
    head = json.loads((tmp_path / "out" / "papers.jsonl").read_text().splitlines()[0])
    assert head["settings"]["plan"]["fingerprint_sha256"] == digest
    text = (tmp_path / "out" / "papers.md").read_text()
    assert f"fingerprint has the weights of mine.safetensors, SHA-256 {digest}" in text
    assert "| cosine, fingerprint |" in text
    first = cells(tmp_path / "out")["002/made-up/cosine, fingerprint"]
    assert first["groups"]["unseen"]["verification"]["auroc"] is not None
    # Other weights under the same name are measured anew.
    file.write_bytes(b"two")
    capsys.readouterr()
    assert bench(folder, tmp_path / "out", *ask, "--fingerprint", str(file)) == 0
    talk = capsys.readouterr().err
    assert "cosine, fingerprint: there is a result of another version" in talk
    assert "residual-spectrum: there is" not in talk
    assert bench(folder, tmp_path / "out", *ask, "--fingerprint", str(tmp_path / "wrong.safetensors")) == 1
    assert "no extractor" in capsys.readouterr().err


def test_mixed_sizes_are_brought_to_one_form(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "mixed", models=4, prompts=4, seeds=2, size=32)
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        if number % 3 == 0:
            with Image.open(path) as picture:
                larger = picture.resize((40, 36))
            larger.save(path)
    assert bench(folder, tmp_path / "out", "--method", "marra", "--table", "002") == 0
    cell = cells(tmp_path / "out")["002/mixed/marra"]
    assert any("one form" in note for note in cell["notes"])
    assert any(note.startswith("marra takes no resized pictures") for note in cell["notes"])
    assert cell["groups"]["seen"]["verification"]["auroc"] is not None


def test_too_few_images_for_a_split_are_said_in_the_table(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "few", models=3, prompts=4, seeds=2, size=32)
    assert bench(folder, tmp_path / "out", "--method", "dzanic", "--table", "002") == 0
    assert "a split takes two" in (tmp_path / "out" / "papers.md").read_text()


def test_wrong_input_is_named(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path / "absent", tmp_path / "out") == 1
    assert "error:" in capsys.readouterr().err
    assert papers.main([str(folder), str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "two data sets are called made-up" in capsys.readouterr().err
    zoo = write_dataset(tmp_path / "other" / "zoo", models=2, prompts=2, seeds=1, size=16)
    assert papers.main([str(zoo), "--out", str(tmp_path / "out")]) == 1
    assert "Call the folder something else" in capsys.readouterr().err
    assert papers.main([str(folder), "--out", str(tmp_path / "out"), "--method", "tinny"]) == 1
    assert "tiny" in capsys.readouterr().err


def test_a_zoo_without_weights_is_skipped_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("zoo", tmp_path, "--weights", str(tmp_path / "none"), "--table", "000") == 0
    assert "SKIPPED, the data set zoo" in capsys.readouterr().err
    assert "NOT MEASURED, zoo" in (tmp_path / "papers.md").read_text()
    assert bench("zoo", tmp_path, "--weights", str(tmp_path / "none"), "--table", "001") == 0
    assert "SKIPPED, table 001" in capsys.readouterr().err
    assert "NOT MEASURED, 001" in (tmp_path / "papers.md").read_text()


def test_encoders_are_those_of_the_plan() -> None:
    joined = f"{DEFAULT_ENCODER}+residual-lattice"
    alone = {"fingerprint", "residual-spectrum", "residual-lattice", DEFAULT_ENCODER}
    assert {encoder for _, encoder in plan.ZERO_SHOT} == {*alone, joined}
    assert {encoder for _, encoder in plan.ALSO} == {joined}
