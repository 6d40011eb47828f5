"""Texts of a file become claims of the tools that wrote them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from morelli.errors import InputError
from morelli.images.claims import tools
from morelli.images.claims.automatic1111 import parse_infotext
from morelli.images.claims.carried import Carried, Text
from morelli.images.claims.comfyui import parse_graph, parse_workflow
from morelli.images.claims.limits import clean, parse_json, quoted
from morelli.images.claims.parameters import Parameters
from morelli.types import Claim

# Where tools put a whole record: the texts of other keys are looked at only as their tool's.
_RECORDS = frozenset({"parameters", "usercomment", "comment", "xpcomment", "imagedescription", "generation_data"})
_SOFTWARE = ("Software", "CreatorTool")
# ComfyUI's WebP and JPEG files: an EXIF tag of camera makers, with the key in front of the JSON.
_PREFIXES = ("prompt:", "workflow:")
_JSON_KEYS: Mapping[str, Callable[[Any], Parameters | None]] = {
    "invokeai_metadata": tools.parse_invokeai,
    "sd-metadata": tools.parse_invokeai_2,
}


def generation_claims(carried: Carried) -> list[Claim]:
    """Claims of generating tools, and what software the file names.

    Parameters
    ----------
    carried : Carried
        Its notes grow by what could not be parsed.
    """
    texts = [_unprefixed(text) for text in carried.texts]
    out = [*_single(texts, carried), *_comfyui(texts, carried), *_joint(texts)]
    named = {(text.where, clean(text.value, 100)) for text in texts if text.key in _SOFTWARE}
    out += [Claim(f"software ({where})", quoted(value), signed=False) for where, value in sorted(named)]
    camera = {text.key: text.value for text in texts if text.where == "EXIF" and text.key in ("Make", "Model")}
    if camera:
        out.append(Claim("camera (EXIF)", quoted(" ".join(camera[key] for key in sorted(camera))), signed=False))
    return list(dict.fromkeys(out))


def _single(texts: Sequence[Text], carried: Carried) -> Iterator[Claim]:
    """Records that are one text."""
    for text in texts:
        key, found = text.key.lower(), None
        if key in _JSON_KEYS:
            values = _json(text, carried)
            found = _JSON_KEYS[key](values)
        elif key == "dream":
            found = tools.parse_dream(text.value)
        elif key in ("description", "imagedescription"):
            found = tools.parse_midjourney(text.value)
        if found is None and key in _RECORDS:
            is_object = text.value.lstrip()[:1] == "{"
            found = tools.parse_object(_json(text, carried)) if is_object else parse_infotext(text.value)
        if found is not None:
            yield found.claim(_place(text))


def _comfyui(texts: Sequence[Text], carried: Carried) -> Iterator[Claim]:
    """The graph that ran; the editor's drawing only where there is no graph that can be read."""
    told = False
    for key, parse in (("prompt", parse_graph), ("workflow", parse_workflow)):
        for text in texts:
            if text.key != key or text.value.lstrip()[:1] != "{" or told:
                continue
            found = parse(_json(text, carried))
            if found is not None:
                told = True
                yield found.claim(_place(text))


def _joint(texts: Iterable[Text]) -> Iterator[Claim]:
    """Records that are several texts of one carrier."""
    groups: dict[str, dict[str, str]] = {}
    for text in texts:
        # PNG's three kinds of text chunk are one carrier: which one holds a text depends on its letters.
        groups.setdefault(text.where.split()[0], {}).setdefault(text.key, text.value)
    for where, group in groups.items():
        for parse in (tools.parse_novelai, tools.parse_easy_diffusion):
            found = parse(group)
            if found is not None:
                yield found.claim(where)


def _unprefixed(text: Text) -> Text:
    head = text.value[:9].lower()
    for prefix in _PREFIXES:
        if text.where == "EXIF" and head.startswith(prefix):
            return Text(text.where, prefix[:-1], text.value[len(prefix) :])
    return text


def _json(text: Text, carried: Carried) -> Any:
    try:
        return parse_json(text.value)
    except InputError as error:
        carried.note(f"{_place(text)} was not read: it {error.message}")
        return None


def _place(text: Text) -> str:
    return f"{text.where} {quoted(text.key, 40)}"
