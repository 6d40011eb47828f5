"""The library diffusers: imported when it is needed, and kept quiet."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from morelli.errors import MissingExtraError


def import_diffusers(name: str) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise MissingExtraError("generators", name) from error
    return diffusers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' bars, and without their advice on old configurations, while a pipeline is loaded."""
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    levels = [each.get_verbosity() for each in (ours, theirs)]
    bars = [each.is_progress_bar_enabled() for each in (ours, theirs)]
    for each in (ours, theirs):
        each.set_verbosity_error()
        each.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for each, level, bar in zip((ours, theirs), levels, bars, strict=True):
            each.set_verbosity(level)
            if bar:
                each.enable_progress_bar()
