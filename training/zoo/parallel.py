"""All parts at once on one GPU: a small network leaves most of it idle, so each part gets a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO

from training.zoo.context import Context
from training.zoo.loop import STOP
from training.zoo.plan import COURSES

_LOOK_EVERY = 0.5


def train_parallel(context: Context, names: Sequence[str], options: Sequence[str]) -> dict[str, int]:
    """Train parts, each as soon as those that it is trained on have ended.

    Parameters
    ----------
    context : Context
    names : sequence of str
        What to train.
    options : sequence of str
        For ``python -m training.zoo all NAME``.

    Returns
    -------
    dict of str to int
        Exit status of each part that was started; one whose needs failed is not.
    """
    waiting, running, ended = list(names), dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]](), dict[str, int]()
    while running or any(_ready(name, names, ended) for name in waiting):
        for name in [name for name in waiting if _ready(name, names, ended) and not STOP.is_set()]:
            waiting.remove(name)
            log = (context.out / f"{name}.log").open("ab")
            command = [sys.executable, "-m", "training.zoo", "all", name, *options]
            running[name] = subprocess.Popen(command, stdout=log, stderr=log), log
            print(f"{name} begins", flush=True)
        time.sleep(_LOOK_EVERY)
        for name, (process, log) in list(running.items()):
            if STOP.is_set():
                process.terminate()
            if process.poll() is not None:
                log.close()
                ended[name] = process.returncode
                del running[name]
                print(f"{name} ended with {process.returncode}", flush=True)
        if STOP.is_set() and not running:
            break
    return ended


def _ready(name: str, names: Sequence[str], ended: dict[str, int]) -> bool:
    """Whether all needs have ended well; a need that is not to be trained is taken to be there."""
    return all(need not in names or ended.get(need) == 0 for need in COURSES[name].recipe.needs)
