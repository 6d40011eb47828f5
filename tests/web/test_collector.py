"""One network for many threads: what is put together, and that nobody gets another's embeddings."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from morelli.errors import MorelliError
from morelli.testing.encoders import check_encoder
from morelli.web.collector import Collector

from ..encoders.toys import PickyEncoder, ToyEncoder, flat
from .conftest import until


class Slow(ToyEncoder):
    """Waits for a sign before each run; fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.asked = threading.Event(), threading.Event()
        self.fails = False

    def encode(self, prepared: Sequence[Any]):
        self.asked.set()
        self.go.wait(30)
        if self.fails:
            raise RuntimeError("the network broke")
        return super().encode(prepared)


def ask(collector: Collector, value: int, count: int = 1) -> float:
    out = collector.encode([collector.prepare(flat(value))] * count)
    assert out["mean"].shape == (count, 3)
    return float(out["mean"][0, 0])


def test_it_is_an_encoder() -> None:
    collector = Collector(ToyEncoder(), wait=0.0)
    check_encoder(collector)
    collector.close()


def test_what_waits_becomes_one_run() -> None:
    encoder, counts = Slow(), []
    collector = Collector(encoder, batch=6, wait=0.05, on_run=counts.append)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, collector, 1)
        assert encoder.asked.wait(30)  # the first one is with the network by now
        others = [pool.submit(ask, collector, value) for value in range(2, 10)]
        until(lambda: collector._wishes.qsize() == 8)
        encoder.go.set()
        assert first.result() == 1
        assert [each.result() for each in others] == list(range(2, 10))
    assert counts == encoder.batches == [1, 6, 2]
    collector.close()


def test_a_large_request_is_not_cut_and_a_batch_not_exceeded() -> None:
    encoder = Slow()
    collector = Collector(encoder, batch=6, wait=0.0)
    with ThreadPoolExecutor(4) as pool:
        wishes = [pool.submit(ask, collector, 7, count) for count in (1, 4, 4, 9)]
        assert encoder.asked.wait(30)
        encoder.go.set()
        assert [each.result() for each in wishes] == [7] * 4
    assert sum(encoder.batches) == 18
    assert all(count <= 6 or count == 9 for count in encoder.batches)
    collector.close()


def test_a_lone_request_waits_little() -> None:
    collector = Collector(ToyEncoder(), wait=0.02)
    ask(collector, 3)
    begin = time.perf_counter()
    for _ in range(10):
        ask(collector, 3)
    assert time.perf_counter() - begin < 10 * 0.2
    collector.close()


def test_only_the_culprit_fails() -> None:
    encoder = PickyEncoder()
    collector = Collector(encoder, wait=0.2)
    with ThreadPoolExecutor(3) as pool:
        good, bad, fine = (pool.submit(ask, collector, value) for value in (10, 0, 20))
        assert good.result() == 10
        assert fine.result() == 20
        with pytest.raises(MorelliError, match="black"):
            bad.result()
    collector.close()


def test_a_broken_network_is_told_to_all_and_may_recover() -> None:
    encoder = Slow()
    encoder.fails = True
    encoder.go.set()
    collector = Collector(encoder, wait=0.1)
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(ask, collector, value) for value in (1, 2)]:
            with pytest.raises(RuntimeError, match="broke"):
                each.result()
    encoder.fails = False
    assert ask(collector, 5) == 5
    collector.close()


def test_closing_answers_what_waits_and_refuses_the_rest() -> None:
    encoder = Slow()
    collector = Collector(encoder, batch=1, wait=0.0)
    with ThreadPoolExecutor(3) as pool:
        wishes = [pool.submit(ask, collector, value) for value in (1, 2, 3)]
        # One is with the encoder, two wait: all three have been asked for.
        until(lambda: encoder.asked.is_set() and collector._wishes.qsize() == 2)
        collector.close()
        collector.close()
        encoder.go.set()
        assert [each.result(30) for each in wishes] == [1, 2, 3]
    with pytest.raises(MorelliError, match="put away"):
        ask(collector, 4)
    collector._thread.join(30)
    assert not collector._thread.is_alive()


def test_many_threads_get_their_own() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 255, 200)
    collector = Collector(ToyEncoder(), batch=16, wait=0.001)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda value: ask(collector, int(value), 1 + int(value) % 3), values)) == values.tolist()
    collector.close()
