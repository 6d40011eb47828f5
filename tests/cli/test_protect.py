"""``morelli protect`` through the command line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.cli import main
from morelli.encoders import catalogue
from morelli.encoders.catalogue import load_encoder
from morelli.errors import InputError
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import EncoderStamp, Item

from ..defence.test_protect import gallery_of
from ..defence.toys import STAMP, BlindEncoder, GrainEncoder

BLIND = EncoderStamp("blind", "1", "plain", STAMP.dims)
BASE = ("--method", "euclid", "--steps", 4, "--epsilon", 3)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=4, seeds=3, size=40)).items


@pytest.fixture(scope="module")
def query(items: tuple[Item, ...]) -> Path:
    return next(item.path for item in items if (item.model, item.prompt_id, item.seed) == ("model-01", "002", 2))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...], query: Path) -> Path:
    rest = [item for item in items if item.path != query]
    return gallery_of(tmp_path_factory.mktemp("g") / "g", rest, GrainEncoder())


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    monkeypatch.setattr("morelli.protect.DEFAULT_ENCODER", "grain")
    catalogue.REGISTRY.add("grain", GrainEncoder)
    catalogue.REGISTRY.add("blind", lambda: BlindEncoder(BLIND))
    yield
    for name in ("grain", "blind"):
        del catalogue.REGISTRY._loaded[name]


@pytest.fixture
def run(gallery: Path, capsys: pytest.CaptureFixture[str]):
    """Run ``morelli protect``: exit status, stdout, stderr."""

    def run(*arguments: object, of: Path = gallery) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["protect", *map(str, arguments), "--gallery", str(of)])
        return status, *capsys.readouterr()

    return run


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_json_and_files(run, query: Path, tmp_path: Path) -> None:
    before = query.read_bytes()
    out = tmp_path / "out"
    status, text, err = run(query, "--out", out, *BASE, "--model", "model-01", "--prompt", "002", "--json", "--sheet")
    assert status == 0, err
    (line,) = text.splitlines()
    found = json.loads(line)
    assert found["schema"] == "morelli.protect/1"
    assert found["output"] == str(out / f"{query.stem}.png")
    assert found["sha256"] == hashlib.sha256(before).hexdigest()
    assert found["output_sha256"] == hashlib.sha256(Path(found["output"]).read_bytes()).hexdigest()
    away = np.abs(pixels(found["output"]) - pixels(query))
    assert 1 <= away.max() == found["quality"]["largest_change"] <= 3
    assert (found["defence"]["epsilon"], found["defence"]["steps"]) == (3.0, 4)
    assert sorted(path.name for path in out.iterdir()) == sorted([f"{query.stem}.png", "reports.jsonl", "sheet.png"])
    assert [json.loads(each) for each in (out / "reports.jsonl").read_text().splitlines()] == [found]
    assert any("smaller than 128 pixels" in note for note in found["notes"])
    assert pixels(out / "sheet.png").shape == (40, 3 * 40 + 16, 3)
    assert query.read_bytes() == before


def test_for_people(run, query: Path, tmp_path: Path) -> None:
    status, text, _ = run(
        query, "--out", tmp_path / "o", "--defence", "canonical", "--method", "euclid", "--model", "model-01"
    )
    lines = text.splitlines()
    assert status == 0
    assert lines[0] == f"{query} → {tmp_path / 'o' / (query.stem + '.png')}"
    assert [line.split()[0] for line in lines[1:6]] == ["model", "judge", "before", "after", "quality"]
    assert lines[2].endswith("euclid with grain (no encoder is optimised against)")
    assert "the true model is in place 1" in lines[3]


def test_a_report_by_a_surrogate_says_so(run, items, query: Path, tmp_path: Path) -> None:
    rest = [item for item in items if item.path != query]
    both = gallery_of(tmp_path / "both", rest, GrainEncoder(), BlindEncoder(BLIND))
    text = run(query, "--out", tmp_path / "a", *BASE, "--encoder", "grain", of=both)[1]
    assert "with grain (a surrogate: the best case)" in text
    assert "note      Judged with grain, which the images were optimised against" in text
    text = run(query, "--out", tmp_path / "b", *BASE, of=both)[1]
    assert "with blind (an unseen encoder)" in text
    assert "Judged with" not in text


def test_a_judge_that_begins_as_a_surrogate_does(run, items, query: Path, tmp_path: Path) -> None:
    rest = [item for item in items if item.path != query and item.prompt_id in ("002", "003")]
    encoders = [load_encoder(name) for name in ("residual-spectrum", "fingerprint")]
    both = gallery_of(tmp_path / "both", rest, *encoders)
    asked = ("--method", "euclid", "--steps", 1, "--surrogate", "residual-spectrum")
    status, text, err = run(query, "--out", tmp_path / "a", *asked, of=both)
    assert status == 0, err
    assert "with fingerprint (it shares its front end with a surrogate: near the best case)" in text
    status, text, _ = run(query, "--out", tmp_path / "b", *asked, "--json", of=both)
    assert json.loads(text)["method"]["unseen_encoder"] is False


def test_layers_of_a_surrogate_keep_their_commas(run, query: Path, tmp_path: Path, monkeypatch) -> None:
    class Listener:
        def __init__(self, *_: object, surrogates: list[str], **__: object) -> None:
            raise InputError(" | ".join(surrogates))

    monkeypatch.setattr("morelli.protect.Protector", Listener)
    named = "grain, hf:facebook/dinov2-small@block4/mean,pooled,blind,grain"
    _, _, err = run(query, "--out", tmp_path / "o", *BASE, "--surrogate", named)
    assert "grain | hf:facebook/dinov2-small@block4/mean,pooled | blind" in err
    assert err.count("grain") == 1


def test_nothing_is_replaced_unless_asked(run, query: Path, tmp_path: Path) -> None:
    target = tmp_path / f"{query.stem}.png"
    target.write_bytes(b"mine")
    status, text, err = run(query, "--out", tmp_path, *BASE)
    assert (status, text) == (1, "")
    assert "exists already" in err
    assert target.read_bytes() == b"mine"
    assert run(query, "--out", tmp_path, *BASE, "--overwrite")[0] == 0
    first = target.read_bytes()
    assert first != b"mine"
    # Another run has other secrets, and its report takes the place of the first one's; with a seed all is the same.
    assert run(query, "--out", tmp_path, *BASE, "--overwrite")[0] == 0
    assert target.read_bytes() != first
    reports = [json.loads(line) for line in (tmp_path / "reports.jsonl").read_text().splitlines()]
    assert [each["output_sha256"] for each in reports] == [hashlib.sha256(target.read_bytes()).hexdigest()]
    seed = reports[0]["defence"]["seed"]
    assert run(query, "--out", tmp_path / "again", *BASE, "--seed", seed)[0] == 0
    assert (tmp_path / "again" / target.name).read_bytes() == target.read_bytes()
    # An original is not overwritten whatever is asked.
    copy = shutil.copy(query, tmp_path / "own.png")
    status, _, err = run(copy, "--out", tmp_path, *BASE, "--overwrite")
    assert status == 1
    assert "one of the images itself" in err
    assert Path(copy).read_bytes() == query.read_bytes()


def test_a_file_of_another_that_is_called_like_the_reports_is_left_alone(run, query: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "reports.jsonl").write_text('{"mine": 1}\n{"mine": 2}\n')
    status, text, err = run(query, "--out", tmp_path / "o", *BASE)
    assert (status, text) == (1, "")
    assert "no report of a protected picture" in err
    # `--overwrite` takes away no other's file, and is not advised.
    assert "overwrite" not in err
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["reports.jsonl"]
    assert (tmp_path / "o" / "reports.jsonl").read_text() == '{"mine": 1}\n{"mine": 2}\n'


def test_a_bad_image_among_good_ones(run, query: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "tiny.png")
    status, text, err = run(tmp_path / "tiny.png", query, "--out", tmp_path / "o", *BASE, "--json")
    first, second = map(json.loads, text.splitlines())
    assert status == 1
    assert first["schema"] == "morelli.error/1"
    assert first["image"] == str(tmp_path / "tiny.png")
    assert second["schema"] == "morelli.protect/1"
    assert "tiny.png" in err
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [f"{query.stem}.png", "reports.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--epsilon", "0"), "epsilon: must lie between 1 and 32"),
        (("--epsilon", "-2"), "epsilon"),
        (("--epsilon", "64"), "epsilon"),
        (("--steps", "0"), "steps"),
        (("--defence", "pdg"), "Did you mean 'pgd'"),
        (("--surrogate", "blind"), "no gradient flows through the encoder blind"),
        (("--surrogate", ","), "--surrogate: names no encoder"),
        (("--model", "model-7"), "no model is called"),
        (("--defence", "canonical"), "--epsilon: plays no part in canonical"),
        (("--recipe", "median"), "--recipe: plays no part in pgd"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(run, query: Path, tmp_path: Path, arguments, said: str) -> None:
    status, text, err = run(query, "--out", tmp_path / "o", *BASE, *arguments)
    assert (status, text) == (1, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not (tmp_path / "o").exists()


def test_a_recipe_that_cannot_be_followed(run, query: Path, tmp_path: Path) -> None:
    asked = ("--method", "euclid", "--defence", "canonical", "--recipe", "jpeg:0")
    status, _, err = run(query, "--out", tmp_path / "o", *asked)
    assert (status, len(err.splitlines())) == (1, 1)
    assert "the quality must be" in err


def test_one_model_only(run, items: tuple[Item, ...], query: Path, tmp_path: Path) -> None:
    alone = gallery_of(tmp_path / "alone", [item for item in items if item.model == "model-00"], GrainEncoder())
    status, _, err = run(query, "--out", tmp_path / "o", *BASE, of=alone)
    assert status == 1
    assert "one model only" in err


def test_encoders_without_gradients_are_left_out_by_default(run, items, query: Path, tmp_path: Path) -> None:
    rest = [item for item in items if item.path != query]
    both = gallery_of(tmp_path / "both", rest, GrainEncoder(), BlindEncoder(BLIND))
    status, text, _ = run(query, "--out", tmp_path / "o", *BASE, "--json", of=both)
    found = json.loads(text)
    assert status == 0
    assert [each["encoder"] for each in found["defence"]["surrogates"]] == ["grain"]
    assert "No gradient flows through blind: it is no surrogate." in found["notes"]
    blind = gallery_of(tmp_path / "blind", rest, BlindEncoder(BLIND))
    status, _, err = run(query, "--out", tmp_path / "p", *BASE, of=blind)
    assert status == 1
    assert "no gradient flows" in err
    plain = ("--method", "euclid", "--defence", "canonical")
    assert run(query, "--out", tmp_path / "p", *plain, of=blind)[0] == 0
