"""What spatial scenes ask of a codec beyond `physworld.protocols.Codec`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from physworld.protocols import Codec, Guide
from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.documents import SpatialScene


class SceneCodec(Codec, Protocol):
    """Writes a brief as a prompt, and reads answers as scenes."""

    pad_id: int

    def prompt(self, given: Brief) -> np.ndarray:
        """(L,) int64 ids of everything before the first generated token."""
        ...

    def answer(self, scene: SpatialScene, given: Brief) -> tuple[np.ndarray, np.ndarray]:
        """(ids with the end token, which of them a rule decides)."""
        ...

    def decode(self, output: np.ndarray, given: Brief) -> Any:
        """The parsed JSON, or None: no JSON. It may still break every rule."""
        ...

    def max_new_tokens(self, given: Brief) -> int: ...

    def guide(self, given: Sequence[Brief], mode: str) -> Guide | None:
        """The grammar of answers to these prompts; None where any token may follow any other."""
        ...
