"""Errors of a predicted trajectory against the true one.

Both trajectories hold the predicted frames only (the given ones are cut off), so horizon h, counted from 1,
is array row h - 1; without a horizon it is the last frame that both have. T frames, N bodies.
"""

from __future__ import annotations

import numpy as np

from physworld.sim.fields import Fields, gravity
from physworld.types import State, Trajectory

EVENT_THRESHOLD = 10.0  # px/s: one frame of gravity is 16.35; what the solver jitters at rest is far below


def row_at(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> int:
    """The array row of a horizon.

    Raises:
        ValueError: there are no bodies, other bodies, or not so many frames.
    """
    count = target.angle.shape[1]
    if count == 0:
        raise ValueError(f"scene {target.scene.name!r} has no bodies, so it has no error")
    if predicted.angle.shape[1] != count:
        raise ValueError(f"prediction has {predicted.angle.shape[1]} bodies but the target has {count}")
    frames = min(len(target), len(predicted))
    horizon = frames if horizon is None else horizon
    if not 1 <= horizon <= frames:
        raise ValueError(f"horizon {horizon} is outside 1..{frames}, the frames that target and prediction share")
    return horizon - 1


def _rms(difference: np.ndarray) -> np.ndarray:
    """(..., N, 2) -> (...): sqrt(mean over N of squared length). A wild prediction may overflow to inf."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.sqrt(np.square(difference).sum(-1).mean(-1))


def position_rmse(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """sqrt(1/N · sum_i |x̂_i - x_i|²) at exactly frame `horizon`, px."""
    row = row_at(target, predicted, horizon)
    return float(_rms(predicted.position[row] - target.position[row]))


def velocity_rmse(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """sqrt(1/N · sum_i |v̂_i - v_i|²) at exactly frame `horizon`, px/s."""
    row = row_at(target, predicted, horizon)
    return float(_rms(predicted.velocity[row] - target.velocity[row]))


def body_distances(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> np.ndarray:
    """|x̂_i - x_i| of every body at exactly frame `horizon`: (N,) px."""
    row = row_at(target, predicted, horizon)
    with np.errstate(over="ignore"):
        return np.linalg.norm(predicted.position[row] - target.position[row], axis=-1)


def position_mae(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """1/N · sum_i |x̂_i - x_i| (Euclidean) at exactly frame `horizon`, px."""
    return float(body_distances(target, predicted, horizon).mean())


def velocity_mae(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """1/N · sum_i |v̂_i - v_i| (Euclidean) at exactly frame `horizon`, px/s."""
    row = row_at(target, predicted, horizon)
    with np.errstate(over="ignore"):
        difference = predicted.velocity[row] - target.velocity[row]
        return float(np.linalg.norm(difference, axis=-1).mean())


def angle_rmse(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """sqrt(1/N · sum_i d_i²) rad at exactly frame `horizon`, d the shorter way round: at most π."""
    row = row_at(target, predicted, horizon)
    with np.errstate(invalid="ignore"):
        turned = predicted.angle[row] - target.angle[row]
        return float(np.sqrt(np.square(np.mod(turned + np.pi, 2 * np.pi) - np.pi).mean()))


def spin_rmse(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """sqrt(1/N · sum_i (ω̂_i - ω_i)²) at exactly frame `horizon`, rad/s."""
    row = row_at(target, predicted, horizon)
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(predicted.spin[row] - target.spin[row]).mean()))


def per_horizon(target: Trajectory, predicted: Trajectory) -> np.ndarray:
    """Position RMSE of every shared frame: (T,) px, row h - 1 equals `position_rmse(..., h)`."""
    frames = min(len(target), len(predicted))
    row_at(target, predicted, frames)
    return _rms(predicted.position[:frames] - target.position[:frames])


def velocity_jumps(trajectory: Trajectory, before: State | None = None) -> np.ndarray:
    """(T, N, 2) px/s: v_t - v_(t-1) - a·dt, what contacts and joints did to each body on reaching each frame.

    a is what the scene announces (gravity and fields, felt as the simulator does). Row 0 needs the frame `before` it,
    and is 0 without.
    """
    velocity, position = trajectory.velocity, trajectory.position
    if before is not None:
        velocity = np.concatenate([before.velocity[None], velocity])
        position = np.concatenate([before.position[None], position])
    scene = trajectory.scene
    with np.errstate(over="ignore", invalid="ignore"):
        free = (gravity(scene) + Fields(scene).acceleration(position[1:], velocity[:-1])) * scene.dt
        jumps = np.diff(velocity, axis=0) - free
    if before is None:
        jumps = np.concatenate([np.zeros((1, *velocity.shape[1:])), jumps])
    return jumps


def event_mask(trajectory: Trajectory, before: State | None = None, threshold: float = EVENT_THRESHOLD) -> np.ndarray:
    """(T, N) bool: the body's velocity jumped by more than threshold px/s on reaching this frame (`velocity_jumps`).

    A velocity that is not a number has jumped: else a prediction that falls apart would say no wrong contact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mask: np.ndarray = ~(np.linalg.norm(velocity_jumps(trajectory, before), axis=-1) <= threshold)
    return mask


def event_velocity_rmse(target: Trajectory, predicted: Trajectory, before: State | None = None) -> float | None:
    """Velocity RMSE over the (frame, body) pairs at which the *target* has an event, px/s; None if it has none."""
    frames = min(len(target), len(predicted))
    row_at(target, predicted, frames)
    mask = event_mask(target.window(0, frames), before)
    if not mask.any():
        return None
    return float(_rms(predicted.velocity[:frames][mask] - target.velocity[:frames][mask]))
