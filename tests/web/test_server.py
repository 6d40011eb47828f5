"""The real server, in a process of its own: where it listens, how it stops, and clients that take their time."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from morelli.cli.app import main
from morelli.gallery.view import GalleryView
from morelli.types import Item

from ..test_light_import import loaded_by
from .conftest import files, is_error, lines, until
from .process import Running, children, get, running

FAST = {"stability": "false", "method": "cosine"}


def ask(server: Running, path: Path, **options: str) -> httpx2.Response:
    return httpx2.post(f"{server.url}/v1/identify", files=files(path), data={**FAST, **options}, timeout=60)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file is there, networks wait."""
    return tmp_path / "gate"


@pytest.fixture
def gated(gallery: Path, learnt: Path, tmp_path: Path, gate: Path) -> Iterator[Running]:
    """A server that works on two requests at a time, and gives them 50 seconds once it is stopped."""
    options = ["--gallery", gallery, "--audit", tmp_path / "audit.jsonl", "--rate", 0, "--seconds", 100, "--grace", 50]
    given = {"TEXTURE_GATE": str(gate)}
    with running([*options, "--concurrent", 2], tmp_path / "log", learnt, given) as found:
        yield found


# -- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104 - they are refused
def test_no_door_without_a_token(
    gallery: Path, host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MORELLI_TOKENS", raising=False)
    assert main(["serve", "--gallery", str(gallery), "--host", host, "--port", "0"]) == 1
    assert "there is no token" in capsys.readouterr().err


def test_what_is_wrong_is_told_before_serving(
    gallery: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MORELLI_GALLERY", raising=False)
    for arguments, said in (
        ([], "no gallery was named"),
        (["--gallery", str(tmp_path / "none")], "is no gallery"),
        (["--gallery", str(gallery), "--gallery", str(gallery)], "two galleries"),
        (["--gallery", str(gallery), "--queue", "-1"], "--queue"),
        (["--gallery", str(gallery), "--max-mib", "0"], "--max-mib"),
        (["--gallery", str(gallery), "--decode-mib", "nan"], "--decode-mib"),
        (["--gallery", str(gallery), "--max-request-mib", "inf"], "--max-request-mib"),
        (["--gallery", str(gallery), "--audit", str(tmp_path / "no" / "log")], "cannot be written"),
        (["--gallery", str(gallery), "--trust", str(gallery)], "--trust"),
        (["--gallery", str(gallery), "--tokens", str(tmp_path / "none")], "--tokens"),
    ):
        assert main(["serve", "--port", "0", *arguments]) == 1
        assert said in capsys.readouterr().err


def test_a_missing_part_names_the_command(
    gallery: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.cli.serve.PARTS", ("fastapi", "no_such_part"))
    assert main(["serve", "--gallery", str(gallery)]) == 1
    assert 'pip install "morelli[serve]"' in capsys.readouterr().err


def test_only_an_encoder_loads_torch() -> None:
    """A gallery's encoder need not be a network of torch's."""
    code = "import morelli.web.server, morelli.web.desk, morelli.web.routes.identify, morelli.web.decode_worker"
    assert loaded_by(code) == []


def test_a_port_that_is_taken(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--gallery", str(gallery), "--port", str(port)]) == 1
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err


# -- how it stops -----------------------------------------------------------------------------------------------------


def started(server: Running, pool: ThreadPoolExecutor, path: Path, count: int = 1) -> list[Future[httpx2.Response]]:
    """Requests that are inside the server by now."""
    futures = [pool.submit(ask, server, path) for _ in range(count)]
    until(lambda: inside(server) == count)
    return futures


def inside(server: Running) -> float:
    """Requests that are inside a server."""
    (found,) = re.findall(r"^morelli_requests_inside (\S+)$", get(server, "/metrics")[1], re.MULTILINE)
    return float(found)


def test_sigterm_lets_requests_finish(gated: Running, gate: Path, queries: list[Item], tmp_path: Path) -> None:
    gate.touch()
    with ThreadPoolExecutor(4) as pool:
        futures = started(gated, pool, queries[0].path, 4)  # two are worked on, two wait
        gated.process.send_signal(signal.SIGTERM)
        until(lambda: not listens(gated))
        gate.unlink()
        answers = [each.result() for each in futures]
    assert gated.process.wait(60) == 0
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(lines((tmp_path / "audit.jsonl").read_text())) == 4
    assert "Traceback" not in gated.log.read_text()


def listens(server: Running) -> bool:
    """Whether a server takes connections."""
    try:
        connect(server).close()
    except ConnectionRefusedError:
        return False
    return True


def test_sigterm_answers_what_it_cannot_finish(
    gallery: Path, learnt: Path, queries: list[Item], tmp_path: Path, gate: Path
) -> None:
    gate.touch()
    options = ["--gallery", gallery, "--rate", 0, "--seconds", 100, "--grace", 1, "--concurrent", 1]
    with running(options, tmp_path / "log", learnt, {"TEXTURE_GATE": str(gate)}) as server:
        workers = children(server.pid)
        with ThreadPoolExecutor(3) as pool:
            futures = started(server, pool, queries[0].path, 3)
            begin = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begin < 30
            for each in futures:
                assert "stopping" in is_error(each.result(), 503)["message"]
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_second_signal_ends_it_at_once(gated: Running, gate: Path, queries: list[Item]) -> None:
    gate.touch()
    with ThreadPoolExecutor(1) as pool:
        (future,) = started(gated, pool, queries[0].path)
        begin = time.monotonic()
        gated.process.send_signal(signal.SIGTERM)
        until(lambda: not listens(gated))
        gated.stop(signal.SIGINT)
        assert time.monotonic() - begin < 30  # and not the 50 of its grace
        assert "stopped" in is_error(future.result(), 503)["message"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_kill_9_amid_requests(
    gated: Running, gate: Path, gallery: Path, learnt: Path, queries: list[Item], tmp_path: Path
) -> None:
    """Nothing is lost, nothing is double, and nothing stays behind."""
    before = ask(gated, queries[1].path).json()
    version = GalleryView.open(gallery).version
    workers = children(gated.pid)
    assert len(workers) >= 2
    gate.touch()
    with ThreadPoolExecutor(4) as pool:
        futures = started(gated, pool, queries[0].path, 4)
        gated.stop(signal.SIGKILL)
        for each in futures:
            with pytest.raises(httpx2.HTTPError):
                each.result()
    until(lambda: not any(running_still(pid) for pid in workers))
    log = (tmp_path / "audit.jsonl").read_text()
    assert log.endswith("\n")
    assert [entry["status"] for entry in lines(log)] == [200]  # answers that were given, once each
    found = GalleryView.open(gallery)
    assert found.check().ok
    assert found.version == version
    options = ["--gallery", gallery, "--audit", tmp_path / "audit.jsonl", "--rate", 0]
    with running(options, tmp_path / "log2", learnt) as again:
        assert ask(again, queries[1].path).json() == before
    assert len(lines((tmp_path / "audit.jsonl").read_text())) == 2


def running_still(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# -- clients that take their time -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(gallery: Path, learnt: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Short times and few connections."""
    options = ["--gallery", gallery, "--rate", 0, "--seconds", 4, "--header-seconds", 2, "--connections", 30]
    with running(options, tmp_path_factory.mktemp("slow") / "log", learnt) as found:
        yield found


def connect(server: Running) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def received(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of an answer after which the connection is closed."""
    found = answered(connection)
    try:
        assert connection.recv(1) == b""
    except ConnectionResetError:  # it is, and what the client went on sending was not wanted
        return found
    return found


def answered(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one answer, and not a byte more, however it is cut into packets."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += exactly(connection, 1)
    first, *rest = data.decode("latin-1").rstrip().split("\r\n")
    headers = dict(re.split(r":\s*", line.lower(), maxsplit=1) for line in rest)
    return int(first.split()[1]), headers, json.loads(exactly(connection, int(headers["content-length"])))


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        assert part, "the connection was closed amid an answer"
        data += part
    return data


def drip(connection: socket.socket, text: bytes, stop: threading.Event) -> None:
    """One byte at a time, five a second."""
    for number in range(len(text)):
        if stop.wait(0.2):
            return
        try:
            connection.send(text[number : number + 1])
        except OSError:  # the server has enough
            return


#: Seconds within which a slow client is sent away; the server's own limits are 2 and 4, without them it would be 30.
AWAY = 15
PART = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'


@pytest.mark.parametrize("part", ["head", "body", "nothing"])
def test_a_slow_client_is_sent_away_and_holds_nobody_up(server: Running, queries: list[Item], part: str) -> None:
    head = b"POST /v1/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
    head += b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    stop = threading.Event()
    with connect(server) as connection:
        if part == "body":
            connection.sendall(head)
        text = {"head": head, "body": PART + bytes(999), "nothing": b""}[part]
        thread = threading.Thread(target=drip, args=(connection, text, stop))
        thread.start()
        begin = time.monotonic()
        assert get(server, "/healthz")[0] == 200
        assert select.select([connection], [], [], 0)[0] == [], "others were answered after the slow client only"
        assert ask(server, queries[0].path).status_code == 200
        status, headers, told = received(connection)
        took = time.monotonic() - begin
        stop.set()
        thread.join()
    assert status == 408
    assert told["schema"] == "morelli.error/1"
    assert headers["connection"] == "close"
    assert took < AWAY


def test_an_answer_before_the_body_is_the_only_one(server: Running) -> None:
    """The form is wrong from its first bytes; the client goes on sending, and is not listened to for ever."""
    stop = threading.Event()
    with connect(server) as connection:
        head = b"POST /v1/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n")
        thread = threading.Thread(target=drip, args=(connection, b"no form" + bytes(999), stop))
        thread.start()
        begin = time.monotonic()
        status, _, told = received(connection)
        assert time.monotonic() - begin < AWAY
        stop.set()
        thread.join()
    assert status == 422
    assert told["argument"] == "body"


def test_a_connection_that_is_kept_is_timed_again(server: Running) -> None:
    """The second request of a connection drips too."""
    stop = threading.Event()
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answered(connection)[0] == 200
        thread = threading.Thread(target=drip, args=(connection, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 99, stop))
        thread.start()
        begin = time.monotonic()
        assert received(connection)[0] == 408
        assert time.monotonic() - begin < AWAY
        stop.set()
        thread.join()


def test_a_client_that_does_not_take_its_answers_is_dropped(server: Running) -> None:
    """It asks for 16 MB and reads nothing: neither a request nor the connection is kept for it."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect((host, int(port)))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 400)

        def dropped() -> bool:
            try:
                connection.send(b"\r\n")
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        until(dropped)
    assert get(server, "/healthz")[0] == 200


def test_what_is_no_http(server: Running) -> None:
    for text in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50) + b"\r\n\r\n", b"HELLO\r\n\r\n"):
        with connect(server) as connection:
            connection.sendall(text)
            status, _, told = received(connection)
        assert status == 400
        assert told["schema"] == "morelli.error/1"


def test_too_many_connections(server: Running) -> None:
    held = [connect(server) for _ in range(30)]
    try:
        with connect(server) as connection:
            status, headers, told = received(connection)
        assert status == 503
        assert int(headers["retry-after"]) >= 1
        assert told["schema"] == "morelli.error/1"
    finally:
        for each in held:
            each.close()
    until(lambda: healthy(server))


def healthy(server: Running) -> bool:
    try:
        return get(server, "/healthz")[0] == 200
    except ConnectionError:  # refused while the request was on its way, as the others had not been let go yet
        return False


def test_a_client_that_goes_away_frees_its_place(server: Running) -> None:
    with connect(server) as connection:
        head = b"POST /v1/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n"
        connection.sendall(head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        until(lambda: inside(server) == 1)
    begin = time.monotonic()
    until(lambda: inside(server) == 0)
    assert time.monotonic() - begin < 3  # and not only when its 4 seconds were up
    assert "Traceback" not in server.log.read_text()


def test_what_a_client_asked_for_that_goes_away_is_not_computed(
    gated: Running, gate: Path, queries: list[Item], tmp_path: Path
) -> None:
    """Three images; it goes while the network works on the first."""
    gate.touch()
    asked = httpx2.Request("POST", gated.url, files=files(*[item.path for item in queries]), data=FAST)
    body, kind = asked.read(), asked.headers["content-type"]
    with connect(gated) as connection:
        head = f"POST /v1/identify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        until(lambda: inside(gated) == 1)
    until(lambda: 'status="408"' in get(gated, "/metrics")[1])
    gate.unlink()
    until(lambda: inside(gated) == 0)
    runs = re.findall(r"^morelli_batch_images_count (\S+)$", get(gated, "/metrics")[1], re.MULTILINE)
    assert float(runs[0]) <= 1
    assert [each["status"] for each in lines((tmp_path / "audit.jsonl").read_text())] == [408]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_without_tokens_in_the_environment_of_children(server: Running) -> None:
    assert all(b"MORELLI_TOKENS" not in Path(f"/proc/{pid}/environ").read_bytes() for pid in children(server.pid))
