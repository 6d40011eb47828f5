"""The pictures that ``morelli evaluate`` writes of its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from morelli.cli.output import say
from morelli.errors import InputError, StorageError
from morelli.generators.files import write_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from morelli.evaluation.runner import Evaluation
    from morelli.evaluation.settings import Settings


@dataclass(frozen=True)
class Pictures:
    """Where pictures of the result are written; None: not asked for."""

    confusion: Path | None = None
    figure: Path | None = None
    map: Path | None = None


def check_pictures(wanted: Pictures, settings: Settings) -> None:
    """What is wrong with the pictures is said before the work, not after it.

    Raises
    ------
    InputError
        An ending that is none of a picture, or a picture that the protocol does not have.
    MissingExtraError
        A map, and what draws it is not installed.
    """
    from morelli.report.confusion import figure_format

    protocol = settings.protocol
    for path in (wanted.confusion, wanted.figure, wanted.map):
        if path is not None and not (path == wanted.confusion and _is_table(path)):
            figure_format(path)
    if settings.unseen is not None and (wanted.confusion or wanted.figure):
        raise InputError(
            "seen and unseen models have no one such picture.",
            argument="--confusion" if wanted.confusion else "--figure",
            fix="Leave it out, or ask for --map.",
        )
    if wanted.confusion is not None and protocol in ("robustness", "verification"):
        raise InputError(f"{protocol} has no one confusion matrix.", argument="--confusion")
    if wanted.figure is not None and protocol not in ("robustness", "verification"):
        raise InputError(
            "only robustness and verification have one.",
            argument="--figure",
            fix="Ask for --confusion or --map.",
        )
    if wanted.map is not None:
        from morelli.report.embedding_map import require_tsne

        require_tsne()


def draw(found: Evaluation, wanted: Pictures) -> None:
    """Draw what is wanted, of the last method under the last encoder, and say where it lies."""
    if wanted.confusion is not None:
        say(f"wrote {_draw_confusion(found, wanted.confusion)}")
    if wanted.figure is not None:
        say(f"wrote {_draw_figure(found, wanted.figure)}")
    if wanted.map is not None and found.queries is not None:
        from morelli.report.embedding_map import embedding_map

        data = found.queries.embeddings
        say(f"wrote {embedding_map(data, wanted.map, seen=found.seen, title=found.encoder)}")


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _write_table(matrix: NDArray[np.float64], labels: Sequence[str], path: Path) -> Path:
    """Images as ``morelli simulate-votes`` takes them."""
    from morelli.exposure.confusion import confusion_csv

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot be written: {error}.", argument=str(path)) from error
    write_whole(path, confusion_csv(labels, labels, matrix).encode())
    return path


def _draw_confusion(found: Evaluation, path: Path) -> Path:
    from morelli.report.confusion import confusion_figure

    method = list(found.confusion)[-1]
    labels, matrix = found.confusion[method]
    if _is_table(path):
        return _write_table(matrix, labels, path)
    families = [found.families[label] for label in labels]
    return confusion_figure(matrix, labels, path, families=families, title=method)


def _draw_figure(found: Evaluation, path: Path) -> Path:
    if found.result["protocol"] == "robustness":
        from morelli.report.curves import robustness_figure

        title = ", ".join(each["id"] for each in found.result["encoders"])
        return robustness_figure(found.result["rows"], path, title=title)
    import numpy as np

    from morelli.report.cases import Example, cases_figure

    queries = found.queries
    if queries is None or not found.cases:
        raise InputError("no pair was judged by a threshold of other models.", argument="--figure")
    examples = [
        Example(
            tuple(queries.pictures(np.array([case.first, case.second]))),
            tuple(str(queries.embeddings.models[row]) for row in (case.first, case.second)),
            case.same,
            case.score,
            case.threshold,
        )
        for case in found.cases
    ]
    return cases_figure(examples, path, title=found.result["rows"][-1]["method"])
