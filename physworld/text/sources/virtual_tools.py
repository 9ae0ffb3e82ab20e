"""Levels of Virtual Tools (Allen, Smith, Tenenbaum 2020, arXiv 1907.09620) as puzzles: one of three tools is put in.

Its repository (k-r-allen/tool-games, environment/Trials) holds them as JSON, one level a file. What cannot be said
exactly: a static polygon becomes its outline, and "in the goal" is that a ball's disc meets the goal's polygon, which
is when the original's sensor reports it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.sim.pymunk_sim import deepest_overlap
from physworld.text.sources.puzzles import EARTH, Action, Outcome, Puzzle
from physworld.types import Body, Part, Peg, Scene, Segment

Point = tuple[float, float]
OUTLINE = 2.0  # px, half the thickness of a static polygon's outline, which lies inside it
DENSITY = 1 / (200 * math.pi)  # kg/px², of density 1: a disc then has physworld's usual mass. Only ratios matter
TRIES = 400  # places that are tried for one tool
SQUARE = 1e-6  # cosine between two sides of a box


def levels(folder: Path, *, boxes: bool) -> tuple[list[Puzzle], dict[str, str]]:
    """(puzzles, files left out and why).

    Args:
        boxes: only tools that are boxes are used, which every text can say.

    Raises:
        UserError: there is no level in the folder.
    """
    files = sorted(folder.rglob("*.json"))
    found: list[Puzzle] = []
    left_out: dict[str, str] = {}
    for file in files:
        try:
            found.append(_level(file, json.loads(file.read_text(encoding="utf-8")), boxes))
        except _CannotSay as error:
            left_out[file.stem] = str(error)
        except (
            OSError, ValueError, ArithmeticError, KeyError, TypeError, IndexError, AttributeError, RecursionError
        ) as error:  # fmt: skip
            left_out[file.stem] = f"it is no level of Virtual Tools ({type(error).__name__}: {str(error)[:60]})"
    if not found:
        why = next(iter(left_out.values()), "it has no .json files")
        raise UserError(f"suite.puzzles={folder} holds no level: {why}.")
    return found, left_out


class _CannotSay(ValueError):
    """A level needs what a puzzle has no words for."""


def _level(file: Path, level: Mapping[str, Any], boxes: bool) -> Puzzle:
    world = level["world"]
    pace = math.sqrt(EARTH / float(world["gravity"]))
    bodies: dict[str, Body] = {}
    static: list[Segment | Peg] = []
    areas: dict[str, list[Point]] = {}
    for name, one in world["objects"].items():
        told = {key: float(one.get(key, world["defaults"][key])) for key in ("friction", "elasticity", "density")}
        about = {"friction": told["friction"], "restitution": told["elasticity"]}
        if one["type"] == "Goal":
            areas[name] = _points(one["vertices"])
            continue
        if one["type"] == "Container":
            areas[name] = _points(one["points"])
        elif one["type"] == "Poly":
            areas[name] = _points(one["vertices"])
        if told["density"] == 0:
            static += _fixed(one, about)
        else:
            bodies[name] = _moving(one, about, told["density"])
            areas.pop(name, None)
    wide, high = (float(side) for side in world["dims"])
    scene = Scene(
        name=f"virtual_tools_{file.parent.name.lower()}", category="puzzles", text=str(level["sucText"]),
        bodies=tuple(bodies.values()), static=tuple(static), gravity=(0.0, -EARTH), canvas=(int(wide), int(high)),
    )  # fmt: skip
    tools = [[_points(part) for part in level["tools"][name]] for name in level["toolNames"]]
    tools = [tool for tool in tools if not boxes or (len(tool) == 1 and _box(tool[0]) is not None)]
    if not tools:
        raise _CannotSay("none of its tools is a box")
    forbidden = [_points(one["vertices"]) for one in world["blocks"].values()]
    stones = [one for one in world["objects"].values() if one["type"] in ("Poly", "Compound")]
    stones = [one for one in stones if float(one.get("density", world["defaults"]["density"])) == 0]
    solid = [_points(part) for one in stones for part in (one["polys"] if "polys" in one else [one["vertices"]])]
    material = {"friction": float(world["defaults"]["friction"]), "restitution": float(world["defaults"]["elasticity"])}

    def draw(rng: np.random.Generator) -> Action:
        for _ in range(TRIES):
            tool, at = tools[int(rng.integers(len(tools)))], (rng.uniform(0, wide), rng.uniform(0, high))
            corners = [[(x + at[0], y + at[1]) for x, y in part] for part in tool]
            body = _solid(corners, material, 1.0)
            if _legal(scene, corners, body, forbidden, solid):
                return Action(added=body)
        return Action()

    return Puzzle(name=file.stem, scene=scene, goal=_goal(world["gcond"], bodies, areas, pace), draw=draw, pace=pace)


def _points(raw: Sequence[Sequence[float]]) -> list[Point]:
    return [(float(x), float(y)) for x, y in raw]


def _fixed(one: Mapping[str, Any], about: dict[str, Any]) -> list[Segment | Peg]:
    match one["type"]:
        case "Ball":
            return [Peg(center=_points([one["position"]])[0], radius=float(one["radius"]), **about)]
        case "Container":
            half = float(one["width"]) / 2
            return [Segment(start=a, end=b, radius=half, **about) for a, b in pairwise(_points(one["points"]))]
        case "Segment":
            return [Segment(start=_points([one["p1"]])[0], end=_points([one["p2"]])[0],
                            radius=float(one["width"]) / 2, **about)]  # fmt: skip
        case "Poly":
            return list(_outline(_points(one["vertices"]), about))
        case "Compound":
            return [wall for part in one["polys"] for wall in _outline(_points(part), about)]
    raise _CannotSay(f"it holds a {one['type']}")


def _outline(corners: list[Point], about: dict[str, Any]) -> list[Segment]:
    """Walls just inside a convex polygon, so that their outer faces are its sides."""
    if _area(corners) < 0:
        corners = corners[::-1]
    thin = min(OUTLINE, 0.45 * _width(corners))
    lines = []
    for a, b in pairwise([*corners, corners[0]]):
        long = math.dist(a, b)
        nx, ny = -(b[1] - a[1]) / long, (b[0] - a[0]) / long  # inwards
        lines.append(((a[0] + thin * nx, a[1] + thin * ny), ((b[0] - a[0]) / long, (b[1] - a[1]) / long)))
    inner = [_crossing(lines[k - 1], lines[k]) for k in range(len(lines))]
    sides = pairwise([*inner, inner[0]])
    return [Segment(start=a, end=b, radius=thin, **about) for a, b in sides if math.dist(a, b) > 1e-9]


def _crossing(one: tuple[Point, Point], other: tuple[Point, Point]) -> Point:
    (ax, ay), (ux, uy) = one
    (bx, by), (vx, vy) = other
    along = ((bx - ax) * vy - (by - ay) * vx) / (ux * vy - uy * vx)
    return ax + along * ux, ay + along * uy


def _area(corners: Sequence[Point]) -> float:
    return sum(a[0] * b[1] - a[1] * b[0] for a, b in pairwise([*corners, corners[0]])) / 2


def _width(corners: Sequence[Point]) -> float:
    """The smallest distance between two parallel lines that hold the polygon."""
    found = []
    for a, b in pairwise([*corners, corners[0]]):
        long = math.dist(a, b)
        far = [((x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0])) / long for x, y in corners]
        found.append(max(far) - min(far))
    return min(found)


def _moving(one: Mapping[str, Any], about: dict[str, Any], density: float) -> Body:
    match one["type"]:
        case "Ball":
            radius = float(one["radius"])
            mass = density * DENSITY * math.pi * radius**2
            return Body.circle(radius, position=_points([one["position"]])[0], mass=mass, **about)
        case "Poly":
            return _solid([_points(one["vertices"])], about, density)
        case "Compound":
            return _solid([_points(part) for part in one["polys"]], about, density)
        case "Container":
            half = float(one["width"]) / 2
            parts = [
                Part(shape="rect", size=(math.dist(a, b) + 2 * half, 2 * half), at=_halfway(a, b),
                     angle=math.atan2(b[1] - a[1], b[0] - a[0]))
                for a, b in pairwise(_points(one["points"]))
            ]  # fmt: skip
            mass = density * DENSITY * sum(part.area for part in parts)
            return Body.compound(parts, position=(0.0, 0.0), mass=mass, **about)
    raise _CannotSay(f"it holds a moving {one['type']}")


def _halfway(a: Point, b: Point) -> Point:
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _solid(polygons: list[list[Point]], about: dict[str, Any], density: float) -> Body:
    """Convex polygons in world coordinates as one body; a box where it is one."""
    polygons = [corners if _area(corners) > 0 else corners[::-1] for corners in polygons]
    mass = density * DENSITY * sum(map(_area, polygons))
    if len(polygons) > 1:
        parts = [Part(shape="polygon", vertices=tuple(corners)) for corners in polygons]
        return Body.compound(parts, position=(0.0, 0.0), mass=mass, **about)
    box = _box(polygons[0])
    if box is None:
        return Body.polygon(polygons[0], position=(0.0, 0.0), mass=mass, **about)
    centre, size, angle = box
    return Body.box(*size, position=centre, angle=angle, mass=mass, **about)


def _box(corners: Sequence[Point]) -> tuple[Point, Point, float] | None:
    """(centre, (width, height), angle) of a rectangle; None of anything else."""
    if len(corners) != 4:
        return None
    sides = np.diff(np.array([*corners, corners[0]]), axis=0)
    long = np.linalg.norm(sides, axis=1)
    if long.min() == 0 or any(abs(sides[k - 1] @ sides[k]) > SQUARE * long[k - 1] * long[k] for k in range(4)):
        return None
    x, y = np.mean(corners, axis=0).tolist()
    return (x, y), (float(long[0]), float(long[1])), math.atan2(sides[0][1], sides[0][0])


def _legal(
    scene: Scene,
    corners: list[list[Point]],
    body: Body,
    forbidden: Sequence[list[Point]],
    solid: Sequence[list[Point]],
) -> bool:
    """Whether a tool may be put there: inside the picture, outside what is forbidden, and touching nothing."""
    every = np.array([corner for part in corners for corner in part])
    low, high = every.min(axis=0), every.max(axis=0)
    if (low < 0).any() or (high > scene.canvas).any():
        return False
    for area in forbidden:  # rectangles along the axes
        least, most = np.min(area, axis=0), np.max(area, axis=0)
        if (low < most).all() and (high > least).all():
            return False
    # A static polygon is an outline here, so its inside is looked at by itself.
    if any(_distance(every, area).min() == 0 for area in solid):
        return False
    full = replace(scene, bodies=(*scene.bodies, body))
    return deepest_overlap(full, full.state) <= deepest_overlap(scene, scene.state)


def _goal(
    condition: Mapping[str, Any], bodies: Mapping[str, Body], areas: Mapping[str, list[Point]], pace: float
) -> Any:
    kind = condition["type"]
    if kind not in ("SpecificInGoal", "ManyInGoal", "AnyInGoal", "SpecificTouch"):
        raise _CannotSay(f"its goal is {kind}")
    if condition["goal"] not in areas:
        raise _CannotSay("its goal moves")
    wanted = condition.get("objlist", [condition["obj"]] if "obj" in condition else list(bodies))
    balls = [(list(bodies).index(name), bodies[name].reach) for name in wanted if name in bodies]
    if not balls:
        raise _CannotSay("what should reach the goal does not move")
    wait = float(condition["duration"]) / pace * 60
    return Inside(tuple(balls), tuple(areas[condition["goal"]]), max(1, math.ceil(wait)))


@dataclass(frozen=True)
class Inside:
    """Solved when one of some bodies has met an area for so many frames without a break."""

    bodies: tuple[tuple[int, float], ...]  # index, reach in px
    area: tuple[Point, ...]  # px
    wait: int  # frames

    def __call__(self, position: np.ndarray) -> Outcome:
        apart = np.min([_distance(position[:, k], self.area) - reach for k, reach in self.bodies], axis=0)
        run, best = 0, len(position)
        for frame, inside in enumerate((apart <= 0).tolist()):
            run = run + 1 if inside else 0
            if run >= self.wait:
                best = frame
                break
        solved = best < len(position)
        frame = best if solved else len(position) - 1
        return Outcome(solved=solved, frame=frame, nearness=-float(np.maximum(apart, 0).min()))


def _distance(points: np.ndarray, area: Sequence[Point]) -> np.ndarray:
    """(T,) px from points (T, 2) to a polygon, 0 within."""
    inside = np.zeros(len(points), dtype=bool)
    nearest = np.full(len(points), np.inf)
    x, y = points[:, 0], points[:, 1]
    for a, b in pairwise([*area, area[0]]):
        side = np.subtract(b, a)
        share = np.clip(((points - a) @ side) / max(float(side @ side), 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - a - share[:, None] * side, axis=1))
        if a[1] != b[1]:
            crossed = (a[1] > y) != (b[1] > y)
            inside ^= crossed & (x < (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]) + a[0])
    return np.where(inside, 0.0, nearest)
