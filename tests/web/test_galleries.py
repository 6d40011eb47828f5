"""Galleries by name: which is asked, what callers see of it, and that a change on disk is seen at once."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from morelli.enrol import enrol
from morelli.errors import InputError, MissingGalleryError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset
from morelli.types import Item
from morelli.web.desk import Desk
from morelli.web.facades import Facades
from morelli.web.galleries import Galleries, parse_galleries
from morelli.web.problems import RefusedError
from morelli.web.shelf import Shelf

from ..test_identify import Texture, gallery_of
from .conftest import Start, files, is_error, until

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
    after = soon(ask, lambda told: told["method"]["gallery_version"] != before["method"]["gallery_version"])
    assert {line["model"] for line in after["ranking"]} == {"model-00", "model-01", "model-02"}
    assert after["method"]["gallery_version"] == before["method"]["gallery_version"] + 1
    assert client.get("/v1/galleries").json()["galleries"][0]["references"] == len(items) - len(queries)
    # Another gallery in its place, whose versions count from the beginning: the same number, other models.
    shutil.rmtree(tmp_path / "g")
    gallery_of(tmp_path / "g", [item for item in items if item not in queries and item.model != "model-00"])
    again = soon(ask, lambda told: "model-02" not in str(told["ranking"]) or len(told["ranking"]) == 2)
    assert again["method"]["gallery_version"] == before["method"]["gallery_version"]
    assert {line["model"] for line in again["ranking"]} == {"model-01", "model-02"}
    shutil.rmtree(tmp_path / "g")
    is_error(client.post("/v1/identify", files=files(queries[0].path)), 503)


def soon(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """The first answer of which something holds: on a busy machine the version before may answer once more."""
    answers: list[Any] = []
    until(lambda: answers.append(ask()) or holds(answers[-1]))
    return answers[-1]


def test_who_waits_for_what_is_learnt_has_no_turn(
    start: Start, tmp_path: Path, gallery: Path, items: tuple[Item, ...], queries: list[Item]
) -> None:
    """One gallery is being learnt, and more ask about it than may be worked on: the other one answers meanwhile."""
    gallery_of(tmp_path / "two", [item for item in items if item not in queries])
    desks: list[Desk] = []
    client = start(galleries=[f"one={gallery}", str(tmp_path / "two")], concurrent=2, seconds=60, change=desks.append)
    admission = desks[0].admission
    pair = files(queries[0].path, queries[1].path)

    def ask(name: str) -> Any:
        return client.post("/v1/identify", files=files(queries[0].path), data={"gallery": name, **CHEAP})

    with ThreadPoolExecutor(6) as pool:
        with desks[0].facades.identifier("one", None, "cosine", 1e9):
            waiting = [pool.submit(ask, "one") for _ in range(4)]
            until(lambda: admission.inside == 4)
            assert ask("two").status_code == 200
            assert client.post("/v1/verify", files=pair, data={"gallery": "one"}).status_code == 200
            assert admission.inside == 4
            assert not admission.turns._working
        assert [each.result().status_code for each in waiting] == [200] * 4


def test_who_waits_too_long_for_what_is_learnt_is_told(start: Start, queries: list[Item]) -> None:
    desks: list[Desk] = []
    client = start(seconds=2.5, change=desks.append)
    with desks[0].facades.identifier(None, None, "cosine", 1e9):
        told = is_error(client.post("/v1/identify", files=files(queries[0].path), data=CHEAP), 503)
    assert "being learnt" in told["message"]


class Slow:
    """What is learnt from a new version waits for a sign."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.count = threading.Event(), 0
        plain = Shelf._make

        def make(shelf: Shelf, recipe: Any, found: Any) -> Any:
            self.count += 1
            if threading.current_thread().name == "morelli-learn":
                self.go.wait(60)
            return plain(shelf, recipe, found)

        monkeypatch.setattr(Shelf, "_make", make)
        monkeypatch.setattr("morelli.web.shelf.PATIENCE", 0.1)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    found = Slow(monkeypatch)
    yield found
    found.go.set()


def test_the_version_before_answers_while_the_new_one_is_learnt(
    start: Start, tmp_path: Path, items: tuple[Item, ...], queries: list[Item], slow: Slow
) -> None:
    known = [item for item in items if item not in queries and item.model != "model-02"]
    gallery_of(tmp_path / "g", known)
    desks: list[Desk] = []
    client = start(galleries=[str(tmp_path / "g")], change=desks.append)
    sent, two = files(queries[0].path), files(queries[0].path, queries[1].path)

    def versions() -> list[int]:
        answers = [
            client.post("/v1/identify", files=sent, data=CHEAP),
            client.post("/v1/identify", files=sent, data={**CHEAP, "prompt": "003"}),
            client.post("/v1/verify", files=two),
            client.post("/v1/protect", files=sent, data={"defence": "canonical", "method": "cosine"}),
        ]
        assert [each.status_code for each in answers] == [200] * 4, answers[-1].text
        return [each.json()["method"]["gallery_version"] for each in answers]

    (before,) = set(versions())
    add(tmp_path / "g", [item for item in items if item not in queries and item.model == "model-02"])
    for _ in range(3):  # nobody waits for it, and what is asked is learnt once
        assert versions() == [before] * 4
    assert slow.count == 3 + 1  # three facades, and the first of the new ones; the others are learnt after it
    assert desks[0].facades.learning
    # What was never asked before has no version before: it is learnt at once, from the newest.
    told = client.post("/v1/identify", files=sent, data={**CHEAP, "method": "euclid"}).json()
    assert told["method"]["gallery_version"] == before + 1
    slow.go.set()
    until(lambda: not desks[0].facades.learning)
    assert versions() == [before + 1] * 4
    (kept,) = [kept for key, kept in desks[0].facades._shelf._kept.items() if key[1] == "identify" and "cosine" in key]
    assert kept.asked == {False: None, True: "003"}
    assert len(kept.facade._comparer.learned._calibrations) == 2  # what both questions need was learnt beforehand
    assert len({id(each.view) for each in desks[0].facades._shelf._kept.values()}) == 1


def test_a_new_version_that_allows_no_question_is_told(
    start: Start, tmp_path: Path, items: tuple[Item, ...], queries: list[Item], caplog: pytest.LogCaptureFixture
) -> None:
    known = [item for item in items if item not in queries]
    gallery_of(tmp_path / "g", known)
    client = start(galleries=[str(tmp_path / "g")])
    ask = lambda: client.post("/v1/identify", files=files(queries[0].path), data=CHEAP)  # noqa: E731
    assert ask().status_code == 200
    Gallery.open(tmp_path / "g").remove(["model-01", "model-02"])
    answers: list[Any] = []
    until(lambda: answers.append(ask()) or answers[-1].status_code != 200)
    assert "one model only" in is_error(answers[-1], 409)["message"]
    assert "one model only" in caplog.text
    assert str(tmp_path) not in answers[-1].text


def test_a_bug_while_a_new_version_is_learnt_is_written_down(
    start: Start, tmp_path: Path, items: tuple[Item, ...], queries: list[Item], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    gallery_of(tmp_path / "g", [item for item in items if item not in queries and item.model != "model-02"])
    client = start(galleries=[str(tmp_path / "g")])
    ask = lambda: client.post("/v1/identify", files=files(queries[0].path), data=CHEAP)  # noqa: E731
    first = ask().json()["method"]["gallery_version"]

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("morelli.web.facades._learn_identifier", broken)
    add(tmp_path / "g", [item for item in items if item not in queries and item.model == "model-02"])
    told = soon(lambda: ask().json(), lambda told: told["method"]["gallery_version"] == first + 1)
    assert len(told["ranking"]) == 3  # and the request did itself what had failed
    assert "a bug" in caplog.text


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
