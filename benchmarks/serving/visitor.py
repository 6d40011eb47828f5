"""A visitor of the server's page without a browser: enters, sends files, presses buttons, reads what is shown.

It speaks what the page's script speaks, so that tests and benchmarks can kill the server at any moment of it.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

BOUNDARY = "morelli-visitor"


class Visitor:
    """One browser tab.

    Parameters
    ----------
    url : str
        Of the server, root path included; HTTPS with any certificate.
    token : str, optional
        To enter with, where the server asks for one.
    timeout : float
        Seconds.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        parts = urlsplit(self.url)
        self.origin, self.root = f"{parts.scheme}://{parts.netloc}", parts.path
        self.cookie = ""
        self.session = f"tab{id(self):x}"
        self.config: dict[str, Any] = {}
        if token is not None:
            self.enter(token)

    def enter(self, token: str) -> http.client.HTTPMessage:
        """Log in; the answer's headers.

        Raises
        ------
        RuntimeError
            The token is refused, or the request is.
        """
        form = urlencode({"token": token}).encode()
        status, headers, text = self.ask("POST", "/page/login", form, "application/x-www-form-urlencoded")
        if status != 303:
            raise RuntimeError(f"not let in: {status} {text[:200]}")
        self.cookie = (headers["set-cookie"] or "").partition(";")[0]
        return headers

    def open(self) -> Visitor:
        """Load the page."""
        self.config = self.json("GET", "/page/config")
        return self

    def send(self, path: Path) -> dict[str, Any]:
        """Upload a file; what a message about it holds."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{path.name}"\r\n\r\n'
        body = head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        (place,) = self.json("POST", "/page/gradio_api/upload", body, kind)
        return {"path": place, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}

    def press(self, button: str, values: Sequence[Any]) -> None:
        """Press a button, by its id, with the values of its inputs."""
        ids = {each["props"].get("elem_id"): each["id"] for each in self.config["components"]}
        found = [each for each in self.config["dependencies"] if [ids[button], "click"] in each["targets"]]
        if len(found) != 1 or len(found[0]["inputs"]) != len(values):
            raise RuntimeError(f"{button}: {len(found)} such buttons, {[len(each['inputs']) for each in found]} inputs")
        message = {"data": list(values), "fn_index": found[0]["id"], "session_hash": self.session}
        self.json("POST", "/page/gradio_api/queue/join", json.dumps(message).encode(), "application/json")

    def shown(self) -> Iterator[dict[str, Any]]:
        """Messages about what was pressed, as they come, until it is done."""
        connection = self._connect()
        try:
            path = f"{self.root}/page/gradio_api/queue/data?session_hash={self.session}"
            connection.request("GET", path, headers=self._headers())
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"no stream: {answer.status} {answer.read()[:200]!r}")
            for line in answer:
                if line.startswith(b"data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] in ("process_completed", "close_stream", "unexpected_error"):
                        return
        finally:
            connection.close()

    def do(self, button: str, values: Sequence[Any]) -> str:
        """Press a button and wait; all that was told of it, as one text."""
        self.press(button, values)
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in self.shown())

    def add(self, gallery: str, paths: Sequence[Path], model: str, prompt: str = "") -> str:
        """Add images of a model to a gallery."""
        files = [self.send(path) for path in paths]
        return self.do("gallery-add-ask", [files, gallery, model, "", prompt])

    def json(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        """What a request is answered with; anything but 200 is a RuntimeError."""
        status, _, text = self.ask(method, path, body, kind)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {text[:200]}")
        return json.loads(text)

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, http.client.HTTPMessage, str]:
        """Status, headers and text of one answer."""
        connection = self._connect()
        try:
            headers = self._headers() | ({"Content-Type": kind} if kind else {})
            connection.request(method, f"{self.root}{path}", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(
                parts.netloc,
                timeout=self.timeout,
                context=ssl._create_unverified_context(),  # noqa: S323 - the test's own certificate
            )
        return http.client.HTTPConnection(parts.netloc, timeout=self.timeout)

    def _headers(self) -> dict[str, str]:
        return {"Origin": self.origin, **({"Cookie": self.cookie} if self.cookie else {})}
