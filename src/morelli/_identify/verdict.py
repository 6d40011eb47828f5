"""Which model made a picture: what its vectors say, as a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from morelli._identify.rivals import Rivals
from morelli._version import __version__
from morelli.attribution.decision import conclude
from morelli.types import Degradation, Evidence, Reference, Verdict

if TYPE_CHECKING:
    from morelli.encoders.variants import Variants

#: Nearest references that are told.
EVIDENCE = 5


@dataclass(frozen=True, eq=False)
class VerdictJudge:
    """Makes the verdict on each picture of one question.

    Attributes
    ----------
    rivals : Rivals
    method : str
        The attributor's name.
    epsilon : float
        Candidates are the models with a conformal p-value above it.
    steps : tuple of str
        What was done to the degraded copies, in the order of the pictures' vectors after the first.
    """

    rivals: Rivals
    method: str
    epsilon: float
    steps: tuple[str, ...]

    def __call__(self, name: str, found: Variants) -> Verdict:
        """The verdict on the picture of that name."""
        held, used = self.rivals.held, self.rivals.of(found)
        made = conclude(
            used.models,
            held.families,
            used.scores(found.vectors),
            used.calibration,
            degraded=used.condition(found.vectors) != "",
            epsilon=self.epsilon,
        )
        notes = [f"{made.decision}: {made.reason}"] if made.reason else []
        notes += [*self.rivals.notes(found, used), *kinship(made.candidates, held.families)]
        near = used.nearest(found.vectors, EVIDENCE)
        return Verdict(
            image=name,
            sha256=found.info.sha256,
            version=__version__,
            decision=made.decision,
            calibrated=used.calibration is not None,
            ranking=made.ranking,
            candidates=made.candidates,
            epsilon=self.epsilon,
            p_value=made.p_value,
            rejected=made.rejected,
            agreement=made.agreement,
            degradations=[Degradation(step, model) for step, model in zip(self.steps, made.firsts, strict=True)],
            method=held.method(self.method, used.k, used.prompt),
            evidence=[Evidence(_short(held.references[row]), held.references[row].model, far) for row, far in near],
            notes=notes,
        )


def kinship(candidates: Sequence[str], families: Mapping[str, str]) -> list[str]:
    """A note where several candidates are all of one family."""
    kin = {families[model] for model in candidates}
    if len(candidates) < 2 or len(kin) > 1:
        return []
    return [f"All candidates are of the family {kin.pop()}."]


def _short(reference: Reference) -> str:
    return f"{reference.name} ({reference.content[:12]})"
