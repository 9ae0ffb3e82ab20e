"""VLLM behind a pipe: a script of its own, which needs vLLM and nothing of physworld (see vllm_generator).

vLLM 0.33 wants older transformers and llguidance than physworld does, and a torch of its own, so it runs in the Python
of its own environment. One JSON object a line: settings of the engine first, then requests, each answered by a line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def load(settings: dict[str, Any]) -> tuple[Any, Any]:
    """(engine, adapter)."""
    from vllm import LLM
    from vllm.lora.request import LoRARequest

    adapter = settings.pop("adapter")
    engine = LLM(**settings, trust_remote_code=False, load_format="safetensors", generation_config="vllm", seed=0)
    return engine, None if adapter is None else LoRARequest("adapter", 1, adapter)


def answer(engine: Any, adapter: Any, request: dict[str, Any]) -> list[list[int]]:
    """Token ids up to and including `end`, for each of `prompts`; `expressions` are regular ones or null."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    end = request["end"]
    asked = [
        SamplingParams(
            temperature=0.0, max_tokens=limit, stop_token_ids=[end], detokenize=False,
            repetition_penalty=request["repetition_penalty"],
            structured_outputs=None if expression is None else StructuredOutputsParams(regex=expression),
        )
        for limit, expression in zip(request["limits"], request["expressions"], strict=True)
    ]  # fmt: skip
    prompts = [{"prompt_token_ids": prompt} for prompt in request["prompts"]]
    outputs = engine.generate(prompts, asked, lora_request=adapter, use_tqdm=False)
    return [ended(out.outputs[0].token_ids, out.outputs[0].finish_reason, end) for out in outputs]


def ended(tokens: Any, reason: str | None, end: int) -> list[int]:
    """An answer with its end token, whether or not that was given along."""
    output = list(tokens)
    return [*output, end] if reason == "stop" and output[-1:] != [end] else output


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever vLLM prints goes elsewhere

    def reply(**content: Any) -> None:
        print(json.dumps(content), file=replies, flush=True)

    try:
        engine, adapter = load(json.loads(sys.stdin.readline()))
        reply(ready=True)
        for line in sys.stdin:
            reply(answers=answer(engine, adapter, json.loads(line)))
    except ModuleNotFoundError as error:
        reply(missing=error.name)
    except Exception as error:  # of many kinds, from processes of its own too
        reply(error=(str(error).strip().splitlines() or [type(error).__name__])[-1][:200])


if __name__ == "__main__":
    main()
