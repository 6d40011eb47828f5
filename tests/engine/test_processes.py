"""Processes of this machine: several at once, and none that is gone keeps anybody waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from morelli.engine.processes import ProcessEngine
from morelli.errors import EngineError, InputError, WorkerLostError, WorkFailedError

from . import work

ROOT = Path(__file__).resolve().parents[2]


def test_the_work_is_done_elsewhere_and_by_several_at_once(tmp_path: Path) -> None:
    processes = {each.get() for each in ProcessEngine(2).map(work.together, range(2), shared=tmp_path)}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_what_items_share_is_sent_once_to_a_worker(tmp_path: Path) -> None:
    found = list(ProcessEngine(2).map(work.touch, range(30), shared=work.Heavy(tmp_path)))
    assert [each.value for each in found] == list(range(30))
    processes = [mark.name.partition("-")[0] for mark in tmp_path.iterdir()]
    assert 1 <= len(processes) == len(set(processes)) <= 2


def test_a_killed_process_is_replaced_and_its_item_named(tmp_path: Path) -> None:
    found = list(ProcessEngine(2).map(work.suicidal, [1, -1, 2, -2, 3], shared=tmp_path))
    assert [each.value for each in found] == [1, None, 2, None, 3]
    for place in (1, 3):
        error = found[place].error
        assert type(error) is WorkerLostError
        assert "was ended by signal 9" in error.message
    assert len(list(tmp_path.glob("-1-*"))) == 1


def test_a_process_that_dies_amid_its_answer_is_a_lost_item() -> None:
    """Half of an answer lies in the pipe, and nobody will ever write the rest."""
    found = list(ProcessEngine(2).map(work.dying_amid_its_answer, range(4), shared=None, ordered=False))
    assert {each.index: each.value for each in found} == {0: b"whole", 1: None, 2: b"whole", 3: b"whole"}
    (lost,) = (each.error for each in found if each.index == 1)
    assert type(lost) is WorkerLostError


def test_an_answer_that_cannot_be_sent_fails_alone() -> None:
    first, second = ProcessEngine(1).map(work.unsendable, [1, 2], shared=None)
    for each in (first, second):
        assert type(each.error) is WorkFailedError
        assert "generator" in each.error.message


def test_work_and_items_that_cannot_be_sent_are_refused_at_once() -> None:
    with pytest.raises(EngineError, match="the work cannot be sent"):
        next(ProcessEngine(2).map(work.scaled, [1], shared=threading.Lock()))  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="an item cannot be sent"):
        list(ProcessEngine(2).map(work.scaled, [1, threading.Lock()], shared=1))  # type: ignore[list-item]


def test_how_a_process_ended_is_told() -> None:
    found = list(ProcessEngine(1).map(work.leaving, [0, 3, 0], shared=None))
    assert [each.value for each in found] == [0, None, 0]
    assert type(found[1].error) is WorkerLostError
    assert "it ended with 3" in found[1].error.message


def test_an_answer_that_cannot_be_read_fails_alone() -> None:
    found = list(ProcessEngine(1).map(work.unreadable, [0, 1, 0], shared=None))
    assert [each.value for each in found] == [0, None, 0]
    assert type(found[1].error) is WorkFailedError


def test_a_process_begins_as_it_was_told() -> None:
    assert [each.get() for each in ProcessEngine(1, work.mark_begun).map(work.begun, [1], shared=None)] == ["yes"]
    assert "MORELLI_TEST_BEGUN" not in os.environ


def test_processes_that_cannot_begin_are_given_up(tmp_path: Path) -> None:
    """A script whose work is not guarded: each of its processes would begin processes of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "from itertools import count\nfrom morelli.engine.processes import ProcessEngine\n"
        "from tests.engine import work\n"
        "print([each for each in ProcessEngine(2).map(work.scaled, count(), shared=1)])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 1
    assert "EngineError: engine: no process could be begun: the last of 3 ended with 1." in done.stderr


def refuse() -> None:
    raise OSError("no such device")


def test_a_process_that_cannot_begin_says_why() -> None:
    found = list(ProcessEngine(2, refuse).map(work.scaled, range(3), shared=1))
    assert len(found) == 3
    for each in found:
        assert type(each.error) is WorkFailedError
        assert "OSError: no such device" in each.error.message


def test_no_process_is_refused() -> None:
    with pytest.raises(InputError, match="1 or more"):
        ProcessEngine(0)


def test_closing_ends_the_processes_whatever_they_are_at() -> None:
    answers = ProcessEngine(2).map(work.whoami, range(1000), shared=None)
    pid = next(answers).get()[1]
    start = time.monotonic()
    answers.close()
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


SCRIPT = """
import sys
from itertools import count
from morelli.engine.processes import ProcessEngine
from tests.engine import work

if __name__ == "__main__":
    after = int(sys.argv[1])
    if not after:
        print("working", flush=True)
    for number, each in enumerate(ProcessEngine(2).map(work.large, count(), shared=None, ordered=False), start=1):
        if number == after:
            print("working", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_interrupted_ends(tmp_path: Path, sign: signal.Signals) -> None:
    """By Ctrl-C, which all of its processes are sent; they begin, or write large answers all the time."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for after, wait in ((0, 0.05), (0, 0.5), (1, 0.0), (3, 0.07), (3, 0.13)):
        process = subprocess.Popen(
            [sys.executable, str(script), str(after)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=_heed,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "working\n"
            time.sleep(wait)
            if sign is signal.SIGINT:
                os.killpg(process.pid, sign)
            else:
                process.send_signal(sign)
            _, err = process.communicate(timeout=60)  # until all of them have ended, for they hold its pipe
        finally:
            process.kill()
        assert process.returncode == -sign
        assert err.count("Traceback") == (sign is signal.SIGINT), err  # its own: the others see no interrupt


def _heed() -> None:
    """As a terminal starts a program: what runs these tests may have left interrupts ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
