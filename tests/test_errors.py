"""The exception tree: drawn as it is, informative, and able to cross processes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from morelli import errors
from morelli.errors import (
    MissingExtraError,
    MissingImageError,
    MorelliError,
    NotEnoughReferencesError,
    StorageError,
    UnknownNameError,
)

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MorelliError)]
PLAIN = [c for c in CLASSES if c not in (MissingExtraError, UnknownNameError)]


def _drawn() -> dict[str, str]:
    """Class → parent, as the module's docstring draws them."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(\s+[│ ]*(?:[├└]── )?)(\w+Error)\b", line)
        if not found:
            continue
        depth, name = len(found[1]), found[2]
        above = [(d, n) for d, n in above if d < depth]
        if above:
            parents[name] = above[-1][1]
        above.append((depth, name))
    return parents


def test_the_drawing_is_the_tree() -> None:
    real = {c.__name__: c.__bases__[0].__name__ for c in CLASSES if c is not MorelliError}
    assert _drawn() == real


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_documented(kind: type[MorelliError]) -> None:
    assert kind.__doc__


@pytest.mark.parametrize("kind", PLAIN, ids=lambda c: c.__name__)
def test_text_names_argument_message_and_fix(kind: type[MorelliError]) -> None:
    error = kind("2 were asked for, 1 came.", argument="--k", fix="Ask for 1.")
    assert str(error) == "--k: 2 were asked for, 1 came. Ask for 1."
    assert str(kind("only this.")) == "only this."


@pytest.mark.parametrize(
    "error",
    [
        *(kind("what.", argument="where", fix="How.") for kind in PLAIN),
        UnknownNameError("encoder", "efficentnet", ["efficientnet-lite0"]),
        MissingExtraError("transformers", "SigLIP"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_errors_survive_pickling(error: MorelliError) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(back) is type(error)
    assert (str(back), back.argument, back.message, back.fix) == (str(error), error.argument, error.message, error.fix)


def test_builtin_handlers_catch_them() -> None:
    for kind, builtin in (
        (NotEnoughReferencesError, ValueError),
        (MissingImageError, FileNotFoundError),
        (StorageError, OSError),
    ):
        with pytest.raises(builtin):
            raise kind("no.")
    with pytest.raises(KeyError):
        raise UnknownNameError("method", "x", [])
    with pytest.raises(ImportError):
        raise MissingExtraError("ray", "the Ray engine")


def test_unknown_name_suggests_the_nearest() -> None:
    error = UnknownNameError("encoder", "eficientnet-lite0", ["efficientnet-lite0", "clip"])
    assert "no encoder is called 'eficientnet-lite0'." in str(error)
    assert "Did you mean 'efficientnet-lite0'?" in str(error)
    assert "clip" not in str(error)


def test_unknown_name_lists_what_there_is_when_nothing_is_near() -> None:
    assert UnknownNameError("method", "zzz", ["plda", "lda"]).fix == "Known: lda, plda."
    many = UnknownNameError("model", "zzz", [f"m{i:02d}" for i in range(25)])
    assert many.fix is not None
    assert many.fix.endswith("m19 and 5 more.")
    assert UnknownNameError("method", "zzz", []).fix == "There is none."


def test_missing_extra_names_the_command() -> None:
    assert 'pip install "morelli[transformers]"' in str(MissingExtraError("transformers", "SigLIP"))
