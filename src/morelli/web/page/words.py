"""Small pieces of HTML that the tabs share; every text is escaped."""

from __future__ import annotations

import json
from html import escape
from typing import Any
from urllib.parse import quote

from morelli.errors import MorelliError
from morelli.report.page import data_uri
from morelli.report.plain import plain
from morelli.web.page.jobs import Job


def shown(inside: str) -> str:
    """What a tab shows below its form."""
    return f'<div class="shown" aria-live="polite">{inside}</div>'


def hint(text: str) -> str:
    """A line for when there is nothing yet."""
    return shown(f'<p class="hint">{escape(text)}</p>')


def problem(error: MorelliError, name: str | None = None) -> str:
    """What went wrong, and what to do."""
    about = error.argument if name is None else name
    head = f"<p><b>{escape(about)}</b></p>" if about else ""
    fix = f"<p>{escape(error.fix)}</p>" if error.fix else ""
    text = error.message[:1].upper() + error.message[1:]
    return f'<div class="problem" role="alert">{head}<p>{escape(text)}</p>{fix}</div>'


def progress(job: Job) -> str:
    """How far work is, as a bar that screen readers tell too."""
    # An element without a value is a bar that only moves.
    value = f' value="{job.done}" max="{job.total}"' if job.total > 1 else ""
    count = f" ({job.done} of {job.total})" if job.total > 1 else ""
    label = f"{job.stage}{count} …"
    return (
        f'<div class="wait"><p>{escape(label)}</p><progress{value} aria-label="{escape(label, quote=True)}"></progress>'
        "</div>"
    )


def json_text(value: Any) -> str:
    """A value as the JSON file that the page lets its visitors save."""
    return json.dumps(plain(value), allow_nan=False, indent=1)


def json_link(text: str, name: str, words: str) -> str:
    """A link that saves JSON as a file, without asking the server again."""
    link = f"data:application/json;charset=utf-8,{quote(text)}"
    return f'<p><a download="{escape(name, quote=True)}" href="{link}">{escape(words)}</a></p>'


def page_link(html: str, name: str, words: str = "Save as HTML") -> str:
    """A link that saves a whole page as a file, in the same way."""
    link = data_uri(html.encode(), "text/html;charset=utf-8")
    return f'<p><a download="{escape(name, quote=True)}" href="{link}">{escape(words)}</a></p>'


def download(value: Any, name: str, words: str) -> str:
    """A link that saves a value as a JSON file."""
    return json_link(json_text(value), name, words)
