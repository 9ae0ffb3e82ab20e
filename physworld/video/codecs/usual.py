"""What a codec says of the clips that its model was made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Usual:
    frames: int
    fps: float
    width: int  # px
    height: int  # px
