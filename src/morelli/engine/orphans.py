"""Worker processes that do not outlive the process that began them."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """In a worker process, the initializer of a pool: end when the parent is gone, however that ended.

    A worker of a pool waits for its next job on a pipe that the other workers hold open too, so a parent that was
    killed would leave all of them waiting for ever. Does nothing in a process that multiprocessing did not begin.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
