"""What one server has: its galleries, its network, its decoders, its limits and its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from morelli.web.admission import Admission
from morelli.web.audit_log import AuditLog
from morelli.web.collector import Collector
from morelli.web.decoders import Decoders
from morelli.web.facades import Facades
from morelli.web.front import Front
from morelli.web.galleries import Galleries, parse_galleries
from morelli.web.metrics import Metrics
from morelli.web.rates import Rates
from morelli.web.settings import Settings
from morelli.web.tokens import Tokens

if TYPE_CHECKING:
    from morelli.web.admission import Seat
    from morelli.web.forms import Upload
    from morelli.web.images import Images


@dataclass(frozen=True, eq=False)
class Desk:
    """The parts that routes use."""

    settings: Settings
    tokens: Tokens
    galleries: Galleries
    facades: Facades
    decoders: Decoders
    audit: AuditLog
    metrics: Metrics
    rates: Rates
    admission: Admission
    front: Front = field(default_factory=Front)

    def images(self, uploads: Sequence[Upload], seat: Seat) -> Images:
        """What reads the images of a request."""
        from morelli.web.images import Images

        return Images(uploads, self.decoders, self.settings, seat)

    def close(self) -> None:
        """End processes and threads, and close the audit log."""
        self.decoders.close()
        self.galleries.close()
        self.audit.close()


def open_desk(
    galleries: Sequence[str],
    settings: Settings = Settings(),
    *,
    tokens: Tokens = Tokens(),
    audit: Path | None = None,
    trust: Path | None = None,
    cache: Path | None = None,
    front: Front = Front(),
    methods: Sequence[str] | None = None,
) -> Desk:
    """Open the galleries, load their encoders and start the decoders: what does not work is told before serving.

    Parameters
    ----------
    galleries : sequence of str
        ``PATH`` or ``NAME=PATH``.
    settings : Settings
    tokens : Tokens
    audit : Path, optional
        File of the audit log.
    trust : Path, optional
        Certificates (PEM) of known authorities, for claims.
    cache : Path, optional
        Folder of what is learnt from galleries; by default the usual one.
    front : Front
        How the server is reached.
    methods : sequence of str, optional
        Attributors that may be asked for, the usual one first; by default all.

    Raises
    ------
    MorelliError
        A gallery, an encoder, the audit log or the certificates cannot be used.
    """
    metrics = Metrics()

    def collect(encoder: Any) -> Collector:
        return Collector(encoder, settings.batch, settings.wait_ms / 1000.0, metrics.batches.observe)

    shelf = Galleries(parse_galleries(galleries), collect)
    shelf.load()
    log = AuditLog(audit)
    decoders = Decoders(settings, trust, metrics.decoders_lost.inc)
    admission = Admission(settings)
    metrics.watch(lambda: admission.inside)
    facades = Facades(shelf, settings.held_bytes, cache, methods)
    return Desk(settings, tokens, shelf, facades, decoders, log, metrics, Rates(settings.rate), admission, front)
