"""The contract of an attributor over arrays, as a check that a plug-in's own tests can call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from morelli.attribution.base import Attributor
from morelli.errors import ArrayError, MorelliError, NotEnoughReferencesError, NotFittedError
from morelli.testing.made_up import MODELS, contents, made_up, moved, same_contents, spoilt
from morelli.types import LabelledEmbeddings


def check_attributor(attributor: Attributor, *, tolerance: float = 1e-6) -> None:
    """Hold an attributor to the contract of `morelli.attribution.base.Attributor`.

    The attributor itself is left as it is: clones of it are fitted. The data are made up and easy: models lie many
    times farther apart than seeds scatter, so that any method that works attributes all of them.

    Parameters
    ----------
    attributor : Attributor
        With the parameters that it is to be used with; fitted or not.
    tolerance : float
        How much two scores of one query may differ, as a fraction of the largest absolute score: matrix libraries add
        up in another order for another batch size.

    Raises
    ------
    AssertionError
        Names the first rule that is broken: ``clone`` gives the same parameters; ``fit`` returns the attributor and
        ``scores`` before it is refused; candidates are the references' models, sorted; scores are finite, of shape
        (n, m), higher for the right model, the same each time, and independent of earlier calls, of the other queries
        and of the order of references and named vectors; NaN and a single model are refused; inputs are left as they
        are; a missing background or prompt is coped with or refused by name.

    Examples
    --------
    >>> from morelli.attribution.centroid import Euclid
    >>> check_attributor(Euclid())
    """
    _require(isinstance(attributor, Attributor), "an attributor is a subclass of morelli.attribution.base.Attributor")
    background, references, queries = made_up()
    _check_clone(attributor)
    fitted = _check_fit(attributor, background)
    expected = _scores(fitted, queries, references)
    _check_right(expected, queries, "references of the queries' prompt")
    _check_repeatable(attributor, background, queries, references, expected, tolerance)
    _check_memory(attributor, background, queries, references, tolerance)
    _check_independent(fitted, queries, references, expected, tolerance)
    _check_refusals(attributor, fitted, background, queries, references)
    _check_fall_backs(attributor, fitted, queries, references)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)


def _scores(
    attributor: Attributor,
    queries: LabelledEmbeddings,
    references: LabelledEmbeddings | None,
    prompt: str | None = "query",
) -> NDArray[Any]:
    """Scores, once their form and their candidates are found right."""
    candidates = attributor.candidates(references)
    if references is not None:
        _require(
            np.array_equal(candidates, np.unique(references.models)), "candidates are the references' models, sorted"
        )
    scores = attributor.scores(queries.vectors, references, prompt)
    shape = (len(queries), len(candidates))
    _require(isinstance(scores, np.ndarray), "scores returns an array")
    _require(scores.shape == shape, f"scores have shape (queries, candidates) = {shape}, not {scores.shape}")
    _require(np.issubdtype(scores.dtype, np.floating), f"scores are floating-point numbers, not {scores.dtype}")
    _require(bool(np.isfinite(scores).all()), "scores are finite")
    return np.array(scores)


def _check_clone(attributor: Attributor) -> None:
    clone = attributor.clone()
    _require(type(clone) is type(attributor) and clone is not attributor, "clone gives a new attributor of its class")
    for name in inspect.signature(type(attributor)).parameters:
        same = getattr(clone, name) is getattr(attributor, name) or getattr(clone, name) == getattr(attributor, name)
        _require(bool(same), f"clone gives the same parameters: {name}")


def _check_fit(attributor: Attributor, background: LabelledEmbeddings) -> Attributor:
    fitted = attributor.clone()
    _refuses(
        lambda: fitted.scores(background.vectors), NotFittedError, "scores without references are refused before fit"
    )
    before = contents(background)
    _require(fitted.fit(background) is fitted, "fit returns the attributor itself")
    _require(same_contents(before, background), "fit leaves its input as it is")
    _require(
        np.array_equal(fitted.candidates(), np.unique(background.models)),
        "without references, candidates are the background's models, sorted",
    )
    _check_clone(fitted)
    return fitted


def _check_right(scores: NDArray[Any], queries: LabelledEmbeddings, what: str) -> None:
    found = np.unique(queries.models)[scores.argmax(axis=1)]
    right = int((found == queries.models).sum())
    _require(right == len(queries), f"{what}: the right model has the highest score ({right} of {len(queries)} have)")


def _check_independent(
    fitted: Attributor,
    queries: LabelledEmbeddings,
    references: LabelledEmbeddings,
    expected: NDArray[Any],
    tolerance: float,
) -> None:
    rule = "scores of a query do not depend on the other queries"
    for rows in ([i] for i in range(len(queries))):
        _close(_scores(fitted, queries.take(np.array(rows)), references), expected[rows], tolerance, rule)
    crowd = np.array([*range(len(queries))][::-1] + [0] * 5)
    _close(_scores(fitted, queries.take(crowd), references), expected[crowd], tolerance, rule)
    turned = references.take(np.arange(len(references))[::-1])
    _close(_scores(fitted, queries, turned), expected, tolerance, "scores do not depend on the order of the references")
    vectors = {name: queries.vectors[name] for name in reversed(list(queries.vectors))}
    other = LabelledEmbeddings(vectors, queries.models, queries.prompts, queries.families)
    _close(_scores(fitted, other, references), expected, tolerance, "named vectors are matched by name, not by place")


def _check_repeatable(
    attributor: Attributor,
    background: LabelledEmbeddings,
    queries: LabelledEmbeddings,
    references: LabelledEmbeddings,
    expected: NDArray[Any],
    tolerance: float,
) -> None:
    again = attributor.clone().fit(background)
    before = contents(queries), contents(references)
    first = _scores(again, queries, references)
    untouched = same_contents(before[0], queries) and same_contents(before[1], references)
    _require(untouched, "scores leaves its input as it is")
    _close(first, _scores(again, queries, references), 0.0, "the same call gives the same scores")
    _close(first, expected, tolerance, "fitting again gives the same scores")


def _check_memory(
    attributor: Attributor,
    background: LabelledEmbeddings,
    queries: LabelledEmbeddings,
    references: LabelledEmbeddings,
    tolerance: float,
) -> None:
    """Each call is made of a freshly fitted attributor, and of one that has answered each of the others just before."""
    some, others = queries.take(np.arange(2)), queries.take(np.arange(2, len(queries)))
    _, seeds = np.unique(references.models, return_index=True)
    # References that something remembered could be mistaken for: fewer of the same, and as many, of the same labels.
    calls = {
        "the same": (some, references),
        "other queries": (others, references),
        "fewer references": (some, references.take(seeds)),
        "other references": (some, moved(references)),
    }
    fresh = {name: _scores(attributor.clone().fit(background), *call) for name, call in calls.items()}
    used = attributor.clone().fit(background)
    for before, after in permutations(calls, 2):
        _scores(used, *calls[before])
        rule = f"scores do not depend on earlier calls ({after} after {before})"
        _close(_scores(used, *calls[after]), fresh[after], tolerance, rule)


def _check_refusals(
    attributor: Attributor,
    fitted: Attributor,
    background: LabelledEmbeddings,
    queries: LabelledEmbeddings,
    references: LabelledEmbeddings,
) -> None:
    _refuses(
        lambda: fitted.scores(spoilt(queries).vectors, references, "query"), ArrayError, "NaN in a query is refused"
    )
    _refuses(
        lambda: fitted.scores(queries.vectors, spoilt(references), "query"), ArrayError, "NaN in references is refused"
    )
    if attributor.uses_background:
        _refuses(
            lambda: attributor.clone().fit(spoilt(background)).scores(queries.vectors, references, "query"),
            ArrayError,
            "NaN in the background is refused",
        )
    alone = references.take(references.models == MODELS[0])
    _refuses(
        lambda: fitted.scores(queries.vectors, alone, "query"),
        NotEnoughReferencesError,
        "references of one model only are refused",
    )


def _check_fall_backs(
    attributor: Attributor, fitted: Attributor, queries: LabelledEmbeddings, references: LabelledEmbeddings
) -> None:
    """What may be missing: each case works, or is refused as too few references."""
    cases: list[tuple[Attributor, LabelledEmbeddings | None, str | None]] = [
        (fitted, references, None),
        (fitted, None, None),
    ]
    for nothing in (None, references.take(np.array([], dtype=np.intp))):
        bare = attributor.clone()
        _require(bare.fit(nothing) is bare, "fit without a background returns the attributor itself")
        cases.append((bare, references, "query"))
    for each, known, prompt in cases:
        try:
            scores = _scores(each, queries, known, prompt)
        except NotEnoughReferencesError:
            continue
        if prompt is not None:
            _check_right(scores, queries, "no background")


def _close(found: NDArray[Any], expected: NDArray[Any], tolerance: float, rule: str) -> None:
    scale = max(float(np.abs(expected).max()), np.finfo(np.float32).tiny)
    apart = float(np.abs(found - expected).max()) / scale
    _require(bool(apart <= tolerance), f"{rule}: they are {apart:.2g} apart, more than {tolerance:.2g}")


def _refuses(call: Callable[[], object], error: type[MorelliError], rule: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{rule} with {error.__name__}")
