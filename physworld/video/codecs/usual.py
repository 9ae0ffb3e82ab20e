"""What a codec says of the clips that its model was made for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Usual:
    frames: int
    fps: float
    width: int  # px
    height: int  # px

    def shape(self, frames: int | None, width: int | None, height: int | None) -> tuple[int, int, int]:
        """(frames, width, height); its own stand in for those that are None."""
        return (
            self.frames if frames is None else frames,
            self.width if width is None else width,
            self.height if height is None else height,
        )
