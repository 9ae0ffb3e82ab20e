"""A machine of many small causes: a ball sets off dominos, hanging bobs, belts and wheels, floor by floor.

Each floor hands over to the next by something that rolls off its end, down a ramp and on the other way. Not every
machine runs to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from physworld.scenarios._parts import chance, draw_count, draw_room, maybe_mirrored
from physworld.scenarios._place import block, crate_piles, disc, uniform
from physworld.types import FIXED, Body, Joint, Motor, PinJoint, PivotJoint, Scene, Segment, Spring

CATEGORY = "complex"
ENERGY_SOURCES = ("belt", "motor")
# From 3, because a ball needs something to set off.
COUNTS = {1: (3, 5), 2: (5, 15), 3: (10, 30), 4: (20, 40), 5: (30, 50)}
FLOORS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 4}
WELL = 66.0  # px between a floor's end and the wall


@dataclass(kw_only=True)
class Machine:
    """What has been built so far."""

    walls: list[Segment]
    bodies: list[Body] = field(default_factory=list)
    joints: list[Joint] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Floor:
    """One floor: its height, where it begins to be free, where it ends, which way things go, and its headroom."""

    y: float  # px
    start: float  # px
    end: float  # px
    onward: int  # 1 or -1
    head: float  # px
    last: bool

    def back(self, distance: float) -> float:
        """x that far before the end."""
        return self.end - self.onward * distance


def build(rng: np.random.Generator, difficulty: int) -> Scene:
    room = draw_room(rng, friction=(0.5, 0.9), restitution=(0.1, 0.4), squeeze=15, radius=(16.0, 20.0))
    left, right, bottom, top = room.inner
    count = draw_count(rng, difficulty, COUNTS)
    floors = FLOORS[difficulty]
    storey = (top - bottom) / floors
    machine = Machine(walls=list(room.walls))
    told = []
    for number in range(floors):
        onward = 1 if number % 2 == 0 else -1
        y = bottom + storey * (floors - 1 - number)
        last = number == floors - 1
        begin, end = (left, right) if onward > 0 else (right, left)
        edge = room.left if onward > 0 else room.right
        here = Floor(
            y=y,
            start=begin + onward * (WELL + 14 if number else 90),
            end=end - onward * (5 if last else WELL),
            onward=onward,
            head=min(storey - 24, 130.0),
            last=last,
        )
        share = count // floors + (1 if number < count % floors else 0)
        if number:
            machine.walls.append(
                Segment(
                    start=(edge, y + 0.38 * storey),
                    end=(begin + onward * (WELL - 8), y - 2),
                    radius=4.0,
                    friction=0.6,
                    restitution=0.1,
                )
            )
        else:
            share -= _starter(rng, machine, here, edge=begin, room_for=share)
        gadgets = [_dominos, _bobs, _wheel] if last else [_dominos, _bobs, _wheel, _belt]
        gadget = gadgets[int(rng.integers(len(gadgets)))]
        if not last and gadget is not _belt:
            machine.walls.append(Segment(start=(edge, y - 5), end=(here.end, y - 5), radius=5.0, friction=0.7))
        if share:
            gadget(rng, machine, here, share, edge)
            told.append(gadget.__name__.strip("_"))
        elif not last and gadget is _belt:
            _belt(rng, machine, here, 0, edge)
    scene = Scene(
        name="rube_goldberg",
        category=CATEGORY,
        difficulty=difficulty,
        text=f"Rube Goldberg machine: a ball, then {', then '.join(told) or 'nothing'}.",
        bodies=tuple(machine.bodies),
        static=tuple(machine.walls),
        joints=tuple(machine.joints),
    )
    return maybe_mirrored(rng, scene)


def _starter(rng: np.random.Generator, machine: Machine, here: Floor, *, edge: float, room_for: int) -> int:
    """The first ball, rolling or shot by a spring; how many bodies that took."""
    radius, speed, density = uniform(rng, (11, 15), (160, 300), (3, 6))
    shot = room_for >= 4 and chance(rng, 0.4)
    x = edge + here.onward * (70 if shot else radius + float(rng.uniform(3, 30)))
    speed = 0.0 if shot else speed
    machine.bodies.append(
        disc(
            radius,
            (x, here.y + radius),
            density=density,
            friction=0.5,
            restitution=0.3,
            velocity=(here.onward * speed, 0.0),
            spin=-here.onward * speed / radius,
        )
    )
    if not shot:
        return 1
    size = 2 * radius
    plunger = (x - here.onward * (radius + size / 2 + 0.5), here.y + size / 2)
    machine.joints.append(
        Spring(
            body_a=FIXED,
            body_b=len(machine.bodies),
            anchor_a=(edge, plunger[1]),
            length=abs(plunger[0] - edge) + float(rng.uniform(20, 45)),
            stiffness=float(rng.uniform(250, 700)),
            damping=float(rng.uniform(0.5, 4)),
        )
    )
    machine.bodies.append(block((size, size), plunger, density=density, friction=0.1, restitution=0.2))
    return 2


def _dominos(rng: np.random.Generator, machine: Machine, here: Floor, count: int, edge: float) -> None:
    """A row that ends at a ball on the brink or, on the last floor, at crates."""
    height, slender, density, friction = uniform(
        rng, (0.5 * here.head, min(66.0, 0.8 * here.head)), (0.12, 0.17), (2, 4), (0.3, 0.7)
    )
    width = slender * height
    radius = 0.3 * height
    crates = count // 3 if here.last else 0
    dominos = count - crates if here.last else count - 1
    brink = here.back(0.3 * radius)
    stop = here.back(120.0 if crates else 30.0) if here.last else brink - here.onward * (radius + 2 + width / 2)
    pitch = min(0.55 * height, abs(stop - here.start) / max(dominos, 1))
    machine.bodies += [
        block(
            (width, height),
            (stop - here.onward * pitch * place, here.y + height / 2),
            density=density,
            friction=friction,
            restitution=0.1,
        )
        for place in range(dominos)
    ]
    if not here.last:
        machine.bodies.append(disc(radius, (brink, here.y + radius), density=2.0, friction=0.3, restitution=0.2))
    elif crates:
        near, far = sorted((here.back(108.0), here.back(0.0)))
        machine.bodies += crate_piles(rng, crates, left=near, right=far + 4, floor=here.y, widest=24.0)


def _bobs(rng: np.random.Generator, machine: Machine, here: Floor, count: int, edge: float) -> None:
    """Balls that hang side by side just above the floor and pass a blow on to the last ball, which stands on it."""
    radius = min(float(rng.uniform(9, 13)), 0.45 * abs(here.end - here.start) / count)
    pitch = 2 * radius + 0.5
    density, length = uniform(rng, (4, 8), (0.5 * here.head, 0.85 * here.head))
    brink = here.back(60.0 if here.last else 0.3 * radius)
    machine.bodies.append(disc(radius, (brink, here.y + radius), density=density, friction=0.4, restitution=0.8))
    for place in range(1, count):
        x, y = brink - here.onward * (pitch * place + 0.5), here.y + radius + 1.5
        machine.joints.append(
            PinJoint(body_a=FIXED, body_b=len(machine.bodies), anchor_a=(x, y + length), length=length)
        )
        machine.bodies.append(disc(radius, (x, y), density=density, friction=0.2, restitution=0.9))


def _wheel(rng: np.random.Generator, machine: Machine, here: Floor, count: int, edge: float) -> None:
    """A bar that a motor turns sweeps balls along the floor; they wait for a push in front of it."""
    length, spin, torque = uniform(rng, (0.6 * here.head, 0.8 * here.head), (3, 8), (1e5, 3e5))
    hub = ((here.start + here.end) / 2 + here.onward * 40, here.y + length / 2 + 3)
    machine.joints.append(PivotJoint(body_a=FIXED, body_b=len(machine.bodies), anchor_a=hub))
    machine.joints.append(Motor(body_a=FIXED, body_b=len(machine.bodies), spin=here.onward * spin, torque=torque))
    machine.bodies.append(block((length, 9.0), hub, density=1.5, friction=0.5, restitution=0.2))
    near = hub[0] - here.onward * (length / 2 + 14)
    reach = min(12.0, 0.48 * abs(near - here.start) / max(count, 1))
    density, friction = uniform(rng, (2, 5), (0.3, 0.7))
    machine.bodies += [
        disc(
            reach * float(rng.uniform(0.8, 1.0)),
            (near - here.onward * (2 * reach + 1) * place, here.y + reach),
            density=density,
            friction=friction,
            restitution=0.4,
        )
        for place in range(count - 1)
    ]


def _belt(rng: np.random.Generator, machine: Machine, here: Floor, count: int, edge: float) -> None:
    """The floor is a belt that carries boxes and whatever comes along over its end."""
    machine.walls.append(
        Segment(
            start=(edge, here.y - 7),
            end=(here.end, here.y - 7),
            radius=7.0,
            friction=0.9,
            surface_speed=float(rng.uniform(80, 220)),
        )
    )
    pitch = min(40.0, abs(here.end - here.start) / max(count, 1))
    for place in range(count):
        size, tall, density, friction = uniform(rng, (0.5, 0.8), (0.7, 1.2), (1, 3), (0.4, 0.9))
        side = size * pitch
        machine.bodies.append(
            block(
                (side, tall * side),
                (here.back(40 + pitch * (place + 0.2)), here.y + tall * side / 2),
                density=density,
                friction=friction,
                restitution=0.1,
            )
        )
