"""What a scene's fields do to its bodies, as accelerations."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from physworld.types import Attractor, MutualGravity, Scene, Wind


@njit(cache=True)
def accelerate(poles, mutual, mass, winds, shares, ahead, velocity, total):
    """Fill total (N, 2) px/s². See `Fields` for the tables; ahead and velocity are (N, 2)."""
    n = len(mass)
    for i in range(n):
        x, y = ahead[i, 0], ahead[i, 1]
        ax = ay = 0.0
        for p in range(len(poles)):
            dx, dy = poles[p, 0] - x, poles[p, 1] - y
            d2 = dx * dx + dy * dy + poles[p, 3] * poles[p, 3]
            cubed = d2 * math.sqrt(d2)  # 0 at the centre itself, where no direction is any nearer than another
            pull = poles[p, 2] / cubed if cubed > 0.0 else 0.0
            ax += pull * dx
            ay += pull * dy
        for m in range(len(mutual)):
            for j in range(n):
                if j == i:
                    continue
                dx, dy = ahead[j, 0] - x, ahead[j, 1] - y
                d2 = dx * dx + dy * dy + mutual[m, 1] * mutual[m, 1]
                cubed = d2 * math.sqrt(d2)
                pull = mutual[m, 0] * mass[j] / cubed if cubed > 0.0 else 0.0
                ax += pull * dx
                ay += pull * dy
        for w in range(len(winds)):
            ax += (winds[w, 0] - velocity[i, 0]) * shares[w, i]
            ay += (winds[w, 1] - velocity[i, 1]) * shares[w, i]
        total[i, 0], total[i, 1] = ax, ay


@njit(cache=True)
def _accelerate_all(poles, mutual, mass, winds, shares, ahead, velocity, total):
    for t in range(len(ahead)):
        accelerate(poles, mutual, mass, winds, shares, ahead[t], velocity[t], total[t])


class Fields:
    """A scene's fields as tables that compiled code reads."""

    def __init__(self, scene: Scene) -> None:
        self._driven = [i for i, body in enumerate(scene.bodies) if body.kind == "kinematic"]  # no force moves these
        poles = [(*f.center, f.strength, f.softening) for f in scene.fields if isinstance(f, Attractor)]
        mutual = [(f.strength, f.softening) for f in scene.fields if isinstance(f, MutualGravity)]
        winds = [f for f in scene.fields if isinstance(f, Wind)]
        mass = np.array([body.mass for body in scene.bodies], np.float64)
        across = np.array([2 * body.reach for body in scene.bodies], np.float64)
        # Per body, the share of the difference to the air's velocity that goes per second of this step.
        shares = [-np.expm1(-wind.drag * across / mass * scene.dt) / scene.dt for wind in winds]
        self.tables = (
            np.array(poles, np.float64).reshape(-1, 4),  # x, y px, strength px³/s², softening px
            np.array(mutual, np.float64).reshape(-1, 2),  # strength px³/(kg·s²), softening px
            mass,  # (N,) kg
            np.array([wind.velocity for wind in winds], np.float64).reshape(-1, 2),  # px/s
            np.array(shares, np.float64).reshape(-1, len(mass)),  # 1/s
        )

    def acceleration(self, ahead: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Sum of all fields, px/s²; the velocity a step adds beyond gravity's is this times dt.

        Args:
            ahead: (..., N, 2) px, where the step moves the bodies to: p + v·dt.
            velocity: (..., N, 2) px/s, before the step.
        """
        shape = np.broadcast_shapes(ahead.shape, velocity.shape)
        frames = (-1, *shape[-2:])
        total = np.empty(shape)
        _accelerate_all(
            *self.tables,
            np.ascontiguousarray(np.broadcast_to(ahead, shape), np.float64).reshape(frames),
            np.ascontiguousarray(np.broadcast_to(velocity, shape), np.float64).reshape(frames),
            total.reshape(frames),
        )
        total[..., self._driven, :] = 0.0
        return total


def gravity(scene: Scene) -> np.ndarray:
    """(N, 2) px/s², what gravity adds to each body's velocity: nothing to that of kinematic ones."""
    pull = np.tile(np.array(scene.gravity, np.float64), (len(scene.bodies), 1))
    pull[[body.kind == "kinematic" for body in scene.bodies]] = 0.0
    return pull
