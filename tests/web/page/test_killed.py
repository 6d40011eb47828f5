"""The server killed amid adds and batches: nothing lost, nothing double; and that the check would see it if it were."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.serving.killed import Ground, _faults, kill_again_and_again
from benchmarks.serving.load import form
from benchmarks.serving.program import write_tokens

from morelli.gallery.store import Gallery
from morelli.gallery.view import GalleryView
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Item

from ...test_identify import STAMP, Texture
from ..process import running

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
KILLS = 2


@pytest.fixture
def ground(gallery: Path, learnt: Path, queries: list[Item], tmp_path: Path) -> Ground:
    own = Path(shutil.copytree(gallery, tmp_path / "own.morelli"))
    token, audit = write_tokens(tmp_path / "tokens", ["alice"])["alice"], tmp_path / "audit.jsonl"
    audit.touch()
    number = itertools.count()
    options = ["--gallery", own, "--page", "--tokens", tmp_path / "tokens", "--audit", audit, "--rate", 0]

    def start() -> Any:
        # Slow enough that there is something to be killed in the middle of.
        return running(options, tmp_path / f"log{next(number)}", learnt, {"TEXTURE_SECONDS": "0.05"})

    pairs = [(item.path.name, item.path.read_bytes()) for item in queries]
    batch = form(pairs, {"stability": "false", "method": "cosine"})
    return Ground(start, own, audit, "own", token, batch, len(pairs))


@pytest.mark.slow
def test_killed_amid_adds_and_batches(ground: Ground, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "added", models=KILLS + 2, prompts=2, seeds=2, size=64, seed=7)
    adds: dict[str, list[Path]] = {}
    for item in read_dataset(folder).items:
        adds.setdefault(f"new-{item.model}", []).append(item.path)
    found = kill_again_and_again(ground, list(adds.items()))
    print(found)
    assert found.wrong == []
    assert (found.kills, found.before + found.after) == (KILLS, KILLS)
    assert found.answers > 0
    references = GalleryView.open(ground.gallery).references()
    assert sum(each.model.startswith("new-") for each in references) == 4 * (KILLS + 2)


# -- the check itself -------------------------------------------------------------------------------------------------


def line(**told: Any) -> str:
    return json.dumps({"route": "PAGE gallery add", "status": 200, **told}) + "\n"


def added(ground: Ground, items: list[Item], model: str) -> None:
    """As the page adds, without a server."""
    from morelli.enrol import enrol
    from morelli.images.dataset import Dataset

    given = tuple(replace(item, model=model, family=model) for item in items)
    enrol(Gallery.open(ground.gallery), Dataset(ground.gallery, given), Texture(STAMP), copies=0)


STATES = {state: {"change": {"model": "new", "state": state}} for state in ("begun", "done")}


@pytest.mark.parametrize(
    ("made", "log", "answered", "told", "fault"),
    [
        (3, ["begun", "done"], 0, True, None),
        (3, ["begun"], 0, False, None),
        (0, ["begun"], 0, False, None),
        (0, [], 0, False, None),
        (3, [], 0, False, "of an add that was made"),
        (3, ["done"], 0, False, "['done']"),
        (2, ["begun"], 0, False, "2 of 3 references"),
        (0, ["begun", "done"], 0, False, "is called done"),
        (0, ["begun"], 0, True, "is called done"),
        (0, [], 5, False, "5 images answered, 0 recorded"),
    ],
)
def test_whatever_is_lost_or_double_is_seen(
    ground: Ground, queries: list[Item], made: int, log: list[str], answered: int, told: bool, fault: str | None
) -> None:
    known = GalleryView.open(ground.gallery)
    if made:
        added(ground, queries[:made], "new")
    with ground.audit.open("a") as file:
        file.writelines(line(**STATES[state]) for state in log)
    found = _faults(ground, known, 0, "new", 3, answered, told)
    assert (found == []) if fault is None else any(fault in each for each in found), found


def test_a_reference_that_is_gone_is_seen(ground: Ground) -> None:
    known = GalleryView.open(ground.gallery)
    Gallery.open(ground.gallery).remove(contents=[known.references()[0].content])
    assert any("references became" in each for each in _faults(ground, known, 0, "new", 3, 0, False))


def test_half_a_line_is_seen(ground: Ground) -> None:
    ground.audit.write_text('{"route": "x"')
    with pytest.raises(json.JSONDecodeError):
        _faults(ground, GalleryView.open(ground.gallery), 0, "new", 3, 0, False)
