"""What is solid: bodies, walls and pegs. Their numbers are checked where they are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from physworld.types import limits, shapes
from physworld.types.shapes import Point

PIXELS_PER_METRE = 100.0


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which shapes may touch, as Pymunk's ShapeFilter: two of one group (not 0) never do, others do when each one's
    categories and the other's mask share a bit."""

    group: int = 0
    categories: int = limits.BITS  # bits
    mask: int = limits.BITS  # bits

    def __post_init__(self) -> None:
        limits.filter_of(self)


EVERYTHING = Filter()


@dataclass(frozen=True, kw_only=True)
class Part:
    """One convex piece of a compound body, rigidly in its place."""

    shape: Literal["circle", "rect", "polygon"]
    size: tuple[float, ...] = ()  # px: circle (radius,), rect (width, height), polygon ()
    vertices: tuple[Point, ...] = ()  # px, in the part's frame, counter-clockwise: of a polygon
    at: Point = (0.0, 0.0)  # px, where the part's frame begins in the body's
    angle: float = 0.0  # rad, in the body's frame
    density: float = 1.0  # mass per area beside that of the other parts

    def __post_init__(self) -> None:
        limits.part(self)

    @property
    def corners(self) -> tuple[Point, ...]:
        """px in the body's frame, counter-clockwise; none of a circle."""
        own = shapes.box(self.size[0], self.size[1]) if self.shape == "rect" else self.vertices
        return shapes.placed(own, self.at, self.angle)

    @property
    def area(self) -> float:
        """px²"""
        return math.pi * self.size[0] ** 2 if self.shape == "circle" else shapes.area(self.corners)

    @property
    def weight(self) -> float:
        """Density times area, px²."""
        return self.density * self.area

    @property
    def centre(self) -> Point:
        """Its centre of mass, px in the body's frame."""
        return self.at if self.shape == "circle" else shapes.centroid(self.corners)

    @property
    def gyration_squared(self) -> float:
        """Its moment about the body's position over its mass, px²."""
        if self.shape == "circle":
            return self.size[0] ** 2 / 2 + self.at[0] ** 2 + self.at[1] ** 2
        return shapes.gyration_squared(self.corners)


@dataclass(frozen=True, kw_only=True, init=False)
class Body:
    """One rigid body in its initial state.

    A dynamic body is moved by forces; a kinematic one keeps its velocity and spin whatever it meets, and pushes others.
    """

    shape: Literal["circle", "rect", "polygon", "compound"]
    size: tuple[float, ...] = ()  # px: circle (radius,), rect (width, height), others ()
    position: Point  # px, its centre of mass
    velocity: Point = (0.0, 0.0)  # px/s
    angle: float = 0.0  # rad
    spin: float = 0.0  # rad/s
    mass: float = 1.0  # kg
    friction: float = 0.5  # Coulomb coefficient; Chipmunk multiplies the two of a pair
    restitution: float = 0.5  # Chipmunk multiplies the two of a pair
    vertices: tuple[Point, ...] = ()  # px about the centre of mass, convex, counter-clockwise: of a polygon
    parts: tuple[Part, ...] = ()  # of a compound body, about its centre of mass
    kind: Literal["dynamic", "kinematic"] = "dynamic"
    sensor: bool = False  # touches nothing
    filter: Filter = EVERYTHING

    def __init__(
        self,
        *,
        shape: Literal["circle", "rect", "polygon", "compound"],
        size: tuple[float, ...] = (),
        position: Point,
        velocity: Point = (0.0, 0.0),
        angle: float = 0.0,
        spin: float = 0.0,
        mass: float = 1.0,
        friction: float = 0.5,
        restitution: float = 0.5,
        vertices: tuple[Point, ...] = (),
        parts: tuple[Part, ...] = (),
        kind: Literal["dynamic", "kinematic"] = "dynamic",
        sensor: bool = False,
        filter: Filter = EVERYTHING,
    ) -> None:
        # By hand: the generated one of a frozen class takes three times as long, and the checks come out of that.
        # What has its default is left to the class.
        own = self.__dict__
        own["shape"] = shape
        own["size"] = size
        own["position"] = position
        own["velocity"] = velocity
        own["angle"] = angle
        own["spin"] = spin
        own["mass"] = mass
        own["friction"] = friction
        own["restitution"] = restitution
        if type(vertices) is not tuple or vertices:
            own["vertices"] = vertices
        if type(parts) is not tuple or parts:
            own["parts"] = parts
        if kind != "dynamic":
            own["kind"] = kind
        if sensor:
            own["sensor"] = sensor
        if filter is not EVERYTHING:
            own["filter"] = filter
        try:  # a circle or box that needs no further look
            if shape == "circle":
                (wide,) = size
                square = wide * wide
            elif shape == "rect":
                wide, high = size
                square = wide * wide + high * high if high > 0.0 else 0.0
            else:
                square = wide = 0.0
            (x, y), (vx, vy) = position, velocity
            weight = mass * square
            total = weight + x + y + vx + vy + angle + spin + friction + restitution
            if (
                wide > 0.0 < mass
                and weight > 0.0 == total * 0.0  # not so with an infinity or NaN in it
                and type(size) is tuple is type(position) is type(velocity)
                # of numpy's numbers and the like, which no file can hold, limits.body makes plain ones
                and type(x) is float is type(y) is type(vx) is type(vy) is type(angle) is type(spin)
                and type(wide) is float is type(mass) is type(friction) is type(restitution)
                and (shape == "circle" or type(high) is float)
                and friction >= 0.0 <= restitution
                and filter is EVERYTHING
                and not (vertices or parts or sensor)
                and kind == "dynamic"
            ):
                return
        except (TypeError, ValueError, OverflowError):
            pass
        _pieces(parts)
        limits.of_kind("body", "filter", filter, Filter)
        limits.body(self)

    @staticmethod
    def circle(radius: float, *, position: Point, **rest: Any) -> Body:
        """A disc of a radius in px."""
        return Body(shape="circle", size=(radius,), position=position, **rest)

    @staticmethod
    def box(width: float, height: float, *, position: Point, **rest: Any) -> Body:
        """A rectangle of a width and a height in px."""
        return Body(shape="rect", size=(width, height), position=position, **rest)

    @staticmethod
    def polygon(vertices: Sequence[Point], *, position: Point, angle: float = 0.0, **rest: Any) -> Body:
        """A convex body whose corners are given in any frame; `position` is where that frame begins in the world.

        Raises:
            ValueError: the corners are no convex polygon.
        """
        limits.several("body", "vertices", vertices, "points (px)")
        limits.point("body", "position", position)
        for index, corner in enumerate(vertices):
            limits.point("body", f"corner {index}", corner)
        corners = tuple((float(x), float(y)) for x, y in vertices)
        if len(corners) > 2 and shapes.area(corners) < 0:
            corners = corners[::-1]  # they ran clockwise
        why = shapes.fault(corners)
        if why:
            raise limits.Impossible("body", f"is a polygon that {why}")
        x, y = shapes.centroid(corners)
        (place,) = shapes.placed([(x, y)], position, angle)
        about = tuple((a - x, b - y) for a, b in corners)
        return Body(shape="polygon", vertices=about, position=place, angle=angle, **rest)

    @staticmethod
    def compound(parts: Sequence[Part], *, position: Point, angle: float = 0.0, **rest: Any) -> Body:
        """Parts in any frame as one rigid body; `position` is where that frame begins in the world."""
        _pieces(parts)
        limits.point("body", "position", position)
        if not parts:
            raise limits.Impossible("body", "is a compound of 0 parts; a compound body has 1 or more")
        x, y = _centre(tuple(parts))
        (place,) = shapes.placed([(x, y)], position, angle)
        about = tuple(replace(part, at=(part.at[0] - x, part.at[1] - y)) for part in parts)
        return Body(shape="compound", parts=about, position=place, angle=angle, **rest)

    @property
    def moment(self) -> float:
        """Moment of inertia about the centre, kg·px² (solid disc m r²/2, solid rectangle m (w²+h²)/12)."""
        if self.shape == "circle":
            return self.mass * self.size[0] ** 2 / 2
        if self.shape == "rect":
            return self.mass * (self.size[0] ** 2 + self.size[1] ** 2) / 12
        if self.shape == "polygon":
            return self.mass * shapes.gyration_squared(self.vertices)
        weights = [part.weight for part in self.parts]
        turned = sum(w * part.gyration_squared for w, part in zip(weights, self.parts, strict=True))
        return self.mass * turned / sum(weights)

    @property
    def area(self) -> float:
        """px²; where parts overlap it counts twice."""
        if self.shape == "circle":
            return math.pi * self.size[0] ** 2
        if self.shape == "rect":
            return self.size[0] * self.size[1]
        return shapes.area(self.vertices) if self.vertices else sum(part.area for part in self.parts)

    @property
    def centre(self) -> Point:
        """Centre of mass in the body's own frame, px; (0, 0) but for rounding."""
        if self.shape == "polygon":
            return shapes.centroid(self.vertices)
        return _centre(self.parts) if self.parts else (0.0, 0.0)

    @property
    def gyration(self) -> float:
        """Radius of gyration, px: sqrt(moment / mass)."""
        return math.sqrt(self.moment / self.mass)

    @property
    def reach(self) -> float:
        """Radius of the smallest circle about the centre that holds the body, px."""
        if self.shape == "circle":
            return self.size[0]
        if self.shape == "rect":
            return math.hypot(*self.size) / 2
        if self.shape == "polygon":
            return max(math.hypot(*corner) for corner in self.vertices)
        return max(
            math.hypot(*part.at) + part.size[0]
            if part.shape == "circle"
            else max(math.hypot(*corner) for corner in part.corners)
            for part in self.parts
        )


def _pieces(parts: Any) -> None:
    limits.several("body", "parts", parts, "Part")
    for part in parts:
        limits.of_kind("body", "part", part, Part)


def _centre(parts: Sequence[Part]) -> Point:
    weights, centres = [part.weight for part in parts], [part.centre for part in parts]
    total = sum(weights)
    x = sum(w * c[0] for w, c in zip(weights, centres, strict=True)) / total
    return x, sum(w * c[1] for w, c in zip(weights, centres, strict=True)) / total


@dataclass(frozen=True, kw_only=True, init=False)
class Segment:
    """Static straight wall with rounded ends, or a belt when its surface runs."""

    start: Point  # px
    end: Point  # px
    radius: float = 2.0  # px, half the thickness
    friction: float = 0.5
    restitution: float = 0.5
    surface_speed: float = 0.0  # px/s from start towards end, on both faces; friction drags bodies along
    one_way: Point | None = None  # direction of its solid side, any length: (0, 1) holds from above, lets through below
    filter: Filter = EVERYTHING

    def __init__(
        self,
        *,
        start: Point,
        end: Point,
        radius: float = 2.0,
        friction: float = 0.5,
        restitution: float = 0.5,
        surface_speed: float = 0.0,
        one_way: Point | None = None,
        filter: Filter = EVERYTHING,
    ) -> None:
        own = self.__dict__  # by hand, as of Body
        own["start"] = start
        own["end"] = end
        own["radius"] = radius
        own["friction"] = friction
        own["restitution"] = restitution
        own["surface_speed"] = surface_speed
        if one_way is not None:
            own["one_way"] = one_way
        if filter is not EVERYTHING:
            own["filter"] = filter
        try:
            (ax, ay), (bx, by) = start, end
            total = ax + ay + bx + by + radius + friction + restitution + surface_speed
            if (
                radius >= 0.0 <= friction
                and restitution >= 0.0 == total * 0.0
                and one_way is None
                and filter is EVERYTHING
                and type(start) is tuple is type(end)
                and type(ax) is float is type(ay) is type(bx) is type(by)
                and type(radius) is float is type(friction) is type(restitution) is type(surface_speed)
                and (not surface_speed or start != end)
            ):
                return
        except (TypeError, ValueError, OverflowError):
            pass
        limits.of_kind("wall", "filter", filter, Filter)
        limits.segment(self)


@dataclass(frozen=True, kw_only=True, init=False)
class Peg:
    """Static disc."""

    center: Point  # px
    radius: float  # px
    friction: float = 0.5
    restitution: float = 0.5
    filter: Filter = EVERYTHING

    def __init__(
        self,
        *,
        center: Point,
        radius: float,
        friction: float = 0.5,
        restitution: float = 0.5,
        filter: Filter = EVERYTHING,
    ) -> None:
        own = self.__dict__  # by hand, as of Body
        own["center"] = center
        own["radius"] = radius
        own["friction"] = friction
        own["restitution"] = restitution
        if filter is not EVERYTHING:
            own["filter"] = filter
        try:
            (x, y), total = center, friction + restitution + radius
            total += x + y
            plain = type(center) is tuple and type(x) is float is type(y)
            plain = plain and type(radius) is float is type(friction) is type(restitution)
            if plain and total * 0.0 == 0.0 < radius and friction >= 0.0 <= restitution and filter is EVERYTHING:
                return
        except (TypeError, ValueError, OverflowError):
            pass
        limits.of_kind("peg", "filter", filter, Filter)
        limits.peg(self)
