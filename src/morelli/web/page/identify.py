"""The tab *Identify*: images in, a verdict on each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr

from morelli.identify import Failure
from morelli.report.pictures import near, preview
from morelli.report.verdict import Pictures
from morelli.web.answers import Answer
from morelli.web.decoders import Read
from morelli.web.forms import Upload, parse_options
from morelli.web.page.buttons import answer_field, buttons, connect
from morelli.web.page.jobs import Job
from morelli.web.page.pictures import spectrum
from morelli.web.page.saved import Answers
from morelli.web.page.visitor import Place, watch
from morelli.web.page.words import problem
from morelli.web.routes.identify import IdentifyOptions
from morelli.web.routes.identify import identify as ask_of
from morelli.web.tokens import Caller

TAB = "identify"
TYPES = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".heic", ".heif"]


def add(place: Place) -> None:
    """Add the tab to the page that is being built."""
    names = place.desk.galleries.names()
    with gr.Tab("Identify", id=TAB):
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                files = gr.File(label="Images", file_count="multiple", file_types=TYPES, elem_id="identify-files")
            with gr.Column(scale=2, min_width=260):
                gallery = gr.Dropdown(names, value=names[0], label="Gallery", elem_id="identify-gallery")
                prompt = gr.Textbox(label="Prompt, if you know it", max_length=10_000, lines=2, max_lines=6)
                with gr.Accordion("More", open=False):
                    methods = place.desk.facades.methods
                    method = gr.Dropdown(list(methods), value=methods[0], label="Method")
                    level = gr.Radio(["model", "base"], value="model", label="Attribute to")
                    free = gr.Checkbox(False, label="Without the prompt where the gallery lacks it")
                    stability = gr.Checkbox(True, label="Compare degraded copies too (stability)")
        ask, cancel = buttons(TAB, "Identify")
        out = answer_field(TAB, "Drop one image or several, and press Identify.")

        async def run(
            paths: Any, gallery: str, prompt: str, method: str, level: str, free: bool, stability: bool,
            request: gr.Request,
        ) -> AsyncIterator[tuple[str, Any, Any]]:  # fmt: skip
            form = {"gallery": gallery, "method": method, "level": level, "prompt-free": str(bool(free)).lower(),
                    "stability": str(bool(stability)).lower()}  # fmt: skip
            if prompt and prompt.strip():
                form["prompt"] = prompt.strip()

            def work(job: Job) -> None:
                caller = place.caller(request)
                options = parse_options(IdentifyOptions, form)
                identify(place, caller, job, place.files(paths), options)

            async for step in watch(place, request, TAB, work):
                yield step

        inputs = [files, gallery, prompt, method, level, free, stability]
        connect(place, TAB, run, inputs, [out, ask, cancel])


def identify(place: Place, caller: Caller, job: Job, uploads: list[Upload], options: IdentifyOptions) -> None:
    """A verdict on each image, shown as soon as it is there."""
    images = place.desk.images(uploads, job.place)
    answers = Answers(len(uploads) == 1)
    try:
        for number, upload in enumerate(uploads):
            job.report("comparing" if len(uploads) == 1 else f"comparing {upload.name}", number, len(uploads))
            started = time.monotonic()
            for answer, html in _answers(place, images, upload, options, answers):
                place.record(caller, TAB, answer, started)
                job.shown.append(html)
        job.shown.append(answers.together())
    finally:
        for upload in uploads:
            upload.file.file.close()


def _answers(
    place: Place, images: Any, upload: Upload, options: IdentifyOptions, answers: Answers
) -> Iterator[tuple[Answer, str]]:
    digest, read = images.read(upload, claims=options.claims)
    found = (
        ask_of(place.desk, images, options, read.picture) if isinstance(read, Read) else [Failure(upload.name, read)]
    )
    for verdict in found:
        if isinstance(verdict, Failure):
            failed = Answer.failed(verdict.error, upload.name, [digest])
            answers.failed(failed.body)
            yield failed, problem(verdict.error, upload.name)
            continue
        answer = Answer.of(read.beside(verdict), [digest])
        pictures = _pictures(place, read, answer.body, options.gallery)
        yield answer, answers.verdict_html(answer.body, pictures, upload.name)


def _pictures(place: Place, read: Read, verdict: dict[str, Any], gallery: str | None) -> Pictures:
    pixels = read.picture.pixels
    view = place.desk.galleries.current(gallery).view
    return Pictures(preview(pixels), spectrum(pixels), near(view, [each["reference"] for each in verdict["evidence"]]))
