"""Conserved quantities of a trajectory, in SI units (100 px = 1 m), spin included. T frames, N bodies."""

from __future__ import annotations

import numpy as np

from physworld.metrics.errors import row_at
from physworld.types import FIXED, PIXELS_PER_METRE, Attractor, MutualGravity, RotarySpring, Spring, Trajectory

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
    """Gravity, attractors, mutual gravity and springs: (T,) J, zero at the world's origin without fields and springs.

    sum_i m_i (-g·x_i - sum_k s_k / sqrt(d_ik² + ε_k²)) - sum_{i<j} s m_i m_j / sqrt(d_ij² + ε²)
    + sum_s c_s (d_s - L_s)²/2, and of rotary springs c (a - b - rest)²/2
    """
    scene, mass = trajectory.scene, _mass(trajectory)
    with np.errstate(invalid="ignore"):  # infinite positions
        energy = -(trajectory.position @ np.asarray(scene.gravity, dtype=np.float64)) @ mass  # (T,) kg·px²/s²
    for field in scene.fields:
        if isinstance(field, Attractor):
            offset = trajectory.position - np.asarray(field.center)
            energy -= (field.strength / _distance(offset, field.softening)) @ mass
        elif isinstance(field, MutualGravity):
            one, other = np.triu_indices(len(mass), k=1)
            offset = trajectory.position[:, one] - trajectory.position[:, other]
            energy -= (field.strength / _distance(offset, field.softening)) @ (mass[one] * mass[other])
    for spring in scene.joints:
        if isinstance(spring, Spring):
            span = anchor_at(trajectory, spring.body_b, spring.anchor_b) - anchor_at(
                trajectory, spring.body_a, spring.anchor_a
            )
            energy += spring.stiffness / 2 * np.square(np.linalg.norm(span, axis=-1) - spring.length)
        elif isinstance(spring, RotarySpring):
            first = 0.0 if spring.body_a == FIXED else trajectory.angle[:, spring.body_a]
            turned = first - trajectory.angle[:, spring.body_b] - spring.rest_angle
            energy += spring.stiffness / 2 * np.square(turned)
    return energy / SQUARE_METRE


def _distance(offset: np.ndarray, softening: float) -> np.ndarray:
    """(..., 2) px -> (...) px. Without softening a well is bottomless; 1 px keeps the number finite there."""
    return np.maximum(np.sqrt(np.square(offset).sum(-1) + softening**2), 1.0)


def anchor_at(trajectory: Trajectory, body: int, anchor: tuple[float, float]) -> np.ndarray:
    """Where a joint is fixed to a body, in the world: (T, 2) px."""
    if body == FIXED:
        return np.broadcast_to(np.asarray(anchor, dtype=np.float64), (len(trajectory), 2))
    cos, sin = np.cos(trajectory.angle[:, body]), np.sin(trajectory.angle[:, body])
    turned = np.stack([cos * anchor[0] - sin * anchor[1], sin * anchor[0] + cos * anchor[1]], axis=-1)
    return trajectory.position[:, body] + turned


def total_energy(trajectory: Trajectory) -> np.ndarray:
    """Kinetic plus potential: (T,) J. Constant only without friction, inelastic contact, damping, drag, motors,
    belts and solver loss."""
    return kinetic_energy(trajectory) + potential_energy(trajectory)


def linear_momentum(trajectory: Trajectory) -> np.ndarray:
    """sum_i m_i v_i: (T, 2) kg·m/s."""
    return np.einsum("n,tnd->td", _mass(trajectory), trajectory.velocity) / PIXELS_PER_METRE


def energy_error(target: Trajectory, predicted: Trajectory, horizon: int | None = None) -> float:
    """|Ê - E| at exactly frame `horizon` (from 1; None = the last that both have), J."""
    row = row_at(target, predicted, horizon)
    true, guess = target.window(row, row + 1), predicted.window(row, row + 1)
    return float(abs(total_energy(guess)[0] - total_energy(true)[0]))
