"""Spatial scenes for a pretrained model: the published row text, cut by the model's own tokenizer.

Prompt and completion are tokenised apart and then joined, in training as in use, so no token reaches over the border
and what is masked is exactly what is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from physworld.errors import FormatError
from physworld.lm.guides import MatcherGuide
from physworld.spatial.codecs.grammar import scene_guide, scene_schema
from physworld.spatial.codecs.rows import INSTRUCTION, prompt_text
from physworld.spatial.scene.brief import Brief
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import Invalid, dumps, parse_json
from physworld.types import Encoded, Sample, Vocabulary

ALPHABET = '{"a_b":[1.5,-2]}'
TOKENS_PER_OBJECT = 320  # an object with three keyframes takes about 250 tokens of Qwen's tokenizer


class SceneTextCodec:
    """`{"prompt", "completion"}` text and back."""

    context_frames = target_frames = 1

    def __init__(self, *, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        """
        Args:
            tokenizer: of the pretrained model.
            max_length: most tokens of prompt and completion together; a longer sample is an error, never cut off.

        Raises:
            ValueError: the tokenizer has no end token.
        """
        self.tokenizer: Any = tokenizer
        self.max_length = max_length
        if self.tokenizer.eos_token_id is None:
            raise ValueError(f"the tokenizer {self.tokenizer.name_or_path} has no end token")
        self.end_id = int(self.tokenizer.eos_token_id)
        pad = self.tokenizer.pad_token_id
        self.pad_id = self.end_id if pad is None else int(pad)
        if pad is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.of_words(len(self.tokenizer), pad=self.pad_id, end=self.end_id)

    def loses(self) -> bool:
        """Whether the tokenizer cannot write this text: its tokens spell another one."""
        text = INSTRUCTION + ALPHABET
        back = self.tokenizer.decode(self._ids(text), clean_up_tokenization_spaces=False)
        return str(back).strip() != text.strip()

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode(self, sample: Sample) -> Encoded:
        """Only the completion and its end token are scored.

        Raises:
            FormatError: longer than max_length, so that part of the answer would not be learned.
        """
        prompt = self.prompt(sample.given)
        answer, _ = self.answer(sample.target, sample.given)
        ids = np.concatenate([prompt, answer])
        if len(ids) > self.max_length:
            raise FormatError(
                f"Sample {sample.seed} has {len(ids)} tokens, {len(prompt)} of them prompt; codec.max_length is "
                f"{self.max_length}."
            )
        labels = ids.copy()
        labels[: len(prompt)] = -100
        return Encoded(seed=sample.seed, input_ids=ids, labels=labels, event=np.zeros(len(ids), bool))

    def prompt(self, given: Brief) -> np.ndarray:
        return np.array(self._ids(prompt_text(given.payload) + "\n"), np.int64)

    def answer(self, scene: SpatialScene, given: Brief) -> tuple[np.ndarray, np.ndarray]:
        """(ids with the end token, which of them a rule decides: not known here)."""
        ids = np.array([*self._ids(dumps(scene)), self.end_id], np.int64)
        return ids, np.zeros(len(ids), bool)

    def text(self, output: np.ndarray) -> str:
        stop = np.flatnonzero((output == self.end_id) | (output == self.pad_id))
        return str(self.tokenizer.decode(output[: stop[0]] if len(stop) else output))

    def decode(self, output: np.ndarray, given: Brief) -> Any:
        """The parsed JSON, or None: no JSON."""
        return self.read(self.text(output), given)

    def read(self, text: str, given: Brief) -> Any:
        try:
            return parse_json(text.strip())
        except Invalid:
            return None

    def guide(self, given: Sequence[Brief], mode: str) -> MatcherGuide | None:
        """The grammar of these answers; None for raw, where any token may follow any other."""
        if mode == "raw":
            return None
        return scene_guide(self._guided, [scene_schema(brief, mode) for brief in given], self.end_id)

    @cached_property
    def _guided(self) -> Any:
        import llguidance.hf

        return llguidance.hf.from_tokenizer(self.tokenizer, eos_token=self.end_id)

    def max_new_tokens(self, given: Brief) -> int:
        return 120 + TOKENS_PER_OBJECT * len(given.objects) + 24 * len(given.payload.rules)
