"""Out-of-distribution families: any scene with one thing moved to where training never was.

The eight families and the ranges they leave are those of the published engine's evaluation. `level` is how far along
the way from the training range's edge (0, excluded) to the family's extreme (1); `distance` measures what came out.

    family               at level 1                                   distance
    unseen_count_low     1-9 bodies (at level L, at least 9 - 8 L)    (10 - bodies) / 10
    unseen_count_high    51-100 bodies (at most 50 + 50 L)            (bodies - 50) / 50
    extreme_mass         0.01-0.5 or 20-200 kg, each body its own     mean of |log10(mass / edge)|
    extreme_friction     0-0.1 or 1-5, each body its own              mean of (edge - friction) / edge or reverse
    extreme_elasticity   0.95-0.99, bodies and walls                  mean of (restitution - 0.95) / 0.05
    zero_gravity         (0, 0)                                       |change of gravity| / 981
    low_gravity          (0, -163), the Moon's                        the same
    high_gravity         (0, -2450), Jupiter's                        the same

A family that a scene already belongs to (billiards without gravity, or two bodies where up to nine are asked for)
leaves it alone at distance 0. But extreme_elasticity draws every restitution anew, also one that was above its range
(elastic_collision has 1). From one seed, a higher level never comes out nearer.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from physworld.types import FIXED, Body, Peg, Point, Scene, Segment, Spring

GRAVITY = {"zero_gravity": 0.0, "low_gravity": -163.0, "high_gravity": -2450.0}  # px/s², along y
FAMILIES = (
    "unseen_count_low",
    "unseen_count_high",
    "extreme_mass",
    "extreme_friction",
    "extreme_elasticity",
    *GRAVITY,
)
FEWEST, MOST = 10, 50  # bodies in training
LIGHTEST, HEAVIEST = 0.5, 20.0  # kg
SMOOTHEST, ROUGHEST = 0.1, 1.0
BOUNCIEST = 0.95
THICK = 40.0  # px


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """A scene out of distribution, and how far."""

    scene: Scene
    family: str
    level: float
    distance: float


def shift(scene: Scene, family: str, rng: np.random.Generator, *, level: float = 1.0) -> Shifted:
    """Move `scene` out of distribution.

    Raises:
        ValueError: unknown family (suggests the nearest), level outside (0, 1], or no room for the bodies.
    """
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"family {family!r} is unknown; {hint}choose one of {', '.join(FAMILIES)}")
    if not 0 < level <= 1:
        raise ValueError(f"level must be above 0 and at most 1, got {level}")
    match family:
        case "unseen_count_low":
            # One draw, scaled by the level, so that the same seed goes further at a higher level.
            moved = _with_fewer(scene, rng, FEWEST - 1 - int(rng.random() * (1 + 8 * level)))
        case "unseen_count_high":
            moved = _with_more(scene, rng, MOST + 1 + int(rng.random() * max(1.0, 50 * level)))
        case "extreme_mass":
            moved = _with_masses(scene, rng, level)
        case "extreme_friction":
            moved = _with_frictions(scene, rng, level)
        case "extreme_elasticity":
            moved = _with_bounces(scene, rng, level)
        case _:
            down = GRAVITY[family]
            x, y = scene.gravity
            moved = replace(scene, gravity=(x * (1 - level), y + level * (down - y)))
            if family == "high_gravity":
                moved = thickened(moved)
    if moved != scene:
        counted = f", {len(moved.bodies)} bodies" if len(moved.bodies) != len(scene.bodies) else ""
        moved = replace(moved, text=f"{scene.text} Out of distribution: {family.replace('_', ' ')}{counted}.")
    return Shifted(scene=moved, family=family, level=level, distance=distance(scene, moved, family))


def maybe_shifted(scene: Scene, rng: np.random.Generator, *, family: str | None, level: float) -> Scene:
    """What the options of the `ood` group make of a scene; no family leaves it as it is. Raises as `shift` does."""
    return scene if family is None else shift(scene, family, rng, level=level).scene


def distance(scene: Scene, moved: Scene, family: str) -> float:
    """How far `moved`, made from `scene`, lies outside the training range that `family` leaves; 0 is its edge.

    A scene that was left as it is is at distance 0.
    """
    if moved == scene:
        return 0.0
    bodies = moved.bodies
    match family:
        case "unseen_count_low":
            return max(0.0, (FEWEST - len(bodies)) / FEWEST)
        case "unseen_count_high":
            return max(0.0, (len(bodies) - MOST) / MOST)
        case "extreme_mass":
            return _mean(max(0.0, math.log10(LIGHTEST / b.mass), math.log10(b.mass / HEAVIEST)) for b in bodies)
        case "extreme_friction":
            return _mean(
                max(0.0, (SMOOTHEST - b.friction) / SMOOTHEST, (b.friction - ROUGHEST) / ROUGHEST) for b in bodies
            )
        case "extreme_elasticity":
            return _mean(max(0.0, (b.restitution - BOUNCIEST) / 0.05) for b in bodies)
    return math.dist(moved.gravity, scene.gravity) / 981


def varied(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with masses, frictions and restitutions of its bodies drawn anew, anywhere in training's range.

    0.5-20 kg (evenly by logarithm), friction 0.1-1, restitution 0-0.95: up to the edges that the families leave.
    """
    count = len(scene.bodies)
    masses = np.maximum(np.exp(rng.uniform(math.log(LIGHTEST), math.log(HEAVIEST), count)), _least_masses(scene))
    drawn = zip(
        scene.bodies, masses.tolist(), rng.uniform(SMOOTHEST, ROUGHEST, count).tolist(),
        rng.uniform(0.0, BOUNCIEST, count).tolist(), strict=True,
    )  # fmt: skip
    return replace(scene, bodies=tuple(replace(body, mass=m, friction=f, restitution=e) for body, m, f, e in drawn))


def _mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]


def _with_fewer(scene: Scene, rng: np.random.Generator, count: int) -> Scene:
    """`count` bodies of the scene: free ones go first, then chains from their last link; the fastest stays."""
    held = {end for joint in scene.joints for end in (joint.body_a, joint.body_b)}
    order = rng.permutation(len(scene.bodies)).tolist()
    free = [body for body in order if body not in held]
    bound = sorted((body for body in order if body in held), reverse=True)
    fastest = max(range(len(scene.bodies)), key=lambda i: math.hypot(*scene.bodies[i].velocity))
    leaving = [body for body in free + bound if body != fastest][: max(0, len(scene.bodies) - count)]
    kept = [body for body in range(len(scene.bodies)) if body not in set(leaving)]
    index = {FIXED: FIXED} | {body: place for place, body in enumerate(kept)}
    joints = tuple(
        replace(joint, body_a=index[joint.body_a], body_b=index[joint.body_b])
        for joint in scene.joints
        if joint.body_a in index and joint.body_b in index
    )
    return replace(scene, bodies=tuple(scene.bodies[body] for body in kept), joints=joints)


def _with_more(scene: Scene, rng: np.random.Generator, count: int) -> Scene:
    """`count` bodies: copies of the scene's, as small as they must be, in free places that its bodies can see."""
    missing = count - len(scene.bodies)
    if missing <= 0:
        return scene
    held = {end for joint in scene.joints for end in (joint.body_a, joint.body_b)}
    models = [body for place, body in enumerate(scene.bodies) if place not in held] or list(scene.bodies)
    largest = min(14.0, max(body.reach for body in models))
    for reach in largest * 0.85 ** np.arange(12):
        places = _free_places(scene, rng, missing, float(reach))
        if len(places) == missing:
            break
    else:
        raise ValueError(f"scene {scene.name!r} has no room for {count} bodies")
    extra = tuple(
        _copy(models[int(rng.integers(len(models)))], place, float(reach), float(rng.uniform(0, 2 * math.pi)))
        for place in places
    )
    return replace(scene, bodies=scene.bodies + extra)


def _smaller(lengths: tuple[float, ...], share: float) -> Any:
    return tuple(length * share for length in lengths)


def _copy(model: Body, place: Point, reach: float, heading: float) -> Body:
    """The body elsewhere, no larger than `reach`, as fast as its size allows and in a direction of its own."""
    share = min(1.0, reach / model.reach)
    # Chipmunk lets a disc through a wall when its centre passes the wall's middle line within one frame.
    speed = min(math.hypot(*model.velocity), 45 * (reach + 5))
    return replace(
        model,
        size=_smaller(model.size, share),
        vertices=tuple(map(partial(_smaller, share=share), model.vertices)),
        parts=tuple(
            replace(
                part,
                size=_smaller(part.size, share),
                vertices=tuple(map(partial(_smaller, share=share), part.vertices)),
                at=_smaller(part.at, share),
            )
            for part in model.parts
        ),
        position=place,
        velocity=(speed * math.cos(heading), speed * math.sin(heading)),
        angle=0.0,
        spin=0.0,
        mass=max(LIGHTEST, model.mass * share**2),
    )


def _free_places(scene: Scene, rng: np.random.Generator, count: int, reach: float) -> list[Point]:
    """Up to `count` centres of discs of radius `reach` that touch nothing and are in sight of a body."""
    spots = rng.uniform((reach, reach), np.array(scene.canvas) - reach, (2000, 2))
    bodies = np.array([body.position for body in scene.bodies])
    reaches = np.array([body.reach for body in scene.bodies])
    clear = (np.linalg.norm(spots[:, None] - bodies, axis=-1) > reaches + reach + 1).all(axis=1)
    for part in scene.static:
        clear &= _away(spots, part) > reach + 1
    spots = spots[clear]
    seen = np.zeros(len(spots), bool)
    for body in bodies[rng.permutation(len(bodies))[:12]]:
        blocked = np.zeros(len(spots), bool)
        for part in scene.static:
            if isinstance(part, Segment):
                blocked |= _crosses(spots, body, np.array(part.start), np.array(part.end))
        seen |= ~blocked
    chosen: list[Point] = []
    for x, y in spots[seen].tolist():
        if len(chosen) == count:
            break
        if all(math.dist((x, y), other) > 2 * reach + 1 for other in chosen):
            chosen.append((x, y))
    return chosen


def _away(spots: np.ndarray, part: Segment | Peg) -> np.ndarray:
    """(K,) px from the spots (K, 2) to the part's surface."""
    if isinstance(part, Peg):
        return np.linalg.norm(spots - part.center, axis=-1) - part.radius
    start, along = np.array(part.start), np.array(part.end) - part.start
    share = np.clip((spots - start) @ along / max(along @ along, 1e-9), 0, 1)
    return np.linalg.norm(spots - start - share[:, None] * along, axis=-1) - part.radius


def _crosses(spots: np.ndarray, eye: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(K,) bool: the line from a spot to the eye crosses the line from start to end."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        return (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])

    apart = side(start, end, spots) * side(start, end, eye) < 0
    return apart & (side(spots, eye, start) * side(spots, eye, end) < 0)


def _least_masses(scene: Scene) -> np.ndarray:
    """(bodies,) kg. A spring throws a body ever further when stiffness·dt² exceeds its mass."""
    least = np.zeros(len(scene.bodies))
    for joint in scene.joints:
        if isinstance(joint, Spring):
            for end in {joint.body_a, joint.body_b} - {FIXED}:
                least[end] += joint.stiffness * scene.dt**2
    return least


def _with_masses(scene: Scene, rng: np.random.Generator, level: float) -> Scene:
    least = _least_masses(scene)
    share = rng.uniform(0.3, 1.0, len(least))
    lighter, heavier = LIGHTEST * 50 ** (-level * share), HEAVIEST * 10 ** (level * share)
    # Whoever must stay heavy at level 1 does so at every level, so that the level never changes sides.
    safe = LIGHTEST * 50**-share > least
    masses = np.where((rng.random(len(least)) < 0.5) & safe, lighter, heavier)
    return replace(scene, bodies=tuple(replace(b, mass=m) for b, m in zip(scene.bodies, masses.tolist(), strict=True)))


def _with_frictions(scene: Scene, rng: np.random.Generator, level: float) -> Scene:
    share, low = rng.uniform(0.3, 1.0, len(scene.bodies)), rng.random(len(scene.bodies)) < 0.5
    frictions = np.where(low, SMOOTHEST * (1 - level * share), ROUGHEST + 4 * level * share).tolist()
    return replace(scene, bodies=tuple(replace(b, friction=f) for b, f in zip(scene.bodies, frictions, strict=True)))


def _with_bounces(scene: Scene, rng: np.random.Generator, level: float) -> Scene:
    """Walls, too, because Chipmunk multiplies the two; never 1, where stacks gain energy."""
    parts = len(scene.bodies) + len(scene.static)
    bounces = iter((BOUNCIEST + 0.04 * level * rng.uniform(0.3, 1.0, parts)).tolist())
    return replace(
        scene,
        bodies=tuple(replace(body, restitution=next(bounces)) for body in scene.bodies),
        static=tuple(replace(part, restitution=next(bounces)) for part in scene.static),
    )


def thickened(scene: Scene) -> Scene:
    """Walls that have everything else on one side, grown outwards; their inner faces stay where they are.

    Chipmunk lets a disc through when its centre passes the wall's middle line within one frame.
    """
    bodies = np.array([body.position for body in scene.bodies])
    parts = np.array(
        [
            point
            for part in scene.static
            for point in ((part.center,) if isinstance(part, Peg) else (part.start, part.end))
        ]
    )

    def grown(part: Segment | Peg) -> Segment | Peg:
        if isinstance(part, Peg) or part.radius >= THICK or part.surface_speed:
            return part
        along = np.array(part.end) - part.start
        length = float(np.hypot(*along))
        if length < 200:
            return part
        normal = np.array([-along[1], along[0]]) / length
        side = np.sign((bodies[0] - part.start) @ normal)
        inside = ((bodies - part.start) @ normal * side > 0).all()
        if not inside or ((parts - part.start) @ normal * side < -1.0).any():
            return part
        out = -side * (THICK - part.radius) * normal
        start, end = (np.array(part.start) + out).tolist(), (np.array(part.end) + out).tolist()
        return replace(part, start=tuple(start), end=tuple(end), radius=THICK)

    return replace(scene, static=tuple(grown(part) for part in scene.static))
