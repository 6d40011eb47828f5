"""Places, turns and time: who waits, who is sent away, and what stopping does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest

from morelli.types import Item
from morelli.web import admission as module
from morelli.web.admission import Admission
from morelli.web.collector import Collector
from morelli.web.desk import Desk
from morelli.web.problems import RefusedError
from morelli.web.settings import Settings
from morelli.web.tokens import read_tokens

from ..test_identify import Texture
from .conftest import Start, files, is_error, until


def run(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 60))


async def soon(holds: Callable[[], Any]) -> None:
    """Wait for what must come true; `run` limits how long."""
    while not holds():
        await asyncio.sleep(0.01)


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Work waits for it."""
    event = threading.Event()
    yield event
    event.set()


def test_no_more_than_the_places(go: threading.Event) -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=2))
        working: list[int] = []

        async def request(number: int) -> int:
            async with admission.enter(time.monotonic() + 10) as seat:

                def work() -> int:
                    working.append(number)
                    go.wait(30)
                    return number

                return await seat.run(work)

        tasks = [asyncio.create_task(request(number)) for number in range(3)]
        await soon(lambda: admission.inside == 3 and working)
        await asyncio.sleep(0.05)
        assert working == [0]  # one at a time
        with pytest.raises(RefusedError) as caught:
            await request(3)
        assert caught.value.status == 503
        assert int(caught.value.headers["Retry-After"]) >= 1
        go.set()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
        assert working == [0, 1, 2]
        assert admission.inside == 0

    run(main)


def test_a_late_answer_keeps_its_place_until_its_work_is_done(go: threading.Event) -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=0))
        with pytest.raises(RefusedError) as caught:
            async with admission.enter(time.monotonic() + 0.1) as seat:
                await seat.run(lambda: go.wait(30))
        assert caught.value.status == 503
        assert seat.abandoned.is_set()
        assert admission.inside == 1  # the thread still computes
        with pytest.raises(RefusedError):
            async with admission.enter(time.monotonic() + 1):
                pass
        go.set()
        await soon(lambda: admission.inside == 0)
        async with admission.enter(time.monotonic() + 10) as seat:
            assert await seat.run(lambda: 5) == 5

    run(main)


def test_a_request_that_does_not_arrive_is_the_client_s_fault() -> None:
    async def main() -> None:
        admission = Admission(Settings())
        with pytest.raises(RefusedError) as caught:
            async with admission.enter(time.monotonic() + 0.05):
                await asyncio.sleep(10)
        assert caught.value.status == 408
        assert admission.inside == 0

    run(main)


def test_what_work_raises_comes_out_and_gives_the_place_back() -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=0))
        for error in (ZeroDivisionError, TimeoutError, KeyboardInterrupt):

            def work(error: type[BaseException] = error) -> None:
                raise error("ours")

            with pytest.raises(error, match="ours"):
                async with admission.enter(time.monotonic() + 5) as seat:
                    await seat.run(work)
        await soon(lambda: admission.inside == 0)

    run(main)


def test_nothing_is_done_for_a_client_that_went_away() -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=1))
        done: list[int] = []

        async def gone() -> bool:
            return True

        with pytest.raises(RefusedError, match="went away"):
            async with admission.enter(time.monotonic() + 5) as seat:
                await seat.run(lambda: done.append(1), gone)
        async with admission.enter(time.monotonic() + 5) as seat:  # its turn was given back
            await seat.run(lambda: done.append(2))
        assert done == [2]
        assert admission.inside == 0

    run(main)


def test_stopping_lets_nobody_in_and_leaves_a_little_time(go: threading.Event) -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=5))

        async def request(work: Callable[[], Any]) -> Any:
            async with admission.enter(time.monotonic() + 50) as seat:
                return await seat.run(work)

        quickly = threading.Event()
        quick = asyncio.create_task(request(lambda: quickly.wait(30) and "done"))
        slow = asyncio.create_task(request(lambda: go.wait(30)))
        waiting = asyncio.create_task(request(lambda: "never"))
        await soon(lambda: admission.inside == 3)
        begin = time.monotonic()
        admission.stop(1.0)
        with pytest.raises(RefusedError) as caught:
            await request(lambda: "no")
        assert "stopping" in caught.value.message
        quickly.set()
        assert await quick == "done"
        for each in (slow, waiting):
            with pytest.raises(RefusedError) as caught:
                await each
            assert caught.value.status == 503
            assert "stopping" in caught.value.message
        assert 0.9 < time.monotonic() - begin < 20

    run(main)


def test_stopping_just_when_the_time_of_one_is_up() -> None:
    """Its clock cannot be set any more, and those of the others must be."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        admission = Admission(Settings())
        now = loop.time()
        told: list[str] = []

        async def request(until: float) -> None:
            with pytest.raises(RefusedError) as caught:
                async with admission.enter(until):
                    await asyncio.sleep(50)
            told.append(caught.value.message)

        tasks = [asyncio.create_task(request(now + 0.05)), asyncio.create_task(request(now + 40))]
        failed: list[Any] = []
        loop.set_exception_handler(lambda _, context: failed.append(context))
        loop.call_at(now + 0.06, admission.stop, 0.1)
        await asyncio.sleep(0)
        time.sleep(0.1)  # both are due, and happen one right after the other
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert failed == []
        assert len(told) == 2

    run(main)


def test_late_work_that_fails_is_written_down(go: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=0))
        noticed: list[bool] = []

        def work() -> None:
            go.wait(30)
            noticed.append(seat.abandoned.is_set())
            raise ZeroDivisionError("a bug")

        with pytest.raises(RefusedError):
            async with admission.enter(time.monotonic() + 0.1) as seat:
                try:
                    await seat.run(work)
                finally:
                    noticed.append(seat.abandoned.is_set())  # before the request's files are closed
        go.set()
        await soon(lambda: admission.inside == 0)
        assert noticed == [True, True]

    run(main)
    assert "a bug" in caplog.text


def test_those_who_are_sent_away_are_told_a_time_that_grows() -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=2))
        admission.inside = 10
        assert admission.soon() == 3  # ten requests of half a second, two at a time
        for _ in range(200):
            admission.learn(4.0)
        assert admission.soon() == 20
        admission.inside = 1000
        assert admission.soon() == 60

    run(main)


# -- a share a caller -------------------------------------------------------------------------------------------------


def test_one_caller_takes_no_more_than_its_share() -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=1, queue=4, share=0.5))  # three of five places
        assert admission.most == 3
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(admission.enter(time.monotonic() + 10, "token a"))
            with pytest.raises(RefusedError) as caught:
                await stack.enter_async_context(admission.enter(time.monotonic() + 10, "token a"))
            assert caught.value.status == 429
            assert int(caught.value.headers["Retry-After"]) >= 1
            assert admission.inside == 3
            # The rest is for others, up to the last place.
            for who in ("token b", "address 10.0.0.1"):
                await stack.enter_async_context(admission.enter(time.monotonic() + 10, who))
            with pytest.raises(RefusedError) as caught:
                await stack.enter_async_context(admission.enter(time.monotonic() + 10, "token c"))
            assert caught.value.status == 503
        assert (admission.inside, admission._of) == (0, {})
        async with admission.enter(time.monotonic() + 10, "token a"):
            pass

    run(main)


def test_late_work_counts_against_its_caller_s_share(go: threading.Event) -> None:
    async def main() -> None:
        admission = Admission(Settings(concurrent=2, queue=0, share=0.5))
        with pytest.raises(RefusedError):
            async with admission.enter(time.monotonic() + 0.1, "a") as seat:
                await seat.run(lambda: go.wait(30))
        with pytest.raises(RefusedError) as caught:
            async with admission.enter(time.monotonic() + 10, "a"):
                pass
        assert caught.value.status == 429
        async with admission.enter(time.monotonic() + 10, "b") as seat:
            assert await seat.run(lambda: 5) == 5  # and b has its turn
        go.set()
        await soon(lambda: admission.inside == 0)

    run(main)


@pytest.mark.parametrize(("share", "places", "at_work"), [(0.5, 18, 3), (0.1, 4, 3), (1.0, 36, 4)])
def test_what_a_share_comes_to(share: float, places: int, at_work: int) -> None:
    admission = Admission(Settings(concurrent=4, queue=32, share=share))
    assert (admission.most, admission.turns.most) == (places, at_work)


def test_a_newcomer_need_not_wait_for_all_of_another(go: threading.Event) -> None:
    async def main() -> None:
        admission, served = Admission(Settings(concurrent=1, queue=20)), []

        async def request(who: str) -> None:
            async with admission.enter(time.monotonic() + 30, who) as seat:
                await seat.run(lambda: (go.wait(30), served.append(who)))

        tasks = [asyncio.create_task(request("greedy")) for _ in range(8)]
        await soon(lambda: admission.inside == 8)
        tasks.append(asyncio.create_task(request("modest")))
        await soon(lambda: admission.inside == 9)
        go.set()
        await asyncio.gather(*tasks)
        assert served.index("modest") == 1

    run(main)


# -- the same through the API -----------------------------------------------------------------------------------------


class Held(Texture):
    """An encoder whose network waits for a sign."""

    def __init__(self, go: threading.Event) -> None:
        super().__init__()
        self.go = go

    def encode(self, prepared: Any) -> Any:
        self.go.wait(30)
        return super().encode(prepared)


@pytest.fixture
def held(go: threading.Event) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        desk.galleries._encoders["texture"] = Collector(Held(go))

    return change


def test_a_full_server_says_503_and_stays_healthy(
    start: Start, held: Callable[[Desk], None], go: threading.Event, queries: list[Item]
) -> None:
    client = start(concurrent=1, queue=1, share=1.0, change=held, seconds=50)
    ask = lambda: client.post("/v1/identify", files=files(queries[0].path), data={"stability": "false"})  # noqa: E731
    with ThreadPoolExecutor(4) as pool:
        first, second = pool.submit(ask), pool.submit(ask)
        until(lambda: "morelli_requests_inside 2.0" in client.get("/metrics").text)
        is_error(ask(), 503)
        begin = time.perf_counter()
        assert client.get("/healthz").status_code == 200
        assert time.perf_counter() - begin < 5  # both others wait until they are told to go on
        go.set()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert ask().status_code == 200


def test_a_greedy_caller_is_told_429_and_others_are_let_in(
    start: Start, held: Callable[[Desk], None], go: threading.Event, queries: list[Item]
) -> None:
    tokens = read_tokens(None, {"MORELLI_TOKENS": f"greedy read {'g' * 32};modest read {'m' * 32}"})
    desks: list[Desk] = []
    client = start(
        concurrent=1, queue=3, tokens=tokens, seconds=50, change=lambda desk: (held(desk), desks.append(desk))
    )
    inside = lambda count: until(lambda: desks[0].admission.inside == count)  # noqa: E731

    def ask(secret: str) -> Any:
        headers = {"Authorization": f"Bearer {secret * 32}"}
        return client.post("/v1/identify", files=files(queries[0].path), data={"stability": "false"}, headers=headers)

    with ThreadPoolExecutor(4) as pool:
        greedy = [pool.submit(ask, "g") for _ in range(2)]
        inside(2)
        refused = ask("g")
        is_error(refused, 429)
        assert int(refused.headers["retry-after"]) >= 1
        modest = pool.submit(ask, "m")
        inside(3)
        go.set()
        assert [each.result().status_code for each in (*greedy, modest)] == [200] * 3
    assert ask("g").status_code == 200


def test_an_answer_that_takes_too_long(
    start: Start, held: Callable[[Desk], None], go: threading.Event, queries: list[Item]
) -> None:
    client = start(concurrent=1, queue=5, change=held, seconds=1.0)
    begin = time.perf_counter()
    told = is_error(client.post("/v1/identify", files=files(queries[0].path), data={"stability": "false"}), 503)
    assert time.perf_counter() - begin < 20
    assert "too long" in told["message"]
    go.set()


def test_freed_memory_is_given_back_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the work fails, which freed as much."""
    workers: set[threading.Thread] = set()  # not their numbers: a new thread may get that of one that has ended
    given: list[threading.Thread] = []
    monkeypatch.setattr(module, "give_back_memory", lambda: given.append(threading.current_thread()))

    def work(divisor: int) -> float:
        workers.add(threading.current_thread())
        return 5 / divisor

    def count() -> int:
        """By these workers: one that an earlier test has left behind may end meanwhile."""
        return sum(each in workers for each in given)

    async def ask(times: int) -> None:
        admission = Admission(Settings(concurrent=2))
        for _ in range(times):
            async with admission.enter(time.monotonic() + 30) as seat:
                assert await seat.run(lambda: work(1)) == 5
        with pytest.raises(ZeroDivisionError):
            async with admission.enter(time.monotonic() + 30) as seat:
                await seat.run(lambda: work(0))

    monkeypatch.setattr(module, "TIDY", 3600.0)  # on a loaded machine, five requests may take more than its own second
    asyncio.run(ask(4))
    assert count() == 1
    monkeypatch.setattr(module, "TIDY", 0.0)
    asyncio.run(ask(4))
    assert count() == 1 + 5
