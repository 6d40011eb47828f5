"""The rows of the ablations: what each changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from morelli.fingerprint.chain import LEARNING, SignalChain, find_chain
from morelli.synthesis.architectures import LETTERS, ModelKey, from_id

Source = Literal["photographs", "drawings", "both"]
#: Chains that no command has a name for.
CHAINS: dict[str, SignalChain] = {
    "64 px tiles": replace(LEARNING, tile=64),
    "log1p": replace(LEARNING, floor=1.0),
    "not standardised": replace(LEARNING, standardise=False),
    "without opponent channels": replace(LEARNING, opponent=False),
    "raw whole windows": SignalChain("median"),
    # The residual alone is another than the first row's, or none.
    "image in the same form": replace(LEARNING, residual="none"),
}


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes
    ----------
    table : str
        The paper's number, or what is varied.
    name : str
        Unique.
    changes : dict
        Of the settings.
    chain : str or None
        A key of `CHAINS`, in place of the settings'.
    without : str or None
        An option of the synthesis at its first value alone (paper 002, table III).
    seeds, architectures : int or None
        So many of them.
    source : {"photographs", "drawings", "both"}
        What models are shown.
    windows : {1, 9}
        At inference.
    """

    table: str
    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    chain: str | None = None
    without: str | None = None
    seeds: int | None = None
    architectures: int | None = None
    source: Source = "photographs"
    windows: int = 9

    def keys(self, keys: Sequence[ModelKey]) -> list[ModelKey]:
        """The models that the row learns from, of all that there are."""
        names = sorted({key.architecture_id for key in keys})
        if self.architectures is not None:
            # Evenly spread over the ids, so that every option keeps its values.
            names = [names[at * len(names) // self.architectures] for at in range(min(self.architectures, len(names)))]
        if self.without is not None:
            names = [name for name in names if from_id(name) == from_id(name).without(LETTERS[self.without])]
        chosen: list[ModelKey] = []
        for name in names:
            chosen += sorted(key for key in keys if key.architecture_id == name)[: self.seeds]
        return chosen

    def signal(self, default: str) -> SignalChain:
        """The row's chain."""
        return CHAINS[self.chain] if self.chain is not None else find_chain(self.changes.get("chain", default))


def all_rows(architectures: int, seeds: int) -> list[Row]:
    """All rows for a store of so many architectures and seeds of each, the whole first."""
    rows = [Row("", "all")]
    rows += [Row("III", f"without {letter}", without=letter) for letter in LETTERS]
    rows += [Row("IV", f"{n} seeds", seeds=n) for n in (1, 2, 5, 10, 15, 20) if n < seeds]
    rows += [
        Row("architectures", f"{n} architectures", architectures=n) for n in (18, 36, 72, 144) if n < architectures
    ]
    rows += [Row("V", "drawings", source="drawings"), Row("V", "photographs and drawings", source="both")]
    rows += [Row("VI", "image", {"chain": "rgb"}), Row("VI", "spectrum of the image", {"chain": "spectrum"})]
    others = ("denoiser", "denoiser-17x64", "wavelet", "oidn")
    rows += [Row("VI", f"residual {name}", {"chain": name}) for name in others]
    rows += [Row("VI", "published chain", {"chain": "published"}), Row("VI", "whole windows", {"chain": "whole"})]
    rows += [Row("VI", name, chain=name) for name in CHAINS]
    rows += [Row("VII", "one window", windows=1)]
    rows += [Row("loss", name, {"loss": name}) for name in ("ce", "triplet", "supcon")]
    rows += [Row("loss", "semi-hard", {"triplet": "semi-hard"})]
    rows += [Row("sampler", "random batch", {"sampler": "random"})]
    rows += [Row("sampler", "other photographs", {"same_photos": False})]
    rows += [Row("sampler", "strangers", {"siblings": 1})]
    rows += [Row("network", "resnet50", {"architecture": "resnet50"})]
    rows += [Row("augmentation", "immunised", {"augment": "immunised"})]
    for name, chain in (("", {}), ("wavelet ", {"chain": "wavelet"})):
        rows.append(Row("control", f"{name}untrained", {"steps": 0, **chain}))
        rows.append(Row("control", f"{name}shuffled labels", {"shuffle_labels": True, **chain}))
    return rows
