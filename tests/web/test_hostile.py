"""Hostile files through the API: each gets a verdict or is told what is wrong, soon, and for little memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from morelli.testing.hostile import write_hostile
from morelli.testing.mutations import hostile_files
from morelli.types import Item

from .conftest import files
from .process import Running, children, resident, running

COUNT = 220
#: Seconds that an answer may take, and MiB that all processes together may grow by.
LONGEST, GROWTH = 10.0, 500.0


@pytest.fixture(scope="module")
def server(gallery: Path, learnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ["--gallery", gallery, "--rate", 0, "--decode-seconds", 3, "--max-mib", 4]
    with running(options, tmp_path_factory.mktemp("hostile") / "log", learnt) as found:
        yield found


def memory(pid: int) -> float:
    return sum(resident(each) for each in [pid, *children(pid)])


def sound(items: list[Item], folder: Path) -> list[bytes]:
    made = write_hostile(folder)
    return [*(item.path.read_bytes() for item in items), *(path.read_bytes() for path in made.values())]


def send(server: Running, name: str, data: bytes) -> tuple[int, str, float]:
    """Status, schema of the answer, and seconds."""
    begin = time.perf_counter()
    form = {"stability": "false", "method": "cosine"}
    with httpx2.Client(timeout=60) as client:
        answer = client.post(f"{server.url}/v1/identify", files=files((name, data)), data=form)
    return answer.status_code, answer.json()["schema"], time.perf_counter() - begin


@pytest.mark.slow
def test_hostile_files(server: Running, queries: list[Item], tmp_path: Path) -> None:
    send(server, "first.png", queries[0].path.read_bytes())
    before = memory(server.pid)
    seen: Counter[int] = Counter()
    slowest, most = 0.0, before
    for name, data in hostile_files(sound(queries, tmp_path), COUNT):
        status, schema, seconds = send(server, name, data)
        seen[status] += 1
        assert (status, schema) == (200, "morelli.verdict/1") or (
            400 <= status < 500 and schema == "morelli.error/1"
        ), name
        slowest, most = max(slowest, seconds), max(most, memory(server.pid))
        assert seconds < LONGEST, name
    print(f"{dict(seen)}; slowest {slowest:.1f} s; memory {before:.0f} MiB, at most {most:.0f} MiB")
    assert seen.total() == COUNT
    assert seen[200] > 10  # what was broken mildly still is an image
    assert seen[422] > 50
    assert seen[413] >= 5
    assert most - before < GROWTH
    assert "Traceback" not in server.log.read_text()
    assert send(server, "last.png", queries[0].path.read_bytes())[0] == 200


@pytest.mark.slow
@pytest.mark.realdata
def test_mutations_of_real_images(server: Running, data_dir: Path) -> None:
    paths = sorted((data_dir / "visor").rglob("*.*g"))[:3] + sorted((data_dir / "sdnext").rglob("*.*g"))[:1]
    real = [path.read_bytes() for path in paths if path.stat().st_size < 4 * 2**20]
    assert real
    for name, data in list(hostile_files(real, 75, seed=1))[34:]:
        status, schema, seconds = send(server, name, data)
        assert status == 200 or 400 <= status < 500, name
        assert schema in ("morelli.verdict/1", "morelli.error/1")
        assert seconds < LONGEST, name
