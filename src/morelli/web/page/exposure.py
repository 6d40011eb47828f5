"""The tab *Exposure*: how easily a dataset's prompts give its models away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import AsyncIterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from morelli.audit import AuditSettings, audit
from morelli.encoders.cache import EmbeddingCache
from morelli.errors import MorelliError
from morelli.exposure.simulation import VoteSettings
from morelli.images.dataset import read_dataset
from morelli.report.exposure_page import exposure_page
from morelli.report.plain import plain
from morelli.web.answers import Answer
from morelli.web.page.buttons import answer_field, buttons, connect
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place, require, watch
from morelli.web.page.words import download, page_link
from morelli.web.problems import busy
from morelli.web.tokens import Caller

if TYPE_CHECKING:
    from morelli.evaluation.data import EvaluationSet

_LOG = logging.getLogger(__name__)

TAB = "exposure"
#: Seconds that a measurement may take.
LONGEST = 4 * 3600.0


class Audits:
    """What was measured, by dataset and whether with curves; one measurement at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._found: dict[tuple[str, bool], tuple[dict[str, Any], str]] = {}
        self._lock = threading.Lock()

    def get(self, name: str, sweeps: bool) -> tuple[dict[str, Any], str] | None:
        """Result and report of an earlier measurement."""
        return self._found.get((name, sweeps))

    def measure(self, name: str, sweeps: bool, job: Job) -> tuple[dict[str, Any], str]:
        """Measure with the usual encoder of the first gallery.

        Raises
        ------
        MorelliError
            The dataset does not allow it; another measurement is under way; it was cancelled.
        """
        if not self._lock.acquire(blocking=False):
            raise busy("another measurement is under way.", 60)
        try:
            galleries = self._place.desk.galleries
            encoder = galleries.encoder(galleries.current().encoder_of(None))
            job.report("reading the dataset", 0, 0)
            dataset = read_dataset(Path(self._place.datasets[name]))
            settings = AuditSettings(sweeps=sweeps, votes=VoteSettings(simulations=100))
            found = audit(dataset, [encoder], settings, cache=EmbeddingCache(), progress=job.report)
            # Where it lies on the server's disk is no visitor's business.
            result = plain({**found.result, "dataset": name})
            job.report("drawing", 0, 0)
            self._found[name, sweeps] = result, _drawn(result, found.data)
            return self._found[name, sweeps]
        finally:
            self._lock.release()


def add(place: Place) -> None:
    """Add the tab, where the operator names datasets for it."""
    if not place.datasets:
        return
    audits, names = Audits(place), list(place.datasets)
    with gr.Tab("Exposure", id=TAB):
        dataset = gr.Dropdown(names, value=names[0], label="Dataset (the server's operator names them)")
        sweeps = gr.Checkbox(True, label="Also the curves over k and pool (most of the time goes there)",
                             elem_id="exposure-sweeps")  # fmt: skip
        ask, cancel = buttons(TAB, "Measure")
        out = answer_field(TAB, "Measuring takes minutes and needs the role write; who comes later sees the result.")

        async def run(name: str, sweeps: bool, request: gr.Request) -> AsyncIterator[tuple[str, Any, Any]]:
            def work(job: Job) -> None:
                show(place, place.caller(request), job, audits, name, bool(sweeps))

            async for step in watch(place, request, TAB, work, seconds=LONGEST):
                yield step

        connect(place, TAB, run, [dataset, sweeps], [out, ask, cancel])


def show(place: Place, caller: Caller, job: Job, audits: Audits, name: str, sweeps: bool) -> None:
    """Show what was measured of a dataset; measure it first where nobody has, for those with the role ``write``.

    Raises
    ------
    RefusedError
        Nobody has measured it, and the caller may not.
    MorelliError
        As `Audits.measure`; or it cannot be recorded, and is not shown.
    """
    started, found = time.monotonic(), audits.get(name, sweeps)
    told = {"dataset": name, "curves": sweeps, "measured": found is None}
    if found is None:
        require(caller, "write")
        found = audits.measure(name, sweeps, job)
    result, page = found
    place.record(caller, TAB, Answer({}, 200, (), None, {}), started, exposure=told, image=False)
    # A page of its own inside this one, without scripts.
    job.shown.append(
        f'<iframe sandbox title="Exposure of {escape(name, quote=True)}" srcdoc="{escape(page, quote=True)}"></iframe>'
        + download(result, f"exposure-{name}.json", "Save as JSON")
        + page_link(page, f"exposure-{name}.html")
    )


def _drawn(result: Mapping[str, Any], data: EvaluationSet) -> str:
    """The report, with its map of images where that can be drawn."""
    try:
        return exposure_page(result, data)
    except MorelliError as error:  # scikit-learn is missing, or a picture is gone: no reason to lose what was measured
        _LOG.warning("The exposure of %s is shown without its map: %s", result["dataset"], error)
        return exposure_page(result)
