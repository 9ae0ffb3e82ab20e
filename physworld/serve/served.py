"""What is served: a run of text physics, a run of spatial scenes, or weights of any causal language model.

Each makes ids of a prompt's text and text of an answer's ids exactly as its evaluation does in process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from physworld.errors import UserError
from physworld.lm.generator import CachedGenerator
from physworld.lm.guides import MatcherGuide
from physworld.lm.packed_lm import PackedLM
from physworld.protocols import Generator, Guide
from physworld.runs.checkpoints import load_model
from physworld.runs.directory import task_of
from physworld.serve.found import as_typed, find
from physworld.settings.checks import installed
from physworld.text.candidates import load_hf
from physworld.text.codecs._frame_guide import is_word_level
from physworld.text.codecs._text import TextCodec

ANY_LENGTH = 4096  # tokens of an answer to which the request sets no limit and the model knows none


class Refused(Exception):
    """A request that cannot be answered, and why, in one sentence."""

    def __init__(self, message: str, param: str | None = None, *, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.param, self.status, self.code = param, status, code


@dataclass(frozen=True)
class Grammar:
    """How an answer is to be kept within a form."""

    kind: str  # free, own (the run's), regex, lark, json
    value: Any = None  # the expression, the grammar, the schema; of own: the mode of a spatial run


FREE = Grammar("free")


@dataclass(frozen=True, eq=False)
class Prompt:
    ids: np.ndarray  # (L,) int64
    text: str
    brief: Any = None  # of a spatial run


class Served(Protocol):
    model: Generator
    end_id: int
    size: int  # width of the model's scores

    def prompt(self, text: str) -> Prompt:
        """Raises: Refused: the model cannot read it."""
        ...

    def of_ids(self, ids: np.ndarray) -> Prompt:
        """A prompt that came as ids."""
        ...

    def of_chat(self, messages: list[dict[str, str]]) -> Prompt:
        """The prompt of a conversation."""
        ...

    def guide(self, prompt: Prompt, grammar: Grammar) -> Guide | None:
        """Raises: Refused: there is no such grammar here."""
        ...

    def text(self, prompt: Prompt, ids: np.ndarray, *, whole: bool) -> str:
        """What an answer's ids spell, up to the end token; not `whole`: as far as later ids cannot change it."""
        ...


def load(what: str, base: str | None, device: torch.device) -> Served:
    """A run directory, or one of runs.NAMED; or a folder or repository of weights, merged or an adapter on its base.

    Raises:
        UserError: there is nothing of the kind, it is damaged, or it is a run of video.
    """
    run = find(what, base)
    if run is None:
        try:
            network, tokenizer = load_hf(what, base, device)
        except UserError as error:
            raise UserError(as_typed(str(error), what)) from None
        return Weights(network, tokenizer)
    network, codec, _ = load_model(run, device)
    return FrameRun(network, codec) if task_of(run) == "text" else SceneRun(network, codec)


def _size(network: Any, codec: Any) -> int:
    if isinstance(network, PackedLM):
        return max(int(network.inner.get_input_embeddings().num_embeddings), codec.vocabulary.size)
    return int(codec.vocabulary.size)


def last_words(messages: list[dict[str, str]]) -> str:
    """The one prompt of a conversation with a model that knows no roles.

    Raises:
        Refused: it is more than one user message.
    """
    if [message["role"] for message in messages] != ["user"]:
        other = next((f": it takes no {one['role']} message" for one in messages if one["role"] != "user"), "")
        why = f"This model was trained on prompts, not on conversations{other}"
        raise Refused(f"{why}; send one user message.", "messages")
    return messages[0]["content"]


def _cut(ids: np.ndarray, end_id: int) -> np.ndarray:
    ends = np.flatnonzero(ids == end_id)
    return ids[: ends[0]] if len(ends) else ids


class Matchers:
    """Grammars of anybody's making, for one tokenizer whose tokens spell text."""

    def __init__(self, tokenizer: Any, end_id: int) -> None:
        self._tokenizer, self._end = tokenizer, end_id

    @cached_property
    def _llguidance(self) -> Any:
        if is_word_level(self._tokenizer):
            from physworld.spatial.codecs.grammar import chunk_tokenizer

            vocabulary = sorted(self._tokenizer.get_vocab().items(), key=lambda item: item[1])
            texts = [text for text, _ in vocabulary]
            return chunk_tokenizer(self._tokenizer, texts, self._tokenizer.all_special_ids, self._end)
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, n_vocab=len(self._tokenizer), eos_token=self._end)

    def guide(self, grammar: Grammar) -> MatcherGuide:
        installed("pretrained", "llguidance", what="a grammar")
        from llguidance import LLMatcher

        makers: dict[str, Callable[[Any], Any]] = {
            "regex": LLMatcher.grammar_from_regex,
            "lark": LLMatcher.grammar_from_lark,
            "json": lambda schema: LLMatcher.grammar_from_json_schema(
                json.dumps(schema), overrides={"whitespace_flexible": False}
            ),
        }
        try:
            matcher = LLMatcher(self._llguidance, makers[grammar.kind](grammar.value), log_level=0)
            wrong = matcher.get_error() if matcher.is_error() else ""
        except (ValueError, TypeError) as error:
            wrong = str(error)
        if wrong:
            raise Refused(f"This {grammar.kind} is no grammar: {wrong.strip().splitlines()[0]}", "response_format")
        return MatcherGuide([matcher], len(self._tokenizer), self._end)


class FrameRun:
    """A run of text physics."""

    def __init__(self, network: Any, codec: Any) -> None:
        self.model: Generator = network
        self.codec, self.end_id, self.size = codec, int(codec.end_id), _size(network, codec)
        self._matchers = Matchers(codec.tokenizer, self.end_id)

    def prompt(self, text: str) -> Prompt:
        if isinstance(self.codec, TextCodec):
            return Prompt(self.codec.prompt_ids(text), text)
        ids = self.codec.read_ids(text)
        unknown = [word for word, token in zip(text.split(), ids, strict=False) if token == self.codec.vocabulary.pad]
        if unknown or not len(ids):
            what = f"the word {unknown[0]!r:.40} is" if unknown else "the prompt has"
            raise Refused(f"{what} no {self.codec.text_name} text; docs/explanation says what this text is.", "prompt")
        return self._whole(ids, text)

    def of_ids(self, ids: np.ndarray) -> Prompt:
        known = ids < self.codec.vocabulary.size
        if not isinstance(self.codec, TextCodec):  # whose tokenizer may begin a text with what also pads
            known &= ids != self.codec.vocabulary.pad
        if not known.all():
            raise Refused(f"The token {ids[~known][0]} is no {self.codec.text_name} text.", "prompt")
        text = self.codec.write_ids(ids)
        return Prompt(ids, text) if isinstance(self.codec, TextCodec) else self._whole(ids, text)

    def _whole(self, ids: np.ndarray, text: str) -> Prompt:
        """Raises: Refused: the words do not end with the one that asks for an answer, or are an answer already."""
        words, before = self.codec.vocabulary, ids[:-1]
        why = (
            "does not end with `next`" if ids[-1] != words.prompt_end
            else "has nothing before `next`" if not len(before)
            else "goes on after `next` or `end`" if np.isin(before, [words.prompt_end, words.end]).any() else ""
        )  # fmt: skip
        if why:
            raise Refused(f"The prompt is no {self.codec.text_name} text: it {why}.", "prompt")
        return Prompt(ids, text)

    def of_chat(self, messages: list[dict[str, str]]) -> Prompt:
        return self.prompt(last_words(messages))

    def guide(self, prompt: Prompt, grammar: Grammar) -> Guide | None:
        if grammar.kind == "free":
            return None
        spelled = isinstance(self.codec, TextCodec)
        if grammar.kind != "own":
            if not spelled:
                raise Refused(
                    f"{self.codec.text_name} text is words, not characters; its own grammar is "
                    'response_format={"type": "physworld"}.', "response_format",
                )  # fmt: skip
            return self._matchers.guide(grammar)
        if grammar.value is not None:
            raise Refused("mode is for spatial scenes; a text of physics has one grammar.", "response_format")
        if spelled:
            found: Guide | None = self.codec.guide_to(prompt.text)
        elif (documents := self.codec.documents()) is not None:
            found = documents.part_guide([prompt.ids])
        else:
            given = self.codec.read_prompt(prompt.text)
            found = None if given is None else self.codec.guide([given])
        if found is None:
            why = self.codec.why_no_prompt(prompt.text) if not spelled else "it has no frame"
            raise Refused(f"The prompt is no {self.codec.text_name} text: {why}.", "prompt")
        return found

    def text(self, prompt: Prompt, ids: np.ndarray, *, whole: bool) -> str:
        ids = _cut(ids, self.end_id)
        if isinstance(self.codec, TextCodec):
            text = str(
                self.codec.tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False)
            )
            return text if whole else text.rstrip("\ufffd")
        # The prompt's last word says that names begin lines from here on.
        mark = np.array([self.codec.vocabulary.prompt_end])
        return str(self.codec.text(np.append(mark, ids))[len(self.codec.text(mark)) + 1 :])


class SceneRun:
    """A run of spatial scenes: a payload as JSON in, a scene as JSON out."""

    def __init__(self, network: Any, codec: Any) -> None:
        self.model: Generator = network
        self.codec, self.end_id, self.size = codec, int(codec.end_id), _size(network, codec)
        self._matchers = Matchers(codec.tokenizer, self.end_id)

    def prompt(self, text: str) -> Prompt:
        from physworld.spatial.scene.brief import resolve
        from physworld.spatial.scene.reading import Invalid, read_payload

        _, _, payload = text.rpartition("INPUT:\n")  # of the published rows; else it is the payload alone
        try:
            brief = resolve(read_payload(payload))
        except Invalid as error:
            raise Refused(f"The prompt is no payload: {error}.", "prompt") from None
        return Prompt(self.codec.prompt(brief), text, brief)

    def of_ids(self, ids: np.ndarray) -> Prompt:
        raise Refused("A payload goes as text, not as tokens.", "prompt")

    def of_chat(self, messages: list[dict[str, str]]) -> Prompt:
        return self.prompt(last_words(messages))

    def guide(self, prompt: Prompt, grammar: Grammar) -> Guide | None:
        if grammar.kind == "free":
            return None
        if grammar.kind == "own":
            mode = grammar.value or "pinned"
            if mode not in ("schema", "pinned"):
                raise Refused(f"mode {mode!r} is unknown; choose schema or pinned.", "response_format")
            found: Guide | None = self.codec.guide([prompt.brief], mode)
            return found
        if is_word_level(self.codec.tokenizer):
            raise Refused(
                'This model names stems by numbers; its grammars are response_format={"type": "physworld", "mode": '
                '"pinned"} or "schema".', "response_format",
            )  # fmt: skip
        return self._matchers.guide(grammar)

    def text(self, prompt: Prompt, ids: np.ndarray, *, whole: bool) -> str:
        text = str(self.codec.text(_cut(ids, self.end_id)))
        if is_word_level(self.codec.tokenizer):  # names in the place of numbers
            # A token ends with its value, a pointer or a bracket; a pointer in single characters may still go on.
            text = self.codec.spell(text, prompt.brief)
            return text if whole else re.sub(r'"[@#]?[0-9]*$', "", text)
        return text if whole else text.rstrip("\ufffd")


class Weights:
    """A causal language model of transformers with its own tokenizer and chat template."""

    def __init__(self, network: Any, tokenizer: Any) -> None:
        """
        Raises:
            UserError: the tokenizer has no end token.
        """
        if tokenizer.eos_token_id is None:
            raise UserError(f"The tokenizer {tokenizer.name_or_path} has no end token.")
        self.tokenizer, self.end_id = tokenizer, int(tokenizer.eos_token_id)
        pad = tokenizer.pad_token_id
        self.model: Generator = CachedGenerator(network, pad_id=self.end_id if pad is None else pad)
        self.size = max(int(network.get_input_embeddings().num_embeddings), len(tokenizer))
        self._matchers = Matchers(tokenizer, self.end_id)

    def prompt(self, text: str) -> Prompt:
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]
        begin = self.tokenizer.bos_token_id
        return Prompt(np.array([*([] if begin is None else [begin]), *ids], np.int64), text)

    def of_ids(self, ids: np.ndarray) -> Prompt:
        return Prompt(ids, str(self.tokenizer.decode(ids.tolist())))

    def of_chat(self, messages: list[dict[str, str]]) -> Prompt:
        if not self.tokenizer.chat_template:
            return self.prompt(last_words(messages))
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except TemplateError as error:
            raise Refused(f"This model's template takes no such conversation ({error}).", "messages") from None
        ids = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return Prompt(np.array(ids, np.int64), text)

    def guide(self, prompt: Prompt, grammar: Grammar) -> Guide | None:
        if grammar.kind == "free":
            return None
        if grammar.kind == "own":
            raise Refused(
                "These weights have no grammar of their own; give a regex or a JSON schema.", "response_format"
            )
        return self._matchers.guide(grammar)

    def text(self, prompt: Prompt, ids: np.ndarray, *, whole: bool) -> str:
        ids = _cut(ids, self.end_id)
        text = str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False, clean_up_tokenization_spaces=False))
        return text if whole else text.rstrip("\ufffd")
