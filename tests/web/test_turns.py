"""Turns: fair between callers, first come first served within one, and none is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.web.turns import Turns


async def _waiting(turns: Turns, names: str, served: list[str]) -> list[asyncio.Task[None]]:
    """Tasks that wait for a turn in that order, and tell when they have it."""

    async def one(who: str) -> None:
        await turns.acquire(who)
        served.append(who)

    tasks = []
    for who in names:
        tasks.append(asyncio.create_task(one(who)))
        await asyncio.sleep(0)
    return tasks


def order(names: str, count: int = 1, most: int | None = None) -> str:
    """Who is served in which order where callers come in the given one, and each leaves as soon as the next waits."""

    async def main() -> str:
        turns, served = Turns(count, most), []
        await turns.acquire("z")  # so that all of them wait
        for _ in range(count - 1):
            await turns.acquire("y")
        tasks = await _waiting(turns, names, served)
        assert served == []
        turns.release("z")
        for number in range(len(names)):
            await asyncio.sleep(0)
            assert len(served) == number + 1, "a turn was not handed on"
            turns.release(served[number])
        await asyncio.gather(*tasks)
        return "".join(served)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("come", "served"),
    [
        ("abc", "abc"),
        ("aaaab", "abaaa"),  # who comes last does not wait for all of the one before
        ("aaabbc", "abcaba"),
        ("aabbaabb", "abababab"),
        ("zzza", "azzz"),  # z has had a turn before
    ],
)
def test_callers_take_turns(come: str, served: str) -> None:
    assert order(come) == served


def test_the_one_with_fewest_at_work_is_next() -> None:
    async def main() -> None:
        turns, served = Turns(3), []
        for who in "aab":
            await turns.acquire(who)
        tasks = await _waiting(turns, "abc", served)
        turns.release("a")
        await asyncio.sleep(0)
        assert served == ["c"]  # none at work; a and b have one each, and a came first
        turns.release("c")
        await asyncio.sleep(0)
        assert served == ["c", "a"]
        for task in tasks:
            task.cancel()

    asyncio.run(main())


def test_one_caller_never_has_all_turns() -> None:
    async def main() -> None:
        turns, served = Turns(3, most=2), []
        tasks = await _waiting(turns, "aaa", served)
        assert served == ["a", "a"]
        tasks += await _waiting(turns, "b", served)
        assert served == ["a", "a", "b"]
        turns.release("b")
        await asyncio.sleep(0)
        assert served == ["a", "a", "b"]  # a turn is free, and not for a
        turns.release("a")
        await asyncio.sleep(0)
        assert served == ["a", "a", "b", "a"]
        await asyncio.gather(*tasks)

    asyncio.run(main())


def test_nobody_in_particular_may_have_all() -> None:
    async def main() -> None:
        turns, served = Turns(3, most=1), []
        await asyncio.gather(*await _waiting(turns, "xy", served))
        turns.release("x")
        turns.release("y")
        for _ in range(3):
            await asyncio.wait_for(turns.acquire(), 5)

    asyncio.run(main())


def test_who_goes_away_while_waiting_loses_no_turn() -> None:
    async def main() -> None:
        turns, served = Turns(1), []
        await turns.acquire("a")
        first, second, third = await _waiting(turns, "bcd", served)
        first.cancel()
        await asyncio.sleep(0)
        turns.release("a")
        await asyncio.sleep(0)
        assert served == ["c"]
        # Given and cancelled in the same round of the loop: it must be handed on.
        turns.release("c")
        third.cancel()
        await asyncio.sleep(0)
        await asyncio.wait_for(turns.acquire("e"), 5)
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert served == ["c"]

    asyncio.run(main())


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4))
def test_no_turn_is_lost_or_doubled(seed: int, count: int, most: int) -> None:
    """Callers who come, work, are cancelled and leave as a draw has it."""
    rng = random.Random(seed)

    async def main() -> None:
        turns, working, done = Turns(count, most), Counter[str](), []

        async def one(who: str, pause: float) -> None:
            await turns.acquire(who)
            working[who] += 1
            assert working.total() <= count
            assert working[who] <= most
            try:
                await asyncio.sleep(pause)
            finally:
                working[who] -= 1
                turns.release(who)
            done.append(who)

        tasks = [asyncio.create_task(one(rng.choice("abc"), rng.choice([0, 0, 0.001]))) for _ in range(20)]
        cancelled = 0
        for task in tasks:
            if rng.random() < 0.3:
                await asyncio.sleep(0)
                cancelled += task.cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert len(done) == 20 - cancelled
        assert (turns._working, turns._waiting, turns._served) == (Counter(), {}, {})

    asyncio.run(main())
