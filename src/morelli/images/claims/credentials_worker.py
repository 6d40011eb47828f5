"""A process of its own that reads Content Credentials: ``python -m`` of this file, a file in, a JSON report out.

The reader is a native library fed with hostile bytes. What it may spend is set by the system before it starts, and if
it crashes, it is this process that ends. Nothing is fetched: no remote manifest, no revocation, no trust list.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

#: Seconds of processor time, all told; a picture of 200 MB takes half of it.
CPU_SECONDS = 1
_MEMORY = 2**30
_MAX_REPORT = 4 * 2**20


def settings(roots: str | None) -> dict[str, Any]:
    """The library's settings: offline, and with these roots (PEM) alone as known."""
    out: dict[str, Any] = {
        "verify": {
            "verify_after_reading": True,
            "verify_trust": True,
            "verify_timestamp_trust": True,
            "ocsp_fetch": False,
            "remote_manifest_fetch": False,
        }
    }
    if roots:
        out["trust"] = {"trust_anchors": roots}
    return out


def limit_this_process(size: int) -> None:
    """Cap processor time and memory where the system can; elsewhere the caller's clock is the only limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = _MEMORY + 4 * size
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def report(data: bytes, mime: str, roots: str | None) -> dict[str, Any]:
    """``{"report": …}`` as the library words it, or ``{"error": its message}``."""
    import c2pa

    try:
        with (
            c2pa.Context.from_dict(settings(roots)) as context,
            c2pa.Reader(mime, io.BytesIO(data), context=context) as reader,
        ):
            text = reader.json()
    except c2pa.C2paError as error:
        return {"error": str(error)[:400]}
    if len(text) > _MAX_REPORT:
        return {"error": f"the manifests are larger than {_MAX_REPORT} characters"}
    return {"report": json.loads(text)}


def main() -> None:
    """Standard input: one line of JSON (mime, roots, size), then the file. Standard output: the report."""
    asked = json.loads(sys.stdin.buffer.readline())
    limit_this_process(asked["size"])
    sys.stdout.write(json.dumps(report(sys.stdin.buffer.read(), asked["mime"], asked["roots"])))


if __name__ == "__main__":
    main()
