"""Gradio's application for one server, with everything off that would reach out or let a visitor reach in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from morelli.web.desk import Desk
from morelli.web.page.door import HOME
from morelli.web.page.jobs import Jobs
from morelli.web.page.sessions import Sessions
from morelli.web.page.uploads import Uploads

#: Uploads that are kept at a time, in requests of the largest size.
KEPT = 16
#: Seconds between two looks for what is old.
SWEEP = 60.0


@dataclass(frozen=True, eq=False)
class Page:
    """A page that `morelli.web.app.build_app` takes.

    Attributes
    ----------
    app : ASGI application
    sessions : Sessions
    uploads : Uploads
    """

    app: Any
    sessions: Sessions
    uploads: Uploads

    @asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """While the server runs; what visitors sent is deleted afterwards."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            async with self.app.router.lifespan_context(self.app):
                yield
        finally:
            sweeping.cancel()
            self.uploads.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            await asyncio.to_thread(self.uploads.sweep)


def build_page(desk: Desk, datasets: Mapping[str, str] | None = None) -> Page:
    """The page of a server.

    Parameters
    ----------
    desk : Desk
    datasets : mapping of str to str, optional
        Name to folder: what visitors with the role ``write`` may measure the exposure of, and all may then look at.
    """
    uploads = Uploads(KEPT * desk.settings.max_request)
    # Gradio reads these when it is loaded, and when parts are made: nothing is counted for its makers, nothing of a
    # visitor's is kept but in our folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.folder)
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    import gradio as gr
    from fastapi import FastAPI
    from gradio.themes import Base

    from morelli.web.page.frame import build
    from morelli.web.page.gallery_map import KEYS
    from morelli.web.page.style import STYLE
    from morelli.web.page.visitor import Place

    sessions = Sessions(desk.tokens)
    blocks = build(Place(desk, sessions, uploads, Jobs(desk), dict(datasets or {})))
    theme = Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        blocks,
        path=HOME,
        allowed_paths=[],
        max_file_size=desk.settings.max_bytes,
        show_error=False,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=theme,
        # Not as ``css``, which Gradio rewrites: it would put a selector of its own before each of ours.
        head=f'<meta name="robots" content="noindex"><style>{STYLE}</style><script>{KEYS}</script>',
    )
    return Page(app, sessions, uploads)
