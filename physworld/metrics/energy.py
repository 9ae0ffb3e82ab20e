"""Conserved quantities of a trajectory, in SI units (100 px = 1 m), spin included. T frames, N bodies."""

from __future__ import annotations

import numpy as np

from physworld.types import PIXELS_PER_METRE, Trajectory

SQUARE_METRE = PIXELS_PER_METRE**2  # px²


def _mass(trajectory: Trajectory) -> np.ndarray:
    return np.array([body.mass for body in trajectory.scene.bodies])  # (N,) kg


def _moment(trajectory: Trajectory) -> np.ndarray:
    return np.array([body.moment for body in trajectory.scene.bodies])  # (N,) kg·px²


def kinetic_energy(trajectory: Trajectory) -> np.ndarray:
    """sum_i (m_i |v_i|² + I_i ω_i²) / 2: (T,) J."""
    with np.errstate(over="ignore"):  # a wild prediction has infinite energy, which is a fair score
        translation = (_mass(trajectory) * np.square(trajectory.velocity).sum(-1)).sum(-1)
        rotation = (_moment(trajectory) * np.square(trajectory.spin)).sum(-1)
    return (translation + rotation) / 2 / SQUARE_METRE


def potential_energy(trajectory: Trajectory) -> np.ndarray:
    """sum_i m_i (-g·x_i - sum_k s_k / sqrt(d_ik² + ε_k²)): (T,) J, zero at the world's origin without attractors."""
    scene = trajectory.scene
    per_mass = -(trajectory.position @ np.asarray(scene.gravity, dtype=np.float64))  # (T, N) px²/s²
    for attractor in scene.fields:
        offset = trajectory.position - np.asarray(attractor.center)
        # Without softening the well is bottomless at its centre; 1 px keeps the number finite there.
        distance = np.sqrt(np.square(offset).sum(-1) + attractor.softening**2)
        per_mass = per_mass - attractor.strength / np.maximum(distance, 1.0)
    return (_mass(trajectory) * per_mass).sum(-1) / SQUARE_METRE


def total_energy(trajectory: Trajectory) -> np.ndarray:
    """Kinetic plus potential: (T,) J. Constant only without friction, inelastic contact and solver loss."""
    return kinetic_energy(trajectory) + potential_energy(trajectory)


def linear_momentum(trajectory: Trajectory) -> np.ndarray:
    """sum_i m_i v_i: (T, 2) kg·m/s."""
    return np.einsum("n,tnd->td", _mass(trajectory), trajectory.velocity) / PIXELS_PER_METRE


def angular_momentum(trajectory: Trajectory) -> np.ndarray:
    """sum_i m_i (x_i v_yi - y_i v_xi) + I_i ω_i about the world's origin: (T,) kg·m²/s."""
    x, y = trajectory.position[..., 0], trajectory.position[..., 1]
    vx, vy = trajectory.velocity[..., 0], trajectory.velocity[..., 1]
    orbital = (_mass(trajectory) * (x * vy - y * vx)).sum(-1)
    return (orbital + (_moment(trajectory) * trajectory.spin).sum(-1)) / SQUARE_METRE


def energy_error(target: Trajectory, predicted: Trajectory, horizon: int) -> float:
    """|Ê - E| at exactly frame `horizon` (from 1), J."""
    row = slice(horizon - 1, horizon)
    if not 1 <= horizon <= min(len(target), len(predicted)):
        raise ValueError(f"horizon {horizon} is outside 1..{min(len(target), len(predicted))}")
    true, said = target.window(row.start, row.stop), predicted.window(row.start, row.stop)
    return float(abs(total_energy(said)[0] - total_energy(true)[0]))
