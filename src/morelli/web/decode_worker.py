"""A process of its own that decodes images: ``python -m`` of this file; files in, pixels and claims out.

Decoders are native code fed with hostile bytes, and a thread in them can neither be stopped nor kept from memory. Here
the system sets both limits, and if a decoder crashes or never ends it is this process that goes. One exchange::

    in   {"name", "size", "claims"}\\n  the file's bytes
    out  {"picture": {…}}\\n            pixels, height × width × 3 bytes;   or {"error": {…}}\\n and nothing more
    out  {"claims": […], "notes": […]}\\n    where claims were asked for
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, BinaryIO

from morelli.errors import MorelliError
from morelli.images.claims.decoded import Decoded
from morelli.images.claims.read import read_claims
from morelli.images.load import Limits, Picture, load_image

#: Share of an image's time in which its claims are to be there; the rest is for what cannot be timed.
_IN_TIME = 0.9


def limit_memory(budget: int) -> None:
    """Let this process take so many bytes beside what it has; elsewhere than on Unix nothing is done."""
    try:
        import resource

        pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115, PTH123
    except (ImportError, OSError):
        return
    # The soft limit alone: the reader of Content Credentials starts from here with limits of its own.
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + budget, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_time(seconds: float) -> None:
    """Let this process compute for so many seconds more; the system ends it then."""
    try:
        import resource
    except ImportError:  # Windows: the parent's clock is the only limit
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds + 1), hard))


def _send(out: BinaryIO, head: dict[str, Any], body: Any = b"") -> None:
    out.write(json.dumps(head).encode() + b"\n")
    out.write(body)
    out.flush()


def decode(out: BinaryIO, data: bytes, name: str, limits: Limits) -> Picture | None:
    """Send the picture, or what is wrong with it, and give back the picture."""
    try:
        picture = load_image(data, name=name, limits=limits)
    except MorelliError as error:
        told = {"kind": type(error).__name__, "message": error.message, "argument": error.argument, "fix": error.fix}
        _send(out, {"error": told})
        return None
    height, width, _ = picture.pixels.shape
    head = {
        "height": height,
        "width": width,
        "sha256": picture.sha256,
        "content": picture.content,
        "format": picture.format,
    }
    _send(out, {"picture": head}, picture.pixels.data.cast("B"))
    return picture


def claim(out: BinaryIO, data: bytes, limits: Limits, roots: str | None, decoded: Decoded) -> None:
    """Send what the file says of itself."""
    try:
        found = read_claims(data, roots=roots, limits=limits, decoded=decoded)
    except MorelliError as error:
        _send(out, {"claims": [], "notes": [f"Claims not read: {error.message}"]})
    except MemoryError:
        _send(out, {"claims": [], "notes": ["Claims not read: that would take too much memory."]})
    else:
        _send(out, {"claims": [each.to_json() for each in found.claims], "notes": list(found.notes)})


def main() -> None:
    """Standard input: one line of JSON with the limits, then exchanges until it is closed."""
    # What a library prints must not be taken for an answer.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    given = json.loads(sys.stdin.buffer.readline())
    limits = Limits(max_bytes=given["max_bytes"], max_pixels=given["max_pixels"])
    limit_memory(given["memory"])
    _send(out, {"ready": True})
    while line := sys.stdin.buffer.readline():
        asked, begun = json.loads(line), time.monotonic()
        data = sys.stdin.buffer.read(asked["size"])
        if len(data) < asked["size"]:
            return
        limit_time(given["seconds"])  # for both, as on the parent's clock
        picture = decode(out, data, asked["name"], limits)
        if picture is not None and asked["claims"]:
            decoded = Decoded(picture, time.monotonic() - begun, begun + _IN_TIME * given["seconds"])
            claim(out, data, limits, given["roots"], decoded)
            del decoded
        del data, picture


if __name__ == "__main__":
    main()
