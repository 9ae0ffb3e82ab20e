"""How much the page takes, served or not."""

from __future__ import annotations

from typing import Any

MAX_FRAMES = 3600  # that are kept: a minute at 60 a second
MAX_BODIES = 300  # of a scene on the page
MAX_SPEED = 4000.0  # px/s that a hand can give
GONE = 1e6  # px: a body that is further out than this ends the run
SPEEDS = (0.02, 4.0)  # of the world's own


def for_page() -> dict[str, Any]:
    """The same for the page's own scripts."""
    return {"frames": MAX_FRAMES, "bodies": MAX_BODIES, "speed": MAX_SPEED, "gone": GONE, "speeds": list(SPEEDS)}
