"""A causal language model behind vLLM: the same answers as CachedGenerator's, up to rounding.

vLLM (https://docs.vllm.ai) batches whatever rows go on, keeps what has been read by prefix, and puts PEFT adapters
beside their base. It runs in a process of its own (see vllm_worker), which ends with this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.lm import vllm_worker
from physworld.protocols import Guide, Noise

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for


class VllmError(UserError):
    """vLLM is not there, or cannot go on."""


class VllmLM:
    """Generates greedily; vLLM finds by itself what it has read before."""

    def __init__(
        self,
        folder: Path,
        *,
        adapter: Path | None,
        rank: int = 0,
        max_length: int = 8192,
        repetition_penalty: float = 1.0,
        reuse_cache: bool = True,
        python: str | None = None,
    ) -> None:
        """
        Args:
            folder: whole weights, as safetensors.
            adapter: a PEFT adapter on them, of rank `rank`.
            max_length, repetition_penalty, reuse_cache: as of CachedGenerator.
            python: of the environment that vLLM is installed in; None = this one.

        Raises:
            VllmError: it is not, or it cannot load these weights.
        """
        self.max_length, self.repetition_penalty = max_length, repetition_penalty
        self.python = python or sys.executable
        settings: dict[str, Any] = {
            "model": str(folder),
            "adapter": None if adapter is None else str(adapter),
            "dtype": "auto",
            "max_model_len": max_length,
            "enable_prefix_caching": reuse_cache,
            "structured_outputs_config": {"backend": "guidance"},
        }
        if adapter is not None:
            settings |= {"enable_lora": True, "max_lora_rank": room_for(rank)}
        try:
            self._process = subprocess.Popen(
                [self.python, vllm_worker.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # its neighbours are no modules of its environment
            )  # fmt: skip
        except OSError as error:
            raise VllmError(f"engine_python={self.python} cannot be run ({error.strerror}).") from None
        self._ask(settings)

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

        Raises:
            VllmError: answers are to be drawn, or their grammar is no regular expression.
        """
        if noise is not None:
            raise VllmError("vLLM gives the likeliest answers only.")
        expressions: Sequence[str | None] | None = [None] * len(prompts) if guide is None else guide.expressions
        if expressions is None:
            raise VllmError("vLLM keeps answers within regular expressions, and this grammar is none.")
        answers = self._ask(
            {
                "prompts": [prompt.tolist() for prompt in prompts],
                "limits": list(map(int, max_new_tokens)),
                "end": int(end_id),
                "expressions": list(expressions),
                "repetition_penalty": self.repetition_penalty,
            }
        )["answers"]
        return [np.array(answer, dtype=np.int64) for answer in answers]

    def _ask(self, content: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            print(json.dumps(content), file=self._process.stdin, flush=True)
            reply = json.loads(self._process.stdout.readline() or "{}")
        except (BrokenPipeError, ValueError):
            reply = {}
        if "missing" in reply:
            raise VllmError(
                f"engine=vllm needs vLLM, and {self.python} has no {reply['missing']}; install vLLM in an environment "
                f"of its own and give engine_python=ITS/bin/python, or leave engine out."
            )
        if "error" in reply or not reply:
            raise VllmError(f"vLLM stopped ({reply.get('error', 'without a word')}).")
        return reply


def room_for(rank: int) -> int:
    """The least rank that vLLM knows and an adapter of `rank` fits in.

    Raises:
        VllmError: there is none.
    """
    fitting = [known for known in RANKS if known >= rank]
    if not fitting:
        raise VllmError(f"vLLM takes adapters up to rank {RANKS[-1]}, not {rank}.")
    return fitting[0]
