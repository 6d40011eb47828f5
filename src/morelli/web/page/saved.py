"""What a visitor takes home of the tab *Identify*: verdicts as JSON, and as a page with their pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from morelli.report.document import document
from morelli.report.inputs import Given
from morelli.report.plain import plain
from morelli.report.verdict import Pictures, verdict_html
from morelli.types import VERDICT_SCHEMA
from morelli.web.page.words import json_link, json_text, page_link


class Answers:
    """The answers to one question, as they come.

    Parameters
    ----------
    alone : bool
        There is one image; of several, the page that can be saved is made of all of them.
    """

    def __init__(self, alone: bool) -> None:
        self._alone = alone
        self._bodies: list[Mapping[str, Any]] = []
        self._pictures: list[Pictures | None] = []

    def failed(self, body: Mapping[str, Any]) -> None:
        """Take an error."""
        self._bodies.append(body)
        self._pictures.append(None)

    def verdict_html(self, body: Mapping[str, Any], pictures: Pictures, name: str) -> str:
        """Take a verdict, and show it with links that save it."""
        self._bodies.append(body)
        self._pictures.append(pictures)
        text, file = json_text(body), f"{name}.json"
        links = json_link(text, file, "Save as JSON")
        if self._alone:
            links += self._page(text, file, f"{name}.html", "Save as HTML")
        return verdict_html(body, pictures, links)

    def together(self) -> str:
        """Links that save all of several answers; nothing where one image was asked about, or no verdict was given."""
        if self._alone or not any(self._pictures):
            return ""
        text = "".join(json.dumps(plain(body), allow_nan=False) + "\n" for body in self._bodies)
        link = json_link(text, "verdicts.jsonl", "Save all as JSON lines")
        return link + self._page(text, "verdicts.jsonl", "verdicts.html", "Save all as HTML")

    def _page(self, text: str, file: str, name: str, words: str) -> str:
        """The report on the JSON text that is saved as that file, as a link."""
        bodies = tuple(self._bodies)
        known = {
            id(one): pictures for one, pictures in zip(bodies, self._pictures, strict=True) if pictures is not None
        }
        given = Given(file, hashlib.sha256(text.encode()).hexdigest(), VERDICT_SCHEMA, bodies)
        return page_link(document([given], lambda one: known[id(one)]), name, words)
