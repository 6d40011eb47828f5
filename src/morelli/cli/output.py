"""What a command prints: JSON lines and tables on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from morelli.errors import MorelliError
from morelli.report.plain import error_json, plain, refusal

__all__ = ["emit_json", "error_json", "plain", "refusal", "say", "say_error"]


def emit_json(value: Any) -> None:
    """One line of JSON on stdout, in ASCII, so that a file name in any encoding survives any terminal."""
    sys.stdout.write(json.dumps(plain(value), allow_nan=False) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """Talk to the user: one line on stderr."""
    print(message, file=sys.stderr, flush=True)


def say_error(error: MorelliError) -> None:
    """The error and its fix as one line on stderr."""
    say("error: " + " ".join(str(error).split()))
