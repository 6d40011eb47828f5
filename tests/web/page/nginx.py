"""nginx with the project's own configuration, on free ports and with a certificate of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX, OPENSSL = shutil.which("nginx"), shutil.which("openssl")
CONFIGURATION = Path(__file__).resolve().parents[3] / "deploy" / "nginx.conf"

_WHOLE = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{given}
}}
"""


def configuration(upstream: str, port: int, folder: Path, path: str = "/") -> str:
    """The project's example for another upstream, port, certificate and path; every change must find its place."""
    text = CONFIGURATION.read_text()
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("server_name morelli.example;", "server_name localhost;"),
        ("/etc/letsencrypt/live/morelli.example/fullchain.pem", f"{folder}/certificate.pem"),
        ("/etc/letsencrypt/live/morelli.example/privkey.pem", f"{folder}/key.pem"),
        ("http://127.0.0.1:8000", upstream),
        ("location / {", f"location {path} {{"),
    ):
        if old not in text:
            raise AssertionError(f"{old} is not in {CONFIGURATION}")
        text = text.replace(old, new)
    return _WHOLE.format(folder=folder, given=text)


@contextmanager
def proxied(upstream: str, folder: Path, path: str = "/") -> Iterator[str]:
    """nginx before a server: its address, without the path."""
    folder.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(
        [str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "nginx.conf").write_text(configuration(upstream, port, folder, path))
    command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", f"{folder}/error.log"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"nginx does not start: {(folder / 'error.log').read_text()}") from None
                time.sleep(0.05)
        yield f"https://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)
