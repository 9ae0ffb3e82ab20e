"""L1: what a scene's fields do to its bodies, as accelerations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from physworld.types import Attractor, MutualGravity, Scene, Wind


def attraction(poles: Sequence[Attractor], position: np.ndarray) -> np.ndarray:
    """Acceleration by all attractors at `position` (..., 2) px, px/s²."""
    total = np.zeros_like(position)
    for pole in poles:
        offset = np.asarray(pole.center) - position
        distance2 = np.sum(offset * offset, axis=-1, keepdims=True) + pole.softening**2
        total += pole.strength * offset / distance2**1.5
    return total


class Fields:
    """A scene's fields with the numbers that stay the same over time."""

    def __init__(self, scene: Scene) -> None:
        self.poles = [field for field in scene.fields if isinstance(field, Attractor)]
        self.mutual = [field for field in scene.fields if isinstance(field, MutualGravity)]
        self.mass = np.array([body.mass for body in scene.bodies])  # (N,) kg
        across = np.array([2 * body.reach for body in scene.bodies])  # (N,) px
        # velocity (2,) px/s and, per body (N, 1), the share of the difference that goes per second of this step
        self.winds = [
            (np.array(wind.velocity), -np.expm1(-wind.drag * across / self.mass * scene.dt)[:, None] / scene.dt)
            for wind in scene.fields
            if isinstance(wind, Wind)
        ]

    def acceleration(self, ahead: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Sum of all fields, px/s²; the velocity a step adds beyond gravity's is this times dt.

        Args:
            ahead: (..., N, 2) px, where the step moves the bodies to: p + v·dt.
            velocity: (..., N, 2) px/s, before the step.
        """
        total = attraction(self.poles, ahead)
        for pull in self.mutual:
            offset = ahead[..., None, :, :] - ahead[..., :, None, :]  # (..., N, N, 2) from body i to body j
            distance2 = np.sum(offset * offset, axis=-1) + pull.softening**2
            distance2[..., np.arange(len(self.mass)), np.arange(len(self.mass))] = 1.0  # offset 0: no pull on itself
            total += np.einsum("...ij,...ijc->...ic", pull.strength * self.mass * distance2**-1.5, offset)
        for flow, share in self.winds:
            total += (flow - velocity) * share
        return total
