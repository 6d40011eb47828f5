"""Extractors: the networks that turn spectra into fingerprints, by name, and trained ones on disk.

A file of a trained extractor remembers the signal chain that its spectra came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from morelli.encoders.weights import short_hash
from morelli.errors import InputError, UnknownNameError, WeightsError
from morelli.fingerprint import resnet, small_network
from morelli.fingerprint.chain import SignalChain, check_chain
from morelli.fingerprint.tensors import read_tensors, write_tensors

#: Name → length of its features.
EXTRACTORS = {"small": small_network.FEATURES, "resnet50": resnet.FEATURES}
#: Name → length of each of its layers, ``mean`` being the features.
LAYERS: Mapping[str, Mapping[str, int]] = {"small": small_network.LAYERS, "resnet50": resnet.LAYERS}


class ExtractorNetwork(Protocol):
    """What every extractor is beside a module."""

    def layers(self, spectra: Tensor) -> dict[str, Tensor]:
        """Spectra (n, channels, rows, columns) to features by layer, as long as `LAYERS` says."""
        ...


def make_extractor(
    name: str, channels: int = 3, pretrained: Path | None = None, size: tuple[int, int] = (128, 128)
) -> nn.Module:
    """An extractor with random weights: spectra (n, channels, rows, columns) to features (n, `EXTRACTORS`[name]).

    Parameters
    ----------
    name : {"small", "resnet50"}
    channels : int
    pretrained : Path, optional
        A local ResNet-50 to begin from, for "resnet50" alone.
    size : (int, int)
        Rows and columns of the spectra; "resnet50" takes any.

    Raises
    ------
    UnknownNameError
        No such extractor.
    InputError
        ``pretrained`` for another network, or ``channels`` below 1.
    MissingExtraError
        "resnet50", and transformers is not installed.
    WeightsError
        ``pretrained`` holds no ResNet-50 of that many channels.
    """
    if name not in EXTRACTORS:
        raise UnknownNameError("extractor", name, EXTRACTORS)
    if channels < 1:
        raise InputError(f"must be 1 or more; got {channels}.", argument="channels")
    if name == "resnet50":
        return resnet.ResNet50(channels, pretrained)
    if pretrained is not None:
        raise InputError("is for resnet50 alone.", argument="pretrained")
    return small_network.SmallExtractor(channels, size)


@dataclass(frozen=True, eq=False)
class Extractor:
    """A trained network, ready to run.

    Attributes
    ----------
    name : str
        A key of `EXTRACTORS`.
    network : Module
        Spectra to features (n, ``size``), not normalised.
    chain : SignalChain
        What its spectra come from.
    size : int
    revision : str
        16 hexadecimal digits of the file's SHA-256.
    training : mapping
        What the one who saved it wrote of its training.
    """

    name: str
    network: nn.Module
    chain: SignalChain
    size: int
    revision: str
    training: Mapping[str, Any]

    def layers(self, spectra: Tensor) -> dict[str, Tensor]:
        """Features by layer, float32: (n, `LAYERS`[name][layer])."""
        found = cast(ExtractorNetwork, self.network).layers(spectra)
        return {name: each.float() for name, each in found.items()}


def save_extractor(
    network: nn.Module,
    path: Path,
    *,
    name: str,
    chain: SignalChain,
    training: Mapping[str, Any],
    channels: int = 3,
    half: bool = True,
) -> str:
    """Write a trained extractor; returns the file's SHA-256.

    Parameters
    ----------
    network : Module
        What ``make_extractor(name, channels, size=chain.shape[1:])`` made; a classifier on top is not part of it.
    path : Path
    name : str
    chain : SignalChain
        What it was trained on; `load_extractor` refuses another.
    training : mapping
        Facts for the reader, as JSON can hold them.
    channels : int
    half : bool
        Convolutions as float16.

    Raises
    ------
    StorageError
        The disk refused.
    """
    state = {}
    for key, value in network.state_dict().items():
        dtype = torch.float16 if half and value.ndim == 4 else value.dtype
        state[key] = value.detach().cpu().to(dtype).contiguous()
    about = {"kind": "extractor", "name": name, "channels": channels}
    return write_tensors(path, state, {**about, "chain": chain.describe(), "training": dict(training)})


def load_extractor(path: Path, sha256: str | None = None, chain: SignalChain | None = None) -> Extractor:
    """A trained extractor in evaluation mode, float32, on the CPU.

    Parameters
    ----------
    path : Path
        What `save_extractor` wrote.
    sha256 : str, optional
        What the file's SHA-256 must be.
    chain : SignalChain, optional
        The chain that the caller will use; by default the one in the file.

    Raises
    ------
    WeightsError
        No such file, another hash, no extractor in it, or trained with another chain: also where this version's
        denoiser is not the one that it was trained with.
    """
    state, about, found = read_tensors(path, sha256)
    try:
        name, channels, trained = str(about["name"]), int(about["channels"]), dict(about["chain"])
        fields = {key: value for key, value in trained.items() if key != "residual_revision"}
        own = SignalChain(**fields)
        size = EXTRACTORS[name]
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"holds no extractor: {error!r}.", argument=str(path)) from error
    check_chain(own if chain is None else chain, trained, str(path))
    network = make_extractor(name, channels, size=own.shape[1:])
    try:
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    except RuntimeError as error:
        raise WeightsError(f"is no {name} extractor: {str(error).splitlines()[0]}", argument=str(path)) from error
    network.eval().requires_grad_(False)
    return Extractor(name, network, own, size, short_hash(found), dict(about.get("training", {})))
