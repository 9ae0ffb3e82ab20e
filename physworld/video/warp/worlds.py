"""Rigid bodies between half-spaces in the vertical plane, as arrays over many worlds. SI units, y up; no Warp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOTHING, BALL, BOX = 0, 1, 2
GRAVITY = 9.81  # m/s²


@dataclass(frozen=True, kw_only=True, eq=False)
class Worlds:
    """E worlds of up to N bodies between up to P half-spaces, in their initial state; float64, SI units."""

    shape: np.ndarray  # (E, N) int: NOTHING, BALL or BOX
    size: np.ndarray  # (E, N, 2) m: ball (radius, radius), box half its sides
    position: np.ndarray  # (E, N, 2) m, x right and y up
    velocity: np.ndarray  # (E, N, 2) m/s
    angle: np.ndarray  # (E, N) rad
    spin: np.ndarray  # (E, N) rad/s
    mass: np.ndarray  # (E, N) kg
    friction: np.ndarray  # (E, N) Coulomb coefficient against half-spaces; two bodies' are multiplied
    restitution: np.ndarray  # (E, N) against half-spaces; two bodies' are multiplied
    planes: np.ndarray  # (E, P, 3) (n_x, n_y, d): n·x >= d is free
    gravity: np.ndarray  # (E, 2) m/s²

    def __len__(self) -> int:
        return len(self.shape)

    @property
    def inertia(self) -> np.ndarray:
        """(E, N) kg·m² about the centre: solid sphere 2/5 m r², solid box m (w² + h²)/12."""
        round_ = 0.4 * self.size[..., 0] ** 2
        square = (self.size**2).sum(-1) / 3  # half sides: (4 a² + 4 b²) / 12
        return self.mass * np.where(self.shape == BOX, square, round_)

    def check(self, *, allow_violation: bool = False) -> None:
        """Refuse worlds without physical meaning.

        Raises:
            ValueError: one sentence about the first thing that is wrong.
        """
        present = self.shape != NOTHING
        wrong = present & ((self.restitution < 0) | (self.restitution > 1))
        if wrong.any() and (not allow_violation or (self.restitution[present] < 0).any()):
            raise ValueError(
                f"restitution={self.restitution[wrong][0]:g} lies outside 0-1; "
                f"allow_violation=true permits more than 1 on purpose"
            )
        for name, bad in (
            ("size", (self.size <= 0).any(-1)),
            ("mass", self.mass <= 0),
            ("friction", self.friction < 0),
        ):
            if (present & bad).any():
                raise ValueError(f"{name} must be positive in every world")


@dataclass(frozen=True, kw_only=True, eq=False)
class Rollout:
    """States at frames 0 .. T - 1 of E worlds, float32, SI units."""

    worlds: Worlds
    position: np.ndarray  # (E, T, N, 2) m
    velocity: np.ndarray  # (E, T, N, 2) m/s
    angle: np.ndarray  # (E, T, N) rad
    spin: np.ndarray  # (E, T, N) rad/s

    def energy(self) -> np.ndarray:
        """(E, T) J: kinetic, of rotation, and potential, over all bodies."""
        w = self.worlds
        present = (w.shape != NOTHING)[:, None]
        motion = 0.5 * w.mass[:, None] * (self.velocity.astype(float) ** 2).sum(-1)
        rotation = 0.5 * w.inertia[:, None] * self.spin.astype(float) ** 2
        height = -(self.position.astype(float) * w.gravity[:, None, None]).sum(-1) * w.mass[:, None]
        return np.where(present, motion + rotation + height, 0.0).sum(-1)


def drop(
    height: np.ndarray,
    restitution: np.ndarray,
    *,
    radius: float = 0.35,
    gravity: np.ndarray | float = GRAVITY,
    velocity: np.ndarray | float = 0.0,
    mass: float = 1.0,
) -> Worlds:
    """Balls let go above the ground; `height` (E,) m is from the ground to the lowest point of the ball.

    Args:
        gravity: (E,) or one number, m/s² downwards.
        velocity: (E,) or one number, m/s upwards at the start.
    """
    height, restitution = np.atleast_1d(np.asarray(height, float)), np.atleast_1d(np.asarray(restitution, float))
    count = len(height)
    ones, zeros = np.ones((count, 1)), np.zeros((count, 1))
    return Worlds(
        shape=np.full((count, 1), BALL),
        size=np.full((count, 1, 2), radius),
        position=np.stack([zeros, (height + radius)[:, None]], -1),
        velocity=np.stack([zeros, np.broadcast_to(velocity, count)[:, None]], -1),
        angle=zeros,
        spin=zeros,
        mass=mass * ones,
        friction=0.5 * ones,
        restitution=restitution[:, None],
        planes=np.tile([[[0.0, 1.0, 0.0]]], (count, 1, 1)),
        gravity=np.stack([np.zeros(count), -np.broadcast_to(gravity, count)], -1),
    )
