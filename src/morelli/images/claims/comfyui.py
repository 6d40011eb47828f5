"""ComfyUI's record: the graph that ran ("prompt") and the editor's drawing of it ("workflow").

Only what an output node draws on is told: a loader that nothing uses made nothing. The walk marks the nodes it has
seen, so that a circle ends it and shared parts are walked once: it takes time in proportion to the record's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from morelli.images.claims.parameters import Parameters, details, strings

Graph = Mapping[str, Mapping[str, Any]]

MAX_NODES = 20_000
_MODEL_KEYS = ("ckpt_name", "unet_name", "model_name", "model", "model_path")
# Loaders of parts that are no generator.
_OTHER = ("upscale", "controlnet", "clip", "vae", "lora", "ipadapter", "style", "detector", "sam", "face", "caption")
_WEIGHTS = (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth")
_TEXT_KEYS = ("text", "prompt", "positive", "t5xxl", "clip_l", "text_g", "value", "string")
_SHOWN = {"seed": "seed", "noise_seed": "seed", "steps": "steps", "sampler_name": "sampler", "cfg": "CFG scale"}
_MUTED = (2, 4)  # "never" and "bypass" in the editor


def parse_graph(prompt: Any) -> Parameters | None:
    """The record of the graph that ran, or None where this is no such graph.

    Parameters
    ----------
    prompt : Any
        Decoded JSON: node id → {class_type, inputs: {name: value or [node id, output]}}.
    """
    graph = _graph(prompt)
    if not graph:
        return None
    used = [graph[each] for each in reach(graph, _outputs(graph))]
    models, adapters = [], []
    for node in used:
        models += _model(_kind(node), node["inputs"])
        adapters += _adapters(node["inputs"])
    sampler = next((node for node in used if _is_sampler(node["inputs"])), None)
    return Parameters(
        tool="ComfyUI",
        models=strings(*models),
        adapters=strings(*adapters),
        prompt=_prompt(graph, sampler),
        details=() if sampler is None else details(sampler["inputs"], _SHOWN),
    )


def parse_workflow(workflow: Any) -> Parameters | None:
    """The record of a drawing without the graph that ran: the weights that its loaders were set to."""
    nodes = workflow.get("nodes") if isinstance(workflow, dict) else None
    if not isinstance(nodes, list):
        return None
    models: list[Any] = []
    for node in nodes[:MAX_NODES]:
        if not isinstance(node, dict) or node.get("mode") in _MUTED or not _loads(str(node.get("type"))[:100].lower()):
            continue
        values = node.get("widgets_values")
        values = list(values.values()) if isinstance(values, dict) else values
        if isinstance(values, list):
            models += [each for each in values if isinstance(each, str) and each.lower().endswith(_WEIGHTS)]
    return Parameters(tool="ComfyUI, the editor's drawing", models=strings(*models))


def reach(graph: Graph, starts: list[str]) -> list[str]:
    """Ids of the nodes that some nodes draw on, themselves included, nearest first."""
    seen = dict.fromkeys(starts)
    queue = list(starts)
    for each in queue:  # grows while it is walked
        for source in _sources(graph, graph[each]["inputs"].values()):
            if source not in seen:
                seen[source] = None
                queue.append(source)
    return queue


def _graph(prompt: Any) -> Graph:
    if not isinstance(prompt, dict) or len(prompt) > MAX_NODES:
        return {}
    return {
        each: node
        for each, node in prompt.items()
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }


def _sources(graph: Graph, values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and str(value[0]) in graph:
            yield str(value[0])


def _outputs(graph: Graph) -> list[str]:
    """Nodes that save or show a picture; where there are none, nodes that nothing draws on; else all (a circle)."""
    shown = [each for each, node in graph.items() if any(word in _kind(node) for word in ("save", "preview"))]
    if shown:
        return shown
    drawn = {source for node in graph.values() for source in _sources(graph, node["inputs"].values())}
    return [each for each in graph if each not in drawn] or list(graph)


def _kind(node: Mapping[str, Any]) -> str:
    return node["class_type"][:100].lower()


def _loads(kind: str) -> bool:
    return ("load" in kind or "checkpoint" in kind) and not any(part in kind for part in _OTHER)


def _model(kind: str, inputs: Mapping[str, Any]) -> list[Any]:
    if "ckpt_name" in inputs:  # also of loaders that bring LoRAs or a VAE along
        return [inputs["ckpt_name"]]
    return [inputs.get(key) for key in _MODEL_KEYS] if _loads(kind) else []


def _adapters(inputs: Mapping[str, Any]) -> list[Any]:
    out = [inputs.get("lora_name")]
    for value in inputs.values():
        if isinstance(value, dict) and value.get("on") and isinstance(value.get("lora"), str):
            out.append(value["lora"])
    return out


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    return ("seed" in inputs or "noise_seed" in inputs) and ("steps" in inputs or "positive" in inputs)


def _prompt(graph: Graph, sampler: Mapping[str, Any] | None) -> str:
    if sampler is None:
        return ""
    starts = list(_sources(graph, [sampler["inputs"].get("positive")]))
    for each in reach(graph, starts):
        inputs = graph[each]["inputs"]
        text = next((inputs[key] for key in _TEXT_KEYS if isinstance(inputs.get(key), str)), "")
        if text.strip():
            return text
    return ""
