"""Draws world things on one supersampled picture. World y points up, picture y down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from physworld.types import (
    FIXED,
    Anchored,
    Attractor,
    Gear,
    GrooveJoint,
    Joint,
    Motor,
    PinJoint,
    PivotJoint,
    Ratchet,
    Rope,
    RotaryLimit,
    RotarySpring,
    Scene,
    Segment,
    SlideJoint,
    Spring,
    State,
    Wind,
    shapes,
)

Colour = tuple[int, int, int]

SUPERSAMPLE = 2  # drawn this many times larger, then averaged: Pillow's own lines are jagged
# Okabe & Ito (2008), distinguishable under every common colour blindness; their yellow is darkened for a light
# ground, and vermillion is left out because red means error here.
PALETTE: tuple[Colour, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (178, 160, 30),
)
GROUND: Colour = (250, 250, 247)
INK: Colour = (45, 52, 60)
WALL: Colour = (122, 130, 138)
FIELD: Colour = (208, 212, 222)
GHOST: Colour = (190, 198, 208)
ERROR: Colour = (213, 30, 30)


@cache
def mix(colour: Colour, ground: Colour, share: float) -> Colour:
    """share 1 = colour, 0 = ground."""
    red, green, blue = (round(share * c + (1 - share) * g) for c, g in zip(colour, ground, strict=True))
    return red, green, blue


def _world(state: State, body: int, anchor: tuple[float, float]) -> np.ndarray:
    """An anchor in world px."""
    if body == FIXED:
        return np.asarray(anchor, dtype=float)
    cos, sin = np.cos(state.angle[body]), np.sin(state.angle[body])
    return state.position[body] + np.array([cos * anchor[0] - sin * anchor[1], sin * anchor[0] + cos * anchor[1]])


def _hanging(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    """(9, 2) px: a rope of `length` between two points, as a parabola that sags straight down."""
    distance = float(np.linalg.norm(b - a))
    share = np.linspace(0.0, 1.0, 9)[:, None]
    line = a + share * (b - a)
    if length <= distance:
        return line
    # A flat parabola is 8 sag² / (3 span) longer than its span.
    sag = np.sqrt(3 / 8 * max(distance, length / 2) * (length - distance))
    return line - np.array([0.0, 1.0]) * 4 * sag * share * (1 - share)


def _coil(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K, 2) px: a zigzag with straight ends; a short one has fewer and lower teeth, else it is a black bar."""
    along = b - a
    length = float(np.linalg.norm(along))
    across = np.array([-along[1], along[0]]) / max(length, 1e-9)
    teeth = int(np.clip(length / 8, 2, 6))
    share = np.array([0.0, 0.1, *np.linspace(0.15, 0.85, 2 * teeth), 0.9, 1.0])[:, None]
    side = np.array([0.0, 0.0, *([1.0, -1.0] * teeth), 0.0, 0.0])[:, None]
    return a + share * along + min(5.0, length / 8) * side * across


def _within(place: float) -> float:
    return min(max(place, -1e5), 1e5) if place == place else -1e5


class Pen:
    """Draws world things on one supersampled picture."""

    def __init__(self, image: Image.Image, scene: Scene, size: tuple[int, int]) -> None:
        self.draw = ImageDraw.Draw(image)
        width, height = (SUPERSAMPLE * s for s in size)
        self.scale = float(min(width / scene.canvas[0], height / scene.canvas[1]))  # picture px per world px
        self.left = float((width - self.scale * scene.canvas[0]) / 2)
        self.bottom = float((height + self.scale * scene.canvas[1]) / 2)
        self.thin = 0.8 * SUPERSAMPLE

    def at(self, points: np.ndarray) -> np.ndarray:
        """World (..., 2) -> picture (..., 2). Clipped, because Pillow cannot draw to infinity."""
        x, y = points[..., 0], points[..., 1]
        picture = np.stack([self.left + self.scale * x, self.bottom - self.scale * y], axis=-1)
        return np.clip(np.nan_to_num(picture, nan=-1e5), -1e5, 1e5)

    def point(self, world: np.ndarray) -> tuple[float, float]:
        """As `at`, of one point: a picture has thousands, and an array of two numbers costs ten times as much."""
        x, y = self.left + self.scale * float(world[0]), self.bottom - self.scale * float(world[1])
        return _within(x), _within(y)

    def disc(
        self, centre: np.ndarray, radius: float, fill: Colour | None, line: Colour | None = None, width: float = 0
    ) -> None:
        (x, y), r = self.point(centre), max(self.scale * radius, SUPERSAMPLE)
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=fill, outline=line, width=round(width))

    def line(self, start: np.ndarray, end: np.ndarray, colour: Colour, width: float) -> None:
        a, b = self.point(start), self.point(end)
        self.draw.line([*a, *b], fill=colour, width=max(round(width), 1))
        if width > 2 * SUPERSAMPLE:  # Pillow cuts lines square; walls have round ends
            for x, y in (a, b):
                r = width / 2 - 0.5
                self.draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def arrow(self, tip: np.ndarray, along: np.ndarray, size: float, colour: Colour, width: float) -> None:
        """An arrow head; `along` is a unit vector, `size` in world px."""
        across = np.array([-along[1], along[0]])
        for side in (-1, 1):
            self.line(tip + size * (0.7 * side * across - along), tip, colour, width)

    def background(self, scene: Scene) -> None:
        for field in scene.fields:
            if isinstance(field, Attractor):
                centre = np.asarray(field.center, dtype=float)
                for radius in (18, 36, 54):
                    self.disc(centre, radius, None, FIELD, self.thin)
                self.disc(centre, 7, INK)
            elif isinstance(field, Wind):
                self._wind(scene, np.asarray(field.velocity, dtype=float))
        for part in scene.static:
            if isinstance(part, Segment):
                width = max(2 * part.radius * self.scale, 1.5 * SUPERSAMPLE)
                self.line(np.asarray(part.start), np.asarray(part.end), WALL, width)
                if part.surface_speed:
                    self._belt(part)
                if part.one_way is not None:
                    self._one_way(part, np.asarray(part.one_way, dtype=float))
            else:
                self.disc(np.asarray(part.center, dtype=float), part.radius, WALL)

    def _wind(self, scene: Scene, velocity: np.ndarray) -> None:
        """Arrows as long as the air moves in a tenth of a second; still air is dots."""
        speed = float(np.linalg.norm(velocity))
        for x in np.arange(100, scene.canvas[0], 200):
            for y in np.arange(100, scene.canvas[1], 133):
                tail = np.array([x, y], dtype=float)
                if speed < 1:
                    self.disc(tail, 2, FIELD)
                    continue
                tip = tail + velocity / 10
                self.line(tail, tip, FIELD, 2 * self.thin)
                self.arrow(tip, velocity / speed, 9, FIELD, 2 * self.thin)

    def _belt(self, belt: Segment) -> None:
        """Arrow heads along the belt, pointing where its surface runs."""
        start, end = np.asarray(belt.start, dtype=float), np.asarray(belt.end, dtype=float)
        length = float(np.linalg.norm(end - start))
        along = (end - start) / length * np.sign(belt.surface_speed)
        size = max(belt.radius, 4.0)
        for place in np.linspace(0, 1, max(2, round(length / 40)) + 2)[1:-1]:
            self.arrow(start + place * (end - start) + size / 2 * along, along, size, GROUND, 1.5 * self.thin)

    def _one_way(self, wall: Segment, side: np.ndarray) -> None:
        """Arrow heads that point the way in which bodies pass."""
        start, end = np.asarray(wall.start, dtype=float), np.asarray(wall.end, dtype=float)
        across = np.array([start[1] - end[1], end[0] - start[0]]) / np.linalg.norm(end - start)
        across *= np.sign(across @ side)
        for place in np.linspace(0, 1, 5)[1:-1]:
            self.arrow(start + place * (end - start) + (wall.radius + 9) * across, across, 7, WALL, 1.5 * self.thin)

    def trail(self, path: np.ndarray, colour: Colour) -> None:
        """path (K, 2) world px, oldest first; fades towards the ground."""
        points, width = [self.point(place) for place in path.tolist()], round(1.3 * SUPERSAMPLE)
        for k in range(1, len(path)):
            faded = mix(colour, GROUND, 0.15 + 0.55 * k / len(path))
            self.draw.line([points[k - 1], points[k]], fill=faded, width=width)

    def joints(self, scene: Scene, state: State, colour: Colour = INK) -> None:
        for joint in scene.joints:
            if isinstance(joint, GrooveJoint):
                ends = [_world(state, joint.body_a, end) for end in (joint.groove_start, joint.groove_end)]
                pin = _world(state, joint.body_b, joint.anchor_b)
                if np.isfinite([*ends, pin]).all():
                    self.line(ends[0], ends[1], colour, self.thin)
                    self.disc(pin, 4 / self.scale, GROUND, colour, self.thin)
            elif isinstance(joint, Anchored):
                self._anchored(joint, state, colour)
            else:
                self._turning(joint, scene, state, colour)

    def _anchored(self, joint: Anchored, state: State, colour: Colour) -> None:
        a = _world(state, joint.body_a, joint.anchor_a)
        b = _world(state, joint.body_b, joint.anchor_b)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            return
        match joint:
            case Rope(length=length):
                self._path(_hanging(a, b, length), colour)
            case Spring():
                self._path(_coil(a, b), colour)
            case PinJoint():
                self.line(a, b, colour, self.thin)
            case SlideJoint():  # a sleeve on a rod
                self.line(a, b, colour, self.thin)
                self.line(a, a + (b - a) / 2, colour, 3 * self.thin)
            case PivotJoint():
                self.disc(b, 5 / self.scale, GROUND, colour, self.thin)
        self.disc(b, 2 / self.scale, colour)
        self.disc(a, (4 if joint.body_a == FIXED else 2) / self.scale, colour)

    def _turning(self, joint: Joint, scene: Scene, state: State, colour: Colour) -> None:
        """What acts on angles stands at the bodies' centres."""
        centres = [state.position[end] for end in (joint.body_a, joint.body_b) if end != FIXED]
        if not np.isfinite(centres).all():
            return
        match joint:
            case Motor():
                self._motor(centres[-1], joint.spin, colour)
            case Gear() | Ratchet():  # wheels with teeth, one line between them
                for centre in centres:
                    turn = np.linspace(0, 2 * np.pi, 33)
                    radius = 7 + 2 * (np.arange(33) % 4 < 2)
                    self._path(centre + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1), colour)
                if len(centres) == 2:
                    self.line(centres[0], centres[1], mix(colour, GROUND, 0.4), self.thin)
            case RotaryLimit():  # the free sector
                start = 0.0 if joint.body_a == FIXED else float(state.angle[joint.body_a])
                turn = start + np.linspace(joint.lowest, min(joint.highest, joint.lowest + 2 * np.pi), 17)
                rim = centres[-1] + 12 * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
                self._path(np.concatenate([centres[-1:], rim, centres[-1:]]), colour)
            case RotarySpring():  # a spiral
                turn = np.linspace(0, 4 * np.pi, 33)
                self._path(centres[-1] + turn[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1), colour)

    def _path(self, points: np.ndarray, colour: Colour) -> None:
        for start, end in pairwise(points):
            self.line(start, end, colour, self.thin)

    def _motor(self, centre: np.ndarray, spin: float, colour: Colour) -> None:
        """Three quarters of a circle, with an arrow head where it turns to."""
        if not np.isfinite(centre).all():
            return
        way = np.sign(spin)
        turn = (way or 1.0) * np.linspace(0.0, 1.5 * np.pi, 13)
        radius = max(11.0, 6 * SUPERSAMPLE / self.scale)  # no blot on small pictures
        circle = centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
        self._path(circle, colour)
        if not way:  # a brake turns nowhere
            return
        last = circle[-1] - circle[-2]
        self.arrow(circle[-1] + last / 2, last / np.linalg.norm(last), 0.55 * radius, colour, self.thin)

    def body(self, scene: Scene, state: State, index: int, fill: Colour | None, line: Colour, width: float) -> None:
        body, centre, angle = scene.bodies[index], state.position[index], state.angle[index]
        if not (np.isfinite(centre).all() and np.isfinite(angle)):
            return
        along = np.array([np.cos(angle), np.sin(angle)])
        mark = mix(line, GROUND, 0.75) if fill is None else mix(GROUND, fill, 0.75)
        fill = None if body.sensor else fill  # what touches nothing is an outline
        width = 2.5 * width if body.kind == "kinematic" else width
        if body.shape == "circle":
            self.disc(centre, body.size[0], fill, line, width)
            self.line(centre, centre + 0.8 * body.size[0] * along, mark, width)
            return
        up = np.array([-along[1], along[0]])

        def placed(corners: Sequence[tuple[float, float]]) -> np.ndarray:
            return np.array([centre + x * along + y * up for x, y in corners])

        if body.shape == "compound":
            for part in body.parts:
                if part.shape == "circle":
                    self.disc(placed([part.at])[0], part.size[0], fill, line, width)
                else:
                    self._outline(placed(part.corners), fill, line, width)
        else:
            self._outline(placed(body.vertices or shapes.box(*body.size)), fill, line, width)
        # The mark points along the body's own x axis, whichever side is longer.
        long = body.size[0] / 2 if body.shape == "rect" else body.reach / 2
        self.line(centre, centre + 0.8 * long * along, mark, width)

    def _outline(self, corners: np.ndarray, fill: Colour | None, line: Colour, width: float) -> None:
        points = [tuple(p) for p in self.at(corners)]
        self.draw.polygon(points, fill=fill)
        self.draw.line([*points, *points[:2]], fill=line, width=max(round(width), 1), joint="curve")
