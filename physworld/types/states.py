"""Bodies over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from physworld.types.scenes import Scene, State


@dataclass(frozen=True, kw_only=True, eq=False)
class Trajectory:
    """A scene over time, float64, unrounded. Frame 0 is whatever instant the holder started at."""

    scene: Scene
    position: np.ndarray  # (T, N, 2) px
    velocity: np.ndarray  # (T, N, 2) px/s
    angle: np.ndarray  # (T, N) rad
    spin: np.ndarray  # (T, N) rad/s

    def __post_init__(self) -> None:
        frames, count = self.angle.shape
        if count != len(self.scene.bodies):
            raise ValueError(
                f"trajectory has {count} bodies but scene {self.scene.name!r} has {len(self.scene.bodies)}"
            )
        if not (
            self.position.shape == self.velocity.shape == (frames, count, 2) and self.spin.shape == (frames, count)
        ):
            raise ValueError("trajectory arrays disagree: want (T, N, 2), (T, N, 2), (T, N), (T, N)")

    def __len__(self) -> int:
        return len(self.angle)

    def window(self, start: int, stop: int) -> Trajectory:
        """Frames start..stop-1 as views."""
        part = slice(start, stop)
        return Trajectory(
            scene=self.scene,
            position=self.position[part],
            velocity=self.velocity[part],
            angle=self.angle[part],
            spin=self.spin[part],
        )

    def frame(self, index: int) -> State:
        return State(
            position=self.position[index],
            velocity=self.velocity[index],
            angle=self.angle[index],
            spin=self.spin[index],
        )

    @staticmethod
    def of(scene: Scene, states: list[State]) -> Trajectory:
        """Stack single instants."""
        return Trajectory(
            scene=scene,
            position=np.stack([s.position for s in states]),
            velocity=np.stack([s.velocity for s in states]),
            angle=np.stack([s.angle for s in states]),
            spin=np.stack([s.spin for s in states]),
        )

    def then(self, other: Trajectory) -> Trajectory:
        """This trajectory followed by `other`."""
        return Trajectory(
            scene=self.scene,
            position=np.concatenate([self.position, other.position]),
            velocity=np.concatenate([self.velocity, other.velocity]),
            angle=np.concatenate([self.angle, other.angle]),
            spin=np.concatenate([self.spin, other.spin]),
        )
