"""PhyWorld's three systems (Kang et al. 2024, arXiv 2411.02385) as scenes and as pictures, and its HDF5 files.

Constants are those of id_ood_data/ of github.com/phyworld/phyworld: a square world of 10 units, 32 frames 0.1 s apart
(Box2D steps of 0.01 s, every tenth kept, the first one after one step), four of them given.

- uniform: one ball, no gravity.
- parabola: one ball thrown level near the top, g = 2.5.
- collision: two balls on one line run at each other, elastic, masses as their areas.

In distribution a ball's speed is 1-4 and its radius 0.7-1.4 (of two balls 0.5-1.5); out of it speed, radius or both are
smaller (0-0.8; 0.3-0.6, of two balls 0.3-0.4) or larger (4.5-6; 1.5-2, of two balls 1.7-2). Its grids of values become
uniform draws from the same ranges.

A unit is SCALE px here. Chipmunk steps 1/60 s and moves a body before it is pulled, Box2D 0.01 s and after it: a body
gets the velocity with which its positions are Box2D's at every kept frame, to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.io.hdf5 import own
from physworld.settings.checks import installed
from physworld.types import Body, Scene

SYSTEMS = ("uniform", "parabola", "collision")
SPLITS = ("in", "out", "larger")  # out: smaller than in training, the paper's out-of-distribution sets; larger: its xl
SIZE = 10.0  # units, of the square world
SCALE = 60.0  # px of physworld in a unit
FRAMES, GIVEN = 32, 4
EVERY, SUBSTEP = 0.1, 0.01  # s between kept frames, and of a step of Box2D
DT = 1 / 60  # s, of a step here
STEPS = 6  # of them between kept frames
FALL = 2.5  # units/s²
ENOUGH = 24  # frames that a single ball is to be seen
BEFORE, AFTER = 8, 8  # frames before and after an impact
EDGE = 0.05  # of the world, kept free above and below
STICKS = 1.0  # units/s: below that closing speed Box2D's impacts are inelastic (b2_velocityThreshold)
SPEED = {"in": (1.0, 4.0), "out": (0.0, 0.8), "larger": (4.5, 6.0)}
RADIUS = {"in": (0.7, 1.4), "out": (0.3, 0.6), "larger": (1.5, 2.0)}
RADIUS_OF_TWO = {"in": (0.5, 1.5), "out": (0.3, 0.4), "larger": (1.7, 2.0)}
TRIES = 400
MOST = 1_000_000  # clips of one data set that are read; the published ones have some thousands
COLOURS = ((255, 0, 0), (0, 0, 255))
OWN = ((0, 2), (2, 0))  # of each ball: the channel that it lights, and the one that it and green leave dark
NOISE = 8.0  # of 255: what a compressed video has on plain white
SOFT = 0.03  # of the squared radius, over which a disc's rim fades
KEYS = ("init_streams", "position_streams", "video_streams")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One scene of a system."""

    system: str
    split: str
    radius: np.ndarray  # (N,) units
    speed: np.ndarray  # (N,) units/s, towards the right of the first ball, towards the left of the second
    position: np.ndarray  # (32, N, 2) units, y upwards
    video: bytes = b""  # MP4, of a file

    @property
    def inside(self) -> np.ndarray:
        """Which frames (32,) are scored: from the last given one on, every ball wholly in the picture."""
        low = (self.position - self.radius[:, None]).min(axis=(1, 2))
        high = (self.position + self.radius[:, None]).max(axis=(1, 2))
        return (np.arange(FRAMES) >= GIVEN - 1) & (low >= 0) & (high <= SIZE)

    def scene(self, frame: int = GIVEN - 1) -> Scene:
        """The world at one of the frames before any impact."""
        pull = -FALL if self.system == "parabola" else 0.0
        fallen = pull * (SUBSTEP + frame * EVERY + (DT + SUBSTEP) / 2)  # with Chipmunk's order instead of Box2D's
        closing = float(self.speed.sum())
        bounce = float(self.system != "collision" or closing > STICKS)
        bodies = [
            Body.circle(
                float(radius) * SCALE, position=tuple((place * SCALE).tolist()), mass=float(radius) ** 2, friction=0.2,
                velocity=(side * float(speed) * SCALE, fallen * SCALE), restitution=bounce,
            )
            for radius, speed, side, place in zip(self.radius, self.speed, (1, -1), self.position[frame], strict=False)
        ]  # fmt: skip
        return Scene(
            name=f"phyworld_{self.system}_{self.split}", category="phyworld", text=f"PhyWorld's {self.system}.",
            bodies=tuple(bodies), gravity=(0.0, pull * SCALE), dt=DT, canvas=(int(SIZE * SCALE), int(SIZE * SCALE)),
        )  # fmt: skip


def draw(system: str, split: str, rng: np.random.Generator) -> Clip:
    """A clip as the published generators make it.

    Raises:
        ValueError: there is no room for it.
    """
    if system == "collision":
        return _collision(split, rng)
    changed = _changed(split, 2, rng)
    radius = rng.uniform(*RADIUS[split if changed[0] else "in"])
    speed = rng.uniform(*SPEED[split if changed[1] else "in"])
    last = SIZE - ENOUGH * speed * EVERY - radius
    x = rng.uniform(radius, last if last >= radius else radius + rng.uniform(0, 0.5))
    top = (1 - EDGE) * SIZE - radius
    y = rng.uniform(top - 1.0 if system == "parabola" else radius + EDGE * SIZE, top)
    step = SUBSTEP + EVERY * np.arange(FRAMES)  # s
    count = step / SUBSTEP
    pull = FALL if system == "parabola" else 0.0
    path = np.stack([x + speed * step, y - pull * SUBSTEP**2 * count * (count + 1) / 2], axis=1)
    return Clip(system=system, split=split, radius=np.array([radius]), speed=np.array([speed]), position=path[:, None])


def _changed(split: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of the numbers are out of distribution: in each of its levels another set of them, never none."""
    chosen = np.zeros(count, dtype=bool)
    while split != "in" and not chosen.any():
        chosen = rng.random(count) < 0.5
    return chosen


def _collision(split: str, rng: np.random.Generator) -> Clip:
    for _ in range(TRIES):
        changed = _changed(split, 4, rng)
        radius = np.array([rng.uniform(*RADIUS_OF_TWO[split if new else "in"]) for new in changed[:2]])
        speed = np.array([rng.uniform(*SPEED[split if new else "in"]) for new in changed[2:]])
        closing, both = float(speed.sum()), float(radius.sum())
        least = BEFORE * closing * EVERY + both
        most = min((FRAMES - AFTER) * EVERY * closing + both, SIZE - both)
        if most < least:
            continue
        apart = rng.uniform(least, most)
        left = rng.uniform(radius[0], SIZE - radius[1] - apart)
        high = rng.uniform(radius.max() + EDGE * SIZE, (1 - EDGE) * SIZE - radius.max())
        return Clip(system="collision", split=split, radius=radius, speed=speed,
                    position=_meeting(radius, speed, left, left + apart, high))  # fmt: skip
    raise ValueError(f"no collision of the split {split} was found in {TRIES} draws")


def _meeting(radius: np.ndarray, speed: np.ndarray, left: float, right: float, high: float) -> np.ndarray:
    """(32, 2, 2) units: two balls that meet on a level line, in closed form."""
    times = SUBSTEP + EVERY * np.arange(FRAMES)
    mass, before = radius**2, speed * (1.0, -1.0)
    closing = float(speed.sum())
    meet = (right - left - float(radius.sum())) / closing if closing > 0 else np.inf
    centre = float((mass * before).sum() / mass.sum())
    bounce = 1.0 if closing > STICKS else 0.0
    after = centre - bounce * (before - centre)
    first = np.minimum(times, meet)[:, None]
    x = np.array([left, right]) + before * first + after * np.maximum(times - meet, 0)[:, None]
    return np.stack([x, np.full_like(x, high)], axis=2)


def read(path: Path) -> list[Clip]:
    """Every clip of a published HDF5 file, with its split told from its numbers.

    Raises:
        UserError: it is no such file, or h5py is not installed.
    """
    installed("spatial", "h5py", what=f"suite.file={path}")
    import h5py

    if not os.path.isfile(path):
        raise UserError(f"suite.file={path} cannot be read (there is no such file).")
    found: list[Clip] = []
    try:
        with h5py.File(os.fspath(path), "r") as file:
            names = list(file)  # `in file` would follow a link into another one
            missing = [key for key in KEYS[:2] if key not in names]
            if missing:
                raise UserError(f"{path} has no {missing[0]}; PhyWorld's files hold {', '.join(KEYS)}.")
            starts, paths, videos = (_parts(file, key) if key in names else {} for key in KEYS)
            for group, values in starts.items():
                start, position = np.asarray(values, float), np.asarray(paths[group], float)
                for row in range(len(start)):
                    video = bytes(np.asarray(videos[group][row], np.uint8)) if group in videos else b""
                    found.append(_recorded(start[row], position[row], video))
    except (OSError, KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
        raise UserError(f"{path} cannot be read as a file of PhyWorld ({str(error)[:80]}).") from None
    if not found:
        raise UserError(f"{path} holds no clips.")
    return found


def _parts(file: Any, key: str) -> dict[str, Any]:
    """A file of one thousand clips has data sets, a merged one groups of them.

    Raises:
        ValueError: a data set lies elsewhere, so that reading it would open other files, or is too large.
    """
    node = own(file, key)
    found = {name: own(node, name) for name in node} if isinstance(node, Mapping) else {"": node}
    for name, data in found.items():
        if isinstance(data, Mapping):
            raise ValueError(f"{name or key} is no data set")
        if len(data) > MOST or data.size > MOST * FRAMES * 4:
            raise ValueError(f"{key} has {len(data)} rows, at most {MOST} can be read")
    return found


def _recorded(start: np.ndarray, position: np.ndarray, video: bytes) -> Clip:
    two = len(start) == 4
    if (
        position.shape not in ((FRAMES, 2), (FRAMES, 2, 2))
        or len(start) not in (2, 3, 4)
        or two != (position.ndim == 3)
    ):
        raise ValueError(f"a clip has {len(start)} numbers and positions of shape {list(position.shape)}")
    if not (np.isfinite(start).all() and np.isfinite(position).all() and (start[: 2 if two else 1] > 0).all()):
        raise ValueError("a clip has a number that is not finite, or a radius that is not positive")
    radius, speed = (start[:2], start[2:]) if two else (start[:1], start[1:2])
    places = position if two else position[:, None]
    falls = not two and abs(float(places[-1, 0, 1] - places[0, 0, 1])) > 1e-3
    system = "collision" if two else "parabola" if falls else "uniform"
    ranges = RADIUS_OF_TWO if two else RADIUS
    within = [(ranges["in"], radius), (SPEED["in"], speed)]
    ok = all(((low <= v + 1e-6) & (v <= high + 1e-6)).all() for (low, high), v in within)
    larger = (radius > ranges["in"][1] + 1e-6).any() or (speed > SPEED["in"][1] + 1e-6).any()
    split = "in" if ok else "larger" if larger else "out"
    return Clip(system=system, split=split, radius=radius, speed=speed, position=places, video=video)


def paint(radius: np.ndarray, position: np.ndarray, side: int) -> np.ndarray:
    """uint8 (T, side, side, 3): soft discs on white, the upper edge first, as the published renderer draws them.

    Args:
        radius: (N,) units.
        position: (T, N, 2) units.
    """
    line = np.linspace(0, SIZE, side)
    frames = np.full((len(position), side, side, 3), 255, np.float32)
    for k, size in enumerate(radius):
        apart = (line - position[:, k, 0, None])[:, None, :] ** 2 + (line - position[:, k, 1, None])[:, :, None] ** 2
        share = np.clip((size**2 - apart) / (size**2 * SOFT), 0, 1).astype(np.float32)[..., None]
        frames += share * (np.array(COLOURS[k], np.float32) - frames)
    return frames.astype(np.uint8)[:, ::-1]


def parse(frames: np.ndarray, count: int) -> np.ndarray:
    """(T, N, 2) units, NaN where no ball is: the published parser, centres of the pixels of each ball's colour.

    It divides by the number of pixels and not by the distance of the outer ones, so it reads 1 / side too little.

    Args:
        frames: uint8 (T, side, side, 3), the upper edge first.
        count: N, 1 or 2.
    """
    upright, side = frames[:, ::-1], frames.shape[2]
    found = np.full((len(frames), count, 2), np.nan)
    for k in range(count):
        own, other = OWN[k]
        mask = (upright[..., own] > 127) & (upright[..., 1] < 127) & (upright[..., other] < 127)
        for t, picture in enumerate(mask):
            rows, columns = np.nonzero(picture)
            if len(rows):
                found[t, k] = columns.mean() / side * SIZE, rows.mean() / side * SIZE
    return found


def track(frames: np.ndarray, count: int) -> np.ndarray:
    """(T, N, 2) units, NaN where no ball is: centres to a fraction of a pixel, pixels weighted by their share of ball.

    Args:
        frames: uint8 (T, side, side, 3), the upper edge first.
        count: N, 1 or 2.
    """
    upright, line = frames[:, ::-1].astype(np.float32), np.linspace(0, SIZE, frames.shape[2], dtype=np.float32)
    found = np.full((len(frames), count, 2), np.nan)
    for k in range(count):
        own, other = OWN[k]
        matte = np.clip((upright[..., own] - upright[..., other] - NOISE) / (255 - NOISE), 0, 1)
        mass = matte.sum(axis=(1, 2))
        seen = mass > 1
        found[seen, k, 0] = (matte.sum(axis=1) @ line)[seen] / mass[seen]
        found[seen, k, 1] = (matte.sum(axis=2) @ line)[seen] / mass[seen]
    return found


def frames_of(clip: Clip) -> np.ndarray:
    """uint8 (T, H, W, 3), the upper edge first: the MP4 that a file holds.

    Raises:
        UserError: it cannot be read.
    """
    import av
    from imageio.v3 import imread

    try:
        return np.asarray(imread(BytesIO(clip.video), plugin="pyav", extension=".mp4"))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise UserError(f"The video of a clip cannot be read ({str(error)[:80]}).") from None


def velocity_error(clip: Clip, position: np.ndarray) -> float:
    """Mean absolute error of velocities between kept frames, units/s, as the published evaluation has it.

    Frames count from the last given one on in which every ball is wholly in the picture; along x, of a parabola along
    both axes; the moment of an impact is left out. NaN where no two such frames are.

    Args:
        position: (32, N, 2) units; what comes before the last given frame is not read.
    """
    kept = np.flatnonzero(clip.inside)
    if len(kept) < 2:
        return float("nan")
    axes = [0, 1] if clip.system == "parabola" else [0]
    true = np.diff(clip.position[kept][..., axes], axis=0) / EVERY
    said = np.diff(position[kept][..., axes], axis=0) / EVERY
    counts = np.ones(len(true), dtype=bool)
    if clip.system == "collision":
        jump = np.abs(np.diff(true[..., 0], axis=0)).max(axis=1) > 0.1
        if jump.any():
            counts[int(jump.argmax()) + 1] = False
    return float(np.abs(said - true)[counts].mean()) if counts.any() else float("nan")


def sampled(paths: np.ndarray, last_given: np.ndarray, clip: Clip) -> np.ndarray:
    """(32, N, 2) units of a rollout in px.

    Args:
        paths: (T, N, 2) px, from the frame after the last given one on, T >= 28 · STEPS.
        last_given: (N, 2) px.
    """
    whole = clip.position.copy()
    whole[GIVEN - 1] = last_given / SCALE
    whole[GIVEN:] = paths[STEPS - 1 :: STEPS][: FRAMES - GIVEN] / SCALE
    return whole


def clips(systems: Sequence[str], splits: Sequence[str], count: int, rng_of: Any) -> list[Clip]:
    """`count` clips of each system and split; `rng_of(system, split, number)` makes the generator of each."""
    return [
        draw(system, split, rng_of(system, split, number))
        for system in systems
        for split in splits
        for number in range(count)
    ]
