"""``kill -9`` of the server while it adds references and answers batches: nothing lost, nothing double.

Every server first repeats the add that the one before was killed in, then begins another one, and is killed in turn.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from benchmarks.serving.load import Client
from benchmarks.serving.program import alive, family
from benchmarks.serving.visitor import Visitor

from morelli.gallery.view import GalleryView

#: Seconds that what a killed server has started may take to end.
END = 30.0


class Victim(Protocol):
    """A server that listens and can be killed."""

    @property
    def url(self) -> str:
        """Where."""
        ...

    @property
    def pid(self) -> int:
        """Its process."""
        ...

    def kill(self) -> None:
        """As ``kill -9`` does; waits for the end."""
        ...


@dataclass
class Killed:
    """What came of it.

    Attributes
    ----------
    kills, before, after : int
        Servers that were killed; of them, those whose add was not made yet, and those whose was.
    answers : int
        Images that clients had an answer on.
    span : float
        Seconds that an add takes that nobody disturbs: kills are spread over a little more.
    wrong : list of str
        Whatever was lost, double or left behind.
    """

    kills: int = 0
    before: int = 0
    after: int = 0
    answers: int = 0
    span: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """Where it happens.

    Attributes
    ----------
    start : callable
        A server of the gallery, with the page, tokens and the audit log.
    gallery, audit : Path
    name : str
        Of the gallery.
    token : str
        May write.
    batch : bytes
        A request of several images.
    images : int
        How many.
    clients : int
        That send batches.
    """

    start: Callable[[], AbstractContextManager[Victim]]
    gallery: Path
    audit: Path
    name: str
    token: str
    batch: bytes
    images: int
    clients: int = 2

    def references(self, model: str) -> int:
        """Of a model, in the gallery's newest version."""
        return sum(each.model == model for each in GalleryView.open(self.gallery).references())

    def entries(self) -> list[dict[str, Any]]:
        """Lines of the audit log, which must be whole."""
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


def kill_again_and_again(ground: Ground, adds: Sequence[tuple[str, Sequence[Path]]], seed: int = 0) -> Killed:
    """Kill one server an add, but for the first two: they warm a server up, and measure how long an add takes.

    Every other kill comes as soon as the audit log says that the gallery is being changed, the others at moments that
    are spread over an add.

    Parameters
    ----------
    ground : Ground
    adds : sequence of (str, sequence of Path)
        Models that the gallery does not have, and pictures of each; three or more.
    seed : int
        Of the moments.
    """
    out, rng = Killed(), random.Random(seed)  # noqa: S311 - no secret
    for number, (whole, struck) in enumerate(pairwise([*adds[1:], None])):
        with ground.start() as program:
            if number == 0:
                _add_whole(ground, program, *adds[0], out)
            took = _add_whole(ground, program, *whole, out) if whole is not None else 0.0
            out.span = out.span or took
            if struck is not None:
                delay = 1.2 * out.span * (number + rng.random()) / (len(adds) - 2)
                _strike(ground, program, *struck, None if number % 2 else delay, out)
    return out


def _add_whole(ground: Ground, program: Victim, model: str, pictures: Sequence[Path], out: Killed) -> float:
    """Add pictures, some of which may be there already, undisturbed; the seconds from the button to the answer."""
    visitor = Visitor(program.url, ground.token).open()
    files = [visitor.send(path) for path in pictures]
    begin = time.monotonic()
    said = visitor.do("gallery-add-ask", [files, ground.name, model, "", ""])
    took = time.monotonic() - begin
    if ground.references(model) != len(pictures):
        out.wrong.append(f"{model}: {ground.references(model)} of {len(pictures)} references after a whole add: {said}")
    return took


def _strike(
    ground: Ground, program: Victim, model: str, pictures: Sequence[Path], delay: float | None, out: Killed
) -> None:
    """Kill a server amid an add and batches, and look at what it leaves; no delay: when the change is begun."""
    known, log = GalleryView.open(ground.gallery), len(ground.entries())
    visitor = Visitor(program.url, ground.token).open()
    files = [visitor.send(path) for path in pictures]
    started = family(program.pid)[1:]
    with ThreadPoolExecutor(ground.clients + 1) as pool:
        stop, first = threading.Event(), threading.Event()
        clients = [pool.submit(_batches, ground, program.url, stop, first) for _ in range(ground.clients)]
        first.wait(60)
        adding = pool.submit(visitor.do, "gallery-add-ask", [files, ground.name, model, "", ""])
        if delay is None:
            _wait_for_begun(ground, model, adding)
        else:
            time.sleep(delay)
        program.kill()
        stop.set()
        answered = sum(each.result() for each in clients)
        told = _told(adding)
    out.kills += 1
    out.answers += answered
    out.wrong += [f"{model}: {fault}" for fault in _faults(ground, known, log, model, len(pictures), answered, told)]
    whole = ground.references(model) == len(pictures)
    out.after, out.before = out.after + whole, out.before + (not whole)
    end = time.monotonic() + END
    while any(alive(pid) for pid in started) and time.monotonic() < end:
        time.sleep(0.05)
    out.wrong += [f"{model}: process {pid} was left behind" for pid in started if alive(pid)]


def _wait_for_begun(ground: Ground, model: str, adding: Future[str]) -> None:
    mark = f'"model": "{model}", "state": "begun"'
    while mark not in ground.audit.read_text() and not adding.done():
        time.sleep(0.001)


def _batches(ground: Ground, url: str, stop: threading.Event, first: threading.Event) -> int:
    """Send batches until the server is gone; how many images were answered."""
    client, answered = Client(url, ground.token), 0
    while not stop.is_set():
        try:
            status, _, text = client.post("/v1/identify", ground.batch)
        except (http.client.HTTPException, OSError):
            break
        if status == 200:
            answered += len(text.splitlines())
        first.set()
    client.close()
    return answered


def _told(adding: Future[str]) -> bool:
    """Whether the visitor was told that the add is made."""
    try:
        return " added</b>" in adding.result()
    except (http.client.HTTPException, OSError, RuntimeError, ValueError):
        return False


def _faults(
    ground: Ground, known: GalleryView, log: int, model: str, count: int, answered: int, told: bool
) -> list[str]:
    """What is wrong with what a killed server left."""
    found, out = GalleryView.open(ground.gallery), []
    made = ground.references(model)
    if made not in (0, count):
        out.append(f"{made} of {count} references")
    if len(found) != len(known) + made or {r.content for r in known.references()} - {
        r.content for r in found.references()
    }:
        out.append(f"{len(known)} references became {len(found)}")
    if found.version != known.version + (made > 0):
        out.append(f"version {known.version} became {found.version}")
    out += found.check().problems
    if (text := ground.audit.read_text()) and not text.endswith("\n"):
        out.append("the audit log ends amid a line")
    entries = ground.entries()[log:]
    states = [each["change"]["state"] for each in entries if each.get("change", {}).get("model") == model]
    if states not in ([], ["begun"], ["begun", "done"]) or (made and not states):
        out.append(f"the audit log says {states} of an add that {'was' if made else 'was not'} made")
    if not made and ("done" in states or told):
        out.append("an add that was not made is called done")
    recorded = sum(each["route"] == "POST /v1/identify" and each["status"] == 200 for each in entries)
    if not answered <= recorded <= answered + ground.clients * ground.images:
        out.append(f"{answered} images answered, {recorded} recorded")
    return out
