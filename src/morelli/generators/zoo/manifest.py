"""What the zoo's weights folder holds, and whether it still does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from morelli.errors import UnknownNameError, WeightsError
from morelli.generators.base import Setting

WEIGHTS = Path(__file__).with_name("weights")
SCHEMA = "morelli.zoo/1"
_REVISION = 12
_REINSTALL = "Install morelli anew: pip install --force-reinstall --no-deps morelli"


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes
    ----------
    name : str
    kind : str
        Which pipeline runs it: "pixel", "flow", "latent", "tokens" or "gan".
    family, base : str
        The model whose weights it was trained from; its own name where it was trained from nothing.
    architecture : str
        In words.
    parameters : int
        Of the networks that are the model's own.
    components : mapping of str to str
        A pipeline's part and its folder below the weights; models share folders, no weight is stored twice.
    settings : mapping of str to str, int or float
        Steps, guidance and size that its card's figures were measured with.
    training : mapping
        steps, images, seconds, device and the like.
    """

    name: str
    kind: str
    family: str
    base: str
    architecture: str
    parameters: int
    components: Mapping[str, str]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A weights folder: its models, and each file's size and SHA-256.

    Attributes
    ----------
    folder : Path
    models : mapping of str to Entry
    files : mapping of str to (int, str)
        POSIX path below the folder → bytes and SHA-256.
    """

    folder: Path
    models: Mapping[str, Entry]
    files: Mapping[str, tuple[int, str]]

    def entry(self, name: str) -> Entry:
        """The model of that name.

        Raises
        ------
        UnknownNameError
            There is none; the nearest are suggested.
        """
        if name not in self.models:
            raise UnknownNameError("model of the zoo", name, self.models)
        return self.models[name]

    def files_of(self, *folders: str) -> list[str]:
        """Paths of the files below those folders, sorted."""
        heads = tuple(f"{folder}/" for folder in folders)
        return sorted(path for path in self.files if path.startswith(heads))

    def revision(self, name: str) -> str:
        """12 hexadecimal digits of a SHA-256 over the paths and hashes of all files that the model uses.

        Raises
        ------
        UnknownNameError
            No model of that name.
        """
        paths = self.files_of(*self.entry(name).components.values())
        text = "\n".join(f"{path} {self.files[path][1]}" for path in paths)
        return hashlib.sha256(text.encode()).hexdigest()[:_REVISION]

    def check(self, *folders: str) -> None:
        """Refuse folders whose files are not those that the manifest lists.

        Raises
        ------
        WeightsError
            A file is absent, or has another size or hash.
        """
        for folder in folders:
            if not self.files_of(folder):
                raise WeightsError(f"the manifest lists no file of {folder!r}.", argument="zoo", fix=_REINSTALL)
        for path in self.files_of(*folders):
            size, digest = self.files[path]
            try:
                data = (self.folder / path).read_bytes()
            except OSError as error:
                raise WeightsError(
                    f"cannot be read: {error.strerror}.", argument=f"zoo: {path}", fix=_REINSTALL
                ) from error
            if len(data) != size or hashlib.sha256(data).hexdigest() != digest:
                raise WeightsError(
                    f"must have {size} bytes of SHA-256 {digest[:12]}…, and has {len(data)} of others.",
                    argument=f"zoo: {path}",
                    fix=_REINSTALL,
                )


@cache
def read_manifest(folder: Path = WEIGHTS) -> Manifest:
    """The manifest of a weights folder; one without models where the folder has none.

    Raises
    ------
    WeightsError
        ``manifest.json`` is not what this version reads.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return Manifest(folder, {}, {})
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["schema"] != SCHEMA:
            raise WeightsError(f"schema must be {SCHEMA}, and is {raw['schema']}.", argument=str(path))
        models = {name: Entry(name=name, **each) for name, each in raw["models"].items()}
        files = {name: (int(each["bytes"]), str(each["sha256"])) for name, each in raw["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"is no manifest of the zoo: {error}.", argument=str(path), fix=_REINSTALL) from error
    return Manifest(folder, models, files)


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below a folder but its manifest, by POSIX path, as the manifest has them."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in found
    }
