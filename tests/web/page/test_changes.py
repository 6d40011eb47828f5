"""Changes to a gallery from the page, and the lines that they leave in the audit log."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from morelli.errors import InputError, ReservedNameError, StorageError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.gallery.view import GalleryView
from morelli.types import Item
from morelli.web.audit_log import AuditLog
from morelli.web.desk import open_desk
from morelli.web.page.sessions import Sessions
from morelli.web.page.uploads import Uploads
from morelli.web.settings import Settings
from morelli.web.tokens import Caller, Tokens

from ..conftest import lines

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
from morelli.web.page.gallery_change import add_references, remove_model
from morelli.web.page.jobs import Job, Jobs, StoppedError
from morelli.web.page.visitor import Place

ALICE = Caller("alice", "write")


@pytest.fixture
def own(gallery: Path, tmp_path: Path) -> Path:
    """A gallery that a test may change."""
    return Path(shutil.copytree(gallery, tmp_path / "own.morelli"))


@pytest.fixture
def place(own: Path, learnt: Path, tmp_path: Path) -> Iterator[Place]:
    log = tmp_path / "audit.jsonl"
    desk = open_desk([str(own)], Settings(decoders=1, rate=0), audit=log, cache=learnt)
    uploads = Uploads(2**30)
    yield Place(desk, Sessions(Tokens()), uploads, Jobs(desk), {})
    uploads.close()
    desk.close()


@pytest.fixture
def job() -> Job:
    seat: Any = SimpleNamespace(until=time.monotonic() + 60, abandoned=threading.Event())
    return Job(seat=seat)


def add(place: Place, job: Job, *sent: Path | bytes, model: str = "newcomer") -> None:
    uploads = []
    for number, each in enumerate(sent):
        path = place.uploads.folder / f"{number}.png"
        path.write_bytes(each if isinstance(each, bytes) else each.read_bytes())
        uploads.append(place.uploads.read(str(path)))
    add_references(place, ALICE, job, "own", uploads, model, "", "007")


def told(place: Place) -> list[dict[str, Any]]:
    path = place.desk.audit.path
    assert path is not None
    return lines(path.read_text())


def test_an_add_is_told_before_and_after(place: Place, job: Job, own: Path, queries: list[Item]) -> None:
    before = GalleryView.open(own)
    add(place, job, queries[0].path, b"no image")
    unread, begun, done = told(place)
    assert (unread["status"], unread["decision"], "change" in unread) == (422, None, False)
    assert (begun["status"], begun["decision"]) == (102, None)
    assert (done["status"], done["decision"]) == (200, "newcomer")
    assert begun["sha256"] == done["sha256"] == [hashlib.sha256(queries[0].path.read_bytes()).hexdigest()]
    shared = {"id": begun["change"]["id"], "gallery": "own", "model": "newcomer"}
    assert begun["change"] == {**shared, "state": "begun"}
    counts = {"version": before.version + 1, "added": 1, "updated": 0, "unchanged": 0}
    assert done["change"] == {**shared, "state": "done", **counts}
    assert {each["route"] for each in (begun, done)} == {"PAGE gallery add"}
    assert {each["token"] for each in (begun, done)} == {"alice"}
    assert len(GalleryView.open(own)) == len(before) + 1
    assert 'morelli_images_total{outcome="changed"} 1.0' in place.desk.metrics.text().decode()


def test_a_failed_add_does_not_read_as_done(
    place: Place, job: Job, own: Path, queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Gallery, *_: object, **__: object) -> None:
        raise StorageError("the disk is full.", argument=self.path, fix=f"Free space for {self.path}.")

    monkeypatch.setattr(Gallery, "add", full)
    with pytest.raises(StorageError) as caught:
        add(place, job, queries[0].path)
    begun, failed = told(place)
    assert (begun["change"]["state"], failed["change"]["state"]) == ("begun", "failed")
    assert (failed["status"], failed["decision"]) == (503, None)
    assert begun["change"]["id"] == failed["change"]["id"]
    assert "newcomer" not in (begun["decision"], failed["decision"])
    assert not job.shown
    assert str(own) not in str(caught.value)  # the visitor knows it by its name
    assert "changed" not in place.desk.metrics.text().decode()


def test_a_bug_amid_a_change_is_told_as_failed(
    place: Place, job: Job, queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gallery, "add", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        add(place, job, queries[0].path)
    assert [(each["status"], each["change"]["state"]) for each in told(place)] == [(102, "begun"), (500, "failed")]


def test_another_label_is_told_as_failed(place: Place, job: Job, own: Path, items: tuple[Item, ...]) -> None:
    version = GalleryView.open(own).version
    with pytest.raises(InputError, match="two labels"):
        add(place, job, items[0].path)
    assert [each["status"] for each in told(place)] == [102, 422]
    assert GalleryView.open(own).version == version


def test_removing_is_told_before_and_after(place: Place, job: Job, own: Path) -> None:
    before = GalleryView.open(own)
    count = sum(each.model == "model-01" for each in before.references())
    remove_model(place, ALICE, job, "own", "model-01", "model-01")
    begun, done = told(place)
    assert (begun["change"]["state"], begun["decision"]) == ("begun", None)
    assert done["decision"] == "model-01"
    assert {"version": before.version + 1, "removed": count, "state": "done"}.items() <= done["change"].items()
    with pytest.raises(UnknownNameError):
        remove_model(place, ALICE, job, "own", "model-01", "model-01")
    assert [each["change"]["state"] for each in told(place)[2:]] == ["begun", "failed"]


def test_what_is_not_begun_leaves_no_such_line(place: Place, job: Job, own: Path, queries: list[Item]) -> None:
    version = GalleryView.open(own).version
    with pytest.raises(ReservedNameError):
        add(place, job, queries[0].path, model="None")
    with pytest.raises(InputError, match="written twice"):
        remove_model(place, ALICE, job, "own", "model-01", "model-02")
    job.place.abandoned.set()
    with pytest.raises(StoppedError):
        add(place, job, queries[0].path)
    assert told(place) == []
    assert GalleryView.open(own).version == version


def test_without_a_record_nothing_is_changed(place: Place, job: Job, own: Path, queries: list[Item]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    full: Any = place.desk
    object.__setattr__(full, "audit", AuditLog(Path("/dev/full")))
    before = len(GalleryView.open(own))
    with pytest.raises(StorageError):
        add(place, job, queries[0].path)
    assert len(GalleryView.open(own)) == before


def test_a_disk_that_fills_amid_a_change_leaves_what_was_done_told(
    place: Place, job: Job, own: Path, queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is made, so the visitor is told so, and that its record is incomplete."""
    write, count = place.desk.audit.write, [0]

    def second_fails(entries: Any) -> None:
        count[0] += 1
        if count[0] == 2:
            raise StorageError("was written in part only: the disk is full.", argument="audit log")
        write(entries)

    monkeypatch.setattr(place.desk.audit, "write", second_fails)
    with pytest.raises(StorageError, match="audit log"):
        add(place, job, queries[0].path)
    assert "1 added" in "".join(job.shown)
    assert any(each.model == "newcomer" for each in GalleryView.open(own).references())
    assert [each["change"]["state"] for each in told(place)] == ["begun"]
