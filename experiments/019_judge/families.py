"""Twelve families of rendered clips with known truth, and what cameras and codecs do to them.

A clip is a function of (family, index, sub): sub > 1 renders that many pictures a frame, for motion blur.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from physworld.drawing.render import render
from physworld.io.atomic import replacing
from physworld.scenarios._parts import disc_mass
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.types import FIXED, Attractor, Body, Peg, PinJoint, Scene, Segment
from physworld.video.clips import film
from physworld.video.scenes import Shot, _world, framed, look, shot
from physworld.video.warp.worlds import BALL

SIZE, FPS, FRAMES = (320, 240), 30.0, 65
PX = 0.4  # picture pixels per pixel of a two-dimensional scene: its canvas is 800 x 600


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    family: str
    frames: np.ndarray  # uint8 (T, H, W, 3)
    kind: str
    center: np.ndarray  # (T, N, 2) px
    known: dict[str, Any]  # what a sidecar would say
    expected: dict[str, float]  # figure -> right value


def _ball(
    x: float, y: float, vx: float, vy: float, e: float, friction: float = 0.3, radius: float = 0.35
) -> tuple[Any, ...]:
    return (BALL, (radius, radius), (x, y), (vx, vy), 0.0, 0.0, (radius / 0.35) ** 3, friction, e)


def _shot(
    name: str, bodies: list[tuple[Any, ...]], planes: list[tuple[float, float, float]], gravity: float = 9.81
) -> Shot:
    world = _world(bodies, planes)
    world = replace(world, gravity=np.array([[0.0, -gravity]]))
    return Shot(name=name, caption=name, world=world, height=bodies[0][2][1], restitution=bodies[0][8])


FLOOR = (0.0, 1.0, 0.0)


def _fall(rng: np.random.Generator) -> Shot:
    return _shot("warp_fall", [_ball(rng.uniform(-1, 1), rng.uniform(24.0, 25.0), 0, 0, 0.5)], [FLOOR])


def _throw(rng: np.random.Generator) -> Shot:
    return _shot("warp_throw", [_ball(-6, rng.uniform(2.5, 4), rng.uniform(4, 6), rng.uniform(7.5, 9), 0.5)], [FLOOR])


def _two(rng: np.random.Generator) -> Shot:
    e = rng.uniform(0.5, 0.85)
    heights = rng.uniform(2.0, 3.2), rng.uniform(4.0, 6.0)
    return _shot("warp_two", [_ball(-1.2, heights[0], 0, 0, e), _ball(1.2, heights[1], 0, 0, e)], [FLOOR])


def _collide(rng: np.random.Generator) -> Shot:
    v, e, r = rng.uniform(2.5, 4), math.sqrt(rng.uniform(0.6, 0.95)), rng.uniform(0.3, 0.42)
    bodies = [_ball(-2.5, 0.35, v, 0, e, 0.0), _ball(0.4, r, rng.uniform(-1, 0.3), 0, e, 0.0, r)]
    return _shot("warp_collision", bodies, [FLOOR])


def _uniform(rng: np.random.Generator) -> Shot:
    way = rng.uniform(0, 2 * math.pi)
    v = rng.uniform(1.0, 1.6)
    return _shot(
        "warp_uniform",
        [_ball(-v * math.cos(way), 3 - v * math.sin(way), v * math.cos(way), v * math.sin(way), 0.5)],
        [FLOOR],
        0.0,
    )


WARP: dict[str, tuple[str, Callable[[np.random.Generator], Shot], float]] = {  # name -> (kind, shot, view m)
    "warp_fall": ("free_fall", _fall, 27.0),
    "warp_bounce": ("bounce", lambda rng: shot("ball_drop", rng), 7.0),
    "warp_throw": ("throw", _throw, 9.0),
    "warp_ramp": ("slide", lambda rng: shot("ball_on_ramp", rng), 6.0),
    "warp_two": ("bounce", _two, 8.0),
    "warp_collision": ("collision", _collide, 4.5),
    "warp_uniform": ("uniform", _uniform, 6.5),
}


def _warp(family: str, index: int, sub: int) -> Truth:
    kind, make, view = WARP[family]
    rng = generator(14, "test", list(WARP).index(family), index)
    one = make(rng)
    if family == "warp_fall":  # as far as it falls in the clip, and a ball that is seen from there
        one = replace(one, world=replace(one.world, size=one.world.size * 2.4))
    camera = framed(look(rng, one.world.shape.shape[1], variation=0.6, view=view), one.world, SIZE)
    if family == "warp_throw":
        camera = replace(camera, eye=camera.eye + np.array([[1.0, 0.0, 0.0]]))
    (clip,) = film(
        [one], ["correct"], [rng], frames=(FRAMES - 1) * sub + 1, fps=FPS * sub, size=SIZE, variation=0.6, view=view,
        looks=[camera], samples=2,
    )  # fmt: skip
    scale = SIZE[1] / float(camera.view[0])
    known = {"pixels_per_metre": scale}
    expected: dict[str, float] = {}
    if kind in ("free_fall", "bounce", "throw"):
        known["gravity_m_s2"] = expected["gravity"] = 9.81
    if kind == "bounce":
        known["restitution"] = expected["restitution"] = one.restitution
    if family == "warp_fall":
        expected["galileo"] = 4.0
    if family == "warp_two":
        expected["two_ball"] = 1.0
    if kind == "collision":
        size = one.world.size[0, :, 0]
        expected["mass_ratio"] = float((size[0] / size[1]) ** 3)
        expected["collision_restitution"] = float(one.world.restitution[0, 0] * one.world.restitution[0, 1])
    return Truth(family=family, frames=clip.frames, kind=kind, center=clip.center_px, known=known, expected=expected)


def _disc(x: float, y: float, vx: float, vy: float, radius: float, e: float = 0.8, friction: float = 0.0) -> Body:
    return Body(
        shape="circle", size=(radius,), position=(x, y), velocity=(vx, vy), mass=disc_mass(radius, 2.0),
        friction=friction, restitution=e,
    )  # fmt: skip


def _scene(name: str, bodies: list[Body], **more: Any) -> Scene:
    return Scene(name=name, category="other", difficulty=1, text=name, bodies=tuple(bodies), **more)


def _wall(a: tuple[float, float], b: tuple[float, float], friction: float = 0.0, e: float = 1.0) -> Segment:
    return Segment(start=a, end=b, radius=4.0, friction=friction, restitution=e)


def _pendulum(rng: np.random.Generator) -> tuple[Scene, str, dict[str, float]]:
    length, angle, radius = rng.uniform(120, 330), rng.uniform(0.25, 0.7) * rng.choice([-1, 1]), rng.uniform(18, 28)
    pivot = (400.0, 520.0)
    at = (pivot[0] + length * math.sin(angle), pivot[1] - length * math.cos(angle))
    rod = PinJoint(body_a=FIXED, body_b=0, anchor_a=pivot, anchor_b=(0.0, 0.0), length=length)
    scene = _scene("pendulum", [_disc(*at, 0, 0, radius)], joints=(rod,))
    return scene, "pendulum", {"period": 2 * math.pi * math.sqrt(length / 981), "gravity": 9.81}


def _orbit(rng: np.random.Generator) -> tuple[Scene, str, dict[str, float]]:
    period, distance, e = rng.uniform(1.3, 2.0), rng.uniform(140, 200), rng.uniform(0.0, 0.3)
    strength = (2 * math.pi / period) ** 2 * distance**3
    start = distance * (1 - e)
    speed = math.sqrt(strength * (1 + e) / start)
    turn = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    body = _disc(400 + start * c, 300 + start * s, -speed * s, speed * c, 14)
    star = Peg(center=(400.0, 300.0), radius=24.0, friction=0.0, restitution=0.5)
    scene = _scene("orbit", [body], static=(star,), gravity=(0.0, 0.0),
                   fields=(Attractor(center=(400.0, 300.0), strength=strength, softening=0.0),))  # fmt: skip
    return scene, "orbit", {"period": period}


def _hop(rng: np.random.Generator) -> tuple[Scene, str, dict[str, float]]:
    e = rng.uniform(0.5, 0.9)
    body = _disc(rng.uniform(80, 200), rng.uniform(300, 500), rng.uniform(80, 250), rng.uniform(-50, 100), 24, e)
    return _scene("hop", [body], static=(_wall((-400, 40), (1200, 40)),)), "bounce", {"restitution": e, "gravity": 9.81}


def _slide(rng: np.random.Generator) -> tuple[Scene, str, dict[str, float]]:
    body = Body(
        shape="rect", size=(70.0, 46.0), position=(100.0, 107.1), velocity=(rng.uniform(350, 520), 0.0), mass=2.0,
        friction=rng.uniform(0.3, 0.5), restitution=0.0,
    )  # fmt: skip
    return _scene("slide", [body], static=(_wall((-100, 80), (900, 80), 1.0, 0.0),)), "slide", {}


def _head_on(rng: np.random.Generator) -> tuple[Scene, str, dict[str, float]]:
    radii = rng.uniform(20, 34, 2)
    e = math.sqrt(rng.uniform(0.5, 0.95))
    bodies = [
        _disc(150, 300 + rng.uniform(-8, 8), rng.uniform(180, 280), 0, radii[0], e),
        _disc(560, 300, rng.uniform(-120, 20), 0, radii[1], e),
    ]
    expected = {"mass_ratio": float((radii[0] / radii[1]) ** 2), "collision_restitution": e * e}
    return _scene("head_on", bodies, gravity=(0.0, 0.0)), "collision", expected


PYMUNK = {
    "pymunk_pendulum": _pendulum,
    "pymunk_orbit": _orbit,
    "pymunk_bounce": _hop,
    "pymunk_slide": _slide,
    "pymunk_collision": _head_on,
}
FAMILIES = (*WARP, *PYMUNK)


def _pymunk(family: str, index: int, sub: int) -> Truth:
    rng = generator(14, "test", 100 + list(PYMUNK).index(family), index)
    scene, kind, expected = PYMUNK[family](rng)
    scene = replace(scene, dt=1 / FPS / max(2, sub))
    trajectory = simulate(scene, (FRAMES - 1) * max(2, sub) + 1)
    frames = render(trajectory, size=SIZE, trails=0, every=max(2, sub) // sub)
    path = trajectory.position[:: max(2, sub) // sub]
    center = np.stack([path[..., 0] * PX, SIZE[1] - path[..., 1] * PX], -1)
    known: dict[str, Any] = {"pixels_per_metre": 100 * PX}
    for key, name in (("gravity_m_s2", "gravity"), ("restitution", "restitution"), ("period_s", "period")):
        if name in expected:
            known[key] = expected[name]
    return Truth(family=family, frames=frames, kind=kind, center=center, known=known, expected=expected)


def make(family: str, index: int, sub: int = 1) -> Truth:
    return _warp(family, index, sub) if family in WARP else _pymunk(family, index, sub)


# ------------------------------------------------------------------------------------------------ what spoils a clip


def noisy(frames: np.ndarray, rng: np.random.Generator, sigma: float = 8.0) -> np.ndarray:
    return np.clip(frames + rng.normal(0, sigma, frames.shape), 0, 255).astype(np.uint8)


def blurred(frames: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    return ndimage.gaussian_filter(frames, (0, sigma, sigma, 0))


def compressed(frames: np.ndarray, crf: int) -> np.ndarray:
    """Through H.264 and back."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=int(FPS), options={"crf": str(crf), "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    out.seek(0)
    with av.open(out) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def exposed(frames: np.ndarray, sub: int) -> np.ndarray:
    """Motion blur of a shutter that is open for half of each frame: `sub` pictures a frame are given."""
    count = (len(frames) - 1) // sub
    return np.stack([frames[k * sub : k * sub + sub // 2 + 1].mean(0) for k in range(count)]).astype(np.uint8)


def occluded(frames: np.ndarray, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A post or a bar across the path of the first body, 14 px wide."""
    out = frames.copy()
    path = center[:, 0]
    spans = np.ptp(path, axis=0)
    at = path[int(rng.integers(len(path) // 5, 2 * len(path) // 5))]
    shade = np.array([96, 74, 52], np.uint8)
    if spans[0] > spans[1]:
        x = int(np.clip(at[0], 8, SIZE[0] - 8))
        out[:, :, x - 7 : x + 7] = shade
    else:
        y = int(np.clip(at[1], 8, SIZE[1] - 8))
        out[:, y - 7 : y + 7] = shade
    return out


SPOILT = ("clean", "noise", "blur", "crf18", "crf28", "crf40", "motion_blur", "occluded")


def kept(folder: Path, family: str, index: int, blur: bool = False) -> Truth:
    """`make`, rendered once: read from `folder` where it lies there, else written to it. `blur`: with motion blur."""
    path = folder / f"{family}_{index}{'_blur' if blur else ''}.npz"
    if not path.exists():
        truth = make(family, index, sub=4 if blur else 1)
        if blur:
            frames = exposed(truth.frames, 4)
            truth = replace(truth, frames=frames, center=truth.center[::4][: len(frames)])
        said = json.dumps({"kind": truth.kind, "known": truth.known, "expected": truth.expected})
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, frames=truth.frames, center=truth.center, said=np.array(said))
    with np.load(path) as file:
        return Truth(family=family, frames=file["frames"], center=file["center"], **json.loads(str(file["said"])))


def spoil(family: str, index: int, how: str, folder: Path) -> Truth:
    rng = generator(15, "test", FAMILIES.index(family), index, SPOILT.index(how))
    truth = kept(folder, family, index, blur=how == "motion_blur")
    if how in ("clean", "motion_blur"):
        return truth
    if how.startswith("crf"):
        return replace(truth, frames=compressed(truth.frames, int(how[3:])))
    change: dict[str, Callable[[], np.ndarray]] = {
        "noise": lambda: noisy(truth.frames, rng),
        "blur": lambda: blurred(truth.frames),
        "occluded": lambda: occluded(truth.frames, truth.center, rng),
    }
    return replace(truth, frames=change[how]())
