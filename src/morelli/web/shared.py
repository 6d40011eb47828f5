"""A version of a gallery as all facades of a server share it: what one of them has read, no other reads again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Self, TypeVar, cast
from weakref import WeakValueDictionary

from morelli.gallery.view import GalleryView

if TYPE_CHECKING:
    import lance

    from morelli.types import LabelledEmbeddings, Reference

    #: References that an encoder has embedded, and those embeddings.
    Read = tuple[tuple[Reference, ...], LabelledEmbeddings]

T = TypeVar("T")

#: Bytes of one reference without its embeddings: two hashes, a name and what holds them.
REFERENCE = 512


class SharedView(GalleryView):
    """A `GalleryView` that reads the embeddings of an encoder once, and keeps them as long as it lives itself.

    Whoever asks gets the same arrays; nobody may write to them.

    Parameters
    ----------
    path, dataset
        As in `GalleryView`.
    """

    def __init__(self, path: str, dataset: lance.LanceDataset) -> None:
        super().__init__(path, dataset)
        self._read: dict[str, Read] = {}
        self._shared: WeakValueDictionary[Hashable, object] = WeakValueDictionary()
        self._lock = threading.RLock()

    @classmethod
    def of(cls, view: GalleryView) -> Self:
        """The version that a view reads."""
        return cls(view.path, view._dataset)

    def embeddings(
        self, encoder_id: str, contents: Collection[str] | None = None, *, copies: bool = True
    ) -> tuple[tuple[Reference, ...], LabelledEmbeddings]:
        """As `GalleryView.embeddings`; all of an encoder, with copies, is read once and shared."""
        if contents is not None or not copies:
            return super().embeddings(encoder_id, contents, copies=copies)
        with self._lock:  # who asks meanwhile waits, and need not read it too
            if encoder_id not in self._read:
                self._read[encoder_id] = super().embeddings(encoder_id)
            return self._read[encoder_id]

    def share(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under a key, as long as somebody has it; made anew otherwise."""
        with self._lock:
            found = self._shared.get(key)
            if found is None:
                found = self._shared[key] = make()
            return cast("T", found)

    @cached_property
    def _count(self) -> int:
        return len(self)  # of one version, which never changes

    def size(self, encoders: Collection[str] = ()) -> int:
        """Bytes of what it keeps, about, with what it will keep once some encoders were asked for."""
        return sum(REFERENCE * self._count + self.expected(each) for each in {*encoders, *tuple(self._read)})

    def expected(self, encoder_id: str) -> int:
        """Bytes of the embeddings under an encoder, as they were read or as they will be; degraded copies aside."""
        if encoder_id in self._read:
            return weight(self._read[encoder_id][1])
        return sum(4 * self._count * sum(each.dims.values()) for each in self.stamps() if each.encoder == encoder_id)


def weight(data: LabelledEmbeddings) -> int:
    """Bytes of embeddings and labels."""
    arrays = [*data.vectors.values(), data.models, data.prompts, data.families]
    if data.degraded is not None:
        arrays += [*data.degraded.vectors.values(), data.degraded.names, data.degraded.rows]
    return sum(array.nbytes for array in arrays)
