"""Pictures of 512 pixels, no encoder named: the lattice joins in, and what asks the gallery goes along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from morelli.cli import main
from morelli.testing.datasets import write_dataset

JOINED = "efficientnet-lite0+residual-lattice"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References under d, and a gallery g of them made without naming an encoder."""
    home = tmp_path_factory.mktemp("large")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MORELLI_CACHE", str(home / "cache"))
        write_dataset(home / "d", models=5, prompts=2, seeds=2, size=512)
        assert main(["gallery", "add", str(home / "g"), str(home / "d"), "--copies", "0"]) == 0
    return home


@pytest.fixture(autouse=True)
def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(home / "cache"))


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out.splitlines()[0])


def one_of(home: Path) -> Path:
    return next(path for path in sorted((home / "d").rglob("*.png")))


def test_a_new_gallery_has_the_joined_encoder_and_keeps_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = answer(capsys, "gallery", "list", home / "g", "--json")
    assert [entry["encoder"] for entry in listed["encoders"]] == [JOINED]
    # Small pictures that come later do not change what the gallery is made with.
    write_dataset(home / "small", models=1, prompts=2, seeds=1, size=48)
    added = answer(capsys, "gallery", "add", home / "g", home / "small", "--json")
    assert added["added"] == 2
    listed = answer(capsys, "gallery", "list", home / "g", "--json")
    assert [entry["encoder"] for entry in listed["encoders"]] == [JOINED]


@pytest.mark.parametrize("command", ["identify", "check", "verify", "lineage"])
def test_who_asks_the_gallery_compares_by_it(home: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    picture = one_of(home)
    words = {
        "identify": ["identify", picture, "--no-stability"],
        "check": ["check", picture, "--model", picture.parent.name],
        "verify": ["verify", picture, picture],
        "lineage": ["lineage", picture],
    }[command]
    if command == "check":
        words[3] = answer(capsys, "gallery", "list", home / "g", "--json")["models"][0]["model"]
    found = answer(capsys, *words, "--gallery", home / "g", "--json")
    assert found["method"]["encoder"] == JOINED


def test_another_encoder_beside_it_is_not_what_is_meant(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = home / "both"
    for words in ((), ("--encoder", "efficientnet-lite0")):
        answer(capsys, "gallery", "add", copy, home / "d", "--copies", "0", "--json", *words)
    for words in (("--encoder", "efficientnet-lite0"), ()):
        answer(capsys, "gallery", "add", home / "turned", home / "d", "--copies", "0", "--json", *words)
    found = answer(capsys, "identify", one_of(home), "--no-stability", "--gallery", copy, "--json")
    assert found["method"]["encoder"] == JOINED
    # The second add names none and takes the gallery's first.
    found = answer(capsys, "identify", one_of(home), "--no-stability", "--gallery", home / "turned", "--json")
    assert found["method"]["encoder"] == "efficientnet-lite0"


def test_a_tiny_picture_is_refused_by_name(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open(one_of(home)).resize((24, 24)).save(tmp_path / "tiny.png")
    assert main(["identify", str(tmp_path / "tiny.png"), "--gallery", str(home / "g"), "--no-stability"]) != 0
    err = capsys.readouterr().err
    assert "24 × 24 pixels" in err
    assert "residual-lattice" in err


def test_an_evaluation_goes_by_the_form_of_all_pictures(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--protocol", "any-prompt", "--method", "cosine", "--no-ablation", "--no-calibrate", "--json")
    assert answer(capsys, "evaluate", home / "d", *words)["encoder"]["id"] == JOINED
    write_dataset(home / "mixed", models=2, prompts=2, seeds=2, size=512)
    path = next(path for path in sorted((home / "mixed").rglob("*.png")))
    Image.open(path).resize((640, 512)).save(path)
    assert answer(capsys, "evaluate", home / "mixed", *words)["encoder"]["id"] == "efficientnet-lite0"
