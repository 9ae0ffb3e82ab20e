"""What keeping answers within the frame grammar costs, and what it is worth: `python benchmarks/constrained.py`

For `card` and `engine` text, with our word tokenizer (a direct mask) and with a byte-level BPE tokenizer trained here
(masks from llguidance): milliseconds to make a scene's grammar ready, microseconds per token and row of mask and
advance, and the share of single frames that can be read with and without it. The network is untrained, so the last
figure is what the grammar alone does: it says nothing about physics.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from physworld import scenarios
from physworld.lm.generator import CachedGenerator
from physworld.lm.guides import guide_mask
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import Sample, Trajectory

RESULTS = Path(__file__).parent / "results"
TYPES = ("billiards", "pendulum", "tower", "projectile", "head_on", "dominos", "bowling", "pong")


def cases(codec: Any) -> list[Sample]:
    """Two scenes of each type."""
    found = []
    for k, name in enumerate(TYPES * 2):
        run = simulate(scenarios.build(name, generator(0, "test", k), 1), codec.context_frames + 31)
        last = 30 + codec.context_frames
        found.append(Sample(seed=k, given=run.window(30, last), target=run.window(last, last + 1)))
    return found


def byte_level(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")


def untrained(size: int) -> CachedGenerator:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=16384,
    )  # fmt: skip
    return CachedGenerator(LlamaForCausalLM(config), pad_id=0, max_length=16384)


def measure(codec: Any) -> dict[str, float]:
    samples = cases(codec)
    given: list[Trajectory] = [sample.given for sample in samples]
    start = time.process_time()
    codec.guide(given)
    ready = (time.process_time() - start) / len(given)
    answers = []
    for sample in samples:
        encoded = codec.encode(sample)
        answers.append(encoded.input_ids[encoded.labels != -100])
    guide, rows = codec.guide(given), range(len(given))
    longest, spent, tokens = max(map(len, answers)), 0.0, 0
    for step in range(longest):  # true frames, so that every place of the grammar is visited as it is in use
        token = [int(answer[min(step, len(answer) - 1)]) for answer in answers]
        start = time.process_time()
        guide_mask(guide, rows)
        guide.advance(rows, token)
        spent += time.process_time() - start
        tokens += len(answers)
    model = untrained(len(codec.tokenizer))
    limits = [codec.max_new_tokens(one.scene) for one in given]
    read = {}
    for guided in (False, True):
        said = model.generate(
            [codec.prompt(one) for one in given], limits, codec.end_id, codec.guide(given) if guided else None
        )
        read[guided] = float(np.mean([codec.decode(a, g) is not None for a, g in zip(said, given, strict=True)]))
    return {
        "tokens in the vocabulary": len(codec.tokenizer),
        "grammar ready, ms a scene": 1e3 * ready,
        "mask, µs a token and row": 1e6 * spent / tokens,
        "read without": read[False],
        "read with": read[True],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="no file is written")
    options = parser.parse_args()
    found = {}
    for make in (CardCodec, EngineCodec):
        texts = [make().write_prompt(sample.given) + make().write_target(sample) for sample in cases(make())]
        for label, codec in (("words", make()), ("bytes", make(tokenizer=byte_level(texts, 8000)))):
            found[f"{make.__name__}, {label}"] = measure(codec)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    if not options.fast:
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(found, indent=2, ensure_ascii=False)
        (RESULTS / "constrained.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
