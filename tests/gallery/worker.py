"""A process of its own that adds to a gallery, for tests that kill it, starve it, or run several at once.

``python -m tests.gallery.worker MODE GALLERY [ARGUMENT…]``; it prints "ready" once its imports are done.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import lance
import lance.fragment
import numpy as np

from morelli.errors import MorelliError
from morelli.gallery import merge
from morelli.gallery.store import Gallery
from morelli.types import EncoderStamp

from .samples import STAMP, add

BATCH = 150
WIDE = EncoderStamp("toy/wide", "r", "p", {"last": 600})


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def append_for_ever(path: str) -> None:
    gallery = Gallery.open(path)
    for start in range(0, 1_000_000, BATCH):
        add(gallery, range(start, start + BATCH), WIDE)
        print(len(gallery), flush=True)


def rewrite_for_ever(path: str) -> None:
    """Each add brings one encoder more for all rows, so that the whole table is written anew."""
    gallery = Gallery.open(path)
    for j in range(1_000_000):
        add(gallery, range(BATCH), EncoderStamp(f"toy/{j}", "r", "p", {"last": 300}))
        print(len(gallery.stamps()), flush=True)


def fault(path: str, point: str, numbers: str) -> None:
    """One add that kills its own process at a named point."""
    if point == "before the data":
        lance.fragment.write_fragments = die
    elif point == "amid the data":
        whole = merge.merged

        def half(*args: object):
            yield next(whole(*args))  # type: ignore[arg-type]
            die()

        merge.merged = half
    elif point == "before the commit":
        lance.LanceDataset.commit = die  # type: ignore[method-assign]
    elif point == "after the commit":
        commit = lance.LanceDataset.commit

        def commit_and_die(*args: object, **kwargs: object) -> None:
            commit(*args, **kwargs)  # type: ignore[arg-type]
            die()

        lance.LanceDataset.commit = commit_and_die  # type: ignore[method-assign]
    add(Gallery.open(path), range(int(numbers)), WIDE if "amid" in point else STAMP)
    print("survived", flush=True)


def share(path: str, first: str, last: str, step: str) -> None:
    """Once told to go, add a range of pictures a few at a time; prints how many were new and how many updated."""
    sys.stdin.readline()
    added = updated = 0
    for start in range(int(first), int(last), int(step)):
        report = add(Gallery.open_or_create(path), range(start, start + int(step)))
        added, updated = added + report.added, updated + report.updated
    print(added, updated, flush=True)


def starve(path: str, limit: str) -> None:
    """Add where no file may grow beyond a number of bytes: what a full disk does to a writer."""
    gallery = Gallery.open(path)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    report_error(lambda: add(gallery, range(1000, 1000 + BATCH), WIDE))


def unprivileged(path: str, action: str) -> None:
    """Do something as a user who may not write, or not even read, there."""
    np.asarray(lance.dataset(f"{path}/references.lance").count_rows())
    if os.geteuid() == 0:
        os.setuid(65534)
    actions = {
        "add": lambda: add(Gallery.open(path), [500]),
        "remove": lambda: Gallery.open(path).remove(models=["model 0"]),
        "read": lambda: print(len(Gallery.open(path).references()), flush=True),
        "create": lambda: Gallery.create(Path(path) / "new"),
    }
    report_error(actions[action])


def report_error(action) -> None:
    try:
        action()
    except MorelliError as error:
        print(type(error).__name__, error, flush=True)
    else:
        print("no error", flush=True)


if __name__ == "__main__":
    print("ready", flush=True)
    globals()[sys.argv[1]](*sys.argv[2:])
