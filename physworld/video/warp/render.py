"""Clips of moving balls and boxes, ray-cast by Warp: perspective camera, shading, shadow, checker floor, back wall.

Bodies move in the plane z = 0; x points right, y up, z towards the camera. Lengths in m. The picture of a frame depends
on nothing but its own numbers, so a clip looks the same in whatever batch it is drawn.
"""

from __future__ import annotations

import numpy as np
import warp as wp

from physworld.video.warp.device import device as find_device
from physworld.video.warp.look import Look

BALL = wp.constant(1)
NEAR = wp.constant(1.0e-3)  # m: a shadow ray starts this far off its surface
MISS = wp.constant(1.0e9)


@wp.struct
class Stage:
    """`Look` and bodies on the device."""

    shape: wp.array2d(dtype=wp.int32)
    size: wp.array2d(dtype=wp.vec2)
    position: wp.array3d(dtype=wp.vec2)
    angle: wp.array3d(dtype=float)
    planes: wp.array2d(dtype=wp.vec3)
    eye: wp.array(dtype=wp.vec3)
    axes: wp.array(dtype=wp.mat33)
    tangent: wp.array(dtype=float)
    light: wp.array(dtype=wp.vec3)
    ambient: wp.array(dtype=float)
    body: wp.array2d(dtype=wp.vec3)
    floor: wp.array2d(dtype=wp.vec3)
    wall: wp.array(dtype=wp.vec3)
    back: float
    square: float
    pattern: float


@wp.func
def _slab(origin: float, step: float, half: float) -> wp.vec2:
    """When a ray is between -half and half along one axis: (in, out)."""
    if wp.abs(step) < 1.0e-9:
        if wp.abs(origin) > half:
            return wp.vec2(MISS, -MISS)
        return wp.vec2(-MISS, MISS)
    a, b = (-half - origin) / step, (half - origin) / step
    return wp.vec2(wp.min(a, b), wp.max(a, b))


@wp.func
def _meet(s: Stage, e: int, t: int, n: int, start: wp.vec3, ray: wp.vec3) -> float:
    """Distance along the unit `ray` to body n, or MISS."""
    kind = s.shape[e, n]
    if kind == 0:
        return MISS
    x = s.position[e, t, n]
    size = s.size[e, n]
    o = start - wp.vec3(x[0], x[1], 0.0)
    if kind == BALL:
        along = wp.dot(o, ray)
        inside = along * along - wp.dot(o, o) + size[0] * size[0]
        if inside < 0.0:
            return MISS
        near = -along - wp.sqrt(inside)
        if near > 0.0:
            return near
        return MISS
    c, w = wp.cos(s.angle[e, t, n]), wp.sin(s.angle[e, t, n])
    sx = _slab(c * o[0] + w * o[1], c * ray[0] + w * ray[1], size[0])
    sy = _slab(-w * o[0] + c * o[1], -w * ray[0] + c * ray[1], size[1])
    sz = _slab(o[2], ray[2], wp.min(wp.min(size[0], size[1]), 0.4))
    enter, leave = wp.max(sx[0], wp.max(sy[0], sz[0])), wp.min(sx[1], wp.min(sy[1], sz[1]))
    if enter > 0.0 and enter <= leave:
        return enter
    return MISS


@wp.func
def _normal(s: Stage, e: int, t: int, n: int, point: wp.vec3) -> wp.vec3:
    x = s.position[e, t, n]
    size = s.size[e, n]
    o = point - wp.vec3(x[0], x[1], 0.0)
    if s.shape[e, n] == BALL:
        return o / size[0]
    c, w = wp.cos(s.angle[e, t, n]), wp.sin(s.angle[e, t, n])
    deep = wp.min(wp.min(size[0], size[1]), 0.4)
    a, b, d = (c * o[0] + w * o[1]) / size[0], (-w * o[0] + c * o[1]) / size[1], o[2] / deep
    if wp.abs(d) > wp.abs(a) and wp.abs(d) > wp.abs(b):
        return wp.vec3(0.0, 0.0, wp.sign(d))
    if wp.abs(a) > wp.abs(b):
        return wp.vec3(c * wp.sign(a), w * wp.sign(a), 0.0)
    return wp.vec3(-w * wp.sign(b), c * wp.sign(b), 0.0)


@wp.func
def _colour(s: Stage, e: int, t: int, ray: wp.vec3) -> wp.vec3:
    """What the unit `ray` from the eye sees."""
    eye = s.eye[e]
    light = s.light[e]
    nearest, which = float(MISS), int(-1)
    for n in range(s.shape.shape[1]):
        d = _meet(s, e, t, n, eye, ray)
        if d < nearest:
            nearest = d
            which = n
    normal, paint = wp.vec3(0.0, 0.0, 1.0), wp.vec3(0.0, 0.0, 0.0)
    if which >= 0:
        point = eye + nearest * ray
        normal = _normal(s, e, t, which, point)
        paint = s.body[e, which]
        if s.shape[e, which] == BALL and s.pattern > 0.0:
            x = s.position[e, t, which]
            a = s.angle[e, t, which]
            o = point - wp.vec3(x[0], x[1], 0.0)
            u, v = wp.cos(a) * o[0] + wp.sin(a) * o[1], -wp.sin(a) * o[0] + wp.cos(a) * o[1]
            if u * v < 0.0:
                paint = paint * (1.0 - s.pattern)
    else:
        if ray[2] < 0.0:
            nearest = (-s.back - eye[2]) / ray[2]
            paint = s.wall[e]
        else:
            return s.wall[e]
        for p in range(s.planes.shape[1]):
            plane = s.planes[e, p]
            out = wp.vec3(plane[0], plane[1], 0.0)
            down = wp.dot(out, ray)
            if down < 0.0:
                d = (plane[2] - wp.dot(out, eye)) / down
                if d > 0.0 and d < nearest:
                    nearest = d
                    normal = out
                    which = -2
        if which == -2:
            at = eye + nearest * ray
            along = at[0] * normal[1] - at[1] * normal[0]
            tile = int(wp.floor(along / s.square)) + int(wp.floor(at[2] / s.square))
            paint = s.floor[e, wp.abs(tile) % 2]
    facing = wp.max(wp.dot(normal, light), 0.0)
    ambient = s.ambient[e]
    if which < 0 and facing > 0.0:  # convex bodies shade themselves by facing away
        start = eye + nearest * ray + NEAR * normal
        for n in range(s.shape.shape[1]):
            if _meet(s, e, t, n, start, light) < MISS:
                facing = 0.0
    return paint * (ambient + (1.0 - ambient) * facing)


@wp.kernel
def _draw(s: Stage, samples: int, out: wp.array4d(dtype=wp.uint8)):
    frame, row, column = wp.tid()
    e, t = frame / s.position.shape[1], frame % s.position.shape[1]
    height, width = float(out.shape[1]), float(out.shape[2])
    axes, unit = s.axes[e], 2.0 * s.tangent[e] / height
    total = wp.vec3(0.0, 0.0, 0.0)
    for a in range(samples):
        for b in range(samples):
            x = float(column) + (float(a) + 0.5) / float(samples) - 0.5 * width
            y = 0.5 * height - float(row) - (float(b) + 0.5) / float(samples)
            inside = wp.vec3(x * unit, y * unit, 1.0)
            total = total + _colour(s, e, t, wp.normalize(wp.transpose(axes) * inside))
    scale = 255.0 / float(samples * samples)
    for channel in range(3):
        out[frame, row, column, channel] = wp.uint8(wp.clamp(total[channel] * scale + 0.5, 0.0, 255.0))


def draw(
    look: Look,
    *,
    shape: np.ndarray,
    body_size: np.ndarray,
    position: np.ndarray,
    angle: np.ndarray,
    planes: np.ndarray,
    size: tuple[int, int],
    samples: int = 3,
    device: str = "cpu",
) -> np.ndarray:
    """Clips, uint8 (E, T, H, W, 3).

    Args:
        shape: (E, N) as in `worlds.Worlds`.
        body_size: (E, N, 2) m.
        position: (E, T, N, 2) m.
        angle: (E, T, N) rad.
        planes: (E, P, 3) half-spaces; their surfaces are drawn.
        size: (W, H) px.
        samples: rays per pixel along each axis.
    """
    where = find_device(device)
    width, height = size
    if min(size) < 1 or samples < 1:
        raise ValueError(f"a picture needs at least one pixel and one ray, got size {size} and samples={samples}")
    count, frames = position.shape[:2]
    stage = Stage()
    stage.shape = wp.array(shape.astype(np.int32), dtype=wp.int32, device=where)
    for name, value, kind in (
        ("size", body_size, wp.vec2),
        ("position", position, wp.vec2),
        ("angle", angle, float),
        ("planes", planes, wp.vec3),
        ("eye", look.eye, wp.vec3),
        ("axes", look.axes(), wp.mat33),
        ("tangent", look.tangent(), float),
        ("light", look.light, wp.vec3),
        ("ambient", look.ambient, float),
        ("body", look.body, wp.vec3),
        ("floor", look.floor, wp.vec3),
        ("wall", look.wall, wp.vec3),
    ):
        setattr(stage, name, wp.array(np.ascontiguousarray(value, np.float32), dtype=kind, device=where))
    stage.back, stage.square, stage.pattern = look.back, look.square, look.pattern
    out = wp.empty((count * frames, height, width, 3), dtype=wp.uint8, device=where)
    wp.launch(_draw, dim=(count * frames, height, width), inputs=[stage, samples], outputs=[out], device=where)
    return out.numpy().reshape(count, frames, height, width, 3)
