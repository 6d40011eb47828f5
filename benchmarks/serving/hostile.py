"""Hostile files through the API, one after the other: how each was answered, how soon, and at what memory."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.serving.load import Client, form
from benchmarks.serving.program import Program, Watch

from morelli.testing.mutations import hostile_files
from morelli.web.settings import MIB, Settings

#: Seconds within which each must be answered.
LONGEST = 10.0


@dataclass
class Siege:
    """What came of hostile files.

    Attributes
    ----------
    seen : Counter
        Answers by status.
    slowest : float
        Seconds.
    before, server, decoder : float
        MiB: the server process before; the most that it ever took; the most that one of its decoding processes did.
    wrong : list of str
        Files whose answer was neither a verdict nor an error of theirs, came too late, or not at all.
    """

    seen: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    before: float = 0.0
    server: float = 0.0
    decoder: float = 0.0
    wrong: list[str] = field(default_factory=list)


def besiege(
    program: Program,
    sound: Sequence[bytes],
    count: int,
    settings: Settings = Settings(),
    *,
    token: str | None = None,
    options: Mapping[str, str] = {"stability": "false"},
) -> Siege:
    """Send hostile files, made of sound ones.

    Parameters
    ----------
    program : Program
    sound : sequence of bytes
        Image files.
    count : int
        Files in all; the same count gives the same ones.
    settings : Settings
        The server's own: what its memory is held to (`allowed`).
    token : str, optional
    options : mapping
        Of each question.
    """
    out, client = Siege(), Client(program.url, token)
    with Watch(program.pid, every=0.5).watching() as watch:
        out.before = watch.most[program.pid]
        for name, data in hostile_files(sound, count):
            begin = time.perf_counter()
            try:
                status, _, text = client.post("/v1/identify", form([(name, data)], dict(options)))
                schema = json.loads(text)["schema"]
            except (OSError, ValueError, KeyError) as error:
                out.wrong.append(f"{name}: {type(error).__name__}: {error}")
                continue
            took = time.perf_counter() - begin
            out.slowest = max(out.slowest, took)
            out.seen[status] += 1
            right = schema == "morelli.verdict/1" if status == 200 else schema == "morelli.error/1"
            if not right or not (status == 200 or 400 <= status < 500):
                out.wrong.append(f"{name}: {status} {text[:200]}")
            elif took > LONGEST:
                out.wrong.append(f"{name}: answered after {took:.1f} s")
    client.close()
    out.server, out.decoder = watch.most[program.pid], max(watch.children, default=0.0)
    for who, took, most in (("the server", out.server - out.before, allowed(settings)[0]),
                            ("a decoding process", out.decoder, allowed(settings)[1])):  # fmt: skip
        if took > most:
            out.wrong.append(f"{who} took {took:.0f} MiB, and {most:.0f} are allowed")
    return out


def allowed(settings: Settings, start: float = 256.0) -> tuple[float, float]:
    """MiB that one client at a time may bring the server to, beside what it has; and a decoding process, in all.

    A request's bytes once as they come and once as a file's, its pixels and copies of them; a decoding process has what
    the system lets it have, beside what starting it takes (``start``).
    """
    request = 2 * settings.max_request + 4 * 3 * settings.max_pixels
    return request / MIB, settings.decode_memory / MIB + start
