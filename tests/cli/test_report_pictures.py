"""``morelli report`` with pictures: the image that was asked about, found by its hash, and the nearest references."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from morelli.cli.app import main
from morelli.gallery.thumbnail import MEDIA_TYPE
from morelli.report.page import data_uri

from ..gallery.samples import STAMP, THUMBNAIL, gallery_of, reference, references, vectors
from .test_report import ERROR, EVALUATION, VERDICT, Seen, page_of, refused


def picture(path: Path, seed: int = 0) -> str:
    """Write a picture; the SHA-256 of its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures_of(seen: Seen) -> list[tuple[str, str]]:
    """Texts and links of a page's pictures."""
    return [(str(each["alt"]), str(each["src"])) for tag, each in seen.tags if tag == "img"]


def named(i: int) -> str:
    return f"{reference(i).name} ({reference(i).content[:12]})"


def near(*names: str) -> list[dict[str, Any]]:
    return [{"reference": name, "model": "model-01", "distance": 0.25} for name in names]


def test_an_image_is_found_by_its_hash_whatever_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    digest = picture(images / "deep" / "other name.png")
    picture(images / "query.png", seed=1)  # is called as the query, and is another picture
    (images / "notes.txt").write_text("no image")
    one = {**VERDICT, "image": "gone/query.png", "sha256": digest}
    seen = page_of(tmp_path, one, options=("--images", str(images)))
    ((alt, link),) = pictures_of(seen)
    assert alt == "gone/query.png"
    assert link.startswith("data:image/webp;base64,")
    assert "note" not in capsys.readouterr().err


def test_each_of_several_verdicts_has_its_own_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    digests = [picture(images / f"{seed}.png", seed) for seed in range(3)]
    given = [{**VERDICT, "image": f"{n}.png", "sha256": each} for n, each in enumerate(digests)]
    given[2]["sha256"] = "0" * 64
    lines = "\n".join(map(json.dumps, [given[1], ERROR, given[0], given[2]]))
    shown = pictures_of(page_of(tmp_path, lines, options=("--images", str(images))))
    assert [alt for alt, _ in shown] == ["1.png", "0.png"]
    assert shown[0][1] != shown[1][1]
    assert "note: 1 of 3 images are not in" in capsys.readouterr().err


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "q.png").write_bytes(b"no image")
    digest = hashlib.sha256(b"no image").hexdigest()
    seen = page_of(tmp_path, {**VERDICT, "sha256": digest}, options=("--images", str(images)))
    assert pictures_of(seen) == []
    assert "cannot be shown" in capsys.readouterr().err


def test_the_nearest_references_have_thumbnails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = gallery_of(tmp_path / "g", range(6))
    gallery.add(references([6]), [None], vectors([6]), STAMP)
    # One is in no gallery any more, one keeps no picture, and one is a file that a regeneration made.
    evidence = near(named(0), named(3), named(6), named(20), "out/fresh.png")
    one, other = {**VERDICT, "evidence": evidence}, {**VERDICT, "image": "other.png", "evidence": near("out/fresh.png")}
    lines = "\n".join(map(json.dumps, (one, other)))
    seen = page_of(tmp_path, lines, options=("--gallery", str(tmp_path / "g")))
    assert [link for _, link in pictures_of(seen)] == [data_uri(THUMBNAIL, MEDIA_TYPE)] * 2
    assert seen.text.count("no picture kept") == 3
    assert "note: 3 of the nearest references have no thumbnail" in capsys.readouterr().err


def test_no_gallery_is_opened_that_was_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORELLI_GALLERY", str(tmp_path / "none"))
    assert pictures_of(page_of(tmp_path, VERDICT)) == []


def test_what_cannot_be_looked_into_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "in.json", tmp_path / "o.html"
    path.write_text(json.dumps(VERDICT))
    assert "is no folder" in refused([path, "--out", out, "--images", path], capsys)
    assert "none" in refused([path, "--out", out, "--gallery", tmp_path / "none"], capsys)
    path.write_text(json.dumps(EVALUATION))
    assert "goes with verdicts" in refused([path, "--out", out, "--images", tmp_path], capsys)
    gallery_of(tmp_path / "g", range(1))
    for bad in ({**VERDICT, "evidence": 3}, {**VERDICT, "evidence": [{"reference": 3}]}, {**VERDICT, "evidence": [3]}):
        path.write_text(json.dumps(bad))
        told = refused([path, "--out", out, "--images", tmp_path, "--gallery", tmp_path / "g"], capsys)
        assert "does not hold what morelli.verdict/1 promises" in told
    assert not out.exists()


def test_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--images" in told and "--gallery" in told
