"""Scenario types whose every scene the `impulse` text can write."""

from __future__ import annotations

from physworld import scenarios
from physworld.codecs.impulse import ImpulseCodec
from physworld.evaluation import unwritable

_CODEC = ImpulseCodec()
IMPULSE_NAMES = tuple(
    name
    for name in scenarios.names()
    if not unwritable(_CODEC, name, scenarios.DIFFICULTIES, split="train", seed=0, scenes=20)
)
