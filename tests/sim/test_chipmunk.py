"""The hot path of `simulate` gives what Pymunk's own objects give, to the last bit, and gives its memory back."""

from __future__ import annotations

import resource

import numpy as np
import pymunk
import pytest
from pymunk import batch

from physworld import scenarios
from physworld.seeding import generator
from physworld.sim.fields import Fields
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.types import Body, Scene

STATE = (
    batch.BodyFields.POSITION | batch.BodyFields.ANGLE | batch.BodyFields.VELOCITY | batch.BodyFields.ANGULAR_VELOCITY
)


def stepped(scene: Scene, frames: int, kicks: np.ndarray | None) -> np.ndarray:
    """(T, N, 6) x, y, angle, vx, vy, spin through Pymunk's objects: step, read, kick."""
    space, buffer, fields = build_space(scene), batch.Buffer(), Fields(scene)
    moving = [body for body in space.bodies if body.body_type == pymunk.Body.DYNAMIC]
    rows = []
    for frame in range(frames):
        if frame and scene.fields:
            velocity = rows[-1][:, 3:5]
            pull = fields.acceleration(rows[-1][:, :2] + velocity * scene.dt, velocity)
            for body, solid, (x, y) in zip(moving, scene.bodies, pull, strict=True):
                body.force = solid.mass * x, solid.mass * y
        if frame:
            space.step(scene.dt)
        buffer.clear()
        batch.get_space_bodies(space, STATE, buffer)
        row = np.frombuffer(buffer.float_buf()).reshape(-1, 6)[: len(moving)].copy()
        if kicks is not None and kicks[frame].any():
            row += kicks[frame][:, [0, 1, 4, 2, 3, 5]]
            for body, (x, y, angle, vx, vy, spin) in zip(moving, row.tolist(), strict=True):
                body.position, body.angle, body.velocity, body.angular_velocity = (x, y), angle, (vx, vy), spin
        rows.append(row)
    return np.stack(rows)


def rolled(scene: Scene, frames: int, kicks: np.ndarray | None) -> np.ndarray:
    run = simulate(scene, frames, kicks=kicks)
    return np.concatenate([run.position, run.angle[..., None], run.velocity, run.spin[..., None]], axis=2)


@pytest.mark.parametrize("name", scenarios.names())
@pytest.mark.parametrize("kicked", [False, True])
def test_the_same_bits_as_pymunks_objects(name: str, kicked: bool) -> None:
    for difficulty in (1, 4):
        rng = generator(3, "test", difficulty)
        scene = scenarios.build(name, rng, difficulty)
        shape = (50, len(scene.bodies), 6)
        kicks = rng.normal(size=shape) * (rng.random(shape[:2])[..., None] < 0.05) if kicked else None
        assert rolled(scene, 50, kicks).tobytes() == stepped(scene, 50, kicks).tobytes()


def test_memory_is_given_back() -> None:
    scene = scenarios.build("jenga", generator(0, "test", 0), 5)
    for _ in range(50):
        simulate(scene, 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        simulate(scene, 5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000  # KiB; a space takes about 60


def test_an_unknown_shape_is_named() -> None:
    with pytest.raises(ValueError, match="'star'; choose circle, rect, polygon or compound"):
        Body(shape="star", size=(3.0, 4.0), position=(0, 0))  # type: ignore[arg-type]
