"""The two buttons of every tab, and what they do."""

from __future__ import annotations

from typing import Any

import gradio as gr

from morelli.web.page.visitor import Place, visitor_of
from morelli.web.page.words import hint


def buttons(tab: str, word: str) -> tuple[gr.Button, gr.Button]:
    """One that asks and one that cancels."""
    with gr.Row():
        ask = gr.Button(word, variant="primary", elem_id=f"{tab}-ask")
        cancel = gr.Button("Cancel", interactive=False, elem_id=f"{tab}-cancel")
    return ask, cancel


def answer_field(tab: str, text: str) -> gr.HTML:
    """Where the tab's answers are shown; ``text`` stands there before."""
    return gr.HTML(hint(text), elem_id=f"{tab}-out")


def connect(place: Place, tab: str, run: Any, inputs: list[Any], outputs: list[Any]) -> None:
    """Let the buttons do their work.

    Parameters
    ----------
    run : async generator function
        Gives as many values as there are outputs.
    outputs : list
        The answer's field and the two buttons, then others.
    """
    _, ask, cancel = outputs[:3]

    async def stop(request: gr.Request) -> None:
        place.jobs.cancel(visitor_of(request), tab)

    ask.click(run, inputs, outputs, api_name=False, show_progress="hidden")
    cancel.click(stop, None, None, api_name=False, show_progress="hidden")
