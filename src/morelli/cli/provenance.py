"""What a result was made of and with: a hash of the images and their labels, and the versions of what computed it."""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from morelli.evaluation.data import EvaluationSet

#: Module → package whose version may matter to a figure. Only those that were loaded are told.
LIBRARIES = {"numpy": "numpy", "scipy": "scipy", "PIL": "pillow", "torch": "torch", "transformers": "transformers"}


def provenance(data: EvaluationSet | None) -> dict[str, Any]:
    """Fields for a result: ``versions`` by package, and ``images_sha256`` where there are images.

    The hash is over pixels, models and prompt ids of these images, in whatever order or files they came.
    """
    found: dict[str, Any] = {"versions": {"python": platform.python_version(), **_loaded()}}
    if data is not None:
        labels = data.embeddings
        rows = sorted(zip(data.contents.tolist(), labels.models.tolist(), labels.prompts.tolist(), strict=True))
        found["images_sha256"] = hashlib.sha256("\n".join("\x1f".join(row) for row in rows).encode()).hexdigest()
    return found


def _loaded() -> dict[str, str]:
    out = {}
    for module, package in LIBRARIES.items():
        if module in sys.modules:
            try:
                out[package] = version(package)
            except PackageNotFoundError:  # loaded from a folder, without a version
                out[package] = "unknown"
    return out
