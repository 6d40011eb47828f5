"""Where networks run."""

from __future__ import annotations

import pytest
import torch

from morelli.devices import choose_device
from morelli.errors import InputError


@pytest.mark.parametrize(
    ("cuda", "mps", "auto", "expected"),
    [
        (True, True, ("cuda",), "cuda"),
        (False, True, ("cuda",), "cpu"),
        (False, True, ("cuda", "mps"), "mps"),
        (True, True, ("mps", "cuda"), "mps"),
        (False, False, ("cuda", "mps"), "cpu"),
    ],
)
def test_auto_takes_the_first_that_is_here(
    cuda: bool, mps: bool, auto: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto", auto=auto) == expected


def test_a_name_is_kept_and_tried() -> None:
    assert choose_device("cpu") == "cpu"
    for name in ("abacus", "cuda:77"):
        with pytest.raises(InputError, match=f"--device: there is no device '{name}' here"):
            choose_device(name, "--device")
