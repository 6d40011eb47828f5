"""A worker ends with the process that began it, also where that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from morelli.engine.orphans import end_with_parent

SCRIPT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from morelli.engine.orphans import end_with_parent

def who(seconds):
    time.sleep(seconds)
    return os.getpid()

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, get_context("spawn"), end_with_parent)
    print(*set(pool.map(who, [1, 1])), flush=True)
    time.sleep(120)
"""


def test_workers_end_when_their_parent_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            workers = [int(word) for word in parent.stdout.readline().split()]
        finally:
            parent.kill()
    assert len(workers) == 2
    end = time.monotonic() + 20
    try:
        while (left := [pid for pid in workers if _is_there(pid)]) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []
    finally:
        for pid in filter(_is_there, workers):
            os.kill(pid, signal.SIGKILL)


def test_the_first_process_stays() -> None:
    end_with_parent()


def _is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie has ended; who took it over has not looked yet
