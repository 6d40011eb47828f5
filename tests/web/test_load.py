"""Many clients at once: no answer but verdicts and 503, and memory that stays."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from benchmarks.serving.load import FULL, GREEDY, flat, form, load
from benchmarks.serving.program import Watch, write_tokens
from starlette.testclient import TestClient

from morelli.encoders.catalogue import load_encoder
from morelli.enrol import enrol
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import Dataset
from morelli.report.plain import plain
from morelli.types import Item

from .conftest import Start, files
from .process import get, running

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
    tokens = write_tokens(tmp_path / "tokens", [f"caller{number}" for number in range(8)], "read")
    given = ["--gallery", gallery, "--rate", 0, "--audit", audit, "--tokens", tmp_path / "tokens"]
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
            with Watch(server.pid, every=0.2).watching() as watch:
                found = load(server.url, bodies, CLIENTS, SECONDS, same, tokens=list(tokens.values()))
            stop.set()
        told = get(server, "/metrics", tokens["caller0"])[1]
        print(f"{dict(found.seen)}; health at most {health.result():.2f} s; {flat(watch.curve)}; "
              f"{found.percentiles()}")  # fmt: skip
        assert found.wrong == []  # everybody got the answer on the own image, the same each time
        assert set(found.seen) <= {200, FULL}
        assert found.seen[200] > 10
        assert flat(watch.curve)[2], "memory grew"
        assert health.result() < 5
        assert len(audit.read_text().splitlines()) == found.seen.total()
        runs = float(told.split("morelli_batch_images_count ")[1].split()[0])
        assert runs < found.seen[200]  # some runs of the network were shared
        assert server.stop() == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_one_who_asks_much_shuts_nobody_out(gallery: Path, learnt: Path, queries: list[Item], tmp_path: Path) -> None:
    """63 clients of one token use their share up; the one client of another is never refused, and waits less."""
    tokens = write_tokens(tmp_path / "tokens", ["greedy", "modest"], "read")
    path = queries[0].path
    bodies = [form([(path.name, path.read_bytes())], {"stability": "false", "method": "cosine"})]
    given = ["--gallery", gallery, "--rate", 0, "--tokens", tmp_path / "tokens"]
    with running(given, tmp_path / "log", learnt, {"TEXTURE_SECONDS": "0.05"}) as server, ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(load, server.url, bodies, count, 6.0, tokens=[tokens[who]], told=frozenset({FULL, GREEDY}))
            for who, count in (("greedy", CLIENTS - 1), ("modest", 1))
        ]
        many, one = (each.result() for each in asked)
    print(f"the many: {dict(many.seen)}, {many.percentiles()}; the one: {dict(one.seen)}, {one.percentiles()}")
    assert many.wrong == one.wrong == []
    assert many.seen[GREEDY] > 10
    assert many.seen[200] > 10
    assert set(one.seen) == {200}
    assert one.percentiles()[0] < many.percentiles()[0]


def test_what_grows_is_not_called_flat() -> None:
    assert flat([100.0, 300.0, 301.0, 300.0, 302.0, 299.0])[2]
    assert not flat([100.0, 300.0, 301.0, 400.0, 500.0, 600.0])[2]
    assert flat([100.0])[2]


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
