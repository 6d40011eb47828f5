"""The map of a gallery's embeddings as HTML: its marks, what they say, and what is read for them."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from morelli.errors import EmptyGalleryError, InputError
from morelli.gallery import schema, table
from morelli.gallery.store import Gallery
from morelli.report import pictures
from morelli.web.galleries import Snapshot
from morelli.web.page import gallery_map
from morelli.web.page.jobs import Job, StoppedError
from morelli.web.page.style import STYLE

from ...gallery.samples import OTHER, STAMP, THUMBNAIL, add, gallery_of, reference, references, vectors

pytest.importorskip("sklearn", reason="THE MAP IS NOT TESTED: scikit-learn is not installed.")


class Elements(HTMLParser):
    """The start tags of a text, and whether every element is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, name: str) -> list[dict[str, Any]]:
        """Attributes of the elements of a class."""
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


def drawn(gallery: Gallery) -> Elements:
    return Elements(gallery_map.embedding_map(Snapshot("small", gallery, (1,))))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many values of each column were read."""
    counted: Counter[str] = Counter()
    scan, stream = table.scan, table.stream

    def counting(path: str, dataset: Any, columns: Any, where: str | None = None) -> Any:
        found = scan(path, dataset, columns, where)
        counted.update({name: len(found) for name in columns})
        counted.update({name: len(dataset) for name in dataset.schema.names if where and f"`{name}`" in where})
        return found

    def counting_parts(path: str, dataset: Any, columns: Any, where: str) -> Any:
        for part in stream(path, dataset, columns, where):
            counted.update({name: len(part) for name in columns})
            yield part

    monkeypatch.setattr(table, "scan", counting)
    monkeypatch.setattr(table, "stream", counting_parts)
    return counted


def test_each_reference_has_a_mark_that_can_be_focused(tmp_path: Path) -> None:
    page = drawn(gallery_of(tmp_path / "g", range(9)))
    dots = page.of("dot")
    assert {dot["aria-label"] for dot in dots} == {f"{reference(i).model}: {reference(i).name}" for i in range(9)}
    assert len(dots) == 9
    assert {dot["role"] for dot in dots} == {"img"}
    # One stop for Tab, whatever the number of marks; arrows go on from there.
    assert [dot["tabindex"] for dot in dots] == ["0"] + 8 * ["-1"]
    assert len(page.of("tip")) == 9
    (group,) = page.of("map")
    assert group["role"] == "group"  # of a role="img" nothing inside would be told
    assert group["aria-label"].startswith("9 of 9 references")


def test_marks_stand_model_by_model_from_left_to_right(tmp_path: Path) -> None:
    dots = drawn(gallery_of(tmp_path / "g", range(12))).of("dot")
    models = [dot["aria-label"].partition(":")[0] for dot in dots]
    assert models == sorted(models)
    numbers = {model: place for place, model in enumerate(sorted(set(models)))}
    assert [int(dot["data-model"]) for dot in dots] == [numbers[model] for model in models]
    left = [float(re.findall(r"left:([\d.]+)%", dot["style"])[0]) for dot in dots]
    for model in numbers:
        own = [x for x, of in zip(left, models, strict=True) if of == model]
        assert own == sorted(own)


def test_a_map_that_nobody_waits_for_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = gallery_of(tmp_path / "g", range(9))
    seat: Any = SimpleNamespace(until=0.0, abandoned=threading.Event())
    job, begun = Job(seat=seat), []

    def placed(data: Any, seed: int) -> Any:
        begun.append(job.stage)
        seat.abandoned.set()
        return np.zeros((len(data), 2))

    monkeypatch.setattr(gallery_map, "placed", placed)
    monkeypatch.setattr(Gallery, "thumbnails", lambda *_: pytest.fail("nobody waits for them"))
    with pytest.raises(StoppedError):
        gallery_map.embedding_map(Snapshot("small", gallery, (1,)), report=job.report)
    assert begun == ["placing the marks"]


def test_marks_and_what_they_show_stay_inside(tmp_path: Path) -> None:
    dots = drawn(gallery_of(tmp_path / "g", range(12))).of("dot")
    places = [[float(each) for each in re.findall(r"([\d.]+)%", dot["style"])] for dot in dots]
    assert (np.min(places, axis=0) == 0).all()
    assert (np.max(places, axis=0) == 100).all()
    for dot, (x, y) in zip(dots, places, strict=True):
        sides = set(dot["class"].split())
        assert ("left" in sides, "up" in sides) == (x > 50, y > 50)


def test_names_are_no_html(tmp_path: Path) -> None:
    gallery = gallery_of(tmp_path / "g", range(5))
    odd = replace(reference(7), model='<b>"m" onfocus="x', name="<script>&amp;'.png")
    gallery.add([odd], [THUMBNAIL], vectors([7]), STAMP)
    page = drawn(gallery)
    assert f"{odd.model}: {odd.name}" in [dot["aria-label"] for dot in page.of("dot")]
    assert "script" not in {tag for tag, _ in page.found}
    assert all(set(dot) == {"class", "tabindex", "role", "data-model", "aria-label", "style"} for dot in page.of("dot"))
    assert odd.model in page.words
    assert odd.name in page.words


def test_thumbnails_are_there_where_the_gallery_keeps_them(tmp_path: Path) -> None:
    gallery = gallery_of(tmp_path / "g", range(4))
    gallery.add(references([4, 5]), [None, None], vectors([4, 5]), STAMP)
    page = drawn(gallery)
    links = [attributes["src"] for tag, attributes in page.found if tag == "img"]
    assert len(page.of("dot")) == 6
    assert links == [pictures.data_uri(THUMBNAIL, "image/webp")] * 4


def test_only_the_chosen_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Counter[str]) -> None:
    gallery = gallery_of(tmp_path / "g", range(40))
    monkeypatch.setattr(gallery_map, "MOST", 6)
    read.clear()
    page = drawn(gallery)
    labels = [dot["aria-label"].partition(":")[0] for dot in page.of("dot")]
    assert Counter(labels) == {f"model {i}": 2 for i in range(3)}
    assert read[schema.column_name(STAMP.encoder)] == 6
    assert read[schema.THUMBNAIL] == 6
    assert page.of("map")[0]["aria-label"].startswith("6 of 40 references")


def test_references_without_embeddings_are_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Counter[str]
) -> None:
    gallery = gallery_of(tmp_path / "g", range(5), OTHER)
    add(gallery, range(5, 20))
    monkeypatch.setattr(gallery_map, "MOST", 6)
    page = drawn(gallery)
    assert len(page.of("dot")) == 5  # the gallery's usual encoder is its first
    assert page.of("map")[0]["aria-label"].startswith("5 of 5 references")
    assert read[schema.column_name(OTHER.encoder)] >= 20  # the counting itself sees it where every row is read


def test_the_choice_is_that_among_all_with_embeddings() -> None:
    models = np.array(["a"] * 300 + ["b"] * 20 + ["c"] * 700)
    rows = gallery_map.chosen(models, 3)
    assert len(set(rows.tolist())) == gallery_map.MOST
    assert (np.diff(rows) > 0).all()
    assert Counter(models[rows].tolist()) == {"a": 110, "b": 20, "c": 110}
    assert gallery_map.chosen(models, 3).tolist() == rows.tolist() != gallery_map.chosen(models, 4).tolist()
    assert gallery_map.chosen(models[:240], 3).tolist() == list(range(240))


def test_as_many_models_as_colours_and_shapes_allow_look_different() -> None:
    marks = [gallery_map._mark(number) for number in range(49)]
    assert len(set(marks)) == 8 * 6
    assert marks[48] == marks[0]


def test_too_few_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="four images"):
        drawn(gallery_of(tmp_path / "g", range(3)))
    with pytest.raises(EmptyGalleryError, match="no reference"):
        drawn(Gallery.create(tmp_path / "none"))
    gallery = gallery_of(tmp_path / "gone", range(2), OTHER)
    add(gallery, range(2, 8))
    gallery.remove(contents=[reference(0).content, reference(1).content])
    with pytest.raises(EmptyGalleryError, match="embeddings of toy/other"):
        drawn(gallery)


def test_the_style_names_what_the_map_has(tmp_path: Path) -> None:
    """Each class and element that the style sheet has of the map is made."""
    page = drawn(gallery_of(tmp_path / "g", range(12)))
    made = {name for _, attributes in page.found for name in (attributes.get("class") or "").split()}
    styled = re.findall(r"\.shown \.map ([^{,]+)", STYLE)
    assert len(styled) >= 6
    for rule in styled:
        assert set(re.findall(r"\.([a-z]+)", rule)) <= made, rule
        assert set(re.findall(r"(?:^| )([a-z]+)", rule)) <= {tag for tag, _ in page.found}, rule


def test_the_nearest_thumbnails_are_read_at_once(tmp_path: Path, read: Counter[str]) -> None:
    gallery = gallery_of(tmp_path / "g", range(30))
    gallery.add(references([30]), [None], vectors([30]), STAMP)
    read.clear()
    names = [f"{reference(i).name} ({reference(i).content[:12]})" for i in (3, 8, 30)]
    found = pictures.near(gallery, [*names, "a name alone"])
    assert found == dict.fromkeys(names[:2], pictures.data_uri(THUMBNAIL, "image/webp"))
    assert read[schema.THUMBNAIL] == 3
    assert pictures.near(gallery, []) == {}
