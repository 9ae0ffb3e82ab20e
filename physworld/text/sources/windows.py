"""Which moments of a trajectory become learning problems."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict

import numpy as np

from physworld.sim.fields import Fields, gravity
from physworld.types import Sample, Trajectory

EVENT_SPEED = 10.0  # px/s of velocity change that makes a frame an event (see `events`)
PAIRS_AT_ONCE = 200_000  # bodies² x frames whose mutual gravity is worked out together: about 10 MB


class Windows(ABC):
    """A source whose window `index` is cut from scene `index // windows_per_scene`; the scenes used last are kept."""

    def __init__(self, windows_per_scene: int, event_fraction: float, include_resting: bool) -> None:
        if not isinstance(include_resting, bool):
            raise ValueError(f"include_resting={include_resting} must be true or false")
        self.windows_per_scene, self.event_fraction, self.include_resting = (
            windows_per_scene,
            event_fraction,
            include_resting,
        )
        self._windows: OrderedDict[int, list[tuple[Trajectory, Trajectory]]] = OrderedDict()

    @abstractmethod
    def _cut(self, number: int) -> list[tuple[Trajectory, Trajectory]]:
        """All windows of scene `number`."""

    def sample(self, index: int) -> Sample:
        """Window `index` of this stream."""
        number, place = divmod(index, self.windows_per_scene)
        if number not in self._windows:
            self._windows[number] = self._cut(number)
            if len(self._windows) > 64:
                self._windows.popitem(last=False)
        given, target = self._windows[number][place]
        return Sample(seed=index, given=given, target=target)


def cut_windows(
    run: Trajectory,
    rng: np.random.Generator,
    *,
    count: int,
    context_frames: int,
    target_frames: int,
    event_fraction: float,
    kicked: np.ndarray | None = None,
    include_resting: bool = False,
) -> list[tuple[Trajectory, Trajectory]]:
    """Draw `count` windows (given frames, target frames); a share of them has an event in its first target frame.

    Args:
        event_fraction: that share, where the trajectory holds any event.
        kicked: (T,) bool, frames whose state is not what physics made of the frame before; they are never targets.
        include_resting: see `events`.

    Raises:
        ValueError: the trajectory has no window, or kicks leave none.
    """
    if len(run) < context_frames + target_frames:
        raise ValueError(
            f"a trajectory of {len(run)} frames has no window of {context_frames} + {target_frames} frames"
        )
    kicked = np.zeros(len(run), bool) if kicked is None else kicked
    clean = clean_targets(kicked, context_frames=context_frames, target_frames=target_frames)
    if not clean.any():
        raise ValueError(f"every window of {context_frames} + {target_frames} frames has a kick in its target")
    event = np.concatenate([[False], events(run, include_resting)])[: len(clean)]
    calm_at, event_at = np.flatnonzero(clean & ~event), np.flatnonzero(clean & event)
    wanted = rng.random(count) < event_fraction
    windows = []
    for want in wanted:
        pool = choose(want, calm_at, event_at)
        at = int(pool[rng.integers(len(pool))])
        windows.append((run.window(at - context_frames, at), run.window(at, at + target_frames)))
    return windows


def clean_targets(kicked: np.ndarray, *, context_frames: int, target_frames: int) -> np.ndarray:
    """(T - target_frames + 1,) bool: whether the target frames from each frame on are free of kicks.

    Args:
        kicked: (T,) bool.
        context_frames: so many frames at the beginning have too few before them.
    """
    clean = np.ones(len(kicked) - target_frames + 1, bool)
    for ahead in range(target_frames):
        clean &= ~kicked[ahead : ahead + len(clean)]
    clean[:context_frames] = False
    return clean


def events(run: Trajectory, include_resting: bool) -> np.ndarray:
    """(T - 1,) bool: whether contacts or joints change a body's velocity in frames 1, 2 ...

    Args:
        include_resting: count what lies or hangs too: in every frame as much is given to it as gravity takes.
    """
    acted = np.abs(impulses(run)).max(axis=2) > EVENT_SPEED
    if not include_resting:
        acted &= np.abs(np.diff(run.velocity, axis=0)).max(axis=2) > EVENT_SPEED
    found: np.ndarray = acted.any(axis=1)
    return found


def choose(event: bool, calm_at: np.ndarray, event_at: np.ndarray) -> np.ndarray:
    """The moments with or without an event, as wanted; the others where there is none of these."""
    return event_at if (event and len(event_at)) or not len(calm_at) else calm_at


def impulses(run: Trajectory) -> np.ndarray:
    """(T - 1, N, 2) px/s: the velocity that contacts and joints gave each body in frames 1, 2 ...

    It is what gravity and the scene's fields do not explain; these act as in the simulator's step (sim/fields.py).
    """
    scene, before = run.scene, run.velocity[:-1]
    rest = run.velocity[1:] - before - gravity(scene) * scene.dt
    if scene.fields:
        fields, ahead = Fields(scene), run.position[:-1] + before * scene.dt
        step = max(1, PAIRS_AT_ONCE // max(1, len(scene.bodies)) ** 2)
        for at in range(0, len(rest), step):
            part = slice(at, at + step)
            rest[part] -= fields.acceleration(ahead[part], before[part]) * scene.dt
    return rest
