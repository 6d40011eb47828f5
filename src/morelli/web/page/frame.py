"""The page itself: its head and its tabs."""

from __future__ import annotations

import gradio as gr

from morelli._version import __version__
from morelli.web.page import compare, exposure, gallery, identify, protect
from morelli.web.page.door import HOME
from morelli.web.page.visitor import Place

#: Modules with ``add(place)``, in the order of the tabs.
TABS = (identify, compare, gallery, exposure, protect)


def build(place: Place) -> gr.Blocks:
    """Put the page together."""
    with gr.Blocks(title="Morelli", analytics_enabled=False, fill_width=True) as blocks:
        leave = f"{place.desk.front.root}{HOME}/logout"
        out = (
            f'<form method="post" action="{leave}"><button class="leave">Leave</button></form>'
            if place.sessions.tokens
            else ""
        )
        gr.HTML(
            f'<header class="head"><h1>Morelli</h1><p>Which text-to-image model made this image, how sure are we, and '
            f"what is the evidence? <small>{__version__}</small></p>{out}</header>"
        )
        with gr.Tabs():
            for tab in TABS:
                tab.add(place)

        async def gone(request: gr.Request) -> None:
            place.jobs.cancel(str(request.session_hash))

        blocks.unload(gone)
    # The API's own admission decides how many are worked on; here nothing waits a second time.
    return blocks.queue(default_concurrency_limit=None, max_size=place.desk.settings.queue * 4 + 16, api_open=False)
