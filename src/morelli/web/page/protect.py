"""The tab *Protect*: an image that gives its model away less, beside what it was."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import gradio as gr

from morelli.defence.files import png_bytes
from morelli.errors import MorelliError
from morelli.protect import DEFENCES, PerturbSettings, Protected
from morelli.report.page import data_uri
from morelli.report.verdict import percent
from morelli.web.answers import Answer
from morelli.web.forms import Upload
from morelli.web.page.buttons import answer_field, buttons, connect
from morelli.web.page.identify import TYPES
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place, watch
from morelli.web.page.words import download, problem
from morelli.web.tokens import Caller

TAB = "protect"
_WORDS = {"before": "As it came", "after": "Protected", "noise": "Noise of the same size, for comparison"}


def add(place: Place) -> None:
    """Add the tab to the page that is being built."""
    names = place.desk.galleries.names()
    with gr.Tab("Protect", id=TAB):
        with gr.Row():
            with gr.Column(scale=3, min_width=280):
                file = gr.File(label="Image", file_types=TYPES, elem_id="protect-file")
            with gr.Column(scale=2, min_width=260):
                gallery = gr.Dropdown(names, value=names[0], label="Gallery of the models in question")
                defence = gr.Radio(list(DEFENCES), value="canonical", label="Defence", elem_id="protect-defence")
                epsilon = gr.Slider(1, 8, 2, step=0.5, label="ε: largest change, levels of 255 (not of canonical)")
                steps = gr.Slider(1, 100, 30, step=1, label="Steps (not of canonical)")
        ask, cancel = buttons(TAB, "Protect")
        out = answer_field(TAB, "canonical needs no gradients and is quick; the others take seconds to minutes.")

        async def run(
            path: Any, gallery: str, defence: str, epsilon: float, steps: float, request: gr.Request
        ) -> AsyncIterator[tuple[str, Any, Any]]:
            def work(job: Job) -> None:
                caller = place.caller(request)
                (upload,) = place.files(path, 1, 1)
                settings = PerturbSettings(epsilon=float(epsilon), steps=int(steps), seed=secrets.randbits(63))
                protect(place, caller, job, upload, gallery, defence, settings)

            async for step in watch(place, request, TAB, work, seconds=10 * place.desk.settings.seconds):
                yield step

        connect(place, TAB, run, [file, gallery, defence, epsilon, steps], [out, ask, cancel])


def protect(
    place: Place, caller: Caller, job: Job, upload: Upload, gallery: str, defence: str, settings: PerturbSettings
) -> None:
    """Protect one image, and show it beside what it was."""
    job.report("reading", 0, 0)
    started = time.monotonic()
    digest, read = place.desk.images([upload], job.place).read(upload)
    upload.file.file.close()
    if isinstance(read, MorelliError):
        place.record(caller, TAB, Answer.failed(read, upload.name, [digest]), started)
        job.shown.append(problem(read, upload.name))
        return
    for made in place.desk.facades.protect(
        read.picture, gallery, None, job.place.until, defence=defence, settings=settings, progress=job.report
    ):
        if isinstance(made, MorelliError):
            place.record(caller, TAB, Answer.failed(made, upload.name, [digest]), started)
            job.shown.append(problem(made, upload.name))
            continue
        place.record(caller, TAB, Answer({}, 200, (digest,), made.report["after"]["decision"], {}), started)
        job.shown.append(protected_html(made))


def protected_html(made: Protected) -> str:
    """A protected image with a slider over it, what it still gives away, and a link that saves it."""
    after = png_bytes(made.after)
    report = {**made.to_json(), "output": None, "output_sha256": hashlib.sha256(after).hexdigest()}
    links = data_uri(png_bytes(made.before), "image/png"), data_uri(after, "image/png")
    rows = "".join(_row(words, made.report[when]) for when, words in _WORDS.items() if when in made.report)
    quality = made.report["quality"]
    decibel = "the pixels are the same" if quality["psnr"] is None else f"PSNR {quality['psnr']:.1f} dB"
    notes = "".join(f"<li>{escape(note)}</li>" for note in made.report["notes"])
    name = f"{made.image.rpartition('.')[0] or made.image}-protected"
    return (
        f'<section class="verdict"><div class="slide"><img src="{links[1]}" alt="The protected image">'
        f'<img class="above" src="{links[0]}" alt="The image as it came"><span class="line"></span>'
        '<input type="range" min="0" max="100" value="50" aria-label="Share of the picture that is shown as it came, '
        "from the left\" oninput=\"this.parentNode.style.setProperty('--at',this.value+'%')\">"
        "</div><p class='name'>Left of the line: as it came. Right of it: protected.</p>"
        f"<p>Counts as {escape(made.report['model']['name'])}'s ({escape(made.report['model']['from'])}). {decibel}, "
        f"MS-SSIM {quality['ms_ssim']:.4f}, changed by at most {quality['largest_change']} levels.</p>"
        '<div class="scroll" role="region" tabindex="0" aria-label="What it gives away"><table class="plain"><caption>'
        'What it gives away</caption><thead><tr><th scope="col">Image</th><th scope="col">Decision</th>'
        '<th scope="col">First place</th><th scope="col" class="n">Place of the true model</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{f'<h4>To know</h4><ul>{notes}</ul>' if notes else ''}"
        f'<p><a download="{escape(name, quote=True)}.png" href="{links[1]}">Save the protected image</a></p>'
        f"{download(report, f'{name}.json', 'Save the report as JSON')}</section>"
    )


def _row(words: str, judged: dict[str, Any]) -> str:
    rank = "not known" if judged["rank"] is None else str(judged["rank"])
    return (
        f'<tr><th scope="row">{words}</th><td>{escape(judged["decision"])}</td><td>{escape(judged["first"])}, '
        f'{percent(judged["probability"])}</td><td class="n">{rank}</td></tr>'
    )
