"""What an engine promises, asked of both: every item answered, in order, failures by name, none stopped by another."""

from __future__ import annotations

import os
import pickle
import time
from itertools import count, islice
from pathlib import Path

import pytest

from morelli.engine.base import Answer, Engine
from morelli.engine.catalogue import REGISTRY, open_engine
from morelli.engine.local import LocalEngine
from morelli.errors import (
    EngineError,
    InputError,
    MissingExtraError,
    MorelliError,
    UnknownNameError,
    WorkerLostError,
    WorkFailedError,
)

from . import work


def test_answers_are_those_of_a_loop_in_order(engine: Engine) -> None:
    found = list(engine.map(work.scaled, range(12), shared=7))
    assert [each.index for each in found] == list(range(12))
    assert [each.get() for each in found] == [7 * i for i in range(12)]


def test_without_order_every_item_is_answered_once(engine: Engine) -> None:
    found = list(engine.map(work.scaled, range(12), shared=3, ordered=False))
    assert {each.index: each.value for each in found} == {i: 3 * i for i in range(12)}
    assert len(found) == 12


def test_a_bad_item_is_told_by_name_and_stops_no_other(engine: Engine) -> None:
    found = list(engine.map(work.picky, range(5), shared=None))
    assert [each.value for each in found] == [0, None, None, 3, 4]
    named, foreign = found[1].error, found[2].error
    assert type(named) is InputError
    assert (named.message, named.argument, named.fix) == ("one is not for me.", "item", "Take two.")
    assert type(foreign) is WorkFailedError
    assert "ZeroDivisionError: division by zero" in foreign.message
    with pytest.raises(InputError):
        found[1].get()


def test_no_items_no_answers(engine: Engine) -> None:
    assert list(engine.map(work.scaled, [], shared=1)) == []


def test_items_are_read_as_the_work_goes_on(engine: Engine) -> None:
    read: list[int] = []

    def endless():
        for item in count():
            read.append(item)
            yield item

    answers = engine.map(work.scaled, endless(), shared=1)
    assert [each.value for each in islice(answers, 5)] == [0, 1, 2, 3, 4]
    answers.close()
    assert len(read) < 60


def test_answers_and_errors_cross_processes() -> None:
    for error in (EngineError("a", argument="b", fix="c"), WorkFailedError("a"), WorkerLostError("a")):
        back = pickle.loads(pickle.dumps(Answer(3, error=error)))  # noqa: S301 - our own
        assert type(back.error) is type(error)
        assert str(back.error) == str(error)
        assert isinstance(back.error, MorelliError)


def test_an_interrupt_is_no_answer() -> None:
    def interrupted(shared: None, item: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalEngine().map(interrupted, [1], shared=None))


def test_engines_have_names() -> None:
    assert list(REGISTRY) == ["local", "ray"]
    with open_engine() as engine:
        assert (engine.name, engine.remote) == ("local", False)
    with pytest.raises(UnknownNameError, match="Did you mean 'ray'"), open_engine("rai"):
        pass
    with pytest.raises(InputError, match="no address"), open_engine("local", "auto"):
        pass


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"morelli\[ray\]"), open_engine("ray"):
        pass


# -- Ray alone ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_work_is_done_elsewhere_and_by_several_at_once(ray_engine: Engine, tmp_path: Path) -> None:
    processes = {each.get() for each in ray_engine.map(work.together, range(2), shared=tmp_path)}
    assert len(processes) == 2
    assert os.getpid() not in processes


@pytest.mark.slow
def test_what_items_share_is_sent_once_to_a_worker(ray_engine: Engine, tmp_path: Path) -> None:
    found = list(ray_engine.map(work.touch, range(30), shared=work.Heavy(tmp_path)))
    assert [each.value for each in found] == list(range(30))
    processes = [mark.name.partition("-")[0] for mark in tmp_path.iterdir()]
    assert 1 <= len(processes) == len(set(processes))


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_a_deadly_item_is_named(ray_engine: Engine, tmp_path: Path) -> None:
    found = list(ray_engine.map(work.suicidal, [1, 10, -1, 2, 11, 3], shared=tmp_path))
    assert [each.value for each in found] == [1, 10, None, 2, 11, 3]
    assert type(found[2].error) is WorkerLostError
    attempts = {item: len(list(tmp_path.glob(f"{item}-*"))) for item in (-1, 10, 1)}
    assert attempts == {-1: 4, 10: 2, 1: 1}


@pytest.mark.slow
def test_an_answer_that_cannot_be_sent_fails_alone(ray_engine: Engine) -> None:
    (found,) = ray_engine.map(work.unsendable, [1], shared=None)
    assert type(found.error) is WorkFailedError
    assert "generator" in found.error.message


@pytest.mark.slow
def test_work_that_cannot_be_sent_is_refused_at_once(ray_engine: Engine) -> None:
    import threading

    with pytest.raises(EngineError, match="cannot be sent"):
        next(ray_engine.map(work.scaled, [1], shared=threading.Lock()))  # type: ignore[arg-type]


@pytest.mark.slow
def test_another_version_at_a_worker_ends_the_work(ray_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morelli.engine.cluster.__version__", "0.0.0-other")
    with pytest.raises(EngineError, match=r"this is 0\.0\.0-other"):
        list(ray_engine.map(work.scaled, range(3), shared=1))


@pytest.mark.slow
def test_closing_drops_what_is_under_way(ray_engine: Engine) -> None:
    answers = ray_engine.map(work.whoami, range(1000), shared=None)
    next(answers)
    start = time.monotonic()
    answers.close()
    assert [each.get() for each in ray_engine.map(work.scaled, [2], shared=2)] == [4]
    assert time.monotonic() - start < 60


@pytest.mark.slow
def test_a_machine_without_memory_is_told_and_not_waited_for() -> None:
    """In a process of its own, whose Ray takes any memory for too much; by itself Ray would try for ever."""
    import subprocess
    import sys

    pytest.importorskip("ray", reason="needs the extra ray")
    code = "from morelli.engine.cluster import RayEngine\nRayEngine(workers=1, retries=0)\n"
    full = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env={**os.environ, **full}
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert "EngineError: engine: the cluster has no memory left to begin with" in said, done.stderr
    assert said.endswith("Free some of the machine's memory, or take a larger one.")


@pytest.mark.slow
def test_a_cluster_is_joined_by_its_address_and_left_running(ray_engine: Engine) -> None:
    """A second program joins the first one's Ray; when it leaves, the first can still work."""
    import subprocess
    import sys

    import ray

    address = ray.get_runtime_context().gcs_address
    code = (
        "from morelli.engine.catalogue import open_engine\nfrom tests.engine import work\n"
        f"with open_engine('ray', {address!r}) as engine:\n"
        "    print('GOT', [each.get() for each in engine.map(work.scaled, range(4), shared=5)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert "GOT [0, 5, 10, 15]" in done.stdout, done.stderr
    assert [each.get() for each in ray_engine.map(work.scaled, [3], shared=2)] == [6]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_no_cluster_at_an_address_is_named(address: str) -> None:
    """In a process of its own: where a Ray is connected already, that one is used."""
    import subprocess
    import sys

    pytest.importorskip("ray", reason="needs the extra ray")
    code = f"from morelli.engine.cluster import RayEngine\nRayEngine({address!r})\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert f"EngineError: engine: Ray could not be reached at {address}" in done.stderr.splitlines()[-1], done.stderr


def test_numbers_that_cannot_be_are_refused() -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from morelli.engine.cluster import RayEngine

    for wrong in ({"workers": 0}, {"cpus": -1.0}, {"cpus": 0.0}, {"retries": -1}):
        with pytest.raises(InputError):
            RayEngine(**wrong)
