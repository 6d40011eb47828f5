"""Records that other tools write, each in its own form: InvokeAI, NovelAI, Fooocus, SwarmUI, Draw Things, …"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

from morelli.errors import InputError
from morelli.images.claims.limits import parse_json
from morelli.images.claims.parameters import Parameters, details, strings

_COMMON = {
    "model_hash": "hash",
    "base_model_hash": "hash",
    "seed": "seed",
    "steps": "steps",
    "sampler": "sampler",
    "sampler_name": "sampler",
    "scheduler": "scheduler",
    "cfg_scale": "CFG scale",
    "cfgscale": "CFG scale",
    "guidance_scale": "CFG scale",
    "scale": "CFG scale",
}
# "NovelAI Diffusion V4.5 1229B44F": a name and a hash
_SOURCE = re.compile(r"(.{1,100}?)\s+([0-9A-F]{6,16})")
_MIDJOURNEY_JOB = re.compile(r"Job ID: ?[0-9a-f]{8}-[0-9a-f-]{27}")
_MIDJOURNEY_VERSION = re.compile(r"--(v|version|niji) ([0-9.]{1,8})")


def parse_object(values: Any) -> Parameters | None:
    """A record that is a JSON object, told by the keys that only one tool writes; None where none is known."""
    if not isinstance(values, dict):
        return None
    for parse in (_swarm, _fooocus, _draw_things, _novelai_object):
        found = parse(values)
        if found is not None:
            return found
    return None


def _swarm(values: Mapping[str, Any]) -> Parameters | None:
    given = values.get("sui_image_params")
    if not isinstance(given, dict):
        return None
    return Parameters(
        "SwarmUI",
        strings(given.get("model")),
        strings(*given["loras"]) if isinstance(given.get("loras"), list) else (),
        _text(given.get("prompt")),
        details(given, _COMMON),
    )


def _fooocus(values: Mapping[str, Any]) -> Parameters | None:
    version = values.get("version")
    if "base_model" not in values or not ("sharpness" in values or str(version)[:7] == "Fooocus"):
        return None
    loras = values.get("loras")
    names = [each[0] for each in loras if isinstance(each, list) and each] if isinstance(loras, list) else []
    return Parameters(
        "Fooocus",
        strings(values.get("base_model"), values.get("refiner_model") if values.get("refiner_model") != "None" else ""),
        strings(*names),
        _text(values.get("prompt")),
        details(values, _COMMON),
    )


def _draw_things(values: Mapping[str, Any]) -> Parameters | None:
    if not {"c", "model", "sampler"} <= values.keys():
        return None
    loras = values.get("lora")
    names = [each.get("model") for each in loras if isinstance(each, dict)] if isinstance(loras, list) else []
    return Parameters(
        "Draw Things",
        strings(values.get("model")),
        strings(*names),
        _text(values.get("c")),
        details(values, _COMMON),
    )


def _novelai_object(values: Mapping[str, Any]) -> Parameters | None:
    """What the hidden record and the comment of its WebP files hold: the texts of its PNG files as one object."""
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    return parse_novelai(texts)


def parse_novelai(texts: Mapping[str, str]) -> Parameters | None:
    """NovelAI: Software, Source (model and hash), Description (prompt), Comment (JSON)."""
    source = texts.get("Source", "")
    if texts.get("Software") != "NovelAI" and not source.startswith("NovelAI Diffusion"):
        return None
    try:
        comment = parse_json(texts.get("Comment", "{}"))
    except InputError:  # what the other texts say stands without it
        comment = {}
    comment = comment if isinstance(comment, dict) else {}
    named = _SOURCE.fullmatch(source)
    models = strings(named[1] if named else source)
    told = (("hash", named[2]),) if named else ()
    prompt = texts.get("Description") or _text(comment.get("prompt"))
    return Parameters("NovelAI", models, (), prompt, (*told, *details(comment, _COMMON)))


def parse_invokeai(values: Any) -> Parameters | None:
    """InvokeAI 3 and later, text "invokeai_metadata"."""
    if not isinstance(values, dict):
        return None
    loras = values.get("loras")
    entries = [each for each in loras if isinstance(each, dict)] if isinstance(loras, list) else []
    return Parameters(
        "InvokeAI",
        strings(values.get("model"), values.get("refiner_model")),
        strings(*(each.get("model", each.get("lora")) for each in entries)),
        _text(values.get("positive_prompt")),
        details(values, _COMMON),
    )


def parse_invokeai_2(values: Any) -> Parameters | None:
    """InvokeAI 2, text "sd-metadata"."""
    image = values.get("image") if isinstance(values, dict) else None
    if not isinstance(image, dict):
        return None
    prompts = image.get("prompt")
    first = prompts[0] if isinstance(prompts, list) and prompts else prompts
    prompt = first.get("prompt") if isinstance(first, dict) else first
    told = details({**image, "model_hash": values.get("model_hash")}, _COMMON)
    return Parameters("InvokeAI", strings(values.get("model_weights"), values.get("model")), (), _text(prompt), told)


def parse_dream(text: str) -> Parameters | None:
    """InvokeAI 1, text "Dream": ``"a prompt" -s 50 -S 42 -A k_lms``. It never names the model."""
    if not text.startswith('"'):
        return None
    prompt, _, options = text[1:].partition('"')
    words = options.split()
    pairs = dict(itertools.pairwise(words))
    names = {"-S": "seed", "-s": "steps", "-A": "sampler", "-C": "CFG scale"}
    return Parameters("InvokeAI", (), (), prompt, details(pairs, names)) if "-S" in pairs else None


def parse_easy_diffusion(texts: Mapping[str, str]) -> Parameters | None:
    """Easy Diffusion: one text for each setting."""
    model = texts.get("use_stable_diffusion_model") or texts.get("Stable Diffusion model")
    if model is None:
        return None
    adapters = strings(texts.get("use_lora_model") or texts.get("LoRA model"))
    values = {key.lower().replace(" ", "_"): value for key, value in texts.items()}
    shown = {"seed": "seed", "num_inference_steps": "steps", "steps": "steps", "sampler_name": "sampler"}
    return Parameters("Easy Diffusion", strings(model), adapters, values.get("prompt", ""), details(values, shown))


def parse_midjourney(description: str) -> Parameters | None:
    """Midjourney: "prompt --v 6.1 Job ID: …"; the version is an option of the prompt and may be missing."""
    tail = description[-2000:]
    job = _MIDJOURNEY_JOB.search(tail)
    if job is None:
        return None
    named = _MIDJOURNEY_VERSION.search(tail)
    models = () if named is None else (f"Midjourney {'niji ' if named[1] == 'niji' else ''}{named[2]}",)
    prompt = description.partition("Job ID:")[0]
    return Parameters("Midjourney", models, (), prompt, (("job", job[0].removeprefix("Job ID:").strip()),))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
