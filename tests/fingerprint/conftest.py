"""The published chain runs in these tests: its denoiser's weights are random and lie in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from morelli.fingerprint.residual import OWN_DENOISER
from tests.fingerprint.denoisers import write_published


@pytest.fixture(scope="package", autouse=True)
def published_denoiser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that the environment names."""
    path = write_published(tmp_path_factory.mktemp("denoiser") / "published.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OWN_DENOISER, str(path))
        yield path
