"""A host on this machine that speaks the protocols of the hosted generators, and misbehaves as it is told."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from .fakes import noise


def png(*what: object, size: int = 32) -> bytes:
    """A PNG file whose pixels follow from what it is asked for."""
    file = io.BytesIO()
    Image.fromarray(noise(*what, size=size)).save(file, "PNG")
    return file.getvalue()


@dataclass
class Reply:
    """One answer: status, body, headers; how long it takes, and how much of the body is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    sent: int | None = None


@dataclass
class Host:
    """What the server was asked, and what it will say.

    Attributes
    ----------
    script : list of Reply
        Used up first; after that ``answer`` makes the reply from the request's JSON.
    seen : list of (path, headers, body)
    """

    url: str
    answer: Callable[[dict[str, Any]], Reply]
    script: list[Reply] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def hub_answer(asked: dict[str, Any]) -> Reply:
    """An inference endpoint: the image itself."""
    return Reply(200, png(asked["inputs"], asked["parameters"]), {"Content-Type": "image/png"})


def openai_answer(asked: dict[str, Any]) -> Reply:
    """OpenAI's protocol: the image as base64 in JSON."""
    image = png(asked["prompt"], asked.get("seed"), time.monotonic() if "seed" not in asked else 0)
    return openai_image(image)


def openai_image(image: bytes) -> Reply:
    body = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(image).decode()}]})
    return Reply(200, body.encode(), {"Content-Type": "application/json"})


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error in the form that both protocols read."""
    body = json.dumps({"error": {"message": message, "code": code, "type": None}})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, body.encode(), {"Content-Type": "application/json", **named})


@contextmanager
def serve(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[Host]:
    """The server, as long as the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            host.seen.append((self.path, headers, asked))
            self.reply(host.script.pop(0) if host.script else host.answer(asked))

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            host.seen.append((self.path, headers, {}))
            body = host.files.get(self.path)
            self.reply(Reply(404) if body is None else Reply(200, body))

        def reply(self, reply: Reply) -> None:
            time.sleep(reply.seconds)
            cut = reply.sent is not None
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body[: reply.sent] if cut else reply.body)
                self.wfile.flush()
            except (BrokenPipeError, ConnectionResetError):
                cut = True  # the client gave up waiting, which is what a timeout test wants
            if cut:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host = Host(f"http://127.0.0.1:{server.server_port}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
