"""Any two-dimensional scene as a clip: discs become balls, rectangles boxes, walls thin boxes, joints beads."""

from __future__ import annotations

from typing import Any

import numpy as np

from physworld.drawing.pen import PALETTE
from physworld.types import FIXED, PIXELS_PER_METRE, Anchored, Peg, Segment, Trajectory
from physworld.video.warp.look import Look
from physworld.video.warp.render import draw
from physworld.video.warp.worlds import BALL, BOX

BEADS = 6  # per joint
BEAD = 0.03  # m
THINNEST = 0.03  # m, half of a wall that would hardly be seen


def film_scene(
    trajectory: Trajectory, *, size: tuple[int, int] = (480, 360), samples: int = 2, device: str = "cpu"
) -> np.ndarray:
    """Draw a trajectory of the 2-D simulator in perspective: uint8 (T, H, W, 3). 100 px are 1 m."""
    scene, frames = trajectory.scene, len(trajectory)
    shape, extent, place, turn, colour = [], [], [], [], []

    def add(kind: int, half: tuple[float, float], path: np.ndarray, angle: np.ndarray, paint: tuple[Any, ...]) -> None:
        shape.append(kind)
        extent.append(half)
        place.append(np.broadcast_to(path / PIXELS_PER_METRE, (frames, 2)))
        turn.append(np.broadcast_to(angle, (frames,)))
        colour.append(np.asarray(paint, float) / 255)

    for i, body in enumerate(scene.bodies):
        if body.shape not in ("circle", "rect"):
            raise ValueError(f"body {i} is a {body.shape}; only circles and rectangles can be filmed")
        size_m = [float(side) / PIXELS_PER_METRE for side in body.size]
        half = (size_m[0], size_m[0]) if body.shape == "circle" else (size_m[0] / 2, size_m[1] / 2)
        kind = BALL if body.shape == "circle" else BOX
        add(kind, half, trajectory.position[:, i], trajectory.angle[:, i], PALETTE[i % len(PALETTE)])
    for part in scene.static:
        if isinstance(part, Peg):
            r = part.radius / PIXELS_PER_METRE
            add(BALL, (r, r), np.array(part.center), np.zeros(1), (150, 150, 155))
        elif isinstance(part, Segment):
            a, b = np.array(part.start), np.array(part.end)
            half = (np.hypot(*(b - a)) / 2 / PIXELS_PER_METRE, max(part.radius / PIXELS_PER_METRE, THINNEST))
            add(BOX, half, (a + b) / 2, np.full(1, np.arctan2(*(b - a)[::-1])), (120, 120, 128))
    for joint in scene.joints:
        if isinstance(joint, Anchored):
            ends = [
                _anchor(trajectory, joint.body_a, joint.anchor_a),
                _anchor(trajectory, joint.body_b, joint.anchor_b),
            ]
            for share in np.linspace(0, 1, BEADS):
                add(BALL, (BEAD, BEAD), ends[0] + share * (ends[1] - ends[0]), np.zeros(1), (235, 235, 235))
    width, height = np.array(scene.canvas) / PIXELS_PER_METRE
    view = max(height, width * size[1] / size[0])
    light = np.array([0.3, 1.0, 0.7])
    look = Look(
        eye=np.array([[width / 2, height / 2, 2.5 * view]]), yaw=np.zeros(1), pitch=np.zeros(1), view=np.array([view]),
        light=(light / np.linalg.norm(light))[None], ambient=np.array([0.5]), body=np.stack(colour)[None],
        floor=np.array([[[0.5] * 3, [0.4] * 3]]), wall=np.array([[0.16, 0.18, 0.24]]), back=1.5, pattern=0.25,
    )  # fmt: skip
    return draw(
        look, shape=np.array([shape]), body_size=np.array([extent]), position=np.stack(place, 1)[None],
        angle=np.stack(turn, 1)[None], planes=np.array([[[0.0, 1.0, -1e6]]]), size=size, samples=samples, device=device,
    )[0]  # fmt: skip


def _anchor(trajectory: Trajectory, body: int, anchor: tuple[float, float]) -> np.ndarray:
    """(T, 2) px in the world."""
    if body == FIXED:
        return np.broadcast_to(np.array(anchor, float), (len(trajectory), 2))
    c, s = np.cos(trajectory.angle[:, body]), np.sin(trajectory.angle[:, body])
    x, y = anchor
    return trajectory.position[:, body] + np.stack([c * x - s * y, s * x + c * y], -1)
