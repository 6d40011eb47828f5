"""Galleries by name: which is asked, what callers see of it, and that a change on disk is seen at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from morelli.enrol import enrol
from morelli.errors import InputError, MissingGalleryError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset
from morelli.types import Item
from morelli.web.facades import Facades
from morelli.web.galleries import Galleries, parse_galleries
from morelli.web.problems import RefusedError

from ..test_identify import Texture, gallery_of
from .conftest import Start, files, is_error

#: Options that leave out what is not asked about here.
CHEAP = {"stability": "false", "method": "cosine"}


@pytest.mark.parametrize(
    ("given", "places"),
    [
        (["a/b/refs.morelli"], {"refs": "a/b/refs.morelli"}),
        (["a/b/refs.morelli/"], {"refs": "a/b/refs.morelli/"}),
        (["one=x", "two=x"], {"one": "x", "two": "x"}),
        (["s3://bucket/refs"], {"refs": "s3://bucket/refs"}),
        (["here=s3://bucket/a=b"], {"here": "s3://bucket/a=b"}),
        (["./a=b"], {"a-b": "./a=b"}),
        (["/"], {"gallery": "/"}),
    ],
)
def test_names(given: list[str], places: dict[str, str]) -> None:
    assert parse_galleries(given) == places


@pytest.mark.parametrize("given", [[], ["x/refs", "y/refs.morelli"], ["a=1", "a=2"]])
def test_names_that_are_refused(given: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_galleries(given)
    assert caught.value.argument == "--gallery"


def test_only_names_are_looked_up(gallery: Path) -> None:
    held = Galleries({"small": str(gallery)})
    for name in (str(gallery), "../" + gallery.name, "Small", "\0", ""):
        with pytest.raises(UnknownNameError):
            held.current(name)
    assert held.current().name == "small"


def test_the_same_version_is_the_same_snapshot(gallery: Path) -> None:
    held = Galleries({"small": str(gallery)})
    assert held.current("small") is held.current("small")


def test_a_gallery_that_is_absent_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MissingGalleryError, match="is no gallery"):
        Galleries({"x": str(tmp_path / "none")}).load()


def test_a_gallery_that_goes_away(tmp_path: Path, gallery: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(gallery, tmp_path / "g")
    held = Galleries({"x": str(tmp_path / "g")})
    held.load()
    shutil.rmtree(tmp_path / "g")
    with pytest.raises(RefusedError) as caught:
        held.current("x")
    assert caught.value.status == 503
    assert str(tmp_path) not in str(caught.value)
    assert str(tmp_path) in caplog.text


def add(where: Path, items: Sequence[Item]) -> None:
    enrol(Gallery.open(where), Dataset(where, tuple(items)), Texture())


def test_a_change_on_disk_is_seen_at_the_next_request(
    start: Start, tmp_path: Path, items: tuple[Item, ...], queries: list[Item]
) -> None:
    known = [item for item in items if item not in queries and item.model != "model-02"]
    gallery_of(tmp_path / "g", known)
    client = start(galleries=[str(tmp_path / "g")])
    ask = lambda: client.post("/v1/identify", files=files(queries[0].path), data=CHEAP).json()  # noqa: E731
    before = ask()
    assert {line["model"] for line in before["ranking"]} == {"model-00", "model-01"}
    assert before["method"]["gallery"] == "g"
    add(tmp_path / "g", [item for item in items if item not in queries and item.model == "model-02"])
    after = ask()
    assert {line["model"] for line in after["ranking"]} == {"model-00", "model-01", "model-02"}
    assert after["method"]["gallery_version"] == before["method"]["gallery_version"] + 1
    assert client.get("/v1/galleries").json()["galleries"][0]["references"] == len(items) - len(queries)
    # Another gallery in its place, whose versions count from the beginning: the same number, other models.
    shutil.rmtree(tmp_path / "g")
    gallery_of(tmp_path / "g", [item for item in items if item not in queries and item.model != "model-00"])
    again = ask()
    assert again["method"]["gallery_version"] == before["method"]["gallery_version"]
    assert {line["model"] for line in again["ranking"]} == {"model-01", "model-02"}
    shutil.rmtree(tmp_path / "g")
    is_error(client.post("/v1/identify", files=files(queries[0].path)), 503)


def test_galleries_are_asked_by_name(
    start: Start, tmp_path: Path, gallery: Path, items: tuple[Item, ...], queries: list[Item]
) -> None:
    gallery_of(tmp_path / "two", [item for item in items if item not in queries and item.model != "model-02"])
    client = start(galleries=[f"all={gallery}", str(tmp_path / "two")])
    told = client.get("/v1/galleries").json()
    assert [each["gallery"] for each in told["galleries"]] == ["all", "two"]
    assert [len(each["models"]) for each in told["galleries"]] == [3, 2]
    assert str(tmp_path) not in client.get("/v1/galleries").text
    for name, models in (("all", 3), ("two", 2)):
        answer = client.post("/v1/identify", files=files(queries[0].path), data={"gallery": name, **CHEAP})
        assert len(answer.json()["ranking"]) == models
        assert answer.json()["method"]["gallery"] == name
        assert str(tmp_path) not in answer.text


def test_few_facades_are_kept(gallery: Path, learnt: Path) -> None:
    galleries = Galleries({"small": str(gallery)})
    facades = Facades(galleries, held=2, cache=learnt)
    for method in ("euclid", "cosine", "euclid", "lda"):
        with facades.identifier(None, None, method, 1e9) as identifier:
            assert identifier.method == method
    assert [key[3] for key in facades._kept] == ["euclid", "lda"]
    galleries.close()


def test_options_of_one_request_are_not_the_next_one_s(gallery: Path, learnt: Path) -> None:
    galleries = Galleries({"small": str(gallery)})
    facades = Facades(galleries, cache=learnt)
    with facades.identifier(None, None, "cosine", 1e9, epsilon=0.3, stability=False, fall_back=True) as first:
        pass
    with facades.identifier(None, None, "cosine", 1e9) as second:
        assert second is first  # what was learnt is shared
        assert (second.epsilon, second.stability, second.fall_back) == (0.1, True, False)
    galleries.close()


def test_others_wait_while_one_learns(gallery: Path, learnt: Path) -> None:
    galleries = Galleries({"small": str(gallery)})
    facades = Facades(galleries, cache=learnt)
    with (
        facades.identifier(None, None, "cosine", 1e9),
        pytest.raises(RefusedError, match="being learnt") as caught,
        facades.identifier(None, None, "cosine", 0.0),
    ):
        pass
    assert caught.value.status == 503
    galleries.close()
