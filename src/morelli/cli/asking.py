"""What ``identify`` and ``check`` share: options, pictures from files and folders, answers one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from morelli.cli.output import emit_json, error_json, say
from morelli.cli.progress import Report, progress
from morelli.errors import InputError, MorelliError

if TYPE_CHECKING:
    from morelli.identify import Failure

ImagesArgument = Annotated[list[Path], typer.Argument(help="Image files, and folders of them.", show_default=False)]
GalleryOption = Annotated[
    str | None,
    typer.Option(envvar="MORELLI_GALLERY", help="Gallery with the references.", show_default=False),
]
PromptOption = Annotated[
    str | None,
    typer.Option(help="What the images were made from: a prompt id of the gallery, or the prompt's wording."),
]
PromptFreeOption = Annotated[
    bool,
    typer.Option("--prompt-free", help="Compare without the prompt where the gallery lacks references of it."),
]
MethodOption = Annotated[str | None, typer.Option(help="How to compare: fused (the default), lda, plda, euclid, …")]
EncoderOption = Annotated[str | None, typer.Option(help="By default the gallery's.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one line an image.")]


def required_gallery(gallery: str | None) -> str:
    """The gallery that was named.

    Raises
    ------
    InputError
        None was.
    """
    if not gallery:
        raise InputError(
            "no gallery was named, so there is nothing to compare with.",
            argument="--gallery",
            fix="Name one, or set MORELLI_GALLERY; to make one: morelli gallery add GALLERY DATASET",
        )
    return gallery


def method_options(method: str | None, encoder: str | None) -> dict[str, Any]:
    """Arguments for `Identifier`, without those that were not given."""
    return {name: value for name, value in (("method", method), ("encoder", encoder)) if value is not None}


def pictures(given: Sequence[Path]) -> tuple[list[Path], list[tuple[str, MorelliError]]]:
    """Folders become their pictures, in order, none twice; and folders that hold none."""
    from morelli.images.dataset import list_images

    found: dict[Path, None] = {}
    empty: list[tuple[str, MorelliError]] = []
    for path in given:
        if not path.is_dir():
            found[path] = None  # an absent file fails with the others, and does not stop them
            continue
        try:
            found.update(dict.fromkeys(list_images([path])))
        except MorelliError as error:
            empty.append((str(path), error))
    return list(found), empty


class Stages:
    """Progress on stderr: one bar a stage, gone before anything is printed."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Report | None = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is."""
        if stage == "learning":
            say("learning the statistics of the gallery, once …")
            return
        if total < 2:
            return
        if self._bar is None or self._stage != stage:
            self.close()
            self._bar, self._stage = self._stack.enter_context(progress(stage)), stage
        self._bar(done, total)

    def close(self) -> None:
        """Take the bar away; the next call draws it again."""
        self._stack.close()
        self._bar = None


def answer(
    ask: Callable[[list[Path], Stages], Iterable[Any]],
    given: Sequence[Path],
    show: Callable[[Any], None],
    as_json: bool,
) -> None:
    """Ask about every picture and print the answers as they come; exit status 1 where one failed.

    Parameters
    ----------
    ask : callable
        Pictures and a progress callable to answers: records with ``to_json``, or `Failure`.
    given : sequence of Path
        Files and folders.
    show : callable
        Prints an answer for people.
    as_json : bool
        Print JSON instead.
    """
    from morelli.identify import Failure

    files, empty = pictures(given)
    failed = [Failure(image, error) for image, error in empty]
    stages = Stages()
    answers = ask(files, stages) if files else ()
    count = 0
    try:
        for one in chain(answers, failed):
            stages.close()
            if isinstance(one, Failure):
                count += 1
                _tell_failure(one, as_json)
            elif as_json:
                emit_json(one.to_json())
            else:
                show(one)
    finally:
        stages.close()
    if count:
        raise typer.Exit(1)


def _tell_failure(failure: Failure, as_json: bool) -> None:
    error = failure.error
    text = " ".join(str(error).split())
    say(f"error: {text}" if error.argument == failure.image else f"error: {failure.image}: {text}")
    if as_json:
        emit_json(error_json(error, image=failure.image))
