"""Which text-to-image model made this image, how sure are we, and what is the evidence?

Names are loaded when they are first used: ``import morelli`` loads neither torch nor transformers. The same names stand
in ``__init__.pyi``, for type checkers and editors.
"""

from __future__ import annotations

import importlib
from typing import Any

from morelli._version import __version__ as __version__

_PUBLIC = {
    "MorelliError": "morelli.errors",
    "Item": "morelli.types",
    "LabelledEmbeddings": "morelli.types",
    "Reference": "morelli.types",
    "Verdict": "morelli.types",
    "load_image": "morelli.images.load",
    "read_dataset": "morelli.images.dataset",
    "load_encoder": "morelli.encoders.catalogue",
    "embed": "morelli.encoders.embed",
    "Gallery": "morelli.gallery.store",
    "load_attributor": "morelli.attribution.catalogue",
    "Identifier": "morelli.identify",
    "Protector": "morelli.protect",
    "Verifier": "morelli.verify",
    "derived_from": "morelli.lineage",
}


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'morelli' has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__version__", *sorted(_PUBLIC)]
