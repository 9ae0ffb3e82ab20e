"""Imported by the server that commands are forked from: what is compiled, or read from tables, at its first use."""

from __future__ import annotations

from physworld.reporting.charts import new_axes, svg
from physworld.text.codecs.islands import IslandCodec
from physworld.text.sources.physics import PhysicsSource

codec = IslandCodec()
source = PhysicsSource(seed=0, split="train", names=["billiards", "pendulum", "orbit"], difficulties=[1])
for index in range(3):
    sample = source.sample(index)
    codec.encode(sample)
    codec.documents().prompts(sample.given)
    codec.read_prompt(codec.write_prompt(sample.given))
    codec.text(codec.prompt(sample.given))
figure, axes = new_axes()
axes.set_title("warm")
axes.set_yscale("log")
axes.plot([1, 10, 100], [0.1, 1, 10])
svg(figure)
