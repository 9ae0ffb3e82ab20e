"""Small worlds, and fingerprints of simulated ones."""

from __future__ import annotations

import hashlib

import numpy as np
import pymunk

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.types import Body, Scene, Trajectory

DT = 1 / 60
ULP = 1e-9  # px or px/s: rounding of a few hundred float64 additions of numbers below 1000


def world(*bodies: Body, static: tuple = (), joints: tuple = (), fields: tuple = (), gravity=(0.0, 0.0)) -> Scene:
    return Scene(
        name="test",
        category="test",
        difficulty=1,
        text="",
        bodies=bodies,
        static=static,
        joints=joints,
        fields=fields,
        gravity=gravity,
    )


def disc(x: float, y: float, **rest) -> Body:
    return Body(shape="circle", size=(rest.pop("radius", 10.0),), position=(x, y), **rest)


def energy(trajectory: Trajectory) -> np.ndarray:
    """(T,) kinetic energy of translation and spin plus m·g·y, kg·px²/s²."""
    mass = np.array([b.mass for b in trajectory.scene.bodies])
    moment = np.array([b.moment for b in trajectory.scene.bodies])
    kinetic = mass * np.sum(trajectory.velocity**2, axis=-1) / 2 + moment * trajectory.spin**2 / 2
    return np.sum(kinetic - mass * (trajectory.position @ np.asarray(trajectory.scene.gravity)), axis=-1)


def digest(order: int) -> str:
    """Fingerprint of one rollout per scenario; `order` changes what was simulated before."""
    parts = []
    for name in scenarios.names()[::order]:
        rolled = simulate(scenarios.build(name, generator(1, "test", 3), 3), 120)
        whole = np.concatenate([rolled.position, rolled.velocity, rolled.angle[..., None], rolled.spin[..., None]], -1)
        parts.append(name + hashlib.sha256(whole.tobytes()).hexdigest())
    return "\n".join(sorted(parts))


def deepest_overlap(scene: Scene) -> float:
    """px, over all pairs of shapes in the first frame."""
    space = build_space(scene)
    shapes = list(space.shapes)
    for shape in shapes:
        shape.cache_bb()
    deepest = 0.0
    for i, first in enumerate(shapes):
        for second in shapes[:i]:
            if first.body is second.body or not first.bb.intersects(second.bb):
                continue
            deepest = min([deepest, *(point.distance for point in _contacts(first, second))])
    return -deepest


def _contacts(first: pymunk.Shape, second: pymunk.Shape) -> list[pymunk.ContactPoint]:
    try:
        return list(first.shapes_collide(second).points)
    except AssertionError:  # Pymunk's way to say that boxes intersect but shapes do not touch
        return []
