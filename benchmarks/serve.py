"""What the server stands: 64 clients for a minute, and 1,000 hostile files: python benchmarks/serve.py FOLDER [SECONDS]

FOLDER has ``visor`` (references and queries) and, for the hostile files, ``sdnext`` too. The server is the program
itself, in a process of its own, with the default encoder and default limits but for the rate. Printed are answers by
status, latency percentiles and memory of the server with its decoding processes, each as a line of a table.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CLIENTS, SECONDS, HOSTILE, QUERIES = 64, 60.0, 1000, 16
LONGEST = 10.0
BOUNDARY = "morelli-benchmark"
PROGRAM = (sys.executable, "-c", "import sys; from morelli.cli import main; sys.exit(main())")


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

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)

    def post(self, path: str, body: bytes) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case and text."""
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        try:
            self._connection.request("POST", path, body, headers)
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
        Answers that were neither a verdict nor 503 with Retry-After, and connections that broke.
    """

    seen: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def load(
    url: str, bodies: Sequence[bytes], clients: int, seconds: float, check: Callable[[int, str], bool] = lambda *_: True
) -> Load:
    """Let clients ask as fast as they are answered, each the same body; a 503 is heeded.

    Parameters
    ----------
    check : callable
        ``check(client, text)``: whether a verdict is the right one.
    """
    out, lock = Load(), threading.Lock()
    until = time.monotonic() + seconds

    def one(number: int) -> None:
        client, body = Client(url), bodies[number % len(bodies)]
        while time.monotonic() < until:
            begin = time.perf_counter()
            try:
                status, headers, text = client.post("/v1/identify", body)
            except (http.client.HTTPException, OSError) as error:
                with lock:
                    out.wrong.append(f"{type(error).__name__}: {error}")
                continue
            good = (status == 200 and check(number, text)) or (status == 503 and "retry-after" in headers)
            with lock:
                out.seen[status] += 1
                if status == 200:
                    out.seconds.append(time.perf_counter() - begin)
                if not good:
                    out.wrong.append(f"{status}: {text[:200]}")
            if status == 503:
                client.close()  # the server would close a connection that nothing comes over
                time.sleep(min(int(headers.get("retry-after", 1)), max(until - time.monotonic(), 0)))

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(clients)))
    return out


def memory(pid: int) -> float:
    """MiB that a process and its children have in memory; Linux."""
    pages = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if int(entry.name) == pid or parent == pid:
                    pages += int((entry / "statm").read_text().split()[1])
            except OSError:  # it ended meanwhile
                continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def server(gallery: str, *options: str) -> Iterator[tuple[str, int]]:
    """Address and process of a server that is ended with the block."""
    with tempfile.TemporaryFile("w+") as log:
        command = [*PROGRAM, "serve", "--gallery", gallery, "--port", "0", "--rate", "0", *options]
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            found = None
            while found is None:
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"the server ended: {log.read()}")
                time.sleep(0.2)
                log.seek(0)
                found = re.search(r"^listening on (\S+)$", log.read(), re.MULTILINE)
            yield found[1], process.pid
        finally:
            process.terminate()
            process.wait()


def watched(pid: int, stop: threading.Event) -> list[float]:
    """Memory every second until told to stop."""
    out = [memory(pid)]
    while not stop.wait(1.0):
        out.append(memory(pid))
    return out


def many_clients(url: str, pid: int, bodies: Sequence[bytes], seconds: float) -> None:
    """One line of the table, and a failure where an answer was wrong."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        measured = pool.submit(watched, pid, stop)
        found = load(url, bodies, CLIENTS, seconds)
        stop.set()
    took = sorted(found.seconds)
    if len(took) < 2 or found.wrong:
        raise SystemExit(f"wrong: {found.wrong[:5]}, verdicts: {len(took)}")
    cuts = statistics.quantiles(took, n=100)
    curve = measured.result()
    third = max(len(curve) // 3, 1)
    print(
        f"| {CLIENTS} clients, {seconds:.0f} s | {found.seen[200] / seconds:.1f} verdicts a second, "
        f"{found.seen[503]} × 503, no other | p50 {cuts[49]:.2f} s, p90 {cuts[89]:.2f} s, p99 {cuts[98]:.2f} s | "
        f"{statistics.median(curve[third : 2 * third] or curve):.0f} MiB in the middle third, "
        f"{statistics.median(curve[2 * third :] or curve):.0f} in the last |",
        flush=True,
    )


def hostile(url: str, pid: int, real: Sequence[bytes]) -> None:
    """One line of the table, and a failure where an answer was wrong or late."""
    from morelli.testing.mutations import hostile_files

    before, seen, slowest, most = memory(pid), Counter(), 0.0, 0.0
    client = Client(url)
    for name, data in hostile_files(real, HOSTILE):
        begin = time.perf_counter()
        status, _, text = client.post("/v1/identify", form([(name, data)], {"stability": "false"}))
        slowest = max(slowest, time.perf_counter() - begin)
        most = max(most, memory(pid))
        seen[status] += 1
        if not (status == 200 or 400 <= status < 500) or json.loads(text)["schema"][:8] != "morelli.":
            raise SystemExit(f"{name}: {status} {text[:200]}")
    told = ", ".join(f"{count} × {status}" for status, count in sorted(seen.items()))
    late = "" if slowest < LONGEST else f", MORE THAN {LONGEST:g} s"
    print(
        f"| {HOSTILE} hostile files | {told} | slowest {slowest:.1f} s{late} | {before:.0f} MiB, at most {most:.0f} |"
    )


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    from _common import combine  # beside this file; tests import this module without it
    from morelli.images.dataset import read_dataset

    items = read_dataset(folder / "visor").items
    held_out = items[:: max(1, len(items) // QUERIES)][:QUERIES]
    with tempfile.TemporaryDirectory() as scratch:
        references = combine(Path(scratch, "references"), [item for item in items if item not in held_out])
        gallery = str(Path(scratch, "gallery"))
        subprocess.run([*PROGRAM, "gallery", "add", gallery, str(references.root)], check=True)
        measure(gallery, folder, [item.path for item in held_out], seconds)


def measure(gallery: str, folder: Path, queries: Sequence[Path], seconds: float) -> None:
    """Both lines of the table, from one server."""
    bodies = [form([(path.name, path.read_bytes())]) for path in queries]
    print("| what | answers | seconds | memory |\n| --- | --- | --- | --- |")
    with server(gallery) as (url, pid):
        # What the gallery teaches is learnt once, before the clock runs.
        while Client(url, 600).post("/v1/identify", bodies[0])[0] == 503:
            time.sleep(1)
        many_clients(url, pid, bodies, seconds)
        large = [path for path in sorted((folder / "sdnext").rglob("*.*g")) if path.stat().st_size < 2**21][:8]
        hostile(url, pid, [path.read_bytes() for path in (*queries, *large)])


if __name__ == "__main__":
    main()
