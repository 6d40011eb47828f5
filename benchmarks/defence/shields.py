"""What images are protected with: a defence at an ε, or at the strength at which they look as good as others do."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from zlib import crc32

import numpy as np
from benchmarks.defence.clock import Clock
from benchmarks.defence.networks import Networks
from benchmarks.defence.split import Split, labelled, pixels_of

from morelli.defence.canonical import RECIPE, canonical
from morelli.defence.ensemble import GRADIENT_DEFENCES, Ensemble
from morelli.defence.files import png_bytes, write_file
from morelli.defence.perturb import sign_noise
from morelli.defence.settings import LARGEST, PerturbSettings
from morelli.defence.strength import TOLERANCE, match_psnr, mean_psnr, weakened
from morelli.defence.surrogate import load_surrogate
from morelli.encoders.embed import embed
from morelli.images.load import load_image
from morelli.types import Item

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: Defences that follow gradients: seconds an image. The usual ones are always in the table, others where named.
GRADIENT = tuple(GRADIENT_DEFENCES)
USUAL = ("pgd", "eot", "collide")
# Whole ε, and a little below the target: what is too strong can be weakened.
_MARGIN, _TRIES = 1.03, 3


@dataclass(frozen=True)
class Shield:
    """A defence as it stands in the table.

    Attributes
    ----------
    defence : str
        "none", "noise", "canonical" or one of `GRADIENT_DEFENCES`.
    epsilon : float
        Levels of 255; of ``like`` where the strength is found. 0 where there is none.
    like : {"", "pgd", "collide", "canonical"}
        Brought to the mean PSNR that this defence has at that ε; "": as it is.
    """

    defence: str
    epsilon: float = 0.0
    like: str = ""

    @property
    def name(self) -> str:
        """For people, and for files."""
        return f"{self.defence}-{self.epsilon:g}" + (f"~{self.like}" if self.like else "")


def shields(epsilons: Sequence[float], named: Sequence[str] = ()) -> list[Shield]:
    """All defences, small ε first: as they are, what is cheap before what is not, then at one PSNR.

    Parameters
    ----------
    epsilons : sequence of float
    named : sequence of str
        Defences beside the usual ones.
    """
    gradient = [*USUAL, *(each for each in GRADIENT if each in named and each not in USUAL)]
    plain = [Shield("none"), Shield("canonical"), *(Shield("noise", float(e)) for e in epsilons)]
    plain += [Shield(defence, float(e)) for e in epsilons for defence in gradient]
    equal = [Shield("noise", 0.0, "canonical")]
    # A share of a collision is none: it is left as it is, and random signs are brought to it.
    resting = [defence for defence in gradient if GRADIENT_DEFENCES[defence].collision]
    others = ("noise", "canonical", *(defence for defence in gradient[1:] if defence not in resting))
    equal += [Shield(defence, float(e), "pgd") for e in epsilons for defence in others]
    equal += [Shield("noise", float(e), defence) for e in epsilons for defence in resting]
    return sorted(plain + equal, key=lambda shield: shield.epsilon)


def control(shield: Shield) -> Shield | None:
    """Random signs of the same ε or, where there is none or another is matched, of the same PSNR."""
    if shield.defence in ("none", "noise"):
        return None
    if shield.defence == "canonical" and not shield.like:
        return Shield("noise", 0.0, "canonical")
    return Shield("noise", shield.epsilon, shield.like)


@dataclass(frozen=True)
class Strength:
    """ε that images are made with, and the share of their change that is kept."""

    epsilon: float
    share: float = 1.0


class TooWeak(Exception):
    """A defence changes images less than it would have to."""


@dataclass
class Protection:
    """Protects images, each once: what takes long is kept in a folder.

    Parameters
    ----------
    parts : Split
    folder : Path
    networks : Networks
    surrogates : sequence of str
        Encoders to optimise against.
    steps : int
    recipe : str
        Of the common form.
    clock : Clock
    """

    parts: Split
    folder: Path
    networks: Networks
    surrogates: Sequence[str]
    steps: int = 50
    recipe: str = RECIPE
    clock: Clock = field(default_factory=Clock)
    _ensembles: dict[tuple[str, float], Ensemble] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.originals = pixels_of(self.parts.queries)
        file = self.folder / "strengths.json"
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._strengths = {name: Strength(**each) for name, each in found.items()}

    def queries(self, shield: Shield) -> list[Pixels]:
        """The leaderboard's images as they are shown."""
        return self.images(shield, self.parts.queries, self.originals)

    def images(self, shield: Shield, items: Sequence[Item], pixels: Sequence[Pixels]) -> list[Pixels]:
        """Images under a defence.

        Raises
        ------
        TooWeak
            It cannot be brought to the PSNR that is asked for.
        OutOfTime
        """
        strength = self.strength(shield)
        return [self._one(shield.defence, strength, *pair) for pair in zip(items, pixels, strict=True)]

    def strength(self, shield: Shield) -> Strength:
        """How strong a shield is; where another one's PSNR is asked for, found on the queries and kept."""
        if not shield.like:
            return Strength(shield.epsilon)
        if shield.name not in self._strengths:
            self._strengths[shield.name] = self._found(shield)
            kept = {name: vars(each) for name, each in self._strengths.items()}
            write_file(self.folder / "strengths.json", (json.dumps(kept, indent=1) + "\n").encode(), overwrite=True)
        return self._strengths[shield.name]

    def _found(self, shield: Shield) -> Strength:
        target = mean_psnr(self._pairs(shield.like, shield.epsilon))
        epsilon = self._first(shield, target)
        for _ in range(_TRIES):
            pairs = self._pairs(shield.defence, epsilon)
            reached = mean_psnr(pairs)
            print(f"{shield.name}: ε = {epsilon:g} has {reached:.2f} dB, wanted {target:.2f}", file=sys.stderr)
            if reached <= target + TOLERANCE:
                return Strength(epsilon, match_psnr(pairs, target, TOLERANCE / 2).share if reached < target else 1.0)
            # Ten times the amplitude are 20 dB less.
            larger = min(LARGEST, float(math.ceil(epsilon * _MARGIN * 10 ** ((reached - target) / 20))))
            if larger <= epsilon:  # there is no stronger one
                break
            epsilon = larger
        raise TooWeak(f"{shield.name} does not come down to {target:.1f} dB")

    @staticmethod
    def _first(shield: Shield, target: float) -> float:
        if shield.defence == "noise":  # every sample moves by ε: PSNR is known beforehand
            return float(min(LARGEST, max(1, math.ceil(255 / 10 ** (target / 20)))))
        return shield.epsilon if shield.defence in GRADIENT else 0.0

    def _pairs(self, defence: str, epsilon: float) -> list[tuple[Pixels, Pixels]]:
        made = self.images(Shield(defence, epsilon), self.parts.queries, self.originals)
        return list(zip(self.originals, made, strict=True))

    def _one(self, defence: str, strength: Strength, item: Item, pixels: Pixels) -> Pixels:
        made = self._full(defence, strength.epsilon, item, pixels)
        return made if strength.share == 1 else weakened(pixels, made, strength.share)

    def _full(self, defence: str, epsilon: float, item: Item, pixels: Pixels) -> Pixels:
        if defence == "none":
            return pixels
        if defence == "canonical":
            return canonical(pixels, self.recipe)
        if defence == "noise":
            return sign_noise(pixels, epsilon, seed=crc32(item.name.encode()))  # a pattern of its own for each
        path = self.folder / f"{defence}-{epsilon:g}" / f"{quote(item.name, safe='')}.png"
        if path.is_file():
            return load_image(path).pixels
        self.clock.check()
        started = time.process_time()
        made = self._ensemble(defence, epsilon).protect(pixels, item.model, item.prompt_id)
        seconds = time.process_time() - started
        print(f"{defence} ε = {epsilon:g} {item.name}: {seconds:.1f} s processor", file=sys.stderr)
        write_file(path, png_bytes(made))
        return made

    def _ensemble(self, defence: str, epsilon: float) -> Ensemble:
        key = (defence, epsilon)
        if key not in self._ensembles:
            own, networks = self.parts.leaderboard, [self.networks[name] for name in self.surrogates]
            paths = [item.path for item in own]
            known = {
                each.stamp.encoder: labelled(own, embed(each, paths, cache=self.networks.cache).vectors)
                for each in networks
            }
            settings = PerturbSettings(epsilon=epsilon, steps=self.steps)
            loaded = [load_surrogate(each) for each in networks]
            self._ensembles[key] = Ensemble(loaded, known, defence, settings)
        return self._ensembles[key]
