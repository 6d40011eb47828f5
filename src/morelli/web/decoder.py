"""One process that decodes images, as its parent sees it: asked, timed and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np

from morelli import errors
from morelli.errors import ImageError, MorelliError, UnreadableImageError
from morelli.images.claims.environment import bare_environment
from morelli.images.load import Picture
from morelli.types import Claim
from morelli.web.settings import Settings

WORKER = ("-P", "-m", "morelli.web.decode_worker")
#: Seconds in which a process must have started.
START = 60.0
_LINE = 16 * 2**20
#: What an answer that is cut off, or is none, raises here.
_BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, MemoryError, RecursionError)


class LostError(Exception):
    """The process ended amid an exchange; ``late`` where it was its time that was up."""

    def __init__(self, late: bool) -> None:
        super().__init__(late)
        self.late = late


class Decoder:
    """One process that decodes.

    Parameters
    ----------
    settings : Settings
        ``max_bytes``, ``max_pixels``, ``decode_seconds`` and ``decode_memory`` count.
    roots : str or None
        Certificates (PEM) of known authorities, for claims.

    Attributes
    ----------
    done : int
        Files that it was given.
    """

    def __init__(self, settings: Settings, roots: str | None) -> None:
        self.seconds, self.most = settings.decode_seconds, settings.max_pixels
        self.done = 0
        self._ready = False
        self._until = 0.0
        # It reads hostile bytes. One thread of linear algebra: more would only take address space.
        environment = bare_environment() | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the server, which ends its children itself
        )
        given = {
            "max_bytes": settings.max_bytes,
            "max_pixels": settings.max_pixels,
            "seconds": settings.decode_seconds,
            "memory": settings.decode_memory,
            "roots": roots,
        }
        try:
            self._write(json.dumps(given).encode() + b"\n")
        except OSError:  # it ended at once: `ready` tells
            self.kill()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> None:
        """Wait until it has started; raises `LostError` where it does not."""
        if not self._ready:
            with self._within(START):
                self._line()
            self._ready = True

    def decode(self, data: bytes, name: str, claims: bool) -> Picture:
        """The picture of a file, once it is `ready`.

        Raises
        ------
        ImageError
            What is wrong with it.
        LostError
            The process is gone, by its own fault or by its time.
        """
        self.done += 1
        head = {"name": name, "size": len(data), "claims": claims}
        self._until = time.monotonic() + self.seconds
        with self._within(self.seconds):
            self._write(json.dumps(head).encode() + b"\n", data)
            answer = self._line()
            if "error" in answer:
                raise _rebuilt(answer["error"], name)
            told = answer["picture"]
            if not 0 < told["height"] * told["width"] <= self.most:  # it may be a hostile file that speaks from there
                raise ValueError("that is no picture that it was allowed to decode")
            pixels = np.empty((told["height"], told["width"], 3), np.uint8)
            self._fill(pixels.data.cast("B"))
        pixels.flags.writeable = False
        return Picture(pixels, name, told["sha256"], told["content"], told["format"])

    def claims(self) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
        """The claims and notes of the file that was decoded just now, in the time that it left; raises `LostError`."""
        with self._within(max(self._until - time.monotonic(), 0.0)):
            answer = self._line()
        return tuple(Claim(**each) for each in answer["claims"]), tuple(answer["notes"])

    def kill(self) -> None:
        """End the process, and what it started."""
        self._signal()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)

    def _signal(self) -> None:
        if not self.alive:
            return
        if not hasattr(os, "killpg"):
            self._process.kill()
            return
        with suppress(ProcessLookupError):  # it may have been ended, and waited for, in another thread just now
            # With it goes the process that it may have started for Content Credentials.
            os.killpg(self._process.pid, signal.SIGKILL)

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Run the block against the clock: reading from a pipe cannot be given a time limit, and a process can."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._signal()

        clock = threading.Timer(seconds, stop)
        clock.daemon = True
        clock.start()
        try:
            yield
        except MorelliError:  # a whole answer
            raise
        except BaseException as error:
            self.kill()  # what it sends from now on would be taken for the answer to another file
            if not isinstance(error, _BROKEN):
                raise
            xcpu = -getattr(signal, "SIGXCPU", 0)
            raise LostError(late.is_set() or self._process.returncode == xcpu) from error
        finally:
            clock.cancel()
            clock.join()  # it may be ending the process just now, and then nothing more must be asked of it
            if late.is_set():
                self.kill()

    def _write(self, *parts: bytes) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise EOFError
        for part in parts:
            pipe.write(part)
        pipe.flush()

    def _line(self) -> dict[str, Any]:
        line = self._out.readline(_LINE)
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)

    def _fill(self, target: memoryview) -> None:
        done = 0
        while done < len(target):
            count = self._out.readinto(target[done:])  # pyright: ignore[reportAttributeAccessIssue]
            if not count:
                raise EOFError
            done += count

    @property
    def _out(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise EOFError
        return self._process.stdout


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except OSError:  # what was not written before the process ended is lost with it
        return


def _rebuilt(told: dict[str, Any], name: str) -> ImageError:
    """The error that the process met; only errors about images can have come from there."""
    kind = getattr(errors, str(told["kind"]), None)
    if not (isinstance(kind, type) and issubclass(kind, ImageError)):
        kind = UnreadableImageError
    argument, fix = told["argument"], told["fix"]
    return kind(str(told["message"]), argument=str(argument or name), fix=None if fix is None else str(fix))
