"""Predictions that need no learning, and the floor that rounding sets.

Each takes the frames that are given and returns the next `num_frames` frames (the given ones excluded).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from physworld.sim.fields import gravity
from physworld.sim.pymunk_sim import simulate
from physworld.types import Scene, State, Trajectory

KICK_RATE = 0.1  # kicks per body and frame of the placebo


def copy_last(given: Trajectory, num_frames: int) -> Trajectory:
    """Everything stays as in the last given frame."""
    last = given.frame(len(given) - 1)
    return Trajectory.of(given.scene, [last] * num_frames)


def linear(given: Trajectory, num_frames: int) -> Trajectory:
    """Every body keeps the velocity and spin of the last given frame."""
    return _coast(given, num_frames, np.zeros(2))


def ballistic(given: Trajectory, num_frames: int) -> Trajectory:
    """Free flight in Chipmunk's order: p += v·dt, then v += gravity·dt; walls, joints and fields are ignored."""
    return _coast(given, num_frames, gravity(given.scene))


def rounded_state(given: Trajectory, num_frames: int, round_state: Callable[[State, Scene], State]) -> Trajectory:
    """Pymunk restarted from the last given frame as a text prints it: the floor for whoever reads that text.

    Args:
        given: frames up to the restart.
        num_frames: frames wanted after it.
        round_state: the codec's rounding, `codec.round_state`.
    """
    start = round_state(given.frame(len(given) - 1), given.scene)
    return simulate(given.scene, num_frames + 1, start=start).window(1, num_frames + 1)


def random_impulses(given: Trajectory, num_frames: int, rng: np.random.Generator) -> Trajectory:
    """The placebo: ballistic flight, and in one frame of ten a random kick of a contact's size to each body.

    Kicks are normal with the RMS speed of the last given frame (at least 10 px/s), so they look like contacts and know
    nothing of where they are. Whatever beats this only a little has learned little.
    """
    last, dt = given.frame(len(given) - 1), given.scene.dt
    size = max(10.0, float(np.sqrt(np.square(last.velocity).sum(-1).mean())))
    count = len(given.scene.bodies)
    struck = rng.random((num_frames, count, 1)) < KICK_RATE
    kicks_TN2 = struck * rng.normal(0.0, size / np.sqrt(2), (num_frames, count, 2))  # px/s, on reaching each frame
    flight = ballistic(given, num_frames)
    extra = np.cumsum(kicks_TN2, axis=0)
    # A kick changes the velocity of its own frame and, through it, the place from the next frame on.
    moved = dt * np.cumsum(np.concatenate([np.zeros((1, count, 2)), extra[:-1]]), axis=0)
    return Trajectory(
        scene=given.scene,
        position=flight.position + moved,
        velocity=flight.velocity + extra,
        angle=flight.angle,
        spin=flight.spin,
    )


def _coast(given: Trajectory, num_frames: int, pull: np.ndarray) -> Trajectory:
    """Closed form of num_frames steps p += v·dt; v += g·dt; angle += spin·dt."""
    last, dt = given.frame(len(given) - 1), given.scene.dt
    steps_T11 = np.arange(1, num_frames + 1, dtype=np.float64)[:, None, None]
    gain = pull * dt  # px/s per frame
    return Trajectory(
        scene=given.scene,
        position=last.position + dt * (steps_T11 * last.velocity + steps_T11 * (steps_T11 - 1) / 2 * gain),
        velocity=last.velocity + steps_T11 * gain,
        angle=last.angle + dt * steps_T11[:, :, 0] * last.spin,
        spin=np.repeat(last.spin[None], num_frames, axis=0),
    )


BASELINES: dict[str, Callable[[Trajectory, int], Trajectory]] = {
    "copy_last": copy_last,
    "linear": linear,
    "ballistic": ballistic,
}
