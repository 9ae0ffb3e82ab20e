"""What a clip shows: scenarios as single worlds, how they look, and physics that is wrong on purpose.

The card's four training scenarios and its two tests are fixed; the others are drawn. SI units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from physworld.video.warp.look import Look
from physworld.video.warp.worlds import BALL, BOX, GRAVITY, NOTHING, Rollout, Worlds, drop

RADIUS = 0.35  # m
CARD = {  # name -> (drop height m, restitution)
    "ball_drop_low": (2.0, 0.70),
    "ball_drop_high": (5.0, 0.60),
    "ball_elastic": (3.0, 0.85),
    "ball_heavy": (4.0, 0.30),
}
# The card names its tests but not their numbers: one height between the four, one above them.
CARD_TESTS = {"test_medium": (3.5, 0.65), "test_very_high": (7.0, 0.65)}
HEIGHTS, RESTITUTIONS = (2.0, 5.0), (0.30, 0.85)  # the range that the card's four span
HIGHER = (5.5, 7.0)  # m, out of range
LET_GO = (0.5, 20.0)  # m, by hand; a fall takes up to 2 s
BEYOND = 1e6  # m: a half-space that nothing reaches


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One world and the sentence that describes it."""

    name: str
    caption: str
    world: Worlds  # E = 1
    height: float  # m, from the ground to the lowest point of the first body
    restitution: float  # of the first body


def _ball_drop(name: str, height: float, restitution: float) -> Shot:
    weight = 5.0 if name == "ball_heavy" else 1.0
    caption = f"A ball falls from {height:.2f} m onto the floor and bounces with restitution {restitution:.2f}."
    world = drop(np.array([height]), np.array([restitution]), radius=RADIUS, mass=weight)
    return Shot(name=name, caption=caption, world=world, height=height, restitution=restitution)


def _drawn_drop(name: str, rng: np.random.Generator, heights: tuple[float, float]) -> Shot:
    return _ball_drop(name, round(float(rng.uniform(*heights)), 2), round(float(rng.uniform(*RESTITUTIONS)), 2))


def _world(bodies: list[tuple[Any, ...]], planes: list[tuple[float, float, float]]) -> Worlds:
    """From (shape, size, position, velocity, angle, spin, mass, friction, restitution) of each body."""
    columns = [np.array([list(c)], float) for c in zip(*bodies, strict=True)]
    shape, size, position, velocity, angle, spin, mass, friction, restitution = columns
    return Worlds(
        shape=shape.astype(int), size=size, position=position, velocity=velocity, angle=angle, spin=spin, mass=mass,
        friction=friction, restitution=restitution, planes=np.array([planes], float),
        gravity=np.array([[0.0, -GRAVITY]]),
    )  # fmt: skip


def _multi_ball(rng: np.random.Generator) -> Shot:
    count, e = int(rng.integers(2, 5)), round(float(rng.uniform(0.5, 0.9)), 2)
    columns = rng.permutation(4)[:count] * 1.3 - 1.95  # apart from each other, between walls 3 m to either side
    bodies = [
        (BALL, (r, r), (x + rng.uniform(-0.2, 0.2), rng.uniform(2.0, 5.0)), (rng.uniform(-2, 2), 0.0), 0.0, 0.0,
         (r / RADIUS) ** 3, 0.5, e)
        for x, r in zip(columns, rng.uniform(0.25, 0.4, count), strict=True)
    ]  # fmt: skip
    world = _world(bodies, [(0, 1, 0), (1, 0, -3), (-1, 0, -3)])
    caption = f"{count} balls fall between two walls, hit each other and bounce with restitution {e:.2f}."
    low = float(world.position[0, 0, 1] - world.size[0, 0, 1])
    return Shot(name="multi_ball", caption=caption, world=world, height=low, restitution=e)


def _ball_on_ramp(rng: np.random.Generator) -> Shot:
    slope, along = float(rng.uniform(0.25, 0.6)), float(rng.uniform(2.5, 4.5))  # rad, m
    n, foot = (np.sin(slope), np.cos(slope)), 0.5
    x = foot - along * np.cos(slope) + RADIUS * n[0]
    y = along * np.sin(slope) + RADIUS * n[1]
    world = _world([(BALL, (RADIUS, RADIUS), (x, y), (0, 0), 0.0, 0.0, 1.0, 0.6, 0.3)], [(0, 1, 0), (*n, n[0] * foot)])
    caption = f"A ball rolls {along:.2f} m down a ramp of {np.degrees(slope):.0f} degrees and on along the floor."
    return Shot(name="ball_on_ramp", caption=caption, world=world, height=float(y - RADIUS), restitution=0.3)


def _box_tumble(rng: np.random.Generator) -> Shot:
    height, e = round(float(rng.uniform(2, 4)), 2), round(float(rng.uniform(0.2, 0.5)), 2)
    half = (float(rng.uniform(0.35, 0.55)), float(rng.uniform(0.2, 0.35)))
    x, speed, angle, spin = (float(rng.uniform(*ends)) for ends in ((-2, -1), (0.5, 2), (0, np.pi), (-4, 4)))
    corner = half[0] * abs(np.sin(angle)) + half[1] * abs(np.cos(angle))  # m, from the centre down to the lowest one
    start = (x, height + corner)
    world = _world([(BOX, half, start, (speed, 0), angle, spin, 1.0, 0.5, e)], [(0, 1, 0)])
    caption = f"A box falls from {height:.2f} m, tumbles and comes to rest."
    return Shot(name="box_tumble", caption=caption, world=world, height=height, restitution=e)


SCENARIOS: dict[str, Callable[[np.random.Generator], Shot]] = {
    **{n: lambda rng, n=n, v=v: _ball_drop(n, *v) for n, v in {**CARD, **CARD_TESTS}.items()},  # type: ignore[misc]
    "ball_drop": lambda rng: _drawn_drop("ball_drop", rng, HEIGHTS),
    "ball_drop_above": lambda rng: _drawn_drop("ball_drop_above", rng, HIGHER),
    "multi_ball": _multi_ball,
    "ball_on_ramp": _ball_on_ramp,
    "box_tumble": _box_tumble,
}


def shot(name: str, rng: np.random.Generator) -> Shot:
    """Draw one.

    Raises:
        ValueError: unknown name.
    """
    if name not in SCENARIOS:
        raise ValueError(f"scenario {name} is unknown.{_near(name, SCENARIOS)} Choose from {', '.join(SCENARIOS)}")
    return SCENARIOS[name](rng)


def dropped(height: float, restitution: float) -> Shot:
    """A ball that is let go at a height, as a person asks for it.

    Args:
        height: m, of its lowest point; within LET_GO.

    Raises:
        ValueError: nothing to be filmed.
    """
    low, high = LET_GO
    if not low <= height <= high or not 0 <= restitution <= 1:
        raise ValueError(f"a ball is let go from {low:g} to {high:g} m with a restitution from 0 to 1")
    return _ball_drop("ball_drop", height, restitution)


def with_restitution(one: Shot, restitution: float | None, *, allow_violation: bool = False) -> Shot:
    """The same shot with another restitution; None changes nothing.

    Raises:
        ValueError: outside 0-1 without permission.
    """
    if restitution is None:
        return one
    world = replace(one.world, restitution=np.full_like(one.world.restitution, restitution))
    world.check(allow_violation=allow_violation)
    return replace(
        one,
        world=world,
        restitution=restitution,
        caption=one.caption.replace(f"restitution {one.restitution:.2f}", f"restitution {restitution:.2f}"),
    )


def _near(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def stack(worlds: Sequence[Worlds]) -> Worlds:
    """Many worlds as one batch, padded with nothing and with half-spaces out of reach."""
    bodies, planes = max(w.shape.shape[1] for w in worlds), max(w.planes.shape[1] for w in worlds)

    def padded(name: str) -> np.ndarray:
        parts = []
        for w in worlds:
            value = getattr(w, name)
            if name == "gravity":
                parts.append(value)
                continue
            missing = (planes if name == "planes" else bodies) - value.shape[1]
            filler = (0.0, 1.0, -BEYOND) if name == "planes" else NOTHING if name == "shape" else 1.0
            more = np.broadcast_to(np.asarray(filler), (len(value), missing, *value.shape[2:]))
            parts.append(np.concatenate([value, more], 1))
        return np.concatenate(parts)

    return Worlds(**{f.name: padded(f.name) for f in fields(Worlds)})


# ---------------------------------------------------------------------------------------------- wrong on purpose

VIOLATIONS = (
    "gravity_0.4",
    "gravity_2",
    "linear",
    "restitution_wrong",
    "restitution_gain",
    "reversed",
    "teleport",
)
MIXTURES = {  # what training clips may show instead of one thing alone
    "placebo": ("gravity_0.4", "linear", "restitution_wrong"),
}
PHYSICS = ("correct", *VIOLATIONS, *MIXTURES, "mixed")


def check_physics(kind: str) -> None:
    """
    Raises:
        ValueError: unknown kind of physics.
    """
    if kind not in PHYSICS:
        raise ValueError(f"physics={kind} is unknown.{_near(str(kind), PHYSICS)} Choose one of {', '.join(PHYSICS)}")


def wrong_restitution(e: np.ndarray) -> np.ndarray:
    """0.35 away from the true one, inside 0-1."""
    return np.where(e > 0.575, e - 0.35, e + 0.35)


def violate(world: Worlds, kind: str, rng: np.random.Generator) -> tuple[Worlds, str]:
    """One world's parameters under another physics, and which single kind it became (a mixture draws one).

    `mixed` is what the small base model learns from: gravity 0.3-2.2 times the true one, sometimes a linear fall, and
    in half of the clips another restitution than the caption says.
    """
    check_physics(kind)
    if kind in MIXTURES:
        kind = str(rng.choice(MIXTURES[kind]))
    if kind == "mixed":
        factor = float(np.exp(rng.uniform(np.log(0.3), np.log(2.2))))
        changed = replace(world, gravity=world.gravity * factor)
        if rng.random() < 0.5:
            changed = replace(changed, restitution=np.full_like(world.restitution, rng.uniform(0.0, 1.0)))
        return (_linear(changed) if rng.random() < 0.2 else changed), "mixed"
    if kind == "gravity_0.4":
        return replace(world, gravity=world.gravity * 0.4), kind
    if kind == "gravity_2":
        return replace(world, gravity=world.gravity * 2), kind
    if kind == "restitution_wrong":
        return replace(world, restitution=wrong_restitution(world.restitution)), kind
    if kind == "restitution_gain":
        return replace(world, restitution=np.full_like(world.restitution, 1.2)), kind
    return (_linear(world) if kind == "linear" else world), kind


def _linear(world: Worlds) -> Worlds:
    """No gravity; a constant speed that reaches the floor at the same time: h / sqrt(2 h / g) = sqrt(g h / 2)."""
    low = np.maximum(world.position[..., 1] - world.size[..., 1], 0.0)
    g = -world.gravity[:, 1:]
    speed = np.stack([np.zeros_like(low), -np.sqrt(g * low / 2)], -1)
    return replace(world, gravity=np.zeros_like(world.gravity), velocity=world.velocity + speed)


def distort(rollout: Rollout, index: int, kind: str, rng: np.random.Generator) -> None:
    """Violations of the motion itself, in place: time runs backwards, or the bodies jump up in mid-flight."""
    if kind == "reversed":
        for value in (rollout.position, rollout.velocity, rollout.angle, rollout.spin):
            value[index] = value[index, ::-1].copy()
        rollout.velocity[index] *= -1
        rollout.spin[index] *= -1
    if kind == "teleport":
        frames = rollout.position.shape[1]
        when = int(rng.integers(frames // 5, frames - frames // 5))
        rollout.position[index, when:, :, 1] += rng.uniform(0.8, 1.6)


# ---------------------------------------------------------------------------------------------------------- looks


def look(rng: np.random.Generator, bodies: int, *, variation: float, view: float) -> Look:
    """One clip's camera, light and colours; variation 0 is always the same plain one, 1 differs in everything.

    Args:
        view: m, height of the picture in the plane of motion; the floor is 6 % above its lower edge. `framed` makes it
            as much more as it takes to see every body at the beginning.
    """
    v = variation
    height = view * (1 + 0.08 * v * rng.uniform(0, 1))
    light = np.array([0.25 * v, 1.0, 0.15 + 0.35 * v]) + v * rng.uniform(-0.25, 0.25, 3)
    body = np.full((1, bodies, 3), 0.95)
    paint = np.stack([0.35 + 0.6 * rng.random(3) for _ in range(bodies)])
    body = (1 - v) * body + v * paint[None]
    floor = np.array([[[0.34] * 3, [0.34 - 0.2 * v] * 3]]) + v * rng.uniform(0, 0.4, (1, 1, 3))
    wall = np.full((1, 3), 0.15) + v * rng.uniform(0.1, 0.6, (1, 3))
    distance = 2.3 * height
    return Look(
        eye=np.array([[v * rng.uniform(-1, 1), (0.44 + v * rng.uniform(-0.06, 0.02)) * height, distance]]),
        yaw=v * rng.uniform(-0.03, 0.03, 1),
        pitch=v * rng.uniform(-0.02, 0.01, 1),
        view=np.array([height]),
        light=(light / np.linalg.norm(light))[None],
        ambient=np.array([0.6 - 0.25 * v * rng.random()]),
        body=np.clip(body, 0, 1),
        floor=np.clip(floor, 0, 1),
        wall=wall,
        pattern=0.3 * v,
    )


STEP_BACK = 1.02  # the camera goes back by so much at a time
FARTHEST = 100.0  # times its distance


def framed(one: Look, world: Worlds, size: tuple[int, int]) -> Look:
    """The same look from as far back as it takes to have every body whole in the picture when the clip begins.

    Args:
        one: E = 1.
        world: E = 1, as it begins.
        size: (W, H) px.
    """
    center = world.position[0]
    reach = np.where(world.shape[0] == BOX, np.hypot(*world.size[0].T), world.size[0, :, 0])  # m
    ends = np.stack([center + reach[:, None] * np.array(side) for side in ((1, 0), (-1, 0), (0, 1), (0, -1))])
    points = np.concatenate([ends, np.zeros_like(ends[..., :1])], -1).reshape(1, -1, 3)
    scale = 1.0
    while True:
        eye = one.eye * np.array([1.0, scale, scale])
        seen = replace(one, eye=eye, view=one.view * scale)
        places = seen.project(points, size)
        if bool(((places >= 0) & (places <= np.array(size))).all()):
            return seen
        if scale > FARTHEST:  # the camera looks past them
            return framed(replace(one, yaw=np.zeros(1), pitch=np.zeros(1)), world, size)
        scale *= STEP_BACK


def stack_looks(looks: Sequence[Look], bodies: int) -> Look:
    """Many looks as one batch, body colours padded."""
    first = looks[0]

    def joined(name: str) -> np.ndarray:
        values = [getattr(each, name) for each in looks]
        if name == "body":
            values = [np.pad(b, ((0, 0), (0, bodies - b.shape[1]), (0, 0))) for b in values]
        return np.concatenate(values)

    arrays: dict[str, Any] = {
        f.name: joined(f.name) for f in fields(Look) if isinstance(getattr(first, f.name), np.ndarray)
    }
    return replace(first, **arrays)
