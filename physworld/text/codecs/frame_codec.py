"""What text physics asks of a codec beyond `physworld.protocols.Codec`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from physworld.protocols import Codec, Guide
from physworld.types import Encoded, Scene, State, Trajectory


class SceneLimits(Protocol):
    """What scenes are drawn by: all that sampling evaluation cases asks of a codec."""

    context_frames: int  # frames wanted in `sample.given`

    def unwritable(self, scene: Scene) -> str:
        """What moves a body of this scene but cannot be written, as a sentence; else ''."""
        ...


class FrameCodec(SceneLimits, Codec, Protocol):
    """Writes frames as a prompt, and reads the answer as the next frame."""

    target_frames: int  # frames wanted in `sample.target`
    fewest_frames: int  # frames that a prompt cannot do without; context_frames, but where memory may be missing
    history_frames: int  # frames that a prompt grows to while rolling out
    text_name: str  # what its text is called, as in codec=NAME
    reads_prompts: bool  # whether `read_prompt` finds a whole scene in a prompt's text

    def prompt(self, given: Trajectory) -> np.ndarray:
        """(L,) int64 ids of everything before the first generated token."""
        ...

    def write_prompt(self, given: Trajectory) -> str:
        """The same as text."""
        ...

    def read_prompt(self, text: str) -> Trajectory | None:
        """The scene and the frames that a prompt's text describes, or None: it is no prompt."""
        ...

    def why_no_prompt(self, text: str) -> str:
        """What makes a text no prompt, or ''."""
        ...

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """Every frame with enough frames before it, as the answer to these."""
        ...

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        """Next state from generated ids (without or with the end token); None = unparsable, never an exception."""
        ...

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Like `decode`, of text."""
        ...

    def inspect(self, output: np.ndarray, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """(bodies without a readable line, where `state` is None; readable but not written as the format has it)."""
        ...

    def inspect_text(self, text: str, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """Like `inspect`, of text."""
        ...

    def write_ids(self, ids: np.ndarray) -> str:
        """A prompt's ids as text, which `read_ids` makes the same ids of."""
        ...

    def read_ids(self, text: str) -> np.ndarray:
        """(L,) int64 ids of a text."""
        ...

    def round_state(self, state: State, scene: Scene) -> State:
        """The state as a reader of this format's text has it."""
        ...

    def max_new_tokens(self, scene: Scene) -> int: ...

    def guide(self, given: Sequence[Trajectory]) -> Guide | None:
        """The format's grammar for answers to these prompts, or None where any token may follow any other."""
        ...

    def documents(self) -> DocumentsCodec | None:
        """Itself, where a frame is several documents; None where it is one."""
        ...


class DocumentsCodec(Protocol):
    """What a codec offers that writes a frame as several documents, each with an answer of its own."""

    end_id: int

    def prompts(self, given: Trajectory) -> list[np.ndarray]: ...
    def most_new_tokens(self, prompt: np.ndarray) -> int: ...
    def part_guide(self, prompts: Sequence[np.ndarray]) -> Guide: ...

    def join(self, given: Trajectory, answers: Sequence[np.ndarray]) -> np.ndarray:
        """The frame's answer from its documents', in the order of `prompts`."""
        ...
