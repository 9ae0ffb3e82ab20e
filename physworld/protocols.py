"""What the parts of a language model ask of each other: codec, network, generator and guide.

This is the one place for these Protocols. A class that offers the methods is one, without inheriting from it. A system
adds what only its own codecs offer: `text.codecs.frame_codec.FrameCodec`, `spatial.codecs.scene_codec.SceneCodec`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from physworld.types import Encoded, Sample, Vocabulary

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

Noise = Callable[[tuple[int, int]], Any]  # (rows, tokens) -> array or tensor of that shape, which scores are added to


class Codec(Protocol):
    """Writes samples as tokens and reads tokens back; the only place that knows its format."""

    tokenizer: Any  # transformers.PreTrainedTokenizerFast
    end_id: int  # generation stops after this token

    @property
    def vocabulary(self) -> Vocabulary: ...

    def encode(self, sample: Sample) -> Encoded: ...


class Guide(Protocol):
    """The grammar of B answers, which it follows as they grow.

    `rows` are numbers of answers, 0..B-1: those that have ended need not be asked about again.
    """

    @property
    def expressions(self) -> Sequence[str] | None:
        """The grammars as regular expressions, where they can be told as such."""
        ...

    def forced(self, rows: Sequence[int]) -> list[list[int]]:
        """Tokens that each of these answers goes on with in any case (often none); they count as said.

        Asking only saves passes of the network: `allowed` leaves no other choice either.
        """
        ...

    def allowed(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(masks (C, V) bool of tokens, which of them says what may come next in each of these answers (b,) int64).

        Only the end token may come where an answer is complete. A guide whose masks are known beforehand returns the
        same array each time, so that a copy of it may be kept.
        """
        ...

    def advance(self, rows: Sequence[int], tokens: Sequence[int]) -> None:
        """Each of these answers goes on with its token."""
        ...


class Generator(Protocol):
    """Says answers: the most likely ones, or as near to it as the model knows (`GPT.pick`)."""

    @property
    def max_length(self) -> int | None:
        """Tokens of prompt and answer together; None = any number."""
        ...

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
        """Answers without the prompt, up to and including `end_id`.

        Args:
            guide: keeps answers within a grammar.
            noise: is added to the scores of each step, which makes answers draws.
            rows: whose prompts these are, of a caller that comes again with longer ones of the same rows: what has been
                read of a row may then be kept. None = it does not.
        """
        ...


class Network(Generator, Protocol):
    """A torch module that is trained, answers, and lies in a run's folder."""

    pad: int  # id of the padding token

    def scored(self, ids_BL: Tensor, labels_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits (M, K), target (M,) among them, flat place in (B, L)) of every scored label."""
        ...

    def flops(self, tokens: int, attended: int, scored: int) -> float | None:
        """Operations of training on so many tokens, pairs of them and labels; None = not counted."""
        ...

    def save_run(self, run: Path, tokenizer: Any, end_id: int) -> None:
        """model/ in the run's folder, and what else belongs to it, so that others load it in a line."""
        ...

    # of torch.nn.Module
    def parameters(self, recurse: bool = True) -> Iterator[Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def eval(self) -> Network: ...
