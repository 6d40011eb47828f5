"""Is a picture from one given model: what its vectors say, as the answer of a check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from morelli._identify.held import Held
from morelli._identify.rivals import Rivals
from morelli._version import __version__
from morelli.attribution.target import Own, case_1, decide_one
from morelli.errors import NotEnoughReferencesError
from morelli.types import CheckVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from morelli.encoders.variants import Variants

#: Name of the method where the model's own references alone are looked at.
CASE_2 = "case-2"


@dataclass(frozen=True, eq=False)
class CheckJudge:
    """Makes the answer on each picture of one question.

    Attributes
    ----------
    held : Held
    method : str
        The attributor's name.
    model : str
        The model that is asked about.
    alpha : float
        Share of its own images that should be accepted.
    rivals : Rivals or None
        For Case 1; None: not asked.
    own : Own or None
        The model's references, for Case 2; None: not asked.
    prompts : tuple of str
        Ids of the prompt whose references ``own`` has; none: all of the model's.
    notes : tuple of str
        Told where there are no rivals; with them, theirs are.
    """

    held: Held
    method: str
    model: str
    alpha: float
    rivals: Rivals | None
    own: Own | None
    prompts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __call__(self, name: str, found: Variants) -> CheckVerdict:
        """The answer on the picture of that name."""
        used, first, second, told = None, None, None, list(self.notes)
        if self.rivals is not None:
            used = self.rivals.of(found)
            told = self.rivals.notes(found, used)
            first = case_1(used, found.vectors, self.model, self.alpha)
        if self.own is not None:
            try:
                second, more = self.own.case_2(found.vectors, self.alpha, self.held.row.get(found.info.content))
            except NotEnoughReferencesError as error:
                if used is None:
                    raise
                more = (f"Case 2 was not asked: {error.message}",)
            told += more
        return CheckVerdict(
            image=name,
            sha256=found.info.sha256,
            version=__version__,
            model=self.model,
            family=self.held.families[self.model],
            decision=decide_one(first, second),
            alpha=self.alpha,
            case_1=first,
            case_2=second,
            method=self._alone(second) if used is None else self.held.method(self.method, used.k, used.prompt),
            notes=told,
        )

    def _alone(self, second: Mapping[str, Any] | None) -> dict[str, Any]:
        """The field ``method`` where the model's own references are all that was looked at: no attributor was."""
        k = second["references"] if second is not None and self.prompts else 0
        return self.held.method(CASE_2, k, self.prompts[0] if self.prompts else None)
