"""What a model read and said in one frame, line by line, and how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from physworld.lm.gpt import GPT
from physworld.protocols import Guide, Noise
from physworld.science import Model
from physworld.text.codecs._lines_codec import LinesCodec

MOST_DOCUMENTS = 24  # shown of one frame
IGNORE = -100  # a label that is not scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """The documents of one frame: token ids."""

    prompts: list[np.ndarray]
    answers: list[np.ndarray]


class Recorder:
    """A Generator that keeps what it was asked and what it said."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.prompts: list[np.ndarray] = []
        self.answers: list[np.ndarray] = []

    @property
    def max_length(self) -> int | None:
        longest: int | None = self.network.max_length
        return longest

    def generate(
        self,
        prompts: list[np.ndarray],
        max_new_tokens: list[int],
        end_id: int,
        guide: Guide | None = None,
        *,
        noise: Noise | None = None,
        rows: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        answers: list[np.ndarray] = self.network.generate(prompts, max_new_tokens, end_id, guide, noise=noise)
        self.prompts += prompts
        self.answers += answers
        return answers


def shown(model: Model, said: Said) -> dict[str, Any]:
    """The documents as text, and the doubt of each word of an answer.

    Returns:
        documents: [{reads: lines, says: [[[word, doubt or None], ...] of each line]}]; more: documents that are left
        out. A word's doubt is the share of probability on anything else; a number's is [10 %, 90 %] of its
        distribution as text, in the unit that the text prints.
    """
    assert model.codec is not None
    documents = []
    for prompt, answer in list(zip(said.prompts, said.answers, strict=True))[:MOST_DOCUMENTS]:
        documents.append({"reads": _text(model, prompt).splitlines(), "says": _lines(model, prompt, answer)})
    return {"kind": "text", "documents": documents, "more": max(0, len(said.prompts) - MOST_DOCUMENTS)}


def _text(model: Model, ids: np.ndarray) -> str:
    assert model.codec is not None
    if isinstance(model.codec, LinesCodec):
        return model.codec.text(ids)
    return str(model.codec.tokenizer.decode(ids))


def _lines(model: Model, prompt: np.ndarray, answer: np.ndarray) -> list[list[list[Any]]]:
    """The words of each line of an answer with their doubts."""
    assert model.codec is not None
    if not isinstance(model.network, GPT) or not isinstance(model.codec, LinesCodec):
        return [[[word, None] for word in line.split()] for line in _text(model, answer).splitlines()]
    doubts = _doubts(model.network, prompt, answer)
    lines: list[list[list[Any]]] = []
    first, count = model.codec.vocabulary.names
    words = model.codec.tokenizer.convert_ids_to_tokens([int(token) for token in answer])
    for token, word, doubt in zip(answer, words, doubts, strict=True):
        if first <= token < first + count or not lines or token == model.codec.end_id:
            lines.append([])
        if isinstance(doubt, tuple):
            doubt = model.codec.tokenizer.convert_ids_to_tokens(list(doubt))
        lines[-1].append([word, doubt])
    return lines


@torch.inference_mode()
def _doubts(network: GPT, prompt: np.ndarray, answer: np.ndarray) -> list[float | tuple[int, int]]:
    """Of each token of an answer: a word's doubt, or the ids of a number's 10 % and 90 % quantiles."""
    ids = torch.from_numpy(np.concatenate([prompt, answer]))[None].long()
    labels = torch.full_like(ids, IGNORE)
    labels[0, len(prompt) :] = ids[0, len(prompt) :]
    logits_MK, target_M, _ = network.scored(ids, labels)
    chance_MK = logits_MK.float().softmax(dim=-1)
    found: list[float | tuple[int, int]] = []
    first = network.ordered_from
    for chance, target in zip(chance_MK, target_M.tolist(), strict=True):
        numbers = chance[first:]
        if target < first or not len(numbers):
            found.append(round(1 - float(chance[target]), 4))
            continue
        below = (numbers / numbers.sum()).cumsum(dim=0)
        low, high = (int((below < share).sum().clamp(max=len(numbers) - 1)) for share in (0.1, 0.9))
        found.append((int(network.outputs[first + low]), int(network.outputs[first + high])))
    return found
