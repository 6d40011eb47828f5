"""What becomes of an image: the protected pixels, and the report on both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from morelli._version import __version__
from morelli.types import PROTECT_SCHEMA

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Protected:
    """One image, protected. JSON schema ``morelli.protect/1``.

    Attributes
    ----------
    image : str
    sha256 : str
        Of the file as it came.
    before, after : ndarray, shape (height, width, 3), uint8
    report : dict
        The other fields of the schema.
    output, output_sha256 : str or None
        Where it was written, and of that file; None: not written.
    """

    image: str
    sha256: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    report: dict[str, Any]
    output: str | None = None
    output_sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object of schema ``morelli.protect/1``."""
        return {
            "image": self.image,
            "sha256": self.sha256,
            "schema": PROTECT_SCHEMA,
            "version": __version__,
            "output": self.output,
            "output_sha256": self.output_sha256,
            **self.report,
        }
