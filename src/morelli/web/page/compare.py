"""The tab *Compare two*: did one model make both?"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from morelli.errors import MorelliError
from morelli.report.pictures import preview
from morelli.report.verdict import percent
from morelli.web.answers import Answer
from morelli.web.forms import Upload, parse_options
from morelli.web.page.buttons import answer_field, buttons, connect
from morelli.web.page.identify import TYPES
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place, watch
from morelli.web.page.words import download, problem
from morelli.web.routes.verify import VerifyOptions
from morelli.web.tokens import Caller

TAB = "compare"
_WORDS = {
    "same": ("One model made both", "yes"),
    "different": ("Two different models", "no"),
    "unsure": ("Unsure", "maybe"),
}


def add(place: Place) -> None:
    """Add the tab to the page that is being built."""
    names = place.desk.galleries.names()
    with gr.Tab("Compare two", id=TAB):
        with gr.Row():
            first = gr.File(label="First image", file_types=TYPES, elem_id="compare-first")
            second = gr.File(label="Second image", file_types=TYPES, elem_id="compare-second")
        with gr.Row():
            gallery = gr.Dropdown(names, value=names[0], label="Gallery that teaches how models differ")
            prior = gr.Slider(0.05, 0.95, 0.5, step=0.05, label="Share of such pairs that are of one model")
        ask, cancel = buttons(TAB, "Compare")
        out = answer_field(TAB, "Drop two images; their models need not be in the gallery.")

        async def run(
            first: Any, second: Any, gallery: str, prior: float, request: gr.Request
        ) -> AsyncIterator[tuple[str, Any, Any]]:
            def work(job: Job) -> None:
                caller = place.caller(request)
                options = parse_options(VerifyOptions, {"gallery": gallery, "prior": str(prior)})
                chosen = [each for each in (first, second) if each]
                verify(place, caller, job, place.files(chosen, 2, 2), options)

            async for step in watch(place, request, TAB, work):
                yield step

        connect(place, TAB, run, [first, second, gallery, prior], [out, ask, cancel])


def verify(place: Place, caller: Caller, job: Job, uploads: Sequence[Upload], options: VerifyOptions) -> None:
    """One answer about two images."""
    job.report("comparing", 0, 1)
    started, images = time.monotonic(), place.desk.images(uploads, job.place)
    pictures, digests = [], []
    for upload in uploads:
        digest, read = images.read(upload)
        upload.file.file.close()
        digests.append(digest)
        if isinstance(read, MorelliError):
            place.record(caller, TAB, Answer.failed(read, upload.name, digests), started)
            job.shown.append(problem(read, upload.name))
            return
        pictures.append(read.picture)
    found = place.desk.facades.verify(pictures, options.gallery, options.encoder, images.seat.until, options.prior)
    answer = Answer.of(found, digests)
    place.record(caller, TAB, answer, started)
    job.shown.append(comparison_html(answer.body, [preview(each.pixels) for each in pictures]))


def comparison_html(verdict: Mapping[str, Any], links: Sequence[str]) -> str:
    """An answer of schema ``morelli.verification/1`` as HTML, with a link to each picture."""
    words, kind = _WORDS[verdict["decision"]]
    figures = "".join(
        f'<figure><img src="{link}" alt="{escape(each["image"], quote=True)}"><figcaption>{escape(each["image"])}'
        "</figcaption></figure>"
        for each, link in zip(verdict["images"], links, strict=True)
    )
    probability = verdict["probability"]
    scale = ""
    if probability is not None:
        at = f"{100 * probability:.1f}%"
        scale = (
            f"<p>{percent(probability)} that one model made both, where {percent(verdict['prior'])} of such pairs are "
            f'of one model (calibrated).</p><div class="scale" aria-hidden="true"><i style="left:{at}"></i>'
            '<span style="left:0">different</span><span style="left:44%">unsure</span>'
            '<span style="right:0">same</span></div>'
        )
    likeness = "" if verdict["similarity"] is None else f"<p>Cosine of the embeddings: {verdict['similarity']:.3f}.</p>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in verdict["notes"])
    return (
        f'<section class="verdict"><p class="said {kind}">{words}</p>{scale}<div class="pair">{figures}</div>{likeness}'
        f"{f'<h4>To know</h4><ul>{notes}</ul>' if notes else ''}"
        f"{download(verdict, 'comparison.json', 'Save as JSON')}</section>"
    )
