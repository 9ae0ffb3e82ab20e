"""What every part of physworld passes around. Frozen, keyword-only, numpy only.

Units (two-dimensional worlds): length px with 100 px = 1 m, time s, velocity px/s, angle rad, spin rad/s,
mass kg, acceleration px/s². x points right, y points up. Shapes: T frames, N bodies, B batch, L tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

PIXELS_PER_METRE = 100.0
FIXED = -1  # a joint's `body_a` when that end is nailed to the world

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Body:
    """One rigid body in its initial state."""

    shape: Literal["circle", "rect"]
    size: tuple[float, ...]  # px: circle (radius,), rect (width, height)
    position: Point  # px
    velocity: Point = (0.0, 0.0)  # px/s
    angle: float = 0.0  # rad
    spin: float = 0.0  # rad/s
    mass: float = 1.0  # kg
    friction: float = 0.5  # Coulomb coefficient; Chipmunk multiplies the two of a pair
    restitution: float = 0.5  # Chipmunk multiplies the two of a pair

    @property
    def moment(self) -> float:
        """Moment of inertia about the centre, kg·px² (solid disc m r²/2, solid rectangle m (w²+h²)/12)."""
        if self.shape == "circle":
            return self.mass * self.size[0] ** 2 / 2
        return self.mass * (self.size[0] ** 2 + self.size[1] ** 2) / 12

    @property
    def gyration(self) -> float:
        """Radius of gyration, px: sqrt(moment / mass)."""
        return math.sqrt(self.moment / self.mass)

    @property
    def reach(self) -> float:
        """Radius of the smallest circle about the centre that holds the body, px."""
        return self.size[0] if self.shape == "circle" else math.hypot(*self.size) / 2


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Static straight wall with rounded ends, or a belt when its surface runs."""

    start: Point  # px
    end: Point  # px
    radius: float = 2.0  # px, half the thickness
    friction: float = 0.5
    restitution: float = 0.5
    surface_speed: float = 0.0  # px/s from start towards end, on both faces; friction drags bodies along


@dataclass(frozen=True, kw_only=True)
class Peg:
    """Static disc."""

    center: Point  # px
    radius: float  # px
    friction: float = 0.5
    restitution: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """What ties a point of one end to a point of the other. Bodies that it holds still collide."""

    body_a: int  # index into Scene.bodies, or FIXED
    body_b: int  # index into Scene.bodies
    anchor_a: Point  # px, in body_a's frame; world coordinates when body_a is FIXED
    anchor_b: Point = (0.0, 0.0)  # px, in body_b's frame


@dataclass(frozen=True, kw_only=True)
class PinJoint(Anchored):
    """Massless rod of constant length between two anchors; the ends turn freely."""

    length: float  # px


@dataclass(frozen=True, kw_only=True)
class PivotJoint(Anchored):
    """Hinge: the two anchors stay on one point; the ends turn freely."""


@dataclass(frozen=True, kw_only=True)
class Rope(Anchored):
    """Massless string: the anchors come no further apart than `length`; nearer, it is slack and does nothing."""

    length: float  # px


@dataclass(frozen=True, kw_only=True)
class Spring(Anchored):
    """Massless; anchors at distance d are pushed apart with stiffness·(length - d) - damping·(rate of d) kg·px/s²."""

    length: float  # px, at rest
    stiffness: float  # kg/s²
    damping: float = 0.0  # kg/s


@dataclass(frozen=True, kw_only=True)
class Motor:
    """Turns body_b against body_a at `spin`, with no more than `torque`; it holds neither in place."""

    body_a: int  # index into Scene.bodies, or FIXED
    body_b: int  # index into Scene.bodies
    spin: float  # rad/s
    torque: float  # kg·px²/s²


@dataclass(frozen=True, kw_only=True)
class Attractor:
    """Pulls every body towards `center` with strength·d / (d² + softening²)^1.5 px/s² at distance d."""

    center: Point  # px
    strength: float  # px³/s²
    softening: float = 0.0  # px


@dataclass(frozen=True, kw_only=True)
class MutualGravity:
    """Every body pulls every other with strength·mass·d / (d² + softening²)^1.5 px/s² at distance d."""

    strength: float  # px³/(kg·s²)
    softening: float = 0.0  # px


@dataclass(frozen=True, kw_only=True)
class Wind:
    """Moving air (or, at velocity 0, still air): drag·2·reach·(velocity - the body's own velocity) kg·px/s².

    Over one step it acts as the exact solution for drag alone: the share 1 - exp(-drag·2·reach/mass·dt) of the
    difference in velocity is lost, so no mass and no step makes it unstable.
    """

    velocity: Point  # px/s
    drag: float  # kg/(s·px)


Joint = PinJoint | PivotJoint | Rope | Spring | Motor
Field = Attractor | MutualGravity | Wind


@dataclass(frozen=True, kw_only=True, eq=True)
class Scene:
    """A world and its initial state: pure data that can be saved, compared, drawn and simulated anywhere."""

    name: str  # scenario type, the file name under physworld/scenarios
    category: str
    difficulty: int  # 1-5
    text: str  # one English sentence
    bodies: tuple[Body, ...]
    static: tuple[Segment | Peg, ...] = ()
    joints: tuple[Joint, ...] = ()
    fields: tuple[Field, ...] = ()
    gravity: Point = (0.0, -981.0)  # px/s²
    dt: float = 1 / 60  # s, one frame
    canvas: tuple[int, int] = (800, 600)  # px, what a picture shows

    @cached_property
    def state(self) -> State:
        """The bodies' initial state as arrays."""
        bodies = self.bodies
        return State(
            position=np.array([b.position for b in bodies], dtype=np.float64).reshape(-1, 2),
            velocity=np.array([b.velocity for b in bodies], dtype=np.float64).reshape(-1, 2),
            angle=np.array([b.angle for b in bodies], dtype=np.float64),
            spin=np.array([b.spin for b in bodies], dtype=np.float64),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """All bodies at one instant, float64, unrounded."""

    position: np.ndarray  # (N, 2) px
    velocity: np.ndarray  # (N, 2) px/s
    angle: np.ndarray  # (N,) rad
    spin: np.ndarray  # (N,) rad/s


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A scene over time, float64, unrounded. Frame 0 is whatever instant the holder started at."""

    scene: Scene
    position: np.ndarray  # (T, N, 2) px
    velocity: np.ndarray  # (T, N, 2) px/s
    angle: np.ndarray  # (T, N) rad
    spin: np.ndarray  # (T, N) rad/s

    def __post_init__(self) -> None:
        frames, count = self.angle.shape
        if count != len(self.scene.bodies):
            raise ValueError(
                f"trajectory has {count} bodies but scene {self.scene.name!r} has {len(self.scene.bodies)}"
            )
        if not (
            self.position.shape == self.velocity.shape == (frames, count, 2) and self.spin.shape == (frames, count)
        ):
            raise ValueError("trajectory arrays disagree: want (T, N, 2), (T, N, 2), (T, N), (T, N)")

    def __len__(self) -> int:
        return len(self.angle)

    def window(self, start: int, stop: int) -> Trajectory:
        """Frames start..stop-1 as views."""
        part = slice(start, stop)
        return Trajectory(
            scene=self.scene,
            position=self.position[part],
            velocity=self.velocity[part],
            angle=self.angle[part],
            spin=self.spin[part],
        )

    def frame(self, index: int) -> State:
        return State(
            position=self.position[index],
            velocity=self.velocity[index],
            angle=self.angle[index],
            spin=self.spin[index],
        )

    @staticmethod
    def of(scene: Scene, states: list[State]) -> Trajectory:
        """Stack single instants."""
        return Trajectory(
            scene=scene,
            position=np.stack([s.position for s in states]),
            velocity=np.stack([s.velocity for s in states]),
            angle=np.stack([s.angle for s in states]),
            spin=np.stack([s.spin for s in states]),
        )

    def then(self, other: Trajectory) -> Trajectory:
        """This trajectory followed by `other`."""
        return Trajectory(
            scene=self.scene,
            position=np.concatenate([self.position, other.position]),
            velocity=np.concatenate([self.velocity, other.velocity]),
            angle=np.concatenate([self.angle, other.angle]),
            spin=np.concatenate([self.spin, other.spin]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One learning problem: what is given, and what is to be said."""

    seed: int  # the stream index it was drawn from
    given: Any  # text physics: Trajectory of the context frames
    target: Any  # text physics: Trajectory of the next frame(s)


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One sample as tokens."""

    seed: int
    input_ids: np.ndarray  # (L,) int64
    labels: np.ndarray  # (L,) int64, label i is scored against the prediction made before token i; -100 unscored
    event: np.ndarray  # (L,) bool, label belongs to a body whose velocity jumps (loss is reported apart)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Token tasks' batch, right-padded. Tensors, but this module does not know torch."""

    input_ids: Any  # (B, L) int64
    labels: Any  # (B, L) int64, -100 unscored
    event: Any  # (B, L) bool
    seed: Any  # (B,) int64

    def to(self, device: Any) -> Batch:
        return Batch(
            input_ids=self.input_ids.to(device),
            labels=self.labels.to(device),
            event=self.event.to(device),
            seed=self.seed.to(device),
        )

    def pin_memory(self) -> Batch:
        return Batch(
            input_ids=self.input_ids.pin_memory(),
            labels=self.labels.pin_memory(),
            event=self.event.pin_memory(),
            seed=self.seed.pin_memory(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenFamily:
    """Tokens that differ in one number; a network may start them from features of it."""

    ids: np.ndarray  # (n,) int64
    values: np.ndarray  # (n,) float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """A codec's tokens: ids 0..num_words-1 are words; then come numbers, which a network may embed by their value."""

    num_words: int
    values: np.ndarray  # (V - num_words,) float64, value of each number token; empty for codecs that spell digits
    outputs: np.ndarray  # (K,) ids that a network may say
    ordered_from: int  # outputs[ordered_from:] are numbers in ascending order
    pad: int
    end: int  # an answer ends with it
    records: dict[int, tuple[int, int]] = field(default_factory=dict)  # word id -> (words, numbers) that follow it
    prompt_end: int = -1  # id of the word that ends a prompt; -1: no word of its own does
    names: tuple[int, int] = (0, 0)  # first id and number of the words that name bodies
    families: tuple[TokenFamily, ...] = ()  # words that carry a number

    @property
    def size(self) -> int:
        return self.num_words + len(self.values)

    @staticmethod
    def of_words(size: int, *, pad: int, end: int, families: tuple[TokenFamily, ...] = ()) -> Vocabulary:
        """Words alone, each of which may be said."""
        return Vocabulary(
            num_words=size, values=np.zeros(0), outputs=np.arange(size), ordered_from=size, pad=pad, end=end,
            families=families,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float
    count: int = field(default=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """Video's batch: latents of clips and what their captions say. Tensors, but this module does not know torch."""

    latents: Any  # (B, F, C, H, W) float, F latent frames
    prompt: Any  # (B, L, D) float, embedded caption
    seed: Any  # (B,) int64

    def to(self, device: Any) -> ClipBatch:
        return ClipBatch(latents=self.latents.to(device), prompt=self.prompt.to(device), seed=self.seed.to(device))

    def pin_memory(self) -> ClipBatch:
        return ClipBatch(
            latents=self.latents.pin_memory(), prompt=self.prompt.pin_memory(), seed=self.seed.pin_memory()
        )
