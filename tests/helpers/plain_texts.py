"""A small scene with exact numbers, and the text codecs that write it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.types import FIXED, Attractor, Body, Peg, PinJoint, Sample, Scene, Segment, State, Trajectory

SCENE = Scene(
    name="projectile",
    category="collision",
    difficulty=2,
    text="A ball and a box.",
    bodies=(
        Body(shape="circle", size=(15.0,), position=(100.0, 400.0), velocity=(300.0, 0.0), mass=1.0, friction=0.3),
        Body(shape="rect", size=(50.0, 50.0), position=(600.0, 1 / 3), angle=0.7854, mass=1.0, restitution=0.1),
    ),
    static=(Segment(start=(10.0, 50.0), end=(790.0, 50.4), radius=3.0), Peg(center=(400.0, 300.0), radius=8.0)),
    joints=(PinJoint(body_a=FIXED, body_b=0, anchor_a=(100.0, 500.0), length=100.0),),
    fields=(Attractor(center=(1.0, 2.0), strength=0.1, softening=3.0),),
)
FREE = replace(SCENE, static=(), joints=(), fields=(), gravity=(0.0, 0.0))


def trajectory(frames: int, scene: Scene = SCENE) -> Trajectory:
    """Ball in flight, box at rest and turned; exact numbers, no simulator."""
    t = np.arange(frames) * scene.dt
    start = scene.state
    velocity = np.repeat(start.velocity[None], frames, axis=0)
    velocity[:, 0, 1] = 0.0 - 981.0 * t
    position = np.repeat(start.position[None], frames, axis=0)
    position[:, 0, 0] += 300.0 * t
    position[:, 0, 1] -= 981.0 * t * (t + scene.dt) / 2  # semi-implicit Euler
    return Trajectory(
        scene=scene,
        position=position,
        velocity=velocity,
        angle=np.repeat(start.angle[None], frames, axis=0),
        spin=np.repeat(start.spin[None], frames, axis=0),
    )


def sample(codec: CardCodec | EngineCodec, *, jump: float = 0.0) -> Sample:
    whole = trajectory(codec.context_frames + 1)
    whole.velocity[-1, 1, 0] += jump
    # the resting box: what gravity would have given it is taken away by the floor, an event of 16 px/s otherwise
    whole.velocity[-1, 1, 1] += -981.0 * SCENE.dt
    return Sample(seed=7, given=whole.window(0, codec.context_frames), target=whole.window(codec.context_frames, 99))


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """A stranger: byte-level BPE with merges across words, its own special tokens and no pad token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    codec = EngineCodec()
    corpus = [codec.write_prompt(trajectory(3)), CardCodec().write_prompt(trajectory(3))] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


CODECS = [CardCodec(), EngineCodec(), EngineCodec(published_bytes=True)]
each_codec = pytest.mark.parametrize("codec", CODECS, ids=["card", "engine", "published"])

for _codec in CODECS:
    _codec.prompt(trajectory(1))  # compiles, which would be too slow for hypothesis' deadline

finite = st.floats(-99_999, 99_999)
texts = st.text(st.characters(codec="utf-8"), max_size=200)


@st.composite
def states(draw: st.DrawFn, bodies: int = 2) -> State:
    def grid(*shape: int) -> np.ndarray:
        count = math.prod(shape)
        scale = draw(st.sampled_from([1.0, 1e-3, 1e-7]))  # tiny values meet the thresholds and print as zero
        return np.array(draw(st.lists(finite, min_size=count, max_size=count))).reshape(shape) * scale

    return State(position=grid(bodies, 2), velocity=grid(bodies, 2), angle=grid(bodies), spin=grid(bodies))


def same(a: State, b: State) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in ("position", "velocity", "angle", "spin"))
