"""Many clients at once, each asking again as soon as it is answered."""

from __future__ import annotations

import http.client
import math
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

BOUNDARY = "morelli-benchmark"
#: What many clients may be told beside a verdict, with ``Retry-After``: a full server, and a share that is used up.
FULL, GREEDY = 503, 429


def form(images: Sequence[tuple[str, bytes]], options: dict[str, str] | None = None) -> bytes:
    """A multipart body."""
    head = '--{}\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    parts = [head.format(BOUNDARY, "image", f'; filename="{name}"').encode() + data + b"\r\n" for name, data in images]
    parts += [
        head.format(BOUNDARY, name, "").encode() + value.encode() + b"\r\n" for name, value in (options or {}).items()
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


class Client:
    """One connection, kept open, without a library's own cost."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
        self._headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case and text."""
        try:
            self._connection.request("POST", path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()


@dataclass
class Load:
    """What came of many clients.

    Attributes
    ----------
    seen : Counter
        Answers by status.
    seconds : list of float
        Latency of each verdict.
    wrong : list of str
        Answers that were neither a verdict nor what clients may be told, and connections that broke.
    """

    seen: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def percentiles(self) -> tuple[float, float, float]:
        """Of latency: the 50th, 90th and 99th, s; NaN for fewer than two verdicts."""
        if len(self.seconds) < 2:
            return math.nan, math.nan, math.nan
        cuts = statistics.quantiles(self.seconds, n=100)
        return cuts[49], cuts[89], cuts[98]


def load(
    url: str,
    bodies: Sequence[bytes],
    clients: int,
    seconds: float,
    check: Callable[[int, str], bool] = lambda *_: True,
    *,
    tokens: Sequence[str | None] = (None,),
    told: frozenset[int] = frozenset({FULL}),
) -> Load:
    """Let clients ask as fast as they are answered, each the same body; ``Retry-After`` is heeded.

    Parameters
    ----------
    url : str
    bodies : sequence of bytes
        Dealt to the clients in turn.
    clients : int
    seconds : float
        For which new questions are asked.
    check : callable
        ``check(client, text)``: whether a verdict is the right one.
    tokens : sequence of str or None
        Dealt to the clients in turn.
    told : frozenset of int
        Statuses beside 200 that are right, with ``Retry-After``.
    """
    out, lock = Load(), threading.Lock()
    until = time.monotonic() + seconds

    def one(number: int) -> None:
        client, body = Client(url, tokens[number % len(tokens)]), bodies[number % len(bodies)]
        while time.monotonic() < until:
            begin = time.perf_counter()
            try:
                status, headers, text = client.post("/v1/identify", body)
            except (http.client.HTTPException, OSError) as error:
                with lock:
                    out.wrong.append(f"{type(error).__name__}: {error}")
                continue
            later = status in told and "retry-after" in headers
            with lock:
                out.seen[status] += 1
                if status == 200:
                    out.seconds.append(time.perf_counter() - begin)
                if not (later or (status == 200 and check(number, text))):
                    out.wrong.append(f"{status}: {text[:200]}")
            if status != 200:
                client.close()  # the server would close a connection that nothing comes over
                time.sleep(min(int(headers.get("retry-after", 1)), max(until - time.monotonic(), 0)))
        client.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(clients)))
    return out


def flat(curve: Sequence[float], slack: float = 64.0) -> tuple[float, float, bool]:
    """Whether memory stays: the medians of its middle and last third, MiB, and whether the last is no larger.

    Parameters
    ----------
    curve : sequence of float
        MiB, at equal distances in time.
    slack : float
        MiB that the last third may be larger by, beside a twentieth.
    """
    third = max(len(curve) // 3, 1)
    middle, last = statistics.median(curve[third : 2 * third] or curve), statistics.median(curve[-third:])
    return middle, last, last <= 1.05 * middle + slack
