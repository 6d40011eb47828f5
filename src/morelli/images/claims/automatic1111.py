"""The text that Stable Diffusion web UI writes, and its many heirs: prompt, negative prompt, one line of settings.

AUTOMATIC1111/stable-diffusion-webui, modules/infotext_utils.py: ``Steps: 20, Sampler: Euler a, …, Model: name``.
The settings are cut at commas by hand, in one pass; the tool's own regular expression takes quadratic time on long
words without a colon.
"""

from __future__ import annotations

from morelli.errors import InputError
from morelli.images.claims.limits import parse_json
from morelli.images.claims.parameters import Parameters, details, strings

_NEGATIVE = "Negative prompt:"
_SHOWN = {"Model hash": "hash", "Seed": "seed", "Steps": "steps", "Sampler": "sampler", "CFG scale": "CFG scale"}
_MAX_SETTINGS = 512


def parse_infotext(text: str) -> Parameters | None:
    """The record, or None where the text is no such record.

    Parameters
    ----------
    text : str
        Several lines, the last or one of the last starting with "Steps:".
    """
    lines = text.strip().splitlines()
    at = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].lstrip().startswith("Steps: ")), None)
    if at is None:
        return None
    values = settings(lines[at])
    if not {"Sampler", "Seed", "CFG scale", "Model", "Model hash", "Size"} & values.keys():
        return None
    body = "\n".join(lines[:at])
    prompt = body.partition(_NEGATIVE)[0]
    models = strings(values.get("Model"), *_resources(values, checkpoint=True))
    return Parameters(
        tool=_tool(values),
        models=models or strings(values.get("Model hash")),
        adapters=strings(*_resources(values, checkpoint=False)),
        prompt=prompt,
        details=details(values, _SHOWN),
    )


def settings(line: str) -> dict[str, str]:
    """``Name: value`` pairs of the settings line; commas within quotes or brackets do not separate."""
    out: dict[str, str] = {}
    start, depth, inside, skip = 0, 0, False, False
    for place, each in enumerate(f"{line},"):
        if skip:
            skip = False
        elif inside and each == "\\":
            skip = True
        elif each == '"':
            inside = not inside
        elif not inside and each in "[{":
            depth += 1
        elif not inside and each in "]}":
            depth = max(depth - 1, 0)
        elif each == "," and not inside and not depth:
            name, colon, value = line[start:place].partition(":")
            if colon and len(out) < _MAX_SETTINGS:
                out.setdefault(name.strip(), value.strip().strip('"'))
            start = place + 1
    return out


def _tool(values: dict[str, str]) -> str:
    version = values.get("Version", "")
    if values.get("App", "").startswith("SD.Next"):
        return "SD.Next"
    for head in ("Fooocus", "ComfyUI"):
        if version.startswith(head):
            return head
    if version[:1] == "f" and version[1:2].isdigit():
        return "Stable Diffusion WebUI Forge"
    return "Stable Diffusion web UI, or a tool that writes its form"


def _resources(values: dict[str, str], *, checkpoint: bool) -> list[str]:
    """Names that a sharing site added as JSON; of checkpoints or of the rest."""
    text = values.get("Civitai resources")
    if not text:
        return []
    try:
        found = parse_json(text)
    except InputError:  # the line is free text, and its other settings stand without this one
        return []
    entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    chosen = [each for each in entries if (each.get("type") == "checkpoint") == checkpoint]
    return [each["modelName"] for each in chosen if isinstance(each.get("modelName"), str)]
