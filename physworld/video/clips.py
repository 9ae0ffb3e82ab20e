"""A clip with its physical truth, and its files: MP4 or GIF with a JSON sidecar."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.io.atomic import replacing
from physworld.io.images import write_gif, write_mp4
from physworld.video.scenes import Shot, distort, framed, look, stack, stack_looks, violate
from physworld.video.warp.look import Look
from physworld.video.warp.render import draw
from physworld.video.warp.simulation import roll
from physworld.video.warp.worlds import NOTHING


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Frames and what truly happened in them. T = 8k + 1 frames, N bodies."""

    frames: np.ndarray  # uint8 (T, H, W, 3)
    caption: str
    name: str
    physics: str  # correct, or the violation it shows
    height: float  # m, as the caption says: from the floor to the lowest point of the first body
    restitution: float  # of the first body, as it really was
    gravity: float  # m/s² downwards, as it really was
    fps: float
    center_px: np.ndarray  # (T, N, 2) column, row
    center_m: np.ndarray  # (T, N, 2)
    radius: float  # m, of the first body
    look: Look  # E = 1

    def truth(self) -> dict[str, Any]:
        """The sidecar's content."""
        camera = self.look
        return {
            "caption": self.caption, "scenario": self.name, "physics": self.physics, "height_m": self.height,
            "restitution": self.restitution, "gravity_m_s2": self.gravity, "fps": self.fps, "radius_m": self.radius,
            "center_px": np.round(self.center_px, 3).tolist(), "center_m": np.round(self.center_m, 5).tolist(),
            "camera": {
                "eye_m": camera.eye[0].tolist(), "yaw_rad": float(camera.yaw[0]), "pitch_rad": float(camera.pitch[0]),
                "view_m": float(camera.view[0]),
            },
        }  # fmt: skip


def check_shape(frames: int, width: int, height: int, *, multiple: int) -> None:
    """Refuse clips that a video model with 4-fold time and `multiple`-fold space compression cannot hold.

    Raises:
        ValueError: one sentence.
    """
    for name, value in (("frames", frames), ("width", width), ("height", height)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}={value} must be a whole number")
    if frames < 9 or frames % 8 != 1:
        below = max(9, (frames - 1) // 8 * 8 + 1)
        raise ValueError(f"frames={frames} must be a multiple of 8 and one more, for example {below} or {below + 8}")
    for name, value in (("width", width), ("height", height)):
        if value < multiple or value % multiple:
            raise ValueError(
                f"{name}={value} must be a multiple of {multiple}, "
                f"for example {max(1, -(-value // multiple)) * multiple}"
            )


def film(
    shots: Sequence[Shot],
    physics: Sequence[str],
    rngs: Sequence[np.random.Generator],
    *,
    frames: int,
    fps: float,
    size: tuple[int, int],
    variation: float,
    view: float,
    samples: int = 3,
    device: str = "cpu",
    looks: Sequence[Look] | None = None,
) -> list[Clip]:
    """Simulate and draw all shots together: one launch each.

    Args:
        physics: of each shot; see `scenes.PHYSICS`.
        rngs: one for each shot, for its look and for what its violation leaves open.
        size: (W, H) px.
        variation, view: of the looks, see `scenes.look`.
    """
    if looks is None:
        looks = [
            framed(look(rng, s.world.shape.shape[1], variation=variation, view=view), s.world, size)
            for s, rng in zip(shots, rngs, strict=True)
        ]
    changed = [violate(s.world, kind, rng) for s, kind, rng in zip(shots, physics, rngs, strict=True)]
    worlds = stack([world for world, _ in changed])
    rollout = roll(worlds, frames, fps, device=device, allow_violation=True)
    for k, (_, kind) in enumerate(changed):
        distort(rollout, k, kind, rngs[k])
    seen = stack_looks(looks, worlds.shape.shape[1])
    pictures = draw(
        seen, shape=worlds.shape, body_size=worlds.size, position=rollout.position, angle=rollout.angle,
        planes=worlds.planes, size=size, samples=samples, device=device,
    )  # fmt: skip
    where = rollout.position.astype(float)
    flat = seen.project(np.concatenate([where, np.zeros_like(where[..., :1])], -1), size)
    clips = []
    for k, s in enumerate(shots):
        here = worlds.shape[k] != NOTHING
        clips.append(
            Clip(
                frames=pictures[k], caption=s.caption, name=s.name, physics=changed[k][1], height=s.height,
                restitution=float(worlds.restitution[k, 0]),
                gravity=float(-worlds.gravity[k, 1]) + 0.0,  # a linear fall has 0, not -0
                fps=fps, center_px=flat[k][:, here], center_m=where[k][:, here], radius=float(worlds.size[k, 0, 0]),
                look=looks[k],
            )
        )  # fmt: skip
    return clips


def write_clip(path: Path, clip: Clip) -> list[Path]:
    """`path` ends in .mp4 or .gif; the truth goes beside it as .json. Both files are whole or absent."""
    (write_gif if path.suffix == ".gif" else write_mp4)(path, clip.frames, clip.fps)
    beside = path.with_suffix(".json")
    with replacing(beside) as temporary:
        temporary.write_text(json.dumps(clip.truth(), indent=1) + "\n", encoding="utf-8")
    return [path, beside]


def contact_sheet(rows: Sequence[np.ndarray], *, every: int = 1, gap: int = 2, scale: int = 1) -> np.ndarray:
    """Clips (T, H, W, 3) as rows of one picture, uint8."""
    strips = []
    for clip in rows:
        frames = [np.pad(f, ((gap, gap), (gap, gap), (0, 0)), constant_values=255) for f in clip[::every]]
        strips.append(np.concatenate(frames, 1))
    sheet = np.concatenate(strips, 0)
    return sheet.repeat(scale, 0).repeat(scale, 1)
