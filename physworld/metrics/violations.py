"""What no rigid world allows: stretched rods, bodies inside each other, bodies outside the room. T frames, N bodies."""

from __future__ import annotations

import numpy as np

from physworld.metrics.energy import anchor_at
from physworld.metrics.errors import row_at
from physworld.sim.contacts import contacts, solids
from physworld.sim.pymunk_sim import deepest_overlap
from physworld.types import (
    GrooveJoint,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    SlideJoint,
    State,
    Trajectory,
    features,
)

ESCAPE = 200.0  # px beyond the canvas; scenes let bodies roll off a picture's edge, but not so far in a rollout


def joint_drift(trajectory: Trajectory) -> np.ndarray:
    """Mean over rods, hinges, ropes, slides and grooves of how wrong their length is: (T,) px; zeros without any.

    PinJoint |d - length|, PivotJoint d, Rope max(0, d - length), SlideJoint what d is outside its range, d the distance
    of the anchors; GrooveJoint the pin's distance from the groove.
    """
    joints = [
        j for j in trajectory.scene.joints if isinstance(j, PinJoint | PivotJoint | Rope | SlideJoint | GrooveJoint)
    ]
    if not joints:
        return np.zeros(len(trajectory))
    drift = np.zeros((len(joints), len(trajectory)))
    for row, joint in enumerate(joints):
        pin = anchor_at(trajectory, joint.body_b, joint.anchor_b)
        if isinstance(joint, GrooveJoint):
            drift[row] = _from_groove(trajectory, joint, pin)
            continue
        ends = pin - anchor_at(trajectory, joint.body_a, joint.anchor_a)
        with np.errstate(over="ignore", invalid="ignore"):
            distance = np.linalg.norm(ends, axis=-1)
        if isinstance(joint, PinJoint):
            drift[row] = np.abs(distance - joint.length)
        elif isinstance(joint, SlideJoint):
            drift[row] = np.maximum(np.maximum(joint.shortest - distance, distance - joint.longest), 0.0)
        else:
            drift[row] = np.maximum(distance - (joint.length if isinstance(joint, Rope) else 0.0), 0.0)
    return drift.mean(axis=0)


def _from_groove(trajectory: Trajectory, joint: GrooveJoint, pin: np.ndarray) -> np.ndarray:
    """(T,) px between the pin (T, 2) and the nearest point of the groove."""
    start, end = (anchor_at(trajectory, joint.body_a, at) for at in (joint.groove_start, joint.groove_end))
    along = end - start
    with np.errstate(over="ignore", invalid="ignore"):
        share = np.clip(((pin - start) * along).sum(-1) / (along * along).sum(-1), 0.0, 1.0)
        return np.linalg.norm(pin - start - share[:, None] * along, axis=-1)


def penetration(scene: Scene, state: State) -> float:
    """Deepest overlap of any two shapes at one instant, px; 0 when nothing overlaps, infinite for lost numbers.

    Chipmunk itself leaves about 0.1 px (its slop) and more while fast bodies collide: compare with the truth's.
    """
    if not (np.isfinite(state.position).all() and np.isfinite(state.angle).all()):
        return np.inf
    if features(scene):  # shapes that `contacts` does not know, or pairs that may overlap
        return deepest_overlap(scene, state)
    found = contacts(solids(scene), np.ascontiguousarray(state.position), np.ascontiguousarray(state.angle), margin=0.0)
    depths = [-gap[:points].min() for gap, points in zip(found.gap, found.points, strict=True)]
    return float(max(depths, default=0.0))


def escaped(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> int:
    """Bodies that the prediction has more than ESCAPE px outside the canvas at frame `horizon` (None = the last that
    both have), but the truth not."""
    row = row_at(target, predicted, horizon)
    low, high = np.array([-ESCAPE, -ESCAPE]), np.array(target.scene.canvas) + ESCAPE

    def out(place: np.ndarray) -> np.ndarray:
        return np.logical_not(np.logical_and(place >= low, place <= high).all(axis=-1))

    return int((out(predicted.position[row]) & ~out(target.position[row])).sum())
