"""When a picture is small."""

from __future__ import annotations

#: Sides below which a picture is said to be small, pixels: no encoder here is shown fewer, so that it is enlarged.
SMALL = 128
