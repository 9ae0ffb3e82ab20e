"""What `impulse` and `plain` text have in common: lines of words and numbers, one answer a body, then `end`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from physworld.lm.tokenizers import word_level_tokenizer
from physworld.text.codecs._impulse_guide import answer_masks
from physworld.text.codecs._impulse_reader import PromptReader
from physworld.text.codecs._impulse_words import COAST, END, NEXT, PAD, REST
from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._scene_lines import as_lines, scene_lines
from physworld.text.codecs.frame_codec import DocumentsCodec
from physworld.text.codecs.numbers import number_indices, number_texts, number_values
from physworld.types import Encoded, Scene, State, Trajectory, Vocabulary


class LinesCodec(PromptReader):
    """A subclass says which words there are, what a frame's prompt is, and what an answer does to the bodies.

    The words of every such text begin with those of `_impulse_words`, from `pad` to `fixed`.
    """

    context_frames = 1
    fewest_frames = 1
    target_frames = 1
    history_frames = 1
    reads_prompts = True
    end_id = END
    text_name: str
    word: Mapping[str, int]  # ids of the words; numbers come after them
    first_body: int  # id of the first body's name
    most_bodies: int  # how many names there are
    said: int  # numbers of an answer's line

    def __init__(self, grid: np.ndarray, *, shuffle_names: bool, **more: Any) -> None:
        """
        Args:
            grid: places, among all numbers, of those that a model may say, in ascending order of the numbers.
            shuffle_names: while encoding training samples, names start at a random `oK` so that all are learned.
            more: what the vocabulary says besides.

        Raises:
            ValueError: `shuffle_names` is neither true nor false.
        """
        if not isinstance(shuffle_names, bool):
            raise ValueError(f"shuffle_names={shuffle_names} must be true or false")
        self.shuffle_names = shuffle_names
        self.number_base = len(self.word)
        names = np.arange(self.first_body, self.first_body + self.most_bodies)
        self.vocabulary = Vocabulary(
            num_words=self.number_base,
            values=number_values(),
            records={self.word[w]: n for w, n in self.records.items()},
            outputs=np.concatenate([[END, COAST, REST], names, self.number_base + grid]),
            ordered_from=3 + self.most_bodies,
            pad=PAD,
            end=END,
            prompt_end=NEXT,
            names=(self.first_body, self.most_bodies),
            **more,
        )

    @cached_property
    def tokenizer(self) -> Any:
        """A PreTrainedTokenizerFast, made when it is asked for: rollouts need none, and transformers loads slowly."""
        return word_level_tokenizer([*self.word, *number_texts()], pad="pad", end="end", unknown="pad")

    # --- writing

    def unwritable(self, scene: Scene) -> str:
        """Why this text cannot hold the scene, as a sentence; else ''."""
        missing = self._lacks(scene)
        if missing:
            return missing
        try:
            self._scene_lines(scene)
        except ValueError as error:  # a number that it cannot print
            return str(error)
        return ""

    def _lacks(self, scene: Scene) -> str:
        if len(scene.bodies) > self.most_bodies:
            return f"{self.text_name} text names at most {self.most_bodies} bodies"
        return refusal(scene, self.text_name)

    def _refuse(self, scene: Scene) -> None:
        """Raises: ValueError: the text has no words for the scene."""
        missing = self._lacks(scene)
        if missing:
            many = len(scene.bodies) > self.most_bodies
            raise ValueError(f"{missing}, and scene {scene.name!r} has {len(scene.bodies)}" if many else missing)

    def _first_name(self, scene: Scene) -> int:
        """Id of the first body's name where a whole frame is written."""
        return self.first_body

    def _scene_lines(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """See `scene_lines`."""
        return scene_lines(scene, self.word, self.number_base, self._first_name(scene), self.text_name)

    def _encoded(self, seed: int, scene: Scene, prompt: np.ndarray, answer: np.ndarray, event: np.ndarray) -> Encoded:
        """A training sample: the answer is scored, and names may be moved on."""
        full = np.concatenate([prompt, answer])
        if self.shuffle_names:
            names = (full >= self.first_body) & (full < self.first_body + self.most_bodies)
            full[names] += self._shift(seed, scene)
        labels = np.full(len(full), -100, np.int64)
        labels[len(prompt) :] = full[len(prompt) :]
        events = np.zeros(len(full), bool)
        events[len(prompt) :] = event
        return Encoded(seed=seed, input_ids=full, labels=labels, event=events)

    def _shift(self, seed: Any, scene: Scene) -> Any:
        """How far the names of training samples are moved on, for one seed or an array of them."""
        room = self.most_bodies - len(scene.bodies)
        return seed * 7919 % (room + 1) if self.shuffle_names and room > 0 else seed * 0

    # --- reading

    def _read_answer(self, ids: np.ndarray, listed: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(numbers (M, said), rest (M,) bool), or None unless `ids` is exactly one line per listed body.

        Args:
            listed: (M,) bodies, in the order of their lines.
            first: id of the first body's name.
        """
        numbers, rest = np.zeros((len(listed), self.said)), np.zeros(len(listed), bool)
        values, base = self.vocabulary.values, self.number_base
        at = 0
        for row, body in enumerate(listed):
            if at + 1 >= len(ids) or ids[at] != first + body:
                return None
            if ids[at + 1] in (COAST, REST):
                rest[row] = ids[at + 1] == REST
                at += 2
                continue
            tokens = ids[at + 1 : at + 1 + self.said]
            if len(tokens) < self.said or tokens.min() < base or tokens.max() >= base + len(values):
                return None
            numbers[row] = values[tokens - base]
            at += 1 + self.said
        tail = ids[at:]
        if len(tail) and not (tail[0] == END and np.all((tail[1:] == END) | (tail[1:] == PAD))):
            return None
        return numbers, rest

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        """Next state from answer ids; None: they are no answer."""
        raise NotImplementedError

    def inspect(self, output: np.ndarray, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """Not counted: (0, False)."""
        return 0, False

    def inspect_text(self, text: str, given: Trajectory, state: State | None) -> tuple[int, bool]:
        return 0, False

    def documents(self) -> DocumentsCodec | None:
        """None: a frame is one document."""
        return None

    def max_new_tokens(self, scene: Scene) -> int:
        return (1 + self.said) * len(scene.bodies) + 1

    @cached_property
    def _masks(self) -> np.ndarray:
        return answer_masks(self.vocabulary.size, self.number_base, self.first_body, self.most_bodies)

    def round_state(self, state: State, scene: Scene) -> State:
        """The state as `ball` and `box` lines print it."""

        def nearest(exact: np.ndarray) -> np.ndarray:
            return self.vocabulary.values[number_indices(exact.ravel())].reshape(exact.shape)

        return State(
            position=nearest(state.position),
            velocity=nearest(state.velocity),
            angle=nearest(state.angle),
            spin=nearest(state.spin),
        )

    def prompt(self, given: Trajectory) -> np.ndarray:
        """Ids of the last given frame's text."""
        raise NotImplementedError

    def write_prompt(self, given: Trajectory) -> str:
        return self.text(self.prompt(given))

    def text(self, ids: np.ndarray) -> str:
        """Ids as lines."""
        tokens = [int(i) for i in ids]
        words: Any = self.tokenizer.convert_ids_to_tokens(tokens)
        starts = {NEXT, END, *(self.word[w] for w in self.records)}
        return as_lines(tokens, words, starts, range(self.first_body, self.first_body + self.most_bodies), NEXT)

    def write_ids(self, ids: np.ndarray) -> str:
        return self.text(ids)

    def read_ids(self, text: str) -> np.ndarray:
        """The ids of a text; unknown words are `pad`."""
        return np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64)

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from answer text."""
        return self.decode(self.read_ids(text), given)
