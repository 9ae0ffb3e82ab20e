"""A scene from above and from the side, uint8 (H, W, 3), and moving through its section."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from physworld.drawing.pen import GHOST, GROUND, INK, PALETTE, SUPERSAMPLE, Colour, mix
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.reading import printable
from physworld.spatial.scene.terms import CLASSES, Pose, pose_at

SIDE = 320  # px of one view
RINGS = (1, 2, 4, 8)  # m
FARTHEST = 8.0  # m; what is further is drawn on the last ring
GROUPS = {
    "lead_vocal": 0, "back_vocal": 0, "dialogue": 0, "kick": 1, "snare": 1, "hihat": 1, "drums_bus": 1, "bass": 1,
    "pad": 2, "strings": 2, "brass": 2, "synth_lead": 3, "guitar": 3, "piano": 3, "fx": 4, "ambience": 4, "other": 5,
}  # fmt: skip
assert set(GROUPS) == set(CLASSES)


def radius(distance: float) -> float:
    """Distance in m -> share of the view's radius, logarithmic so that near things do not crowd."""
    return math.log1p(min(distance, FARTHEST)) / math.log1p(FARTHEST)


def from_above(pose: Pose) -> tuple[float, float]:
    """(right, front) -1..1; azimuth is positive to the left."""
    az, el, r = math.radians(pose[0]), math.radians(pose[1]), radius(pose[2])
    return -r * math.cos(el) * math.sin(az), r * math.cos(el) * math.cos(az)


def from_side(pose: Pose) -> tuple[float, float]:
    """(front, up) -1..1, seen from the right."""
    az, el, r = math.radians(pose[0]), math.radians(pose[1]), radius(pose[2])
    return r * math.cos(el) * math.cos(az), r * math.sin(el)


def draw_scene(scene: SpatialScene, t: float | None = None) -> np.ndarray:
    """(H, 2 H, 3): from above (front is up, left is left) and from the right (front is right).

    Args:
        t: fraction of the section; None draws first poses and whole paths.
    """
    scale, size = SUPERSAMPLE, SIDE * SUPERSAMPLE
    image = Image.new("RGB", (2 * size, size), GROUND)
    draw = ImageDraw.Draw(image)
    for panel, (name, view) in enumerate((("above", from_above), ("side", from_side))):
        middle = panel * size + size / 2, size / 2

        def at(pose: Pose, view=view, middle=middle) -> tuple[float, float]:  # type: ignore[no-untyped-def]
            x, y = view(pose)
            return middle[0] + 0.45 * size * x, middle[1] - 0.45 * size * y

        for ring in RINGS:
            r = 0.45 * size * radius(ring)
            draw.ellipse([middle[0] - r, middle[1] - r, middle[0] + r, middle[1] + r], outline=GHOST, width=scale)
            draw.text((middle[0] + 2 * scale, middle[1] - r), f"{ring} m", fill=GHOST, font_size=9 * scale)
        draw.text((panel * size + 6 * scale, 4 * scale), name, fill=INK, font_size=12 * scale)
        draw.ellipse([middle[0] - 6, middle[1] - 6, middle[0] + 6, middle[1] + 6], fill=INK)
        for thing in scene.objects:
            _object(draw, thing, at, t, scale)
    return np.asarray(image.reduce(scale))


def _object(draw: ImageDraw.ImageDraw, thing: SceneObject, at, t: float | None, scale: int) -> None:  # type: ignore[no-untyped-def]
    colour: Colour = PALETTE[GROUPS[thing.track_class] % len(PALETTE)]
    if thing.moves:
        steps = np.linspace(0, 1, 33) if t is None else np.linspace(0, t, 2 + int(30 * t))
        points = [at(pose_at(thing.path, float(step))) for step in steps]
        draw.line(points, fill=mix(colour, GROUND, 0.5), width=2 * scale, joint="curve")
    x, y = at(pose_at(thing.path, t or 0.0))
    r = scale * (4 + 10 * thing.width)
    draw.ellipse([x - r, y - r, x + r, y + r], fill=mix(colour, GROUND, 0.35), outline=colour, width=scale)
    draw.text(
        (x + r + scale, y - 6 * scale), printable(thing.id[:16]), fill=mix(INK, GROUND, 0.8), font_size=10 * scale
    )


def animate(scene: SpatialScene, frames: int = 24) -> np.ndarray:
    """(T, H, 2 H, 3): the section from t=0 to t=1."""
    return np.stack([draw_scene(scene, float(t)) for t in np.linspace(0, 1, frames)])
