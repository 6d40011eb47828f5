"""A page as PDF, by a Chromium that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from morelli.errors import InputError, StorageError

#: What it may be called, on the ``PATH``.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_SECONDS = 300.0


def find_browser() -> str:
    """The program.

    Raises
    ------
    InputError
        None is on the ``PATH``.
    """
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise InputError(
        f"a PDF is made by a browser, and none of {', '.join(BROWSERS)} is on the PATH.",
        argument="--pdf",
        fix="Install Chromium, or print the HTML file in your own browser.",
    )


def make_pdf(html: str, browser: str) -> bytes:
    """The page as a PDF file's bytes. The browser has a profile of its own and asks nobody anything.

    Raises
    ------
    StorageError
        It gave no PDF.
    """
    with tempfile.TemporaryDirectory(prefix="morelli-pdf-", ignore_cleanup_errors=True) as folder:
        page, out = Path(folder) / "page.html", Path(folder) / "page.pdf"
        page.write_text(html, encoding="utf-8")
        command = [
            browser, "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run",
            f"--user-data-dir={folder}/profile", "--no-pdf-header-footer", f"--print-to-pdf={out}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # as root it does not start otherwise; the page is our own
            command.append("--no-sandbox")
        try:
            done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"{browser} took more than {_SECONDS:g} seconds.", argument="--pdf") from error
        except OSError as error:
            raise StorageError(f"{browser} does not start ({error}).", argument="--pdf") from error
        data = out.read_bytes() if out.is_file() else b""
        if not data.startswith(b"%PDF"):
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise StorageError(f"{browser} gave no PDF ({done.returncode}: {' '.join(said)}).", argument="--pdf")
        return data
