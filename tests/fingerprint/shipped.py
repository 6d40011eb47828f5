"""What this checkout carries."""

from __future__ import annotations

import pytest

from morelli.fingerprint.denoiser import WEIGHTS

published = pytest.mark.skipif(
    not (WEIGHTS / "denoiser-17x64.safetensors").is_file(),
    reason="this checkout carries no denoiser of the published form",
)
