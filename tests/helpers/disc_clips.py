"""Discs on paths of the laws of motion, over a textured scene, and what the judge makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from physworld.judge.clip import Settings, Verdict, judge_footage
from physworld.judge.footage import Footage, Source
from physworld.seeding import generator

FPS, COUNT, RADIUS = 30.0, 40, 11.0
TIMES = np.arange(COUNT) / FPS


def texture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = generator(seed, "test")
    rough = sum(ndimage.gaussian_filter(rng.normal(size=(size[1], size[0], 3)), (s, s, 0)) * s for s in (1, 3))
    return np.clip(120 + 35 * rough / rough.std(), 0, 255)


def clip(*paths: np.ndarray, size: tuple[int, int] = (240, 180), noise: float = 3.0, shift: float = 0.0) -> np.ndarray:
    """Discs with a soft rim at paths (T, 2) px over a textured scene that may shift by `shift` px a frame."""
    rng = generator(1, "test")
    wide = texture((size[0] + 200, size[1]))
    columns, rows = np.arange(size[0])[None] + 0.5, np.arange(size[1])[:, None] + 0.5
    frames = []
    for t in range(len(paths[0]) if paths else COUNT):
        off = int(shift * t)
        frame = wide[:, off : off + size[0]].copy()
        for k, path in enumerate(paths):
            away = np.hypot(columns - path[t, 0], rows - path[t, 1])
            share = np.nan_to_num(np.clip(RADIUS + 0.5 - away, 0, 1))[..., None]
            frame = (1 - share) * frame + share * np.array([(235, 40, 30), (30, 60, 240)][k % 2])
        frames.append(frame + rng.normal(0, noise, frame.shape))
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


def judged(frames: np.ndarray, **settings: Any) -> Verdict:
    shot = Footage(frames=frames, times=np.arange(len(frames)) / FPS, shrink=1.0)
    return judge_footage(shot, Source(name="x", files=()), Settings(**settings))


def bounce(g: float = 300.0, e: float = 0.8, floor: float = 150.0, top: float = 30.0, x: float = 120.0) -> np.ndarray:
    """(T, 2) px: let go at `top`, bouncing at `floor`, both of the centre."""
    fall = np.sqrt(2 * (floor - top) / g)
    y = top + g * TIMES**2 / 2
    late = fall < TIMES
    up = TIMES[late] - fall
    y[late] = floor - e * g * fall * up + g * up**2 / 2
    return np.stack([np.full(COUNT, x), np.minimum(y, floor)], -1)


def line(start: tuple[float, float], speed: tuple[float, float]) -> np.ndarray:
    return np.array(start) + TIMES[:, None] * np.array(speed)
