"""One network for all requests: what several of them want embedded at the same time becomes one run."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from morelli.encoders.base import Encoder, kept_as
from morelli.errors import InputError
from morelli.types import EncoderStamp
from morelli.web.problems import busy

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = Mapping[str, "NDArray[np.float32]"]


@dataclass(frozen=True, eq=False)
class _Wish:
    """Images of one request, and where its embeddings are put."""

    prepared: Sequence[Any]
    answer: Future[Arrays] = field(default_factory=Future)


class Collector:
    """An encoder that many threads may ask at once; its network runs in one thread, on all that waits.

    Keeps the contract of `Encoder`, and gives its vectors: an image's embedding does not depend on its batch.

    Parameters
    ----------
    encoder : Encoder
    batch : int
        Images of one run; a single request may bring more.
    wait : float
        Seconds that the first request of a run waits for others.
    on_run : callable
        Called with the number of images of each run.
    """

    def __init__(
        self, encoder: Encoder, batch: int = 32, wait: float = 0.005, on_run: Callable[[int], None] = lambda count: None
    ) -> None:
        self.encoder = encoder
        self._batch, self._wait, self._on_run = batch, wait, on_run
        self._wishes: queue.Queue[_Wish | None] = queue.Queue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="morelli-collector", daemon=True)
        self._thread.start()

    @property
    def stamp(self) -> EncoderStamp:
        return self.encoder.stamp

    @property
    def kept_as(self) -> EncoderStamp:
        """As the encoder says."""
        return kept_as(self.encoder)

    def prepare(self, pixels: NDArray[np.uint8]) -> Any:
        """As the encoder does, in the calling thread."""
        return self.encoder.prepare(pixels)

    def encode(self, prepared: Sequence[Any]) -> Arrays:
        """As the encoder does, together with what other threads ask for meanwhile.

        Raises
        ------
        RefusedError
            The collector was closed: the server stops, or no gallery has this encoder any more. And whatever the
            encoder raises for these images.
        """
        wish = _Wish(prepared)
        with self._lock:
            if self._closed:
                raise busy("this network was just put away.")
            self._wishes.put(wish)
        return wish.answer.result()

    def close(self) -> None:
        """Answer what waits, and end the thread; later calls are refused."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._wishes.put(None)

    def _serve(self) -> None:
        carried: _Wish | None = None
        while True:
            first = carried or self._wishes.get()
            if first is None:
                return
            wishes, carried, last = self._gather(first)
            self._run(wishes)
            if last:
                return

    def _gather(self, first: _Wish) -> tuple[list[_Wish], _Wish | None, bool]:
        """Wishes for one run; one that did not fit any more, or else whether the end was met."""
        wishes, images = [first], len(first.prepared)
        until = time.monotonic() + self._wait
        while images < self._batch:
            try:
                wish = self._wishes.get(timeout=max(until - time.monotonic(), 0.0))
            except queue.Empty:
                break
            if wish is None:
                return wishes, None, True
            if images + len(wish.prepared) > self._batch:
                return wishes, wish, False
            wishes.append(wish)
            images += len(wish.prepared)
        return wishes, None, False

    def _run(self, wishes: Sequence[_Wish]) -> None:
        together = [one for wish in wishes for one in wish.prepared]
        self._on_run(len(together))
        try:
            arrays = self.encoder.encode(together)
            ends = np.cumsum([len(wish.prepared) for wish in wishes])[:-1]
            parts = {name: np.split(values, ends) for name, values in arrays.items()}
        except InputError as error:
            if len(wishes) == 1:
                wishes[0].answer.set_exception(error)
                return
            for wish in wishes:  # only the one whose image it is must fail
                self._run([wish])
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for wish in wishes:
                wish.answer.set_exception(error)
        else:
            for row, wish in enumerate(wishes):
                wish.answer.set_result({name: values[row] for name, values in parts.items()})
