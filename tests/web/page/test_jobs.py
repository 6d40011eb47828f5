"""Work that a visitor waits for: places, progress, cancelling, time."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from morelli.errors import InputError, MorelliError
from morelli.web.admission import Admission
from morelli.web.page.jobs import Job, Jobs, StoppedError
from morelli.web.settings import Settings


def jobs_of(**settings: Any) -> Jobs:
    chosen = Settings(**{"seconds": 30.0, **settings})
    desk: Any = SimpleNamespace(settings=chosen, admission=Admission(chosen))
    return Jobs(desk)


async def all_of(jobs: Jobs, work: Any, seconds: float | None = None) -> list[tuple[str, int]]:
    return [(job.stage, job.done) async for job in jobs.follow("v", "t", work, seconds)]


def test_it_tells_how_far_it_is_and_gives_its_place_back() -> None:
    async def main() -> None:
        jobs, go = jobs_of(), threading.Event()

        def work(job: Job) -> None:
            job.report("half", 1, 2)
            go.wait(10)
            job.report("whole", 2, 2)

        seen = []
        async for job in jobs.follow("v", "t", work):
            seen.append((job.stage, job.done))
            if seen[-1] == ("half", 1):
                go.set()
        assert seen[0] == ("waiting for a place", 0)
        assert ("half", 1) in seen
        assert seen[-1] == ("whole", 2)
        assert jobs._desk.admission.inside == 0
        assert jobs._running == {}

    asyncio.run(main())


def test_cancelling_ends_the_thread_too() -> None:
    async def main() -> None:
        jobs, ended, begun = jobs_of(), threading.Event(), threading.Event()

        def work(job: Job) -> None:
            try:
                for done in range(10_000):
                    job.report("counting", done, 10_000)
                    begun.set()
                    threading.Event().wait(0.005)
            except StoppedError:
                ended.set()
                raise

        async def cancel() -> None:
            await asyncio.to_thread(begun.wait, 10)
            assert jobs.cancel("someone else") is False
            assert jobs.cancel("v", "another tab") is False
            assert jobs.cancel("v", "t") is True

        stop = asyncio.create_task(cancel())
        with pytest.raises(StoppedError):
            await all_of(jobs, work)
        await stop
        assert await asyncio.to_thread(ended.wait, 10)
        while jobs._desk.admission.inside:
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_what_the_work_raises_is_raised() -> None:
    def work(job: Job) -> None:
        raise InputError("no.", argument="x")

    with pytest.raises(InputError, match=r"x: no\."):
        asyncio.run(all_of(jobs_of(), work))


def test_time_and_places_are_limited() -> None:
    async def main() -> None:
        jobs, go = jobs_of(concurrent=1, queue=0), threading.Event()
        with pytest.raises(MorelliError, match="too long"):
            await all_of(jobs, lambda job: go.wait(10), seconds=0.3)
        # Its thread still computes, and holds the only place.
        with pytest.raises(MorelliError, match="too many"):
            await all_of(jobs, lambda job: None)
        go.set()
        while jobs._desk.admission.inside:
            await asyncio.sleep(0.01)
        assert (await all_of(jobs, lambda job: job.report("done", 1, 1)))[-1] == ("done", 1)

    asyncio.run(main())
