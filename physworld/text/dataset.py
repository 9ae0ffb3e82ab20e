"""Scenes of others as training data: what of them cannot be read, or cannot have happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from physworld.errors import FormatError
from physworld.metrics.energy import kinetic_energy, total_energy
from physworld.reporting.findings import Checked
from physworld.scenarios import HELD_OUT
from physworld.text.sources.files import Row, read_scene, scenes_below, shard_split
from physworld.types import Motor, Segment, Trajectory, Wind
from physworld.types.bodies import EVERYTHING

# Energy that appears in one scene, in shares of its largest kinetic energy, and as a rise of all its bodies in px. Over
# fifteen scenes of each type that nothing drives (`gained`) the simulator's own error stays below both together.
GAINED, LIFTED = 0.3, 60.0
SQUARE_METRE = 100.0**2  # px²


def check(files: Sequence[Path], *, training: bool) -> Checked:
    """Every scene of some files.

    Args:
        training: whether held-out types are out of place; shards called val-* and test-* may hold them.
    """
    checked = Checked(what="scene", files=len(files))
    for file in files:
        try:
            for scene, _ in scenes_below(file):
                _check(checked, scene, training)
        except FormatError as error:  # a table
            checked.found(file, "unreadable", str(error))
    return checked


def _check(checked: Checked, scene: Path | Row, training: bool) -> None:
    path = scene.path if isinstance(scene, Row) else scene
    try:
        run = read_scene(scene)
    except FormatError as error:
        checked.found(path, "unreadable", str(error).removeprefix(f"{path} ").removeprefix(f"{path}: "))
        return
    checked.count += 1
    checked.counts[run.scene.name] = checked.counts.get(run.scene.name, 0) + 1
    _ranges(checked, run)
    if training and run.scene.name in HELD_OUT and shard_split(path) in (None, "train"):
        checked.found(scene, "held-out", f"{run.scene.name} is a held-out type; trained on, it tests nothing")
    for kind, problem in (("energy", gained(run)), ("wall", through_wall(run))):
        if problem:
            checked.found(scene, kind, problem)


def _ranges(checked: Checked, run: Trajectory) -> None:
    checked.span("frames", len(run), len(run))
    checked.span("bodies", len(run.scene.bodies), len(run.scene.bodies))
    speed = np.linalg.norm(run.velocity, axis=-1)
    x, y = run.position[..., 0], run.position[..., 1]
    for name, values in {"x, px": x, "y, px": y, "speed, px/s": speed, "spin, rad/s": run.spin}.items():
        if values.size:
            checked.span(name, float(values.min()), float(values.max()))
    checked.span("time step, s", run.scene.dt, run.scene.dt)


def gained(run: Trajectory) -> str:
    """'' or the frame by which mechanical energy has appeared that nothing in the scene gives."""
    scene = run.scene
    driven = any(isinstance(part, Segment) and part.surface_speed for part in scene.static)
    driven |= any(body.kind == "kinematic" for body in scene.bodies)  # it pushes others, and nothing slows it
    if driven or any(isinstance(part, Motor | Wind) for part in (*scene.joints, *scene.fields)) or len(run) < 2:
        return ""
    energy = total_energy(run)
    rise = energy - np.minimum.accumulate(energy)
    mass = sum(body.mass for body in scene.bodies)
    usual = GAINED * float(kinetic_energy(run).max()) + mass * float(np.hypot(*scene.gravity)) * LIFTED / SQUARE_METRE
    if not rise.max() > usual:
        return ""
    frame = int((rise > usual).argmax())
    return (
        f"{rise[frame]:.3g} J appear out of nothing by frame {frame} (at most {usual:.3g} J are the simulator's error)"
    )


def through_wall(run: Trajectory) -> str:
    """'' or the first frame in which a body's centre has passed through a static segment.

    A one-way wall holds no body that has passed it from its open side: such a one may fall back while it touches it.
    """
    place = run.position
    for wall, segment in enumerate(run.scene.static):
        if not isinstance(segment, Segment) or segment.filter != EVERYTHING:
            continue
        start, end = np.asarray(segment.start), np.asarray(segment.end)
        side = _cross(end - start, place - start)  # (T, N)
        here, there = place[:-1], place[1:]
        passes = (side[:-1] * side[1:] < 0) & (
            _cross(there - here, start - here) * _cross(there - here, end - here) < 0
        )
        if segment.one_way is not None:
            open_side = side[:-1] * _cross(end - start, np.asarray(segment.one_way)) < 0
            passes &= ~np.logical_or.accumulate(passes & open_side, axis=0)
        for number in np.flatnonzero(passes.any(axis=0)):
            body = run.scene.bodies[number]
            if body.kind == "dynamic" and not body.sensor and body.filter == EVERYTHING:
                frame = int(passes[:, number].argmax()) + 1
                return f"object {number} passes through wall {wall} in frame {frame}"
    return ""


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of plane vectors (..., 2): (...)."""
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])
