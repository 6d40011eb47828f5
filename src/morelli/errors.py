"""What can go wrong, by name.

::

    MorelliError
    ├── InputError (ValueError)             something that came in is not usable
    │   ├── ImageError                      a file or an array that is no usable image
    │   │   ├── MissingImageError (FileNotFoundError)
    │   │   ├── UnreadableImageError        not an image, zero bytes, a format we do not read
    │   │   ├── TruncatedImageError         the file ends before its picture does
    │   │   ├── ImageTooLargeError          more pixels or bytes than the limit (decompression bomb)
    │   │   ├── ImageTooSmallError          fewer pixels than an encoder can say anything about
    │   │   └── FlatImageError              one colour all over: nothing in it tells a model
    │   ├── DatasetError                    a folder that is no dataset, or metadata that do not fit it
    │   │   └── NotEnoughPhotosError            fewer photographs than synthetic models can learn from
    │   ├── ArrayError                      embeddings or pixels of the wrong shape, or with NaN
    │   ├── PromptError                     empty, broken text, or words that a model does not know
    │   ├── ReservedNameError               a model called as a verdict calls images of no model
    │   ├── NotEnoughReferencesError        one model only, no reference of this prompt, k larger than what there is
    │   └── NotDifferentiableError          an encoder without gradients where a defence needs them
    ├── GalleryError                        a gallery that cannot be used as asked
    │   ├── MissingGalleryError (FileNotFoundError)
    │   ├── EmptyGalleryError
    │   └── GalleryMismatchError            made with another encoder, revision or preprocessing
    ├── GeneratorError                      a generator that gave no image as asked; the argument names it
    │   ├── UnknownModelError (LookupError)     no model of that id on the hub or at its host
    │   ├── CredentialsError (PermissionError)  the key is absent, or the host refuses it
    │   ├── HostError (ConnectionError)         the host cannot be reached, or keeps failing
    │   ├── ConsentError                        prompts would go to a third party, and that was not allowed
    │   ├── RefusedContentError                 the host, or a safety filter, refuses the prompt or the image
    │   ├── SpendingCapError                    the next image would pass the cap
    │   └── BadGenerationError                  what came is blank, of the wrong size, cut off or no image
    ├── UnknownNameError (KeyError)         no plug-in, model or option of that name; suggests the nearest
    ├── MissingExtraError (ImportError)     an optional part is not installed; names the command
    ├── WeightsError                        a weights file is absent or is not the one that was named
    ├── DivergedError (ArithmeticError)     a training whose loss is no number any more
    ├── EngineError (RuntimeError)          work could not be spread over other processes or machines
    │   ├── WorkFailedError                 one item's work raised what nobody foresaw; the message quotes it
    │   └── WorkerLostError                 the process that did it was gone, as often as it was tried
    ├── NotFittedError (ValueError)         scores asked of an attributor before ``fit``
    └── StorageError (OSError)              the disk refused: full, read-only, gone
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class MorelliError(Exception):
    """Root of every error that Morelli raises on purpose.

    Parameters
    ----------
    message : str
        What was expected and what came.
    argument : str, optional
        The option, parameter, file or column at fault.
    fix : str, optional
        What the user can do about it, as an imperative sentence.
    """

    def __init__(self, message: str, *, argument: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.argument}: {self.message}" if self.argument else self.message
        return f"{head} {self.fix}" if self.fix else head

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.argument, self.fix)


def _rebuild(kind: type[MorelliError], message: str, argument: str | None, fix: str | None) -> MorelliError:
    # Of several built-in bases only the one that fixes the object's layout (OSError, ImportError) may make it.
    maker: Any = kind.__base__
    error = maker.__new__(kind)
    MorelliError.__init__(error, message, argument=argument, fix=fix)
    return error


class InputError(MorelliError, ValueError):
    """Something that came in is not usable."""


class PromptError(InputError):
    """A prompt that cannot be used: empty, broken text, or words that a model does not know."""


class ImageError(InputError):
    """A file or an array that is no usable image."""


class MissingImageError(ImageError, FileNotFoundError):
    """No file at that path."""

    __str__ = MorelliError.__str__


class UnreadableImageError(ImageError):
    """Not an image, an empty file, or a format that is not read."""


class TruncatedImageError(ImageError):
    """The file ends before its picture does."""


class ImageTooLargeError(ImageError):
    """More pixels or bytes than the limit allows."""


class ImageTooSmallError(ImageError):
    """Too few pixels to say anything about."""


class FlatImageError(ImageError):
    """One colour all over: there is nothing in it that could tell a model."""


class DatasetError(InputError):
    """A folder that is no dataset, or metadata that do not fit it."""


class NotEnoughPhotosError(DatasetError):
    """Fewer photographs than synthetic models can learn from."""


class ArrayError(InputError):
    """An array of the wrong shape or dtype, or with values that are not finite."""


class ReservedNameError(InputError):
    """A model, or a base, is called "none" or "unsure", which verdicts say of images that they give to no model."""


class NotEnoughReferencesError(InputError):
    """Fewer references than the question needs."""


class NotDifferentiableError(InputError):
    """No gradient flows through the encoder."""


class GalleryError(MorelliError):
    """A gallery that cannot be used as asked."""


class MissingGalleryError(GalleryError, FileNotFoundError):
    """No gallery at that path."""

    __str__ = MorelliError.__str__


class EmptyGalleryError(GalleryError):
    """The gallery holds no reference."""


class GalleryMismatchError(GalleryError):
    """The gallery's embeddings come from another encoder, revision or preprocessing."""


class GeneratorError(MorelliError):
    """A generator gave no image as asked; ``argument`` names it."""


class UnknownModelError(GeneratorError, LookupError):
    """No model of that id on the hub or at its host."""

    __str__ = MorelliError.__str__


class CredentialsError(GeneratorError, PermissionError):
    """The key is absent, or the host refuses it."""

    __str__ = MorelliError.__str__


class HostError(GeneratorError, ConnectionError):
    """The host cannot be reached, or keeps failing."""

    __str__ = MorelliError.__str__


class ConsentError(GeneratorError):
    """Prompts would go to a third party, and that was not allowed."""


class RefusedContentError(GeneratorError):
    """The host, or a safety filter, refuses the prompt or the image."""


class SpendingCapError(GeneratorError):
    """The next image would pass the spending cap."""


class BadGenerationError(GeneratorError):
    """What came is blank, of the wrong size, cut off or no image."""


class NotFittedError(MorelliError, ValueError):
    """Scores were asked for before ``fit``."""


class WeightsError(MorelliError):
    """A weights file is absent or is not the one that was named."""


class DivergedError(MorelliError, ArithmeticError):
    """A training whose loss or gradients are no numbers any more."""


class EngineError(MorelliError, RuntimeError):
    """Work could not be spread over other processes or machines."""


class WorkFailedError(EngineError):
    """The work on one item raised an error that is none of Morelli's; the message quotes it."""


class WorkerLostError(EngineError):
    """The process that worked on an item was gone before it answered, as often as it was tried."""


class StorageError(MorelliError, OSError):
    """The disk refused: full, read-only or gone."""

    __str__ = MorelliError.__str__


class MissingExtraError(MorelliError, ImportError):
    """An optional part is not installed.

    Parameters
    ----------
    extra : str
        Name of the extra in ``pip install "morelli[extra]"``.
    need : str
        What it is needed for.
    """

    def __init__(self, extra: str, need: str) -> None:
        super().__init__(f"{need} needs an optional part.", fix=f'Install it: pip install "morelli[{extra}]"')


class UnknownNameError(MorelliError, KeyError):
    """No such name; the nearest known ones are suggested.

    Parameters
    ----------
    kind : str
        What was looked up, in the singular: "encoder", "attributor", "model".
    name : str
        What came.
    known : iterable of str
        The names there are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            fix = f"Did you mean {' or '.join(repr(n) for n in near)}?"
        elif not names:
            fix = "There is none."
        else:
            shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
            fix = f"Known: {shown}."
        super().__init__(f"no {kind} is called {name!r}.", argument=kind, fix=fix)

    __str__ = MorelliError.__str__
