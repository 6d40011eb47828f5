"""What the page puts into the audit log of questions that have no answer, and of exposures; never what was sent."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from morelli.errors import InputError, NotEnoughReferencesError, StorageError
from morelli.types import Item
from morelli.web.audit_log import AuditLog
from morelli.web.desk import open_desk
from morelli.web.page.sessions import COOKIE, Sessions
from morelli.web.page.uploads import Uploads
from morelli.web.settings import Settings
from morelli.web.tokens import Caller, Tokens, _digest

from ..conftest import lines

pytest.importorskip("gradio", reason="THE PAGE IS NOT TESTED: gradio is not installed.")
from morelli.web.forms import parse_options
from morelli.web.page import exposure
from morelli.web.page.gallery_change import add_references
from morelli.web.page.identify import identify
from morelli.web.page.jobs import Job, Jobs
from morelli.web.page.visitor import Place, watch
from morelli.web.routes.identify import IdentifyOptions

ALICE, BOB = Caller("alice", "write"), Caller("bob", "read")
TOKENS = Tokens({_digest("w" * 32): ALICE, _digest("r" * 32): BOB})
DATASET = "tonight's battles"


@pytest.fixture
def place(gallery: Path, items: tuple[Item, ...], learnt: Path, tmp_path: Path) -> Iterator[Place]:
    own = shutil.copytree(gallery, tmp_path / "own.morelli")
    desk = open_desk(
        [str(own)], Settings(decoders=1, rate=0), tokens=TOKENS, audit=tmp_path / "audit.jsonl", cache=learnt
    )
    uploads = Uploads(2**30)
    yield Place(desk, Sessions(TOKENS), uploads, Jobs(desk), {DATASET: str(items[0].path.parents[1])})
    uploads.close()
    desk.close()


def request_of(place: Place, caller: Caller | None) -> Any:
    cookie = "" if caller is None else f"{COOKIE}={place.sessions.begin(caller)}"
    return SimpleNamespace(headers={"cookie": cookie}, client=SimpleNamespace(host="203.0.113.7"), session_hash="v")


def ask(place: Place, caller: Caller | None, work: Callable[[Job], None], tab: str = "identify", **more: Any) -> str:
    """What the visitor sees in the end."""

    async def main() -> str:
        return [html async for html, *_ in watch(place, request_of(place, caller), tab, work, **more)][-1]

    return asyncio.run(main())


def log(place: Place) -> str:
    assert place.desk.audit.path is not None
    return place.desk.audit.path.read_text()


def told(place: Place) -> list[tuple[str | None, str, int]]:
    entries = lines(log(place))
    assert all(
        set(each) >= {"time", "token", "route", "status", "sha256", "decision", "milliseconds"} for each in entries
    )
    assert "203.0.113" not in log(place)
    return [(each["token"], each["route"], each["status"]) for each in entries]


def sent(place: Place, *paths: Path) -> list[Any]:
    for number, path in enumerate(paths):
        shutil.copy(path, place.uploads.folder / f"{number}.png")
    return [place.uploads.read(str(place.uploads.folder / f"{number}.png")) for number in range(len(paths))]


def raising(error: Exception) -> Callable[[Job], None]:
    def work(job: Job) -> None:
        raise error

    return work


def test_a_reader_who_wants_to_change_a_gallery_is_recorded(place: Place) -> None:
    for tab in ("gallery-add", "gallery-remove"):
        shown = ask(place, BOB, raising(AssertionError("it must not begin")), tab, role="write")
        assert "needs a token with the role" in shown
    assert told(place) == [("bob", "PAGE gallery add", 403), ("bob", "PAGE gallery remove", 403)]


def test_a_question_that_cannot_be_answered_is_recorded(place: Place) -> None:
    ask(place, BOB, raising(InputError("unknown prompt: a secret one.", argument="prompt")))
    ask(place, BOB, raising(NotEnoughReferencesError("too few.", argument="gallery")))
    with pytest.raises(ZeroDivisionError):
        ask(place, BOB, lambda job: print(1 / 0))
    assert told(place) == [("bob", "PAGE identify", status) for status in (422, 409, 500)]
    assert "secret" not in log(place)


def test_a_prompt_that_the_gallery_lacks_is_recorded(place: Place, queries: list[Item]) -> None:
    options = parse_options(IdentifyOptions, {"prompt": "a prompt of nobody"})
    uploads = sent(place, queries[0].path)
    shown = ask(place, ALICE, lambda job: identify(place, ALICE, job, uploads, options))
    assert "problem" in shown
    (entry,) = lines(log(place))
    assert (entry["token"], entry["route"], entry["decision"]) == ("alice", "PAGE identify", None)
    assert entry["status"] in (409, 422)
    assert "nobody" not in log(place)


def test_what_takes_too_long_is_recorded_once(place: Place) -> None:
    go = threading.Event()
    try:
        assert "too long" in ask(place, ALICE, lambda job: print(go.wait(30)), "protect", seconds=0.3)
    finally:
        go.set()
    assert told(place) == [("alice", "PAGE protect", 503)]


def test_what_was_cancelled_is_recorded(place: Place) -> None:
    def work(job: Job) -> None:
        for done in range(1000):
            job.report("counting", done, 1000)
            threading.Event().wait(0.02)

    async def main() -> str:
        shown = ""
        async for html, *_ in watch(place, request_of(place, ALICE), "compare", work):
            shown = html
            place.jobs.cancel("v", "compare")
        return shown

    assert "Cancelled." in asyncio.run(main())
    assert told(place) == [("alice", "PAGE compare", 408)]


def test_a_visitor_who_leaves_is_recorded(place: Place) -> None:
    go = threading.Event()

    async def main() -> None:
        steps = watch(place, request_of(place, ALICE), "identify", lambda job: print(go.wait(30)))
        await anext(steps)
        await steps.aclose()  # type: ignore[attr-defined]
        go.set()

    asyncio.run(main())
    assert told(place) == [("alice", "PAGE identify", 408)]


def test_who_has_no_session_leaves_no_line(place: Place) -> None:
    assert "session is over" in ask(place, None, raising(AssertionError("it must not begin")))
    assert told(place) == []


def test_a_change_that_fails_is_recorded_by_itself_alone(
    place: Place, queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    from morelli.gallery.store import Gallery

    monkeypatch.setattr(Gallery, "add", lambda *_, **__: (_ for _ in ()).throw(StorageError("the disk is full.")))
    uploads = sent(place, queries[0].path)

    def work(job: Job) -> None:
        add_references(place, ALICE, job, "own", uploads, "newcomer", "", "")

    ask(place, ALICE, work, "gallery-add", role="write")
    assert told(place) == [("alice", "PAGE gallery add", 102), ("alice", "PAGE gallery add", 503)]


def test_a_log_that_cannot_be_written_keeps_no_refusal_from_being_told(place: Place) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    desk: Any = place.desk
    object.__setattr__(desk, "audit", AuditLog(Path("/dev/full")))
    assert "Too few" in ask(place, BOB, raising(NotEnoughReferencesError("too few.", argument="gallery")))


# -- exposure ---------------------------------------------------------------------------------------------------------


def measured(place: Place, audits: exposure.Audits, caller: Caller) -> str:
    def work(job: Job) -> None:
        exposure.show(place, caller, job, audits, DATASET, False)

    return ask(place, caller, work, exposure.TAB, seconds=600)


@pytest.mark.slow
def test_exposures_are_recorded_and_have_a_map(place: Place, items: tuple[Item, ...]) -> None:
    pytest.importorskip("sklearn", reason="THE MAP IS NOT TESTED: scikit-learn is not installed.")
    audits = exposure.Audits(place)
    assert "role &#x27;write&#x27;" in measured(place, audits, BOB)
    shown = measured(place, audits, ALICE)
    again = measured(place, audits, BOB)
    assert told(place) == [
        ("bob", "PAGE exposure", 403),
        ("alice", "PAGE exposure", 200),
        ("bob", "PAGE exposure", 200),
    ]
    entries = lines(log(place))
    about = {"dataset": DATASET, "curves": False}
    assert [each.get("exposure") for each in entries] == [
        None,
        {**about, "measured": True},
        {**about, "measured": False},
    ]
    for html in (shown, again):
        assert "near each other where their embeddings are" in html
        assert html.count("Save as HTML") == 1
    assert str(items[0].path.parents[1]) not in shown + log(place)


def test_an_exposure_that_cannot_be_drawn_with_its_map_is_drawn_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(result: Any, data: Any = None) -> str:
        if data is not None:
            raise StorageError("a picture is gone.")
        return "a page"

    monkeypatch.setattr(exposure, "exposure_page", page)
    data: Any = object()
    assert exposure._drawn({"dataset": "x"}, data) == "a page"


def test_an_exposure_that_cannot_be_recorded_is_not_shown(place: Place) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    audits, desk = exposure.Audits(place), place.desk
    audits._found[DATASET, False] = {"dataset": DATASET}, "<p>a page</p>"
    object.__setattr__(desk, "audit", AuditLog(Path("/dev/full")))
    shown = measured(place, audits, ALICE)
    assert "a page" not in shown and "audit log" in shown
