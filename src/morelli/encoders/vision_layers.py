"""Names of a vision tower's layers, and the vectors that a forward pass holds under them."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from morelli.encoders.vision_tower import Tower
from morelli.errors import InputError, UnknownNameError

_LAYER = re.compile(r"projected|pooled|last(?:/(?:cls|mean))?|block(?P<block>[1-9]\d*)/(?:cls|mean)")


def check_names(layers: Sequence[str], depth: int | None) -> list[str]:
    """The names, if they are well formed and not deeper than the network."""
    if not layers:
        raise InputError("must name one layer at least.", argument="layers")
    for name in layers:
        match = _LAYER.fullmatch(name)
        if match is None or (match["block"] and depth is not None and int(match["block"]) > depth):
            blocks = [f"block{i}/{part}" for i in range(1, (depth or 0) + 1) for part in ("mean", "cls")]
            raise UnknownNameError("layer", name, ["projected", "pooled", "last", "last/cls", "last/mean", *blocks])
    return list(layers)


def shorten(config: Any, wanted: Sequence[str] | None, depth: int | None) -> Any:
    """A configuration without the blocks that nobody asked for; they are then neither read nor run.

    One block more than the deepest is kept: some networks report their last block after the final normalisation.
    """
    deepest = [int(name[5:].split("/")[0]) if name.startswith("block") else None for name in wanted or ()]
    if not deepest or None in deepest or depth is None or hasattr(config, "depths"):
        return config
    short = copy.deepcopy(config)
    short.num_hidden_layers = min(depth, max(d for d in deepest if d is not None) + 1)
    return short


def read_layers(
    tower: Tower, outputs: Any, inputs: Mapping[str, Tensor], only: Sequence[str] | None
) -> dict[str, Tensor]:
    """Named vectors of a forward pass, all or only those named: name → Tensor of shape (n, d)."""
    out: dict[str, Tensor] = {}
    pooled = getattr(outputs, "pooler_output", None)
    if tower.has_pooled and pooled is not None:
        out["pooled"] = pooled.flatten(1)
        if tower.projection is not None:
            out["projected"] = tower.projection(pooled)
    states = {f"block{i}": state for i, state in enumerate(outputs.hidden_states or ()) if i}
    states["last"] = outputs.last_hidden_state
    wanted = None if only is None else {name.split("/")[0] for name in only}
    for name, state in states.items():
        if wanted is None or name in wanted:
            mean, cls = _tokens(state, inputs, tower.patch)
            out[f"{name}/mean"] = mean
            if cls is not None:
                out[f"{name}/cls"] = cls
    return out if only is None else {name: out[name] for name in only}


def _tokens(state: Tensor, inputs: Mapping[str, Tensor], patch: tuple[int, int] | None) -> tuple[Tensor, Tensor | None]:
    """Mean of the patch tokens and the class token of one hidden state.

    Class and register tokens come first; how many there are follows from the number of patches in the input. Feature
    maps of convolutional networks, (n, channels, height, width), have none.
    """
    state = state.float()
    if state.ndim == 4:
        return state.mean(dim=(2, 3)), None
    mask = inputs.get("pixel_attention_mask")
    if mask is not None:  # padded to a fixed number of patches
        weight = mask.to(state.dtype)[..., None]
        return (state * weight).sum(1) / weight.sum(1), None
    pixels = inputs["pixel_values"]
    patches = state.shape[1]
    if patch is not None and pixels.ndim == 4:
        patches = (pixels.shape[2] // patch[0]) * (pixels.shape[3] // patch[1])
    extra = max(state.shape[1] - patches, 0)
    return state[:, extra:].mean(1), state[:, 0] if extra else None
