"""``folder:PATH``: images made elsewhere, as if they were made now."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from morelli.errors import DatasetError, NotEnoughReferencesError, UnknownNameError
from morelli.generators.base import Generated, Setting
from morelli.generators.files import file_digest
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image
from morelli.types import Item


@dataclass(frozen=True)
class FolderOptions:
    """Options of ``folder``.

    Attributes
    ----------
    model : str, optional
        Of the dataset's models this one; by default each becomes a generator.
    """

    model: str | None = None


def _content(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror or error}).", argument=str(path)) from error


class FolderGenerator:
    """One model's images of a dataset, see `morelli.images.dataset.read_dataset`.

    Image ``i`` of a prompt is the one at place ``seed + i``, counted from 0, in the order of the recorded seeds and
    then of the names; so the seed 0 gives the first ones.
    """

    hosted = False
    host = None
    Options = FolderOptions

    def __init__(self, folder: Path, model: str, items: Sequence[Item], id: str) -> None:
        self.id = id
        self.model = model
        self.family = items[0].family
        self.base = items[0].base
        self._items = sorted(items, key=lambda item: (item.seed is None, item.seed or 0, item.name))
        self.settings: Mapping[str, Setting] = {}
        self.folder = folder

    @cached_property
    def revision(self) -> str:
        """Of the images' names and contents; they are read when it is first asked for.

        Raises
        ------
        DatasetError
            One cannot be read.
        """
        names = "\n".join(f"{item.name} {_content(item.path)}" for item in self._items)
        return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:12]

    @classmethod
    def load(cls, argument: str, options: FolderOptions) -> list[FolderGenerator]:
        """A generator for each model of the dataset, or for the one that is named.

        Parameters
        ----------
        argument : str
            ``PATH``, or ``PATH#MODEL``.

        Raises
        ------
        DatasetError
            No dataset is there, or it records no prompts.
        UnknownNameError
            It has no such model.
        """
        path, wanted = argument, options.model
        if wanted is None and "#" in argument and not Path(argument).is_dir():
            path, _, wanted = argument.rpartition("#")
        folder = Path(path).expanduser()
        items = read_dataset(folder).items
        if not any(item.prompt_id for item in items):
            raise DatasetError(
                "records no prompts, so nothing says what its images were made from.",
                argument=path,
                fix="Add a metadata.csv with file_name, model and prompt.",
            )
        by_model: dict[str, list[Item]] = {}
        for item in items:
            by_model.setdefault(item.model, []).append(item)
        if wanted is not None and wanted not in by_model:
            raise UnknownNameError("model", wanted, by_model)
        chosen = [wanted] if wanted is not None else list(by_model)
        alone = len(by_model) == 1
        return [cls(folder, name, by_model[name], f"folder:{path}" + ("" if alone else f"#{name}")) for name in chosen]

    def generate(self, prompt: str, count: int, seed: int) -> Sequence[Generated]:
        """Images of a prompt, given by its wording or its id; see `Generator`.

        Raises
        ------
        NotEnoughReferencesError
            The dataset has fewer images of it.
        ImageError
            A file cannot be decoded.
        """
        found = [item for item in self._items if prompt in (item.prompt, item.prompt_id)]
        if seed < 0 or seed + count > len(found):
            raise NotEnoughReferencesError(
                f"has {len(found)} images of the prompt {prompt!r} by {self.model}; number {seed + 1} to "
                f"{seed + count} were asked for.",
                argument=self.id,
                fix="Ask for fewer, and begin with the seed 0." if found else "Use a prompt that the dataset has.",
            )
        return [self._image(item, prompt, seed + i) for i, item in enumerate(found[seed : seed + count])]

    def _image(self, item: Item, prompt: str, seed: int) -> Generated:
        settings: dict[str, Setting] = {"file": item.name}
        if item.seed is not None:
            settings["seed"] = item.seed
        return Generated(load_image(item.path).pixels, self.model, self.family, self.revision, prompt, seed, settings)
