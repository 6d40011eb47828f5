"""The real server in a process of its own, with the cheap encoder: ``python -m tests.web.process serve …``.

For tests that stop the server while it works: the encoder waits as long as the file ``TEXTURE_GATE`` is there. And
``TEXTURE_SECONDS`` slows it down.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morelli.cli.app import main
from morelli.encoders import catalogue

from ..test_identify import STAMP, Texture

ROOT = Path(__file__).resolve().parents[2]


class SlowTexture(Texture):
    """Takes as long as it is told to."""

    def encode(self, prepared: Sequence[Any]) -> Any:
        gate = os.environ.get("TEXTURE_GATE")
        while gate and Path(gate).exists():
            time.sleep(0.02)
        time.sleep(float(os.environ.get("TEXTURE_SECONDS", "0")))
        return super().encode(prepared)


@dataclass
class Running:
    """A server that listens."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.stop(signal.SIGKILL)

    def stop(self, sign: int = signal.SIGTERM, wait: float = 60) -> int:
        """Send a signal and wait for the end; the exit status."""
        self.process.send_signal(sign)
        return self.process.wait(wait)


@contextmanager
def running(
    arguments: Sequence[object], log: Path, cache: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server from the command line's arguments after ``serve``; killed at the end if it still runs."""
    given = {**os.environ, "MORELLI_CACHE": str(cache), "OMP_NUM_THREADS": "1", **(environment or {})}
    command = [sys.executable, "-m", "tests.web.process", "serve", "--port", "0", *map(str, arguments)]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=given, stderr=out, stdout=out, text=True)
    try:
        yield Running(process, _wait(process, log), log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[str], log: Path) -> str:
    """The address, once the server says it."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = re.search(r"^listening on (\S+)$", log.read_text(), re.MULTILINE)
        if found:
            return found[1]
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()}")
        time.sleep(0.1)
    raise RuntimeError(f"the server does not start: {log.read_text()}")


def get(server: Running, path: str, token: str | None = None) -> tuple[int, str]:
    """Status and text of what is asked on a connection of its own, without the cost of a library's client."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def children(pid: int) -> list[int]:
    """Processes that a process has started, on Linux."""
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                out.append(int(entry.name))
    return out


def resident(pid: int) -> float:
    """MiB that a process has in memory, on Linux."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    catalogue.REGISTRY.add("texture", lambda: SlowTexture(STAMP))
    sys.exit(main())
