"""The ceiling of an extractor that saw the test models: what is trained on and tested, resumption, bad input."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.fingerprint import ceiling, ceiling_bench
from benchmarks.fingerprint.ceiling import main
from benchmarks.fingerprint.ceiling_bench import read_whole
from benchmarks.one_form import one_form
from PIL import Image

from morelli.encoders.cache import EmbeddingCache
from morelli.errors import NotEnoughReferencesError, UnknownNameError, WeightsError
from morelli.evaluation.runner import evaluate
from morelli.evaluation.settings import Settings
from morelli.fingerprint.chain import LEARNING
from morelli.fingerprint.encoders import fingerprint
from morelli.fingerprint.extractor import make_extractor, save_extractor
from morelli.fingerprint.learn.classes import Classes
from morelli.images.dataset import Dataset, read_dataset
from morelli.types import Item, LabelledEmbeddings

MODELS, PROMPTS, SEEDS = 4, 4, 2


def write_models(root: Path, models: int = MODELS, prompts: int = PROMPTS, seeds: int = SEEDS, side: int = 128) -> Path:
    """Noise whose grain differs by model: each model's is smoothed along other directions and has its own strength."""
    root.mkdir()
    rows = ["file_name,model,family,prompt_id"]
    for model in range(models):
        for prompt in range(prompts):
            for seed in range(seeds):
                noise = np.random.default_rng([model, prompt, seed]).normal(0, 20 + 15 * model, (side, side, 3))
                if model % 2:
                    noise += np.roll(noise, 1 + model // 2, axis=model // 2)
                name = f"{model}-{prompt}-{seed}.png"
                Image.fromarray(np.clip(128 + noise, 0, 255).astype(np.uint8)).save(root / name)
                rows.append(f"{name},model-{model},family-{model},{prompt}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "begin.safetensors"
    network = make_extractor("small", 6, size=LEARNING.shape[1:])
    save_extractor(network, path, name="small", chain=LEARNING, training={}, channels=6)
    return path


@dataclass
class Ran:
    """One whole run, and the items that each training was given."""

    data: Path
    out: Path
    given: list[str]
    learnt: list[set[str]]

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "rows.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Ran:
    folder = tmp_path_factory.mktemp("ceiling")
    data, out = write_models(folder / "data"), folder / "out"
    given = [str(data), "--out", str(out), "--weights", str(weights), "--minutes", "0.01"]
    learnt = []
    with pytest.MonkeyPatch.context() as patch:
        make = ceiling_bench.dataset_classes

        def watched(sample: tuple[Item, ...], *others: Any) -> Classes:
            learnt.append({item.name for item in sample})
            return make(sample, *others)

        patch.setattr(ceiling_bench, "dataset_classes", watched)
        main(given)
    return Ran(data, out, given, learnt)


def test_no_query_is_an_image_that_was_trained_on(ran: Ran) -> None:
    every = {item.name for item in read_dataset(ran.data).items}
    assert len(ran.learnt) == 4 and len(ran.lines) == 8
    for line in ran.lines:
        learnt = ran.learnt[2 * (line["design"] == "prompts") + line["fold"]]
        assert set(line["trained"]["names"]) == learnt and set(line["test"]) == every - learnt
        for asked in line["queries"].values():
            assert asked["names"] and not set(asked["names"]) & learnt
            assert all(len(asked[side]["hit"]) == len(asked["names"]) for side in ("zero-shot", "fine-tuned"))
        everything = line["queries"]["any-prompt lda"]
        assert sorted(everything["names"]) == sorted(every - learnt)
        assert everything["truth"] == [f"model-{name[0]}" for name in everything["names"]]


def test_zero_shot_is_what_an_evaluation_of_the_same_images_gives(ran: Ran, weights: Path) -> None:
    data = read_dataset(ran.data)
    for line in (each for each in ran.lines if each["layers"] == "all"):
        part = Dataset(data.root, tuple(item for item in data.items if item.name in line["test"]))
        for protocol in ("identification", "verification"):
            asked = evaluate(part, fingerprint(str(weights)), Settings(protocol, ("cosine",))).result["rows"][0]
            found = line["figures"][f"{protocol} cosine"]["zero-shot"]
            found = found[0] if protocol == "verification" else found
            figure = "auroc" if protocol == "verification" else "top1"
            assert found[figure] == pytest.approx(asked[figure], abs=1e-12)
            assert found[f"{figure}_low"] == pytest.approx(asked[f"{figure}_low"], abs=1e-12)


def test_each_fold_trains_and_both_sets_of_vectors_are_measured(ran: Ran) -> None:
    files = [file.read_bytes() for file in (ran.out / "weights").glob("*.safetensors")]
    assert len(set(files)) == 4
    assert {(line["design"], line["fold"], line["layers"]) for line in ran.lines} == {
        (design, fold, layers) for design in ("models", "prompts") for fold in (0, 1) for layers in ("mean", "all")
    }
    areas = {
        line["figures"]["verification cosine"][side][0]["auroc"]
        for line in ran.lines
        if (line["design"], line["layers"], line["fold"]) == ("prompts", "mean", 0)
        for side in ("zero-shot", "fine-tuned")
    }
    assert len(areas) == 2
    table = (ran.out / "ceiling.md").read_text()
    assert table.count("fine-tuned on these models") == table.count("fine-tuned on other models, one epoch") == 2
    assert json.loads((ran.out / "ceiling.json").read_text())["seed"] == 0


def test_rows_are_resumed_and_what_is_missing_is_measured_again(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = ran.out / "rows.jsonl"
    before, table = file.read_text(), (ran.out / "ceiling.md").read_text()
    measured: list[int] = []
    work = ceiling_bench.measure

    def watched(*given: Any) -> dict[str, Any]:
        measured.append(1)
        return work(*given)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(ceiling_bench, "measure", watched)
    monkeypatch.setattr(ceiling_bench, "learn", never)
    main(ran.given)
    assert not measured and file.read_text() == before
    lines = before.splitlines(keepends=True)
    file.write_text("".join(lines[:2] + lines[3:]))
    main(ran.given)
    assert len(measured) == 1 and sorted(file.read_text().splitlines()) == sorted(before.splitlines())
    assert (ran.out / "ceiling.md").read_text() == table
    with pytest.raises(AssertionError, match="trained again"):
        main([*ran.given, "--rate", "1e-3"])


def test_a_fold_that_fails_says_why_and_is_tried_again(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise WeightsError("are absent.")

    given = [str(ran.data), "--out", str(tmp_path / "out"), *ran.given[3:]]
    with monkeypatch.context() as patch:
        patch.setattr(ceiling_bench, "learn", refuse)
        main(given)
    rows = json.loads((tmp_path / "out" / "ceiling.json").read_text())["rows"]
    assert {row["why"] for row in rows} == {"fold 1: are absent.; fold 2: are absent."}
    lines = (tmp_path / "out" / "ceiling.md").read_text().splitlines()
    assert "are absent." in lines[2] and len({line.count("|") for line in lines}) == 1
    monkeypatch.setattr(ceiling_bench, "measure", refuse)
    trained: list[Path] = []
    monkeypatch.setattr(ceiling_bench, "learn", lambda _, __, out, *___, **____: trained.append(out))
    main(given)
    assert len(trained) == 4


def test_bad_input_is_named(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_models(tmp_path / "one", prompts=1)
    given = [str(data), "--out", str(tmp_path / "out"), "--weights", str(weights)]
    with pytest.raises(NotEnoughReferencesError, match="one prompt"):
        main(given)
    with pytest.raises(WeightsError):
        main([*given[:-1], str(tmp_path / "no.safetensors")])
    (tmp_path / "models.csv").write_text("model,family\nmodel-x,a\n")
    with pytest.raises(UnknownNameError, match="model-0"):
        main([*given, "--models", str(tmp_path / "models.csv")])
    with pytest.raises(SystemExit):
        main([*given, "--minutes", "16"])
    assert "at most 15" in capsys.readouterr().err


def test_images_of_two_sizes_are_trained_on_and_tested_in_one_form(tmp_path: Path) -> None:
    root = write_models(tmp_path / "data", models=2, prompts=1)
    same = read_dataset(root)
    assert one_form(same, tmp_path / "form") is same
    with Image.open(root / "0-0-0.png") as image:
        image.resize((160, 140)).save(root / "0-0-0.png")
    (root / "1-0-1.png").write_bytes(b"no image")
    formed = one_form(read_dataset(root), tmp_path / "form")
    assert [item.name for item in formed.items] == ["0-0-0.png", "0-0-1.png", "1-0-0.png"]
    sizes = []
    for item in formed.items:
        with Image.open(item.path) as image:
            sizes.append((image.format, image.size))
    assert set(sizes) == {("PNG", (128, 128))} and len(formed.notes) == 2


def test_a_picture_that_occurs_twice_cannot_be_on_both_sides(tmp_path: Path, weights: Path) -> None:
    root = write_models(tmp_path / "data", models=2, prompts=2, seeds=1)
    (root / "0-1-0.png").write_bytes((root / "0-0-0.png").read_bytes())
    cache = EmbeddingCache(tmp_path / "embeddings")
    whole, kept = read_whole(read_dataset(root), fingerprint(str(weights)), tmp_path, cache)
    assert [item.name for item in kept] == ["0-0-0.png", "1-0-0.png", "1-1-0.png"] and len(whole) == 3
    assert whole.embeddings.models.tolist() == [item.model for item in kept]


def test_maps_show_tested_images_before_and_after(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    shown: dict[str, LabelledEmbeddings] = {}

    def drawn(data: LabelledEmbeddings, path: Path, **_: Any) -> None:
        shown[path.name] = data

    with monkeypatch.context() as patch:
        patch.setattr(ceiling, "embedding_map", drawn)
        main([*ran.given, "--maps"])
    before, after = shown["zero-shot.png"], shown["ceiling.png"]
    tested = next(line["test"] for line in ran.lines if (line["design"], line["fold"]) == ("prompts", 0))
    assert len(before) == len(after) == len(tested) and set(before.prompts) == {name[2] for name in tested}
    assert list(before.vectors) == list(after.vectors) == ["fingerprint/mean"]
    assert not np.allclose(before.vectors["fingerprint/mean"], after.vectors["fingerprint/mean"])
