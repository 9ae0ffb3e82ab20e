"""A small GPT and what it reads, for the tests of the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from physworld import scenarios
from physworld.data import collate
from physworld.lm.gpt import GPT
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.sources.physics import PhysicsSource
from physworld.types import Batch, Trajectory

CODEC = ImpulseCodec()


def network(codec: Any = CODEC, *, stirred: bool = True, **sizes: Any) -> GPT:
    """A small GPT; stirred: with no weight left at zero, where parts of it would be switched off."""
    torch.manual_seed(0)
    model = GPT.for_vocabulary(codec.vocabulary, **{"width": 32, "depth": 2, "heads": 2, "relations": True, **sizes})
    if stirred:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def batch_of(
    codec: Any = CODEC, count: int = 6, names: tuple[str, ...] = ("billiards", "pendulum", "tower", "orbit")
) -> Batch:
    stream = PhysicsSource(
        seed=0, split="train", names=names, difficulties=(1, 2), frames=40, windows_per_scene=1,
        context_frames=codec.context_frames,
    )  # fmt: skip
    return collate([codec.encode(stream.sample(k)) for k in range(count)], pad=int(codec.tokenizer.pad_token_id))


def prompts() -> tuple[list[Trajectory], list[np.ndarray]]:
    given = [
        simulate(scenarios.build(name, generator(0, "val", k), 1), 20).window(15, 16)
        for k, name in enumerate(("billiards", "pendulum", "tower", "orbit", "dominos"))
    ]
    return given, [CODEC.prompt(g) for g in given]
