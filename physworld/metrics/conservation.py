"""Energy and momentum of a prediction against the truth's own, dissipation and all. T frames, N bodies.

The truth loses energy in contacts, so nothing is asked to be conserved: a prediction is asked for the truth's energy at
the same frame. Where nothing touches a body, it is asked for more: the very change that free flight makes.
"""

from __future__ import annotations

import numpy as np

from physworld.metrics.energy import kinetic_energy, linear_momentum, total_energy
from physworld.metrics.errors import event_mask
from physworld.types import PIXELS_PER_METRE, State, Trajectory

SMALLEST_ENERGY = 0.01  # J; a 1 kg body at 0.14 m/s: for scenes that hardly move
SMALLEST_MOMENTUM = 0.1  # kg·m/s; a 1 kg body at 0.1 m/s


def _shared(target: Trajectory, predicted: Trajectory) -> tuple[Trajectory, Trajectory]:
    frames = min(len(target), len(predicted))
    return target.window(0, frames), predicted.window(0, frames)


def relative_energy_error(target: Trajectory, predicted: Trajectory) -> np.ndarray:
    """|Ê - E| at every shared frame over the truth's largest kinetic energy: (T,), 0.1 = a tenth of it."""
    true, guess = _shared(target, predicted)
    scale = max(float(kinetic_energy(true).max()), SMALLEST_ENERGY)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(total_energy(guess) - total_energy(true)) / scale


def relative_momentum_error(target: Trajectory, predicted: Trajectory) -> np.ndarray:
    """|P̂ - P| at every shared frame over the truth's largest sum of m·|v|: (T,)."""
    true, guess = _shared(target, predicted)
    mass = np.array([body.mass for body in true.scene.bodies])
    carried = (np.linalg.norm(true.velocity, axis=-1) * mass).sum(-1) / PIXELS_PER_METRE  # (T,) kg·m/s
    scale = max(float(carried.max()), SMALLEST_MOMENTUM)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(linear_momentum(guess) - linear_momentum(true), axis=-1) / scale


def flight_mask(target: Trajectory, before: State | None = None) -> np.ndarray:
    """(T, N) bool: on reaching this frame nothing but gravity and fields acted on the body, in the truth."""
    free = ~event_mask(target, before)
    if before is None and len(free):
        free[0] = False  # unknown
    return free


def flight_errors(
    target: Trajectory, predicted: Trajectory, before: State | None = None
) -> tuple[float, float] | tuple[None, None]:
    """(momentum, energy) errors of single steps in which the truth's body flew freely; None without such steps.

    momentum: RMS of |Δp̂ - Δp| / m, the velocity change that a step adds or lacks, px/s.
    energy: mean of |Δê - Δe|, kinetic (spin included) plus weight, J per body and step.
    """
    true, guess = _shared(target, predicted)
    free = flight_mask(true, before)
    if not free.any():
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        first = None if before is None else before.velocity
        change = _steps(guess.velocity, first) - _steps(true.velocity, first)
        momentum = float(np.sqrt(np.square(change).sum(-1)[free].mean()))
        start = None if before is None else _body_energy(Trajectory.of(true.scene, [before]))[0]
        gained = _steps(_body_energy(guess), start) - _steps(_body_energy(true), start)
        return momentum, float(np.abs(gained)[free].mean())


def _steps(values: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    """(T, ...) change on reaching each frame; 0 in frame 0 when what came before is unknown."""
    return np.diff(np.concatenate([values[:1] if first is None else first[None], values]), axis=0)


def _body_energy(trajectory: Trajectory) -> np.ndarray:
    """(T, N) J: kinetic plus weight of each body."""
    scene = trajectory.scene
    mass = np.array([body.mass for body in scene.bodies])
    moment = np.array([body.moment for body in scene.bodies])
    kinetic = mass * np.square(trajectory.velocity).sum(-1) / 2 + moment * np.square(trajectory.spin) / 2
    return (kinetic - mass * (trajectory.position @ np.asarray(scene.gravity))) / PIXELS_PER_METRE**2
