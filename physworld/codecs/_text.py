"""L2: what the `card` and `engine` formats share: prompt and target as tokens, body lines, counting of failures.

Prompt and target are tokenized separately and then joined, so the boundary between them is a token boundary with
any tokenizer: generation continues from exactly the ids that training saw. `labels` are -100 on the prompt; the
target's tokens and the end token are scored.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from physworld.codecs._frame_grammar import Piece
from physworld.codecs._frame_guide import Guides, TokenGuide, WordGuide
from physworld.codecs.vocabulary import Vocabulary
from physworld.types import Encoded, Sample, Scene, State, Trajectory

UNSCORED = -100
MOVING = 1.0  # px/s: a body moves when a velocity component is above this (the published engine's threshold)
EVENT = 10.0  # px/s: a velocity change beyond gravity above this in one frame is an event
LARGEST = 1e6  # px and px/s (and rad, rad/s): larger numbers in a predicted frame are out of range

NUMBER = r"(-?[0-9]{1,7}(?:\.[0-9]{1,12})?)"  # never inf or nan
_BODY_START = re.compile(r"\s*obj_")


def motion(velocity: np.ndarray) -> int:
    """Number of moving bodies; velocity (N, 2) px/s."""
    return int((np.abs(velocity) > MOVING).any(axis=1).sum())


def describe(velocity: np.ndarray) -> str:
    """The engine's sentence about one frame; velocity (N, 2) px/s."""
    moving, count = motion(velocity), len(velocity)
    if moving == 0:
        return "All objects are at rest."
    if moving == count:
        return "All objects are in motion."
    return f"{moving} of {count} objects are moving."


def printed(values: np.ndarray, decimals: int) -> np.ndarray:
    """`values` as a reader of "%.{decimals}f" gets them back (np.round differs in rare near-ties)."""
    text = f"%.{decimals}f " * values.size % tuple(values.ravel().tolist())
    return np.array(text.split(), dtype=np.float64).reshape(values.shape)


def one_line(text: str) -> str:
    """A description with its white space collapsed, so that it cannot open lines of its own."""
    return " ".join(text.split())


def read_bodies(text: str, line: re.Pattern[str], count: int) -> np.ndarray | None:
    """First frame's body lines as (count, K) numbers; absent optional groups become 0.

    Before the body lines at most one title line is allowed; what follows the first line that is no body line is
    ignored. None when a body is missing, named twice, unknown, malformed or out of range.
    """
    numbers = np.full((count, line.groups - 1), np.nan)
    titles, read = 0, 0
    for row in text.split("\n"):
        if _BODY_START.match(row) is None:
            if read:
                break
            titles += bool(row.strip())
            if titles > 1:
                return None
            continue
        found = line.fullmatch(row.rstrip())
        if found is None:
            return None
        index = int(found[1])
        if index >= count or not np.isnan(numbers[index, 0]):
            return None
        numbers[index] = [float(group) if group is not None else 0.0 for group in found.groups()[1:]]
        read += 1
    if read != count or np.abs(numbers).max(initial=0.0) > LARGEST:
        return None
    return numbers


def event_bodies(given: Trajectory, target: Trajectory) -> np.ndarray:
    """(N,) bool: the body's velocity changes by more than EVENT beyond gravity between given and target."""
    scene = given.scene
    change = target.velocity[0] - given.velocity[-1] - np.asarray(scene.gravity) * scene.dt
    return (np.abs(change) > EVENT).any(axis=1)


@lru_cache(maxsize=256)
def body_lines(count: int, line: str) -> str:
    """`count` copies of a body line's printf format, numbered; `line` has one {} for the index."""
    return "".join(line.format(index) for index in range(count))


class TextCodec(ABC):
    """A format of plain text, through its own tokenizer or any fast Hugging Face tokenizer with an end token."""

    target_frames = 1
    line: re.Pattern[str]  # of one body

    def __init__(
        self, *, context_frames: int, tokenizer: PreTrainedTokenizerBase, history_frames: int | None = None
    ) -> None:
        """history_frames: while rolling out, prompts grow up to so many frames; None = context_frames, a window that
        slides. A prompt that grows is not read again from its start by models that keep what they have read."""
        if history_frames is not None and history_frames < context_frames:
            raise ValueError(f"history_frames is {history_frames}, it must be at least context_frames={context_frames}")
        if context_frames < 1:
            raise ValueError(f"context_frames is {context_frames}, it must be at least 1")
        if not tokenizer.is_fast:
            raise ValueError(f"tokenizer {type(tokenizer).__name__} is not a fast one; choose its fast version")
        if tokenizer.eos_token_id is None:
            raise ValueError(f"tokenizer {type(tokenizer).__name__} has no end token; set its eos_token")
        self.context_frames = context_frames
        self.history_frames = context_frames if history_frames is None else history_frames
        self.tokenizer = tokenizer
        self.end_id: int = tokenizer.eos_token_id
        begin = tokenizer.bos_token_id
        self._begin: list[int] = [] if begin is None else [begin]
        size, pad = len(tokenizer), tokenizer.pad_token_id
        self.vocabulary = Vocabulary(
            num_words=size,
            values=np.zeros(0),
            records={},
            outputs=np.arange(size),
            ordered_from=size,
            pad=self.end_id if pad is None else pad,
        )
        self._guides = Guides(tokenizer, self.end_id)
        self._longest: dict[int, int] = {}  # bodies -> tokens of the longest frame

    @abstractmethod
    def write_prompt(self, given: Trajectory) -> str:
        """Header, the last `history_frames` given frames numbered from 1, and the cue for the next frame."""

    @abstractmethod
    def write_target(self, sample: Sample) -> str:
        """What follows the cue: the rest of the next frame."""

    @abstractmethod
    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from the text after the cue; None = unparsable, never an exception."""

    @abstractmethod
    def round_state(self, state: State, scene: Scene) -> State:
        """The state as a reader of this format's text has it."""

    def encode(self, sample: Sample) -> Encoded:
        if len(sample.target) < 1:
            raise ValueError("sample.target has no frame; the codec needs one")
        prompt = self.prompt(sample.given)
        text = self.write_target(sample)
        tokens = self._tokens(text, return_offsets_mapping=True)
        ids = np.concatenate([prompt, np.array([*tokens["input_ids"], self.end_id], dtype=np.int64)])
        labels = ids.copy()
        labels[: len(prompt)] = UNSCORED
        event = np.zeros(len(ids), dtype=bool)
        begins = np.array(tokens["offset_mapping"], dtype=np.int64).reshape(-1, 2)[:, 0]
        event[len(prompt) : -1] = self._event_tokens(sample, text, begins)
        return Encoded(seed=sample.seed, input_ids=ids, labels=labels, event=event)

    def prompt(self, given: Trajectory) -> np.ndarray:
        if len(given) < 1:
            raise ValueError("given has no frame; the codec needs at least one")
        ids = self._tokens(self.write_prompt(given))["input_ids"]
        return np.array([*self._begin, *ids], dtype=np.int64)

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        text = self.answer_text(output)
        return None if text is None else self.parse(text, given)

    def answer_text(self, output: np.ndarray) -> str | None:
        """What the ids before the end token spell; None when there are none, or some are no tokens."""
        ids = np.asarray(output).astype(np.int64).ravel()
        ends = np.flatnonzero(ids == self.end_id)
        ids = ids[: ends[0]] if len(ends) else ids
        if len(ids) == 0 or ids.min() < 0 or ids.max() >= len(self.tokenizer):
            return None
        # Special tokens stay in the text: one in the middle of a frame is a failure and must be seen as one.
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def inspect(self, output: np.ndarray, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """(bodies without a readable line, when `state` is None; readable but not written as this format has it)."""
        return self.inspect_text(self.answer_text(output) or "", given, state)

    def inspect_text(self, text: str, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """`inspect` for an answer that never was ids."""
        if state is None:
            count = len(given.scene.bodies)
            found = (self.line.fullmatch(row.rstrip()) for row in text.split("\n"))
            return count - len({int(match[1]) for match in found if match and int(match[1]) < count}), False
        answer = Sample(seed=0, given=given, target=Trajectory.of(given.scene, [state]))
        return 0, text != self.write_target(answer)

    def unwritable(self, scene: Scene) -> str:
        return ""  # what these formats lose, they lose silently, as published

    @abstractmethod
    def grammar(self, given: Trajectory) -> tuple[Piece, ...]:
        """The answers to this prompt that the format allows: every body of the scene, in order."""

    def guide(self, given: Sequence[Trajectory]) -> WordGuide | TokenGuide:
        return self._guides.guide([self.grammar(one) for one in given])

    def max_new_tokens(self, scene: Scene) -> int:
        """Tokens of the longest frame that `parse` accepts, with its end token; depends on the body count only."""
        count = len(scene.bodies)
        if count not in self._longest:
            worst = np.full((1, count, 2), 0.1 - LARGEST)
            extreme = Trajectory(scene=scene, position=worst, velocity=worst, angle=worst[..., 0], spin=worst[..., 0])
            text = self.write_target(Sample(seed=0, given=extreme, target=extreme))
            self._longest[count] = len(self._tokens(text)["input_ids"]) + 16  # 16: a longer title
        return self._longest[count]

    def _tokens(self, text: str, *, return_offsets_mapping: bool = False) -> Any:
        # split_special_tokens: a description that spells a special token stays plain text
        return self.tokenizer(
            text,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            return_offsets_mapping=return_offsets_mapping,
            split_special_tokens=True,
            verbose=False,
        )

    def _event_tokens(self, sample: Sample, text: str, begins: np.ndarray) -> np.ndarray:
        """(L,) bool from the tokens' first characters; a token across two lines counts for the first."""
        bodies = event_bodies(sample.given, sample.target)
        first = text.find("\n  obj_")
        if first < 0:  # a scene without bodies
            return np.zeros(len(begins), dtype=bool)
        breaks = np.flatnonzero(np.frombuffer(text[first:].encode("ascii", "replace"), dtype=np.uint8) == 10)
        body = np.searchsorted(breaks + first, begins, side="right") - 1  # -1: still in the title
        return np.concatenate([bodies, [False]])[body]
