"""The tab *Gallery*: what there is to compare with; adding and removing for those who may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from html import escape
from typing import Any

import gradio as gr

from morelli.web.page.buttons import answer_field, buttons, connect
from morelli.web.page.gallery_change import add_references, remove_model
from morelli.web.page.gallery_map import embedding_map
from morelli.web.page.identify import TYPES
from morelli.web.page.jobs import Job
from morelli.web.page.visitor import Place, watch
from morelli.web.page.words import hint

TAB, ADD, REMOVE = "gallery", "gallery-add", "gallery-remove"


def add(place: Place) -> None:
    """Add the tab to the page that is being built."""
    names = place.desk.galleries.names()
    with gr.Tab("Gallery", id=TAB) as tab:
        gallery = gr.Dropdown(names, value=names[0], label="Gallery", elem_id="gallery-name")
        with_map = gr.Checkbox(False, label="Also draw a map of the embeddings (takes a while)", elem_id="gallery-map")
        ask, cancel = buttons(TAB, "Show")
        out = answer_field(TAB, "Press Show for models, counts and encoders.")
        _connect_show(place, gallery, with_map, [out, ask, cancel])
        free = not place.sessions.tokens  # then everybody may do everything
        with gr.Accordion("Add references", open=False, visible=free, elem_id="gallery-adding") as adding:
            _adding(place, gallery)
        with gr.Accordion("Remove a model", open=False, visible=free, elem_id="gallery-removing") as removing:
            _removing(place, gallery)
        if not free:
            why = hint("Adding references and removing a model need a token with the role write.")
            _show_to_writers(place, tab, [adding, removing], gr.HTML(why, elem_id="gallery-reading"))


def _show_to_writers(place: Place, tab: gr.Tab, parts: list[Any], instead: gr.HTML) -> None:
    """Let a visitor see what only some may do, or why it is not there; whoever asks is asked again for the role."""

    async def arrive(request: gr.Request) -> list[Any]:
        may = place.may(request, "write")
        return [*(gr.update(visible=may) for _ in parts), gr.update(visible=not may)]

    tab.select(arrive, None, [*parts, instead], api_visibility="private", show_progress="hidden")


def _connect_show(place: Place, gallery: Any, with_map: Any, outputs: list[Any]) -> None:
    async def run(name: str, with_map: bool, request: gr.Request) -> AsyncIterator[tuple[str, Any, Any]]:
        def work(job: Job) -> None:
            place.caller(request)
            job.report("reading", 0, 0)
            job.shown.append(summary_html(place.desk.galleries.summary(name)))
            if with_map:
                job.shown.append(embedding_map(place.desk.galleries.current(name), report=job.report))

        # The map takes longer than a question; what it costs is bounded by the number of its points: of other
        # references hashes and models are read, and embeddings only where not all have some (`gallery_map.drawn`).
        async for step in watch(place, request, TAB, work, seconds=10 * place.desk.settings.seconds):
            yield step

    connect(place, TAB, run, [gallery, with_map], outputs)


def _adding(place: Place, gallery: Any) -> None:
    files = gr.File(label="Images, all of one model", file_count="multiple", file_types=TYPES, elem_id="add-files")
    with gr.Row():
        model = gr.Textbox(label="Model", max_length=200, elem_id="add-model")
        family = gr.Textbox(label="Family, if known", max_length=200)
    prompt = gr.Textbox(label="Prompt, if known (the same for all)", max_length=10_000)
    ask, cancel = buttons(ADD, "Add")
    out = answer_field(ADD, "Whoever adds references decides what verdicts say: this needs the role write.")

    async def run(
        paths: Any, name: str, model: str, family: str, prompt: str, request: gr.Request
    ) -> AsyncIterator[tuple[str, Any, Any]]:
        def work(job: Job) -> None:
            caller = place.caller(request, "write")
            labels = tuple((text or "").strip() for text in (model, family, prompt))
            add_references(place, caller, job, name, place.files(paths), *labels)

        async for step in watch(place, request, ADD, work, role="write", seconds=10 * place.desk.settings.seconds):
            yield step

    connect(place, ADD, run, [files, gallery, model, family, prompt], [out, ask, cancel])


def _removing(place: Place, gallery: Any) -> None:
    model = gr.Textbox(label="Model, written out", max_length=200, elem_id="remove-model")
    again = gr.Textbox(label="The same again, to be sure", max_length=200, elem_id="remove-again")
    ask, cancel = buttons(REMOVE, "Remove all its references")
    out = answer_field(REMOVE, "This needs the role write.")

    async def run(name: str, model: str, again: str, request: gr.Request) -> AsyncIterator[tuple[str, Any, Any]]:
        def work(job: Job) -> None:
            caller = place.caller(request, "write")
            remove_model(place, caller, job, name, (model or "").strip(), (again or "").strip())

        async for step in watch(place, request, REMOVE, work, role="write"):
            yield step

    connect(place, REMOVE, run, [gallery, model, again], [out, ask, cancel])


def summary_html(found: Mapping[str, Any]) -> str:
    """An object of schema ``morelli.gallery/1`` as tables."""
    size = found["size_bytes"]
    many = "" if size is None else f", {size / 2**20:.1f} MiB"
    most = max((each["references"] for each in found["models"]), default=1)
    models = "".join(
        f'<tr><th scope="row">{escape(each["model"])}</th><td>{escape(each["family"])}</td>'
        f'<td class="n">{each["references"]}</td><td class="n">{each["prompts"]}</td>'
        f'<td aria-hidden="true"><svg width="120" height="12" role="presentation"><rect width='
        f'"{max(1, round(120 * each["references"] / most))}" height="12" rx="2" fill="var(--link)"/></svg></td></tr>'
        for each in found["models"]
    )
    encoders = "".join(
        f'<tr><th scope="row">{escape(each["encoder"])}</th><td>{escape(each["revision"])}</td>'
        f'<td class="n">{each["references"]}</td></tr>'
        for each in found["encoders"]
    )
    return (
        f"<h3>{escape(found['gallery'])}</h3><p>Version {found['version']}: {found['references']} references of "
        f"{len(found['models'])} models, {found['prompts']} prompts{many}.</p>"
        '<div class="scroll" role="region" tabindex="0" aria-label="Models"><table class="plain"><caption>Models'
        '</caption><thead><tr><th scope="col">Model</th><th scope="col">Family</th><th scope="col" class="n">References'
        f'</th><th scope="col" class="n">Prompts</th><th></th></tr></thead><tbody>{models}</tbody></table></div>'
        '<div class="scroll" role="region" tabindex="0" aria-label="Encoders"><table class="plain"><caption>Encoders'
        '</caption><thead><tr><th scope="col">Encoder</th><th scope="col">Revision</th><th scope="col" class="n">'
        f"References</th></tr></thead><tbody>{encoders}</tbody></table></div>"
    )
