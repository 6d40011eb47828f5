"""What is answered where a request of several images ends before all of them are done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from morelli.errors import InputError
from morelli.types import Item
from morelli.web.admission import Admission
from morelli.web.collector import Collector
from morelli.web.desk import Desk
from morelli.web.problems import RefusedError, busy
from morelli.web.settings import Settings

from ..test_identify import Texture
from .conftest import Start, files, is_error, lines, until

CHEAP = {"stability": "false", "method": "cosine"}


class Counted(Texture):
    """An encoder that lets so many images through, and then waits for a sign."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, 0
        self.stuck, self.go = threading.Event(), threading.Event()

    def encode(self, prepared: Any) -> Any:
        self.seen += len(prepared)
        if self.seen > self.most:
            self.stuck.set()
            self.go.wait(30)
        return super().encode(prepared)


@pytest.fixture
def counted() -> Iterator[Counted]:
    encoder = Counted(2)
    yield encoder
    encoder.go.set()


def using(encoder: Counted, desks: list[Desk]) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        desk.facades.prepare("small")  # so that all of the time is for images
        desk.galleries._encoders["texture"] = Collector(encoder)
        desks.append(desk)

    return change


def four(queries: list[Item]) -> list[Any]:
    first, second, third = (item.path for item in queries)
    return files(first, second, third, ("again.png", first.read_bytes()))


def is_half(answer: Any, queries: list[Item], audit: Path, said: str) -> None:
    """Two verdicts and two errors, in order, and so in the record."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    told = lines(answer.text)
    assert [each["image"] for each in told] == [*(item.path.name for item in queries), "again.png"]
    assert [each["schema"] for each in told] == ["morelli.verdict/1"] * 2 + ["morelli.error/1"] * 2
    for each in told[2:]:
        assert said in each["message"]
        assert "Ask again" in each["fix"]
    kept = lines(audit.read_text())
    assert [each["status"] for each in kept] == [200, 200, 503, 503]
    assert [each["decision"] is None for each in kept] == [False, False, True, True]
    assert [len(each["sha256"]) for each in kept] == [1, 1, 0, 0]


def test_stopping_gives_what_was_found(start: Start, counted: Counted, queries: list[Item], tmp_path: Path) -> None:
    desks: list[Desk] = []
    client = start(audit=tmp_path / "audit", change=using(counted, desks), seconds=100)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: client.post("/v1/identify", files=four(queries), data=CHEAP))
        assert counted.stuck.wait(30)
        assert client.portal is not None
        client.portal.call(desks[0].admission.stop, 0.2)
        is_half(asked.result(), queries, tmp_path / "audit", "stopping")


def test_time_that_is_up_gives_what_was_found(
    start: Start, counted: Counted, queries: list[Item], tmp_path: Path
) -> None:
    client = start(audit=tmp_path / "audit", change=using(counted, []), seconds=10)
    answer = client.post("/v1/identify", files=four(queries), data=CHEAP)
    is_half(answer, queries, tmp_path / "audit", "too long")
    told = client.get("/metrics").text
    assert 'morelli_images_total{outcome="answered"} 2.0' in told
    assert 'morelli_images_total{outcome="RefusedError"} 2.0' in told


def test_without_any_answer_the_request_is_refused(start: Start, queries: list[Item]) -> None:
    stuck = Counted(0)
    client = start(change=using(stuck, []), seconds=2)
    is_error(client.post("/v1/identify", files=four(queries), data=CHEAP), 503)
    stuck.go.set()


@pytest.mark.parametrize(("error", "status"), [(busy("the gallery is away."), 200), (InputError("no."), 422)])
def test_what_fails_amid_a_request(
    start: Start, queries: list[Item], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """What is not now leaves what was found; a question that is wrong is told as such."""
    desks: list[Desk] = []
    client = start(change=desks.append)
    plain, count = desks[0].facades.identifier, [0]

    def identifier(*arguments: Any, **options: Any) -> Any:
        count[0] += 1
        if count[0] > 1:
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(desks[0].facades, "identifier", identifier)
    answer = client.post("/v1/identify", files=four(queries), data=CHEAP)
    assert answer.status_code == status
    if status == 200:
        told = lines(answer.text)
        assert [each["schema"] for each in told] == ["morelli.verdict/1"] + ["morelli.error/1"] * 3
        assert {each["message"] for each in told[1:]} == {"the gallery is away."}


# -- clients that go away ---------------------------------------------------------------------------------------------


class Client:
    """Says whether it has gone."""

    def __init__(self) -> None:
        self.left = False
        self.asked = 0

    async def gone(self) -> bool:
        self.asked += 1
        return self.left


def run(main: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(main(), 60))


async def soon(holds: Callable[[], Any]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


def test_work_ends_when_its_client_goes_away() -> None:
    async def main() -> None:
        admission, client, go = Admission(Settings(concurrent=1, queue=0)), Client(), threading.Event()
        told: list[bool] = []

        async def request() -> None:
            async with admission.enter(time.monotonic() + 50) as seat:

                def work() -> None:
                    go.wait(30)
                    told.append(seat.abandoned.is_set())

                await seat.run(work, client.gone)

        task = asyncio.create_task(request())
        await soon(lambda: client.asked > 1)  # it is looked at again and again
        client.left = True
        with pytest.raises(RefusedError, match="went away") as caught:
            await task
        assert caught.value.status == 408
        assert admission.inside == 1  # its thread still computes
        go.set()
        await soon(lambda: admission.inside == 0)
        assert told == [True]

    run(main)


def test_who_goes_away_while_waiting_leaves_the_queue() -> None:
    async def main() -> None:
        admission, client, go = Admission(Settings(concurrent=1, queue=5)), Client(), threading.Event()
        done: list[str] = []

        async def request(name: str, gone: Any = None) -> None:
            async with admission.enter(time.monotonic() + 50) as seat:
                await seat.run(lambda: (go.wait(30), done.append(name)), gone)

        first = asyncio.create_task(request("first"))
        await soon(lambda: admission.turns._working.total() == 1)
        second = asyncio.create_task(request("second", client.gone))
        await soon(lambda: client.asked)
        client.left = True
        with pytest.raises(RefusedError, match="went away"):
            await second
        assert admission.inside == 1
        go.set()
        await first
        await request("third")
        assert done == ["first", "third"]
        assert not admission.turns._working

    run(main)


def test_a_time_that_is_up_while_waiting_takes_no_turn_along() -> None:
    async def main() -> None:
        admission, client, go = Admission(Settings(concurrent=1, queue=5)), Client(), threading.Event()

        async def request(seconds: float) -> None:
            async with admission.enter(time.monotonic() + seconds) as seat:
                await seat.run(lambda: go.wait(30), client.gone)

        first = asyncio.create_task(request(50))
        await soon(lambda: admission.turns._working.total() == 1)
        with pytest.raises(RefusedError, match="too long"):
            await request(0.2)
        go.set()
        await first
        await request(50)
        assert not admission.turns._working

    run(main)


def test_a_client_that_is_gone_is_not_worked_for(start: Start, queries: list[Item], tmp_path: Path) -> None:
    """Through the application: what it had asked further is left, and the record says so."""
    encoder, desks = Counted(1), []
    client = start(change=using(encoder, desks), audit=tmp_path / "audit", seconds=100)
    body = client.build_request("POST", "/v1/identify", files=four(queries), data=CHEAP)
    data, left = body.read(), asyncio.Event()
    sent: list[Any] = []

    async def main() -> None:
        parts = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/v1/identify", "raw_path": b"/v1/identify", "query_string": b"", "root_path": "",
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in body.headers.items()],
        }  # fmt: skip
        task = asyncio.create_task(client.app(scope, receive, send))
        await soon(encoder.stuck.is_set)
        left.set()
        await task

    assert client.portal is not None
    client.portal.call(main)
    assert sent[0]["status"] == 408
    encoder.go.set()
    until(lambda: desks[0].admission.inside == 0)
    assert encoder.seen == 2
    assert [each["status"] for each in lines((tmp_path / "audit").read_text())] == [408]


# -- more time than most ----------------------------------------------------------------------------------------------


def test_some_work_has_more_time() -> None:
    async def main() -> None:
        admission = Admission(Settings())
        async with admission.enter(time.monotonic() + 0.1) as seat:
            seat.prolong(time.monotonic() + 50)
            await asyncio.sleep(0.3)
            assert seat.until > time.monotonic() + 40
            admission.stop(0.5)
            seat.prolong(time.monotonic() + 50)  # never past the server's end
            assert seat.until < time.monotonic() + 1
        with pytest.raises(RefusedError):
            async with admission.enter(time.monotonic() + 50):
                pass

    run(main)
