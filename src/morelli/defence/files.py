"""Where protected images are written: decided before the work, and never over what is there unless asked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.errors import InputError, StorageError
from morelli.generators.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def plan_outputs(sources: Sequence[Path], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """A PNG in the folder for every source, of the source's name.

    Parameters
    ----------
    sources : sequence of Path
    folder : Path
        Made when the first file is written.
    overwrite : bool
        Files that are there may be replaced; a source never.

    Raises
    ------
    InputError
        A file is there already, two sources would be written to one place, or one over a source.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder.", argument="out", fix="Name a folder.")
    outputs: dict[Path, Path] = {}
    originals = {source.resolve() for source in sources}
    for source in sources:
        output = folder / f"{source.stem}.png"
        if output in outputs:
            raise InputError(
                f"{outputs[output]} and {source} would both be written to {output}.",
                argument="out",
                fix="Protect them in two runs, into two folders.",
            )
        if output.resolve() in originals:
            raise InputError(f"{output} is one of the images itself.", argument="out", fix="Name another folder.")
        if output.exists() and not overwrite:
            raise InputError(f"{output} exists already.", argument="out", fix="Name another place, or add --overwrite.")
        outputs[output] = source
    return list(outputs)


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, 3) or, grey, (height, width), uint8, as a PNG file without metadata."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_file(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a file, whole or not at all, and its folder where there is none.

    Raises
    ------
    InputError
        The file is there and may not be replaced.
    StorageError
        The disk refuses.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already.", argument="out", fix="Name another place, or add --overwrite.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be made: {error.strerror or error}.", argument=str(path.parent)) from error
    write_whole(path, data)
