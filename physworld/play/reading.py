"""What a model read and said in one frame, line by line, and how sure it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from physworld.lm.gpt import GPT
from physworld.lm.line_net import LineNet
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
    if not isinstance(model.network, GPT | LineNet) or not isinstance(model.codec, LinesCodec):
        return [[[word, None] for word in line.split()] for line in _text(model, answer).splitlines()]
    doubts = (
        _doubts(model.network, prompt, answer) if isinstance(model.network, GPT) else _of_lines(model, prompt, answer)
    )
    lines: list[list[list[Any]]] = []
    first, count = model.codec.vocabulary.names
    words = model.codec.tokenizer.convert_ids_to_tokens([int(token) for token in answer])
    for token, word, doubt in zip(answer, words, doubts, strict=True):
        if first <= token < first + count or not lines or token == model.codec.end_id:
            lines.append([])
        shown = model.codec.tokenizer.convert_ids_to_tokens(list(doubt)) if isinstance(doubt, tuple) else doubt
        lines[-1].append([word, shown])
    return lines


@torch.inference_mode()
def _doubts(network: GPT, prompt: np.ndarray, answer: np.ndarray) -> list[float | tuple[int, int]]:
    """Of each token of an answer: a word's doubt, or the ids of a number's 10 % and 90 % quantiles."""
    ids = torch.from_numpy(np.concatenate([prompt, answer]))[None].long()
    labels = torch.full_like(ids, IGNORE)
    labels[0, len(prompt) :] = ids[0, len(prompt) :]
    logits_MK, target_M, _ = network.scored(ids, labels)
    chance_MK = logits_MK.float().softmax(dim=-1)
    return [_doubt(network, chance, target) for chance, target in zip(chance_MK, target_M.tolist(), strict=True)]


@torch.inference_mode()
def _of_lines(model: Model, prompt: np.ndarray, answer: np.ndarray) -> list[float | tuple[int, int]]:
    """The same of a network that says all lines side by side; whose a line is, and where they end, is no guess."""
    assert isinstance(model.network, LineNet) and isinstance(model.codec, LinesCodec)
    network, (first, count) = model.network, model.codec.vocabulary.names
    ids = torch.from_numpy(prompt)[None].long()
    names = network.stated(ids).name.tolist()
    chance_NSK, index = network(ids).exp(), network.output_index()
    found: list[float | tuple[int, int]] = []
    line, slot = 0, 0
    for token in answer.tolist():
        if first <= token < first + count:
            line, slot = names.index(token), 0
            found.append(0.0)
        elif token == model.codec.end_id:
            found.append(0.0)
        else:
            found.append(_doubt(network, chance_NSK[line, slot], int(index[token])))
            slot += 1
    return found


def _doubt(network: GPT | LineNet, chance_K: torch.Tensor, target: int) -> float | tuple[int, int]:
    first = network.ordered_from
    numbers = chance_K[first:]
    if target < first or not len(numbers):
        return round(1 - float(chance_K[target]), 4)
    below = (numbers / numbers.sum()).cumsum(dim=0)
    low, high = (int((below < share).sum().clamp(max=len(numbers) - 1)) for share in (0.1, 0.9))
    return int(network.outputs[first + low]), int(network.outputs[first + high])
