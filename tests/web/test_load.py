"""Many clients at once: no answer but verdicts and 503, and memory that stays."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from benchmarks.serve import form, load
from starlette.testclient import TestClient

from morelli.encoders.catalogue import load_encoder
from morelli.enrol import enrol
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import Dataset
from morelli.report.plain import plain
from morelli.types import Item

from .conftest import Start, files
from .process import get, resident, running

CLIENTS, SECONDS = 64, 10.0


@pytest.mark.slow
def test_64_clients(gallery: Path, learnt: Path, queries: list[Item], tmp_path: Path) -> None:
    """A network that takes 20 ms a run, so that runs are shared however slow the machine is."""
    images = [item.path for item in queries]
    options = {"stability": "false", "method": "cosine"}
    bodies = [form([(path.name, path.read_bytes())], options) for path in images]
    first: dict[int, str] = {}

    def same(number: int, text: str) -> bool:
        which = number % len(images)
        return first.setdefault(which, text) == text and json.loads(text)["image"] == images[which].name

    audit = tmp_path / "audit.jsonl"
    given = ["--gallery", gallery, "--rate", 0, "--audit", audit]
    with running(given, tmp_path / "log", learnt, {"TEXTURE_SECONDS": "0.02"}) as server:
        stop = threading.Event()

        def healthy() -> float:
            slowest = 0.0
            while not stop.wait(0.2):
                begin = time.perf_counter()
                assert get(server, "/healthz")[0] == 200
                slowest = max(slowest, time.perf_counter() - begin)
            return slowest

        with ThreadPoolExecutor(1) as pool:
            health = pool.submit(healthy)
            found = load(server.url, bodies, CLIENTS, SECONDS, same)
            stop.set()
        told = get(server, "/metrics")[1]
        print(f"{dict(found.seen)}; health at most {health.result():.2f} s; {resident(server.pid):.0f} MiB")
        assert found.wrong == []  # everybody got the answer on the own image, the same each time
        assert set(found.seen) <= {200, 503}
        assert found.seen[200] > 10
        assert health.result() < 5
        assert len(audit.read_text().splitlines()) == found.seen.total()
        runs = float(told.split("morelli_batch_images_count ")[1].split()[0])
        assert runs < found.seen[200]  # some runs of the network were shared
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_the_default_encoder(
    start: Start, tmp_path: Path, learnt: Path, items: tuple[Item, ...], queries: list[Item]
) -> None:
    """A gallery of the real network; the answers are the facade's, also when several clients ask at once."""
    known = [item for item in items if item not in queries and item.prompt_id >= "003"]
    where = tmp_path / "real"
    # Without degraded copies, which are eight times the work and no matter of the server's.
    enrol(Gallery.create(where), Dataset(where, tuple(known)), load_encoder("efficientnet-lite0"), copies=0)
    client: TestClient = start(galleries=[str(where)], seconds=110)
    facade = Identifier(where, cache=learnt, keep=False, stability=False)
    with ThreadPoolExecutor(3) as pool:
        answers = list(
            pool.map(
                lambda item: client.post("/v1/identify", files=files(item.path), data={"stability": "false"}), queries
            )
        )
    for item, answer in zip(queries, answers, strict=True):
        assert answer.status_code == 200, answer.text
        (wanted,) = facade.identify([item.path])
        told, wished = answer.json(), plain(wanted.to_json())
        assert told["decision"] == wished["decision"]
        assert told["method"]["encoder"] == "efficientnet-lite0"
        assert [line["model"] for line in told["ranking"]] == [line["model"] for line in wished["ranking"]]
        for mine, theirs in zip(told["ranking"], wished["ranking"], strict=True):
            assert mine["probability"] == pytest.approx(theirs["probability"], abs=0.02)
