"""Content Credentials (C2PA): signed or not, by whom, of this very file or not. Offline, in a process with limits.

C2PA Technical Specification 2.x, §15 (validation). The process answers with a report; `report` says what it is worth.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from morelli.errors import InputError
from morelli.images.claims import bmff
from morelli.images.claims.carried import Carried
from morelli.images.claims.environment import bare_environment
from morelli.images.claims.limits import word
from morelli.images.claims.report import SOURCE, report_claims
from morelli.types import Claim

#: Seconds on the clock after which the reader is stopped; its processor time is limited more tightly.
PATIENCE = 8.0
#: Seconds below which it is not started: Python and the library need about as many.
LEAST = 0.5
WORKER: Sequence[str] = ("-P", "-m", "morelli.images.claims.credentials_worker")
MISSING = 'Content Credentials not read: pip install "morelli[claims]"'

MIMES: Mapping[str, str] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}


def load_roots(path: str | Path | None) -> str | None:
    """Certificates of the authorities that the user knows.

    Parameters
    ----------
    path : str, Path or None
        A PEM file with one certificate or more; None: nobody is known.

    Raises
    ------
    InputError
        The file cannot be read, is larger than a megabyte, or holds no certificate.
    """
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            text = file.read(2**20 + 1).decode("ascii", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).", argument="--trust") from error
    if len(text) > 2**20 or "-----BEGIN CERTIFICATE-----" not in text:
        raise InputError(
            f"{path} is no PEM file of certificates.",
            argument="--trust",
            fix="Name a file with -----BEGIN CERTIFICATE----- blocks.",
        )
    return text


def credential_claims(
    data: bytes, kind: str, roots: str | None, carried: Carried, left: float | None = None
) -> list[Claim]:
    """Claims of the file's Content Credentials, and of what they were made from.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : str
        Its format, told from its first bytes: its name says nothing.
    roots : str or None
        From `load_roots`.
    carried : Carried
        Its notes grow by what could not be read.
    left : float, optional
        Seconds that the reader may take, `PATIENCE` at most.
    """
    # Where they belong in the file is the reader's to judge; without these words there is nothing to judge.
    if kind not in MIMES or b"jumb" not in data or b"c2pa" not in data:
        return []
    if find_spec("c2pa") is None:
        carried.note(MISSING)
        return []
    patience = PATIENCE if left is None else min(left, PATIENCE)
    if left is not None and left < LEAST:
        carried.note("Content Credentials not read: decoding the picture left no time.")
        return []
    answer = _ask(data, MIMES[kind], roots, carried, patience)
    if answer is None:
        return []
    if isinstance(answer.get("report"), dict):
        return report_claims(answer["report"], bmff.uncovered(data) if kind in bmff.KINDS else 0)
    error = word(answer.get("error"), 200)
    if error.startswith("ManifestNotFound"):
        carried.note("Bytes that look like Content Credentials do not stand where they belong and were not read.")
        return []
    return [Claim(SOURCE, f"there are some, and they cannot be read: {error}", signed=False)]


def _ask(data: bytes, mime: str, roots: str | None, carried: Carried, patience: float) -> dict[str, Any] | None:
    head = json.dumps({"mime": mime, "roots": roots, "size": len(data)}).encode()
    try:
        done = subprocess.run(
            [sys.executable, *WORKER],
            input=b"".join((head, b"\n", data)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            check=False,
            env=bare_environment(),
        )
    except subprocess.TimeoutExpired:
        carried.note(f"Content Credentials not read: that took more than {patience:.3g} seconds.")
        return None
    except OSError as error:
        carried.note(f"Content Credentials not read: no process could be started ({error.strerror}).")
        return None
    try:
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:  # something else wrote to the worker's output
        answer = None
    if not isinstance(answer, dict):
        carried.note("Content Credentials not read: the reader crashed or passed its limits.")
        return None
    return answer
