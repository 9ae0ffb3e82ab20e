"""What the `card` and `engine` formats share: prompt and target as tokens, body lines, counting of failures.

With the format's own tokenizer, ids are written as they are; with any other one, text is written and tokenized.
Prompt and target are tokenized separately and then joined, so the boundary between them is a token boundary with
any tokenizer: generation continues from exactly the ids that training saw. `labels` are -100 on the prompt; the
target's tokens and the end token are scored.
"""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from physworld.lm.guides import MatcherGuide
from physworld.lm.tokenizers import WordCutter, word_tokenizer
from physworld.sim.fields import gravity
from physworld.text.codecs._frame_grammar import Piece
from physworld.text.codecs._frame_guide import Guides, WordGuide
from physworld.text.codecs._number_tokens import extended, nearest, number_ids, round_numbers, values_of_numbers
from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._text_writer import Layout, Page, TextWriter, utf8
from physworld.text.codecs.frame_codec import DocumentsCodec
from physworld.types import Encoded, Sample, Scene, State, TokenFamily, Trajectory, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNSCORED = -100
MOVING = 1.0  # px/s: a body moves when a velocity component is above this (the published engine's threshold)
EVENT = 10.0  # px/s: a velocity change beyond gravity above this in one frame is an event
LARGEST = 1e6  # px and px/s (and rad, rad/s): larger numbers in a predicted frame are out of range
AT_REST, IN_MOTION, SOME_MOVE = "All objects are at rest.", "All objects are in motion.", " objects are moving."

NUMBER = r"(-?[0-9]{1,7}(?:\.[0-9]{1,12})?)"  # never inf or nan
# Words that one token each is worth where numbers are single tokens too: what begins the line of a body, for one.
GLUE = (*(f"\n  obj_{index}: pos=(" for index in range(128)), "\n  obj_", ": ", ")")
_BODY_START = re.compile(r"\s*obj_")
_TITLE = re.compile(r"Frame ([0-9]{1,6}):")


def describe(velocity: np.ndarray) -> str:
    """The engine's sentence about one frame; velocity (N, 2) px/s."""
    moving, count = int((np.abs(velocity) > MOVING).any(axis=1).sum()), len(velocity)
    if moving == 0:
        return AT_REST
    if moving == count:
        return IN_MOTION
    return f"{moving} of {count}{SOME_MOVE}"


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


def event_bodies(run: Trajectory) -> np.ndarray:
    """(T - 1, N) bool: the body's velocity changes by more than EVENT beyond gravity from frame t to t + 1."""
    given = gravity(run.scene) * run.scene.dt
    large = np.abs(run.velocity[1:] - run.velocity[:-1] - given) > EVENT
    return large[..., 0] | large[..., 1]


class TextCodec(ABC):
    """A format of plain text, through its own tokenizer or any fast Hugging Face tokenizer with an end token."""

    target_frames = 1
    reads_prompts = False  # these texts lack part of the scene
    text_name: str
    line: re.Pattern[str]  # of one body

    def __init__(
        self,
        layout: Layout,
        words: Iterable[str],
        *,
        context_frames: int,
        tokenizer: PreTrainedTokenizerBase | None,
        history_frames: int | None = None,
        by_value: bool = False,
    ) -> None:
        """
        Args:
            words: of the format's own tokenizer, which is taken when `tokenizer` is None.
            history_frames: while rolling out, prompts grow up to so many frames; None = context_frames, a window that
                slides. A prompt that grows is not read again from its start by models that keep what they have read.
            by_value: give `tokenizer` a token for each number (see `_number_tokens`); one that has them is used so in
                any case.
        """
        if history_frames is not None and history_frames < context_frames:
            raise ValueError(f"history_frames is {history_frames}, it must be at least context_frames={context_frames}")
        self._words = words = tuple(words)
        self._text = self._writer = TextWriter(layout, utf8, MOVING)
        self._direct = tokenizer is None  # ids are written as they are
        if tokenizer is None:
            tokenizer, self._writer = word_tokenizer(words), TextWriter(layout, WordCutter(words), MOVING)
        if context_frames < 1:
            raise ValueError(f"context_frames is {context_frames}, it must be at least 1")
        if not tokenizer.is_fast:
            raise ValueError(f"tokenizer {type(tokenizer).__name__} is not a fast one; choose its fast version")
        if tokenizer.eos_token_id is None:
            raise ValueError(f"tokenizer {type(tokenizer).__name__} has no end token; set its eos_token")
        new: dict[str, Any] = {}  # to the weights
        if by_value and self._direct:
            raise ValueError("numbers by value are for the tokenizer of pretrained weights, and none is given")
        if by_value:
            digits = tuple(int(tokenizer(d, add_special_tokens=False)["input_ids"][-1]) for d in "0123456789")
            tokenizer, spelled = extended(tokenizer, (*words, *GLUE))
            new = {"spelled": spelled, "digits": digits}
        ids = number_ids(tokenizer)
        if ids is not None:
            new["numbers"] = TokenFamily(ids=ids, values=values_of_numbers())
        self.context_frames = self.fewest_frames = context_frames
        self.history_frames = context_frames if history_frames is None else history_frames
        self.tokenizer = tokenizer
        self.end_id: int = tokenizer.eos_token_id
        begin = tokenizer.bos_token_id
        self._begin = np.array([] if begin is None else [begin], dtype=np.int64)
        size, pad = len(tokenizer), tokenizer.pad_token_id
        self.vocabulary = Vocabulary.of_words(size, pad=self.end_id if pad is None else pad, end=self.end_id, **new)
        self.by_value = ids is not None
        self._guides = Guides(tokenizer, self.end_id, numbers=ids)
        self._longest: dict[int, int] = {}  # bodies -> tokens of the longest frame

    def loses(self) -> bool:
        """Whether the tokenizer, one from elsewhere, cannot write this format: its tokens spell another text."""
        text = "".join(self._words) + "0123456789.-\n"
        ids = self._tokens(text)["input_ids"]
        back = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(back).strip() != text.strip()  # at its ends a tokenizer may mark words with a space

    def showing(self, solved: Sequence[Sample]) -> Self:
        """The same codec, with these problems and their answers before every prompt: few-shot, for models that were
        never trained on the format."""
        other = copy.copy(self)
        between = np.array(self._tokens("\n\n")["input_ids"], dtype=np.int64)
        for sample in solved:
            answer = np.array(self._tokens(self.write_target(sample))["input_ids"], dtype=np.int64)
            prompt = self.prompt(sample.given)[len(self._begin) :]
            other._begin = np.concatenate([other._begin, prompt, answer, between])
        return other

    @abstractmethod
    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from the text after the cue; None = unparsable, never an exception."""

    @abstractmethod
    def round_state(self, state: State, scene: Scene) -> State:
        """The state as a reader of this format's text has it."""

    def write_prompt(self, given: Trajectory) -> str:
        """Header, the last `history_frames` given frames numbered from 1, and the cue for the next frame."""
        given = self._last(given)
        return self._spelled(self._text.prompt(self._text.write(given), 0, len(given)))

    def write_target(self, sample: Sample) -> str:
        """What follows the cue: the rest of the next frame."""
        page = self._text.write(sample.target.window(0, 1))
        return self._spelled(self._text.answer(page, 0, len(self._last(sample.given)) + 1)[0])

    def prompt(self, given: Trajectory) -> np.ndarray:
        given = self._last(given)
        return self._prompt(self._writer.write(given), 0, len(given))

    def encode(self, sample: Sample) -> Encoded:
        if len(sample.target) < 1:
            raise ValueError("sample.target has no frame; the codec needs one")
        given = self._last(sample.given)
        run = given.then(sample.target.window(0, 1))
        return self.item(self._writer.write(run), len(given), len(given), event_bodies(run)[-1], seed=sample.seed)

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """Every frame that has `context_frames` frames before it, as the answer to these.

        Item t equals `encode` of (frames t .. t + context_frames - 1 -> frame t + context_frames), seed + t. The
        frames are written here, once and in one compiled call; items are put together when they are asked for.
        """
        return TextFrames(self, self._writer.write(run), event_bodies(run), seed)

    def item(self, page: Page, t: int, given: int, events: np.ndarray, *, seed: int) -> Encoded:
        """Frame t of a page as the answer to the `given` frames before it; events (N,) as event_bodies says."""
        prompt = self._prompt(page, t - given, t)
        answer, bounds = self._writer.answer(page, t, given + 1)
        begins = np.arange(len(answer))  # of the answer's tokens
        if not self._direct:
            lines = [self._spelled(answer[a:b]) for a, b in pairwise([0, *bounds, len(answer)])]
            bounds = np.cumsum([len(line) for line in lines])[:-1]
            tokens = self._tokens("".join(lines), return_offsets_mapping=True)
            answer = np.array(tokens["input_ids"], dtype=np.int64)
            begins = np.array(tokens["offset_mapping"], dtype=np.int64).reshape(-1, 2)[:, 0]
        ids = np.concatenate([prompt, answer, [self.end_id]])
        labels, event = np.full(len(ids), UNSCORED), np.zeros(len(ids), dtype=bool)
        labels[len(prompt) :] = ids[len(prompt) :]
        # A token across two lines counts for the first; -1, the title's, finds the False at the end.
        body = np.searchsorted(bounds[:-1], begins, side="right") - 1
        event[len(prompt) : -1] = np.append(events, False)[body]
        return Encoded(seed=seed, input_ids=ids, labels=labels, event=event)

    def _prompt(self, page: Page, first: int, stop: int) -> np.ndarray:
        codes = self._writer.prompt(page, first, stop)
        ids = codes if self._direct else np.array(self._tokens(self._spelled(codes))["input_ids"], dtype=np.int64)
        return np.concatenate([self._begin, ids])

    def _spelled(self, codes: np.ndarray) -> str:
        """Text as this tokenizer has it, from its bytes."""
        return self._as_said(codes.tobytes().decode())

    def _as_said(self, text: str) -> str:
        return round_numbers(text) if self.by_value else text

    def printed(self, values: np.ndarray) -> np.ndarray:
        """`values` as a reader of this text gets them back."""
        found = printed(values, self._text.layout.decimals)
        return nearest(found) if self.by_value else found

    def prompt_ids(self, text: str) -> np.ndarray:
        """(L,) int64 ids of a prompt's text: those of `prompt`, where nothing is shown before it."""
        return np.concatenate([self._begin, self.read_ids(text)])

    def _last(self, given: Trajectory) -> Trajectory:
        if len(given) < 1:
            raise ValueError("given has no frame; the codec needs at least one")
        return given.window(max(len(given) - self.history_frames, 0), len(given))

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

    def write_ids(self, ids: np.ndarray) -> str:
        """The text of a prompt's ids; the begin token has none."""
        text = self.tokenizer.decode(ids.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def read_ids(self, text: str) -> np.ndarray:
        """The ids of a text, without begin and end."""
        return np.array(self._tokens(self._as_said(text))["input_ids"], dtype=np.int64)

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

    def read_prompt(self, text: str) -> Trajectory | None:
        return None

    def why_no_prompt(self, text: str) -> str:
        return "its text lacks part of the scene"

    def documents(self) -> DocumentsCodec | None:
        """None: a frame is one document."""
        return None

    def unwritable(self, scene: Scene) -> str:
        """Why this text cannot hold the scene, as a sentence; else ''. What is published as lost is lost silently."""
        return refusal(scene, self._text.layout.name)

    def grammar(self, given: Trajectory) -> tuple[Piece, ...]:
        """The answers to this prompt that the format allows: every body of the scene, in order."""
        return self.frame_grammar(len(given.scene.bodies), min(len(given), self.history_frames) + 1)

    @abstractmethod
    def frame_grammar(self, bodies: int, number: int) -> tuple[Piece, ...]:
        """The answers that are the frame of this number, with so many bodies."""

    def guide_to(self, prompt: str) -> WordGuide | MatcherGuide | None:
        """The grammar of the answer to a prompt's text; None: the text has no frame, so it is no prompt."""
        rows = prompt.split("\n")
        bodies = [self.line.fullmatch(row.rstrip()) is not None for row in rows]
        last = max((at for at, row in enumerate(rows[:-1]) if _TITLE.match(row) and bodies[at + 1]), default=None)
        if last is None:
            return None
        count = bodies[last + 1 :].index(False) if False in bodies[last + 1 :] else len(rows) - last - 1
        number = _TITLE.match(rows[last])
        assert number is not None
        return self._guides.guide([self.frame_grammar(count, int(number[1]) + 1)])

    def guide(self, given: Sequence[Trajectory]) -> WordGuide | MatcherGuide:
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


class TextFrames(Sequence[Encoded]):
    """A trajectory as tokens; see TextCodec.encode_frames."""

    def __init__(self, codec: TextCodec, page: Page, events: np.ndarray, seed: int) -> None:
        self.codec, self.page, self.events, self.seed = codec, page, events, seed

    def __len__(self) -> int:
        return max(len(self.page.lines) - self.codec.context_frames, 0)

    def __getitem__(self, t: int) -> Encoded:  # type: ignore[override]
        t, given = range(len(self))[t], self.codec.context_frames
        return self.codec.item(self.page, t + given, given, self.events[t + given - 1], seed=self.seed + t)
