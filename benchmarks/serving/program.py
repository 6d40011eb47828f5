"""A server in a process of its own: started, watched and ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = (sys.executable, "-c", "import sys; from morelli.cli import main; sys.exit(main())")


@dataclass
class Program:
    """A server that listens.

    Attributes
    ----------
    url : str
    process : Popen
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(60)


@contextmanager
def serving(gallery: Path | str, *options: object) -> Iterator[Program]:
    """A server of the installed program, on a free port; ended with the block, where it still runs."""
    with tempfile.TemporaryFile("w+") as log:
        command = [*PROGRAM, "serve", "--gallery", str(gallery), "--port", "0", "--rate", "0", *map(str, options)]
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            found = None
            while found is None:
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"the server ended: {log.read()}")
                time.sleep(0.2)
                log.seek(0)
                found = re.search(r"^listening on (\S+)$", log.read(), re.MULTILINE)
            yield Program(found[1], process)
        finally:
            process.terminate()
            process.wait()


def write_tokens(file: Path, names: Sequence[str], role: str = "write") -> dict[str, str]:
    """A file of tokens, one a name; the tokens by name."""
    made = {name: f"{name}-{'t' * 32}" for name in names}
    file.write_text("".join(f"{name} {role} {token}\n" for name, token in made.items()))
    file.chmod(0o600)
    return made


# -- memory, on Linux -------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and those that it has started."""
    out = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
            if parent == pid:
                out.append(int(entry.name))
    return out


def resident(pid: int) -> float:
    """MiB that a process and those that it has started have in memory."""
    return sum(_status(each, "VmRSS") for each in family(pid))


def peaks(pid: int) -> dict[int, float]:
    """The most MiB that a process, and each of those that it has started, ever had in memory."""
    return {each: _status(each, "VmHWM") for each in family(pid)}


def _status(pid: int, name: str) -> float:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


@dataclass
class Watch:
    """What a server's processes take while a block runs, looked at again and again.

    Attributes
    ----------
    every : float
        Seconds between two looks.
    curve : list of float
        MiB of all processes together, at each look.
    most : dict of int to float
        The most MiB that each process ever had, by its id; the server's own is ``pid``.
    """

    pid: int
    every: float = 1.0
    curve: list[float] = field(default_factory=list)
    most: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Once."""
        self.curve.append(resident(self.pid))
        for pid, peak in peaks(self.pid).items():
            self.most[pid] = max(peak, self.most.get(pid, 0.0))

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Look while the block runs."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(self.every):
                self.look()

        self.look()
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
            self.look()

    @property
    def children(self) -> list[float]:
        """Of the processes that the server started: the most of each."""
        return [peak for pid, peak in self.most.items() if pid != self.pid]


def alive(pid: int) -> bool:
    """Whether a process still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
