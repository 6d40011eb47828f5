"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
_IMAGES = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64)


class Metrics:
    """The counters of one server; they live in a registry of their own, so that two servers do not share them.

    Attributes
    ----------
    requests : Counter
        By route (as declared, "other" for unknown paths) and status.
    seconds : Histogram
        From a request's arrival to its answer, by route.
    images : Counter
        By outcome: "answered", or the class of the error.
    batches : Histogram
        Images of each run of the network.
    decoders_lost : Counter
        Processes that crashed, or were ended because a file took too long.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        held = self.registry
        self.requests = Counter("morelli_requests", "Requests by route and status.", ["route", "status"], registry=held)
        self.seconds = Histogram(
            "morelli_request_seconds", "From arrival to answer.", ["route"], buckets=_SECONDS, registry=held
        )
        self.images = Counter("morelli_images", "Images by outcome.", ["outcome"], registry=held)
        self.batches = Histogram("morelli_batch_images", "Images a run of the network.", buckets=_IMAGES, registry=held)
        self.decoders_lost = Counter("morelli_decoders_lost", "Decoding processes that were ended.", registry=held)
        self._inside = Gauge("morelli_requests_inside", "Requests that arrive, wait or are worked on.", registry=held)

    def watch(self, inside: Callable[[], float]) -> None:
        """Say where the number of requests inside is read."""
        self._inside.set_function(inside)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
