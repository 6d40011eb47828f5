"""``morelli identify`` through the command line: answers, streams, exit status and bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.cli import asking, main
from morelli.encoders import catalogue
from morelli.enrol import enrol
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset, read_dataset
from morelli.testing.datasets import write_dataset
from morelli.testing.hostile import BROKEN, write_hostile
from morelli.types import Item, Verdict

from ..test_identify import STAMP, Texture

FIELDS = {
    *("image", "sha256", "schema", "version", "decision", "calibrated", "ranking", "candidates", "epsilon"),
    *("unknown", "stability", "method", "evidence", "claims", "claims_read", "notes"),
}
OTHER = replace(STAMP, encoder="other")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=8, seeds=3, size=64)).items


@pytest.fixture(scope="module")
def queries(items: tuple[Item, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three pictures that are no references."""
    folder = tmp_path_factory.mktemp("queries")
    for item in items:
        if item.prompt_id == "007" and item.seed == 2:
            (folder / f"{item.model}.png").write_bytes(item.path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def references(items: tuple[Item, ...]) -> list[Item]:
    return [item for item in items if item.prompt_id != "007" or item.seed != 2]


def gallery_of(path: Path, items: list[Item], encoder: Any = None) -> Path:
    enrol(Gallery.create(path), Dataset(path, tuple(items)), encoder or Texture())
    return path


@pytest.fixture(scope="module")
def gallery(references: list[Item], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery_of(tmp_path_factory.mktemp("g") / "g", references)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def toys(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(cache))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    for stamp in (STAMP, OTHER):
        catalogue.REGISTRY.add(stamp.encoder, lambda stamp=stamp: Texture(stamp))
    yield
    for stamp in (STAMP, OTHER):
        del catalogue.REGISTRY._loaded[stamp.encoder]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run ``morelli identify``: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["identify", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_json_is_a_line_an_image_in_order(run, gallery: Path, queries: Path) -> None:
    status, out, _ = run(queries, "--gallery", gallery, "--json", "--prompt", "007")
    verdicts = objects(out)
    assert status == 0
    assert [v["image"] for v in verdicts] == [str(path) for path in sorted(queries.iterdir())]
    assert all(set(v) == FIELDS for v in verdicts)
    assert all(v["schema"] == "morelli.verdict/1" for v in verdicts)
    assert all(v["method"]["prompt_used"] == "007" and v["method"]["gallery"] == str(gallery) for v in verdicts)
    assert [len(v["ranking"]) for v in verdicts] == [3, 3, 3]


def test_a_verdict_for_people(run, gallery: Path, queries: Path) -> None:
    picture = queries / "model-00.png"
    status, out, _ = run(picture, "--gallery", gallery)
    told = objects(run(picture, "--gallery", gallery, "--json")[1])[0]
    assert status == 0
    decision = {"unsure": f"unsure, perhaps {told['ranking'][0]['model']}", "none": "none of the known models"}
    lines = out.splitlines()
    assert lines[0] == f"{picture}: {decision.get(told['decision'], told['decision'])}"
    assert lines[1].split() == ["rank", "model", "probability,", "%"]
    for line, ranked in zip(lines[2:5], told["ranking"], strict=True):
        assert ranked["model"] in line
        assert f"{100 * ranked['probability']:.1f}" in line
    assert f"(p = {told['unknown']['p_value']:.3f})" in out
    assert "5 keep the first place" in out
    assert all(each["reference"] in out for each in told["evidence"])
    assert "fused, texture, without the prompt" in out
    assert all(note in out for note in told["notes"])


def test_statistics_are_said_to_be_learnt_once(run, gallery: Path, queries: Path, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "new"))
    first = run(queries / "model-00.png", "--gallery", gallery, "--json")
    second = run(queries / "model-00.png", "--gallery", gallery, "--json")
    assert first[2] == "learning the statistics of the gallery, once …\n"
    assert second[2] == ""
    assert first[1] == second[1]


def test_options_reach_the_verdict(run, gallery: Path, queries: Path, monkeypatch) -> None:
    monkeypatch.setenv("MORELLI_GALLERY", str(gallery))
    picture = queries / "model-01.png"
    plain = objects(run(picture, "--json", "--method", "euclid", "--epsilon", "0.25", "--no-stability")[1])[0]
    assert (plain["method"]["name"], plain["epsilon"]) == ("euclid", 0.25)
    assert plain["stability"] == {"agreement": None, "degradations": []}
    _, out, _ = run(picture, "--top", "1", "--method", "euclid")
    assert " 1  model" in out
    assert " 2  model" not in out


def test_families_are_shown_where_they_differ(run, references: list[Item], queries: Path, tmp_path: Path) -> None:
    kin = gallery_of(tmp_path / "kin", [replace(item, family="kin") for item in references])
    _, out, _ = run(queries / "model-00.png", "--gallery", kin, "--method", "euclid")
    assert out.splitlines()[1].split() == ["rank", "model", "family", "probability,", "%"]


def test_none_and_a_model_in_the_headline(
    capsys: pytest.CaptureFixture[str], run, gallery: Path, queries: Path
) -> None:
    from morelli.cli.identify import show

    told = objects(run(queries / "model-00.png", "--gallery", gallery, "--json", "--no-stability")[1])[0]
    from morelli.identify import Identifier

    (verdict,) = Identifier(gallery, stability=False).identify([queries / "model-00.png"])
    assert isinstance(verdict, Verdict)
    assert verdict.image == told["image"]
    for decision, headline in (("none", "none of the known models"), ("model-00", "model-00")):
        show(replace(verdict, decision=decision, rejected=decision == "none"), 5)
        out = capsys.readouterr().out
        assert out.splitlines()[0].endswith(f": {headline}")
        assert ("none of the known models fits" in out) == (decision == "none")


# -- bad input --------------------------------------------------------------------------------------------------------


def test_one_bad_file_does_not_stop_the_others(run, gallery: Path, queries: Path, tmp_path: Path) -> None:
    bad = [path for name, path in write_hostile(tmp_path / "h").items() if name in BROKEN]
    pixel = tmp_path / "pixel.png"
    from PIL import Image

    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(pixel)
    (tmp_path / "empty").mkdir()
    given = [tmp_path / "absent.png", *bad, pixel, queries, tmp_path / "empty"]
    status, out, err = run(*given, "--gallery", gallery, "--json")
    answers = objects(out)
    assert status == 1
    failed = [a for a in answers if a["schema"] == "morelli.error/1"]
    assert sorted(a["image"] for a in failed) == sorted(str(p) for p in given if p != queries)
    assert len(answers) - len(failed) == 3
    assert all(set(a) == {"schema", "image", "argument", "message", "fix"} for a in failed)
    lines = err.splitlines()
    assert len(lines) == len(failed)
    assert all(line.startswith("error: ") and "Traceback" not in line for line in lines)
    for answer, line in zip(failed, lines, strict=True):
        assert answer["image"] in line


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_nothing_but_bad_input(run, gallery: Path, tmp_path: Path, kind: str) -> None:
    empty = tmp_path / "empty"
    if kind == "folder":
        empty.mkdir()
    else:
        empty.write_bytes(b"")
    status, out, err = run(empty, "--gallery", gallery)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert ("there is no image in this folder" if kind == "folder" else "zero bytes") in err


@pytest.fixture
def galleries(references: list[Item], tmp_path: Path) -> dict[str, Path]:
    """Galleries that do not allow the question."""
    (tmp_path / "folder").mkdir()
    Gallery.create(tmp_path / "empty")
    alone = [i for i in references if i.model == "model-02"]
    lacking = [i for i in references if i.prompt_id != "007" or i.model != "model-01"]
    return {
        "absent": tmp_path / "absent",
        "folder": tmp_path / "folder",
        "empty": tmp_path / "empty",
        "alone": gallery_of(tmp_path / "alone", alone),
        "lacking": gallery_of(tmp_path / "lacking", lacking),
        "older": gallery_of(tmp_path / "older", references, Texture(replace(STAMP, revision="0"))),
    }


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("absent", [], "is no gallery. Make one: morelli gallery add"),
        ("folder", [], "is no gallery"),
        ("empty", [], "holds no reference"),
        ("alone", [], "one model only, model-02"),
        ("lacking", ["--prompt", "007"], "no reference of the prompt '007' for model-01"),
        ("lacking", ["--prompt", "007 "], "leave --prompt out, or pass --prompt-free"),
        ("lacking", ["--prompt", "made-up scen 7"], "Did you mean 'made-up scene 7'"),
        ("lacking", ["--encoder", "other"], "has embeddings of texture, and none of other"),
        ("lacking", ["--encoder", "textur"], "no encoder is called 'textur'. Did you mean 'texture'"),
        ("lacking", ["--method", "fuse"], "no attributor is called 'fuse'. Did you mean 'fused'"),
        ("lacking", ["--method", "plda"], "the prompt is not known"),
        ("lacking", ["--epsilon", "2"], "epsilon: must lie between 0 and 1"),
        ("older", [], "not comparable: revision 0 there and 1 here"),
    ],
)
def test_a_question_that_cannot_be_answered(
    run, galleries: dict[str, Path], queries: Path, name: str, options: list[str], said: str
) -> None:
    status, out, err = run(queries, "--gallery", galleries[name], *options, "--json")
    assert status == 1
    *before, line = err.splitlines()
    assert said in line
    assert before == (["learning the statistics of the gallery, once …"] if "plda" in options else [])
    (told,) = objects(out)
    assert told["schema"] == "morelli.error/1"
    assert told["image"] is None


def test_prompt_free_falls_back(run, galleries: dict[str, Path], queries: Path) -> None:
    status, out, _ = run(queries, "--gallery", galleries["lacking"], "--prompt", "007", "--prompt-free", "--json")
    assert status == 0
    for verdict in objects(out):
        assert verdict["method"]["prompt_used"] is None
        assert any("no reference of the prompt '007' for model-01" in note for note in verdict["notes"])


def test_no_gallery_says_what_to_do(run, queries: Path) -> None:
    status, out, err = run(queries)
    assert (status, out) == (1, "")
    assert err.startswith("error: --gallery: no gallery was named")
    assert "MORELLI_GALLERY" in err
    assert "morelli gallery add" in err


@pytest.mark.parametrize("arguments", [[], ["x.png", "--top", "0"], ["x.png", "--epsilon", "much"]])
def test_wrong_usage_is_2(run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


# -- progress ---------------------------------------------------------------------------------------------------------


def test_the_bar_is_gone_when_an_answer_is_printed(
    run, gallery: Path, queries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []

    class Bar:
        def __init__(self, label: str) -> None:
            self.label = label

        def __enter__(self):
            told.append(("open", self.label))
            return lambda done, total: told.append(("at", str(done), str(total)))

        def __exit__(self, *_: object) -> None:
            told.append(("close",))

    monkeypatch.setattr(asking, "progress", Bar)
    monkeypatch.setattr(asking, "emit_json", lambda value: told.append(("answer", value["schema"])))
    run(queries, "--gallery", gallery, "--json", "--no-stability")
    one = [("open", "identifying"), None, ("close",), ("answer", "morelli.verdict/1")]
    expected = [step or ("at", str(i), "3") for i in (1, 2, 3) for step in one]
    assert told == expected
    told.clear()
    run(queries / "model-00.png", "--gallery", gallery, "--json", "--no-stability")
    assert told == [("answer", "morelli.verdict/1")]  # one picture needs no bar


# -- a cold start -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cold_start_reads_what_was_learnt(references: list[Item], queries: Path, tmp_path: Path) -> None:
    few = [i for i in references if i.prompt_id in ("000", "001", "007")]
    from morelli.encoders.catalogue import load_encoder

    gallery = gallery_of(tmp_path / "g", few, load_encoder("efficientnet-lite0"))
    # pandas is not asked for: where it is installed, pyarrow loads it by itself.
    code = (
        "import sys\nfrom morelli.cli import main\n"
        f"status = main(['identify', {str(queries / 'model-00.png')!r}, '--gallery', {str(gallery)!r}, '--json'])\n"
        "loaded = [m for m in ('sklearn', 'matplotlib', 'transformers') if m in sys.modules]\n"
        "print('LOADED', *loaded, file=sys.stderr)\nsys.exit(status)"
    )
    environment = dict(os.environ, MORELLI_CACHE=str(tmp_path / "cache"))
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
        for _ in range(2)
    ]
    assert [done.returncode for done in runs] == [0, 0], runs[0].stderr
    assert "learning the statistics" in runs[0].stderr
    assert runs[1].stderr.split() == ["LOADED"]
    assert json.loads(runs[0].stdout) == json.loads(runs[1].stdout)
