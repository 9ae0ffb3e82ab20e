"""What `pair_net.PairNet` reads of plain text: bodies, everything that may act on them, and all pairs of the two.

A pair is described by where one stands relative to the other, in three frames: along the line between the two, along
the axes of what acts, and along the body's own. Nothing is looked for: a wall at the other end of the world is a pair
like any other, and which pairs matter, where they touch and in which direction is for the network to find.

Shape suffixes: B batch, L tokens, N bodies of the whole batch, O other lines that act (walls, pegs, fields, winds,
joints), Q pairs, F frames (3), S numbers of a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers that say where something is and how it moves: they are read through pairs alone.
PLACED = frozenset(
    ["x", "y", "x1", "y1", "x2", "y2", "angle", "vx", "vy", "spin", "gx", "gy", "ax", "ay", "bx", "by", "turn"]
)
BODIES, EVERYWHERE = ("ball", "box"), ("world", "mutual")
JOINTS = ("pin", "hinge", "rope", "spring", "motor")
ACTING = ("wall", "peg", "field", "wind", *JOINTS)
FAR = 1e-6  # px; nearer than this two points have no direction
SLOW = 1e-3  # px/s; what is slower goes in no direction
HEAVY = 6.0  # logarithm of how much heavier the ground is than any body


class Record(NamedTuple):
    """How a line is read."""

    word: int  # its id
    names: int  # names of bodies that follow
    columns: tuple[str, ...]  # what the numbers behind them are


class Lines(NamedTuple):
    """All lines of one word in a batch."""

    row: Tensor  # (S,) of the batch
    at: Tensor  # (S,) place of the word in its row
    name: Tensor  # (S, 2) ids; -1 = none
    number: Mapping[str, Tensor]  # (S,) each
    own: Tensor  # (S, C) what is no place and no motion

    def point(self, x: str, y: str) -> Tensor:
        return torch.stack([self.number[x], self.number[y]], dim=1)


class Bodies(NamedTuple):
    """Bodies of the whole batch, in the order of their lines."""

    row: Tensor  # (N,)
    name: Tensor  # (N,) ids
    position: Tensor  # (N, 2) px, where the step will put it (or where it is)
    axis: Tensor  # (N, 2) unit vector
    velocity: Tensor  # (N, 2) px/s, before the step
    spin: Tensor  # (N,) rad/s
    pull: Tensor  # (N, 2) px/s that gravity adds in the step
    extent: Tensor  # (N, 2) px, half of width and height
    gyration: Tensor  # (N,) px
    mass: Tensor  # (N,) logarithm of kg


class Pairs(NamedTuple):
    """A body, and what may act on it."""

    body: Tensor  # (Q,) among the N
    other: Tensor  # (Q,) among N + O: whose vector stands for it
    mover: Tensor  # (Q,) body that moves it, N = none
    drift: Tensor  # (Q, 2) px/s and (Q,) rad/s that it has beyond that body's
    whirl: Tensor
    arm: Tensor  # (Q, 2) px from the body's centre to its point, zero but for joints
    other_arm: Tensor  # (Q, 2) px, the same on the other side
    frame: Tensor  # (Q, F, 2) first axes, pointing towards the body
    hand: Tensor  # (Q, F) ±1: whether the second axis, which points towards the body too, is to the left of the first
    pose: Tensor  # (Q, P) px
    angle: Tensor  # (Q, A) cosines, difference of logarithms of mass
    gyration: Tensor  # (Q,) px, of the other


def lines(ids_BL: Tensor, inside_BL: Tensor, record: Record, values: Tensor, first: int) -> Lines:
    """Every line of a kind. `first` is the id of the first number."""
    row, at = ((ids_BL == record.word) & inside_BL).nonzero(as_tuple=True)
    count = record.names + len(record.columns)
    place = (at[:, None] + 1 + torch.arange(count, device=at.device)).clamp(max=ids_BL.shape[1] - 1)
    tokens = ids_BL[row[:, None], place]
    name = F.pad(tokens[:, : record.names], (0, 2 - record.names), value=-1)
    numbers = values[(tokens[:, record.names :] - first).clamp(min=0)]
    own = [k for k, column in enumerate(record.columns) if column not in PLACED]
    return Lines(row, at, name, dict(zip(record.columns, numbers.unbind(dim=1), strict=True)), numbers[:, own])


def unit(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def left(vector: Tensor) -> Tensor:
    """Turned by a quarter to the left."""
    return torch.stack([-vector[..., 1], vector[..., 0]], dim=-1)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1)


def table_of(part: Tensor) -> Tensor:
    """(N + 1, ...) with zeros at the end, for what no body moves."""
    return torch.cat([part, part.new_zeros(1, *part.shape[1:])])


def by_body(found: Mapping[str, Lines], rows: int, ahead: bool) -> tuple[Bodies, Tensor]:
    """(bodies, order (N,) in which balls and boxes, one after the other, are put).

    Args:
        found: of `world`, `ball` and `box`.
        ahead: where the step will put them: p + v·dt, as the codec moves them, instead of where they are.
    """
    world, ball, box = found["world"], found["ball"], found["box"]
    both = [ball, box]
    row = torch.cat([part.row for part in both])
    at = torch.cat([part.at for part in both])
    order = (row * (at.max() + 1 if len(at) else 1) + at).argsort()

    def of(*names: str) -> Tensor:
        columns = [torch.cat([part.number[name] for part in both]) for name in names]
        return torch.stack(columns, dim=-1)[order]

    row = row[order]
    step = values_of_rows(world, "dt", rows)[row] / 1000
    gravity = torch.stack([values_of_rows(world, name, rows) for name in ("gx", "gy")], dim=1)[row]
    velocity, spin, angle, position = of("vx", "vy"), of("spin")[:, 0], of("angle")[:, 0], of("x", "y")
    half = torch.stack([box.number["width"], box.number["height"]], dim=1) / 2
    radius = ball.number["radius"][:, None].expand(-1, 2)
    extent = torch.cat([radius, half])[order]
    gyration = torch.cat([ball.number["radius"] / 2**0.5, half.norm(dim=1) / 3**0.5])[order]
    if ahead:
        position, angle = position + velocity * step[:, None], angle + spin * step
    name = torch.cat([part.name[:, 0] for part in both])[order]
    mass = of("mass")[:, 0].clamp(min=1e-3).log()
    return (
        Bodies(row, name, position, unit(angle), velocity, spin, gravity * step[:, None], extent, gyration, mass),
        order,
    )


def values_of_rows(world: Lines, name: str, rows: int) -> Tensor:
    """(B,) a number of each row's `world`."""
    return world.number[name].new_zeros(rows).index_copy(0, world.row, world.number[name])


def pairs(bodies: Bodies, found: Mapping[str, Lines], kinds: Sequence[str], names: int) -> Pairs:
    """Every body with every other body, wall, peg, field and wind of its row, and with the joints that hold it.

    Args:
        kinds: of the O lines that act, in the order in which their vectors stand behind those of bodies.
        names: ids of names are below this.
    """
    N, device = len(bodies.row), bodies.row.device
    parts: list[tuple[Tensor, ...]] = []
    zero = bodies.position.new_zeros

    def add(body: Tensor, other: Tensor, mover: Tensor, **at: Tensor) -> None:
        count = len(body)
        none = zero(count, 2)
        own = bodies.position[body]
        parts.append(
            (
                body,
                other,
                mover,
                at.get("drift", none),
                at.get("whirl", zero(count)),
                at.get("arm", none),
                at.get("other_arm", none),
                at.get("place", own),
                at.get("axis", none),
                at.get("extent", none),
                at.get("gyration", bodies.gyration[body]),
                at.get("mass", zero(count) + HEAVY + bodies.mass[body]),
            )
        )

    same = bodies.row[:, None] == bodies.row
    same.fill_diagonal_(False)
    i, j = same.nonzero(as_tuple=True)
    add(i, j, j, place=bodies.position[j], axis=bodies.axis[j], extent=bodies.extent[j],
        gyration=bodies.gyration[j], mass=bodies.mass[j])  # fmt: skip
    first = N
    index = torch.full((int(bodies.row.max()) + 1 if N else 1, names), N, device=device)
    index[bodies.row, bodies.name] = torch.arange(N, device=device)
    for kind in kinds:
        some = found[kind]
        if len(some.row) == 0:
            continue
        if kind in JOINTS:
            _add_joints(add, kind, some, bodies, index, first)
        else:
            i, s = (bodies.row[:, None] == some.row).nonzero(as_tuple=True)
            add(i, first + s, torch.full_like(i, N), **{name: part[s] for name, part in _still(kind, some).items()})
        first += len(some.row)
    body, other, mover, drift, whirl, arm, other_arm, place, axis, extent, gyration, mass = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    speed, spin = table_of(bodies.velocity), table_of(bodies.spin)
    slip = speed[body] + spin[body, None] * left(arm) - speed[mover] - drift - spin[mover, None] * left(other_arm)
    offset = bodies.position[body] + arm - place
    frame, hand, pose, angle = _described(bodies, body, offset, slip, axis, extent)
    angle = torch.cat([angle, (bodies.mass[body] - mass)[:, None] / 3], dim=1)
    return Pairs(body, other, mover, drift, whirl, arm, other_arm, frame, hand, pose, angle, gyration)


def _still(kind: str, some: Lines) -> dict[str, Tensor]:
    """What does not move: its place, axis, half sizes and the velocity of its surface."""
    if kind == "wind":
        return {"drift": some.point("vx", "vy")}
    if kind != "wall":
        size = some.number["radius"] if kind == "peg" else torch.zeros_like(some.number["x"])
        return {"place": some.point("x", "y"), "extent": size[:, None].expand(-1, 2)}
    start, end = some.point("x1", "y1"), some.point("x2", "y2")
    axis = F.normalize(end - start, dim=1)
    extent = torch.stack([(end - start).norm(dim=1) / 2, some.number["radius"]], dim=1)
    drift = axis * some.number["speed"][:, None]
    return {"place": (start + end) / 2, "axis": axis, "extent": extent, "drift": drift}


def _add_joints(add: Callable[..., None], kind: str, some: Lines, bodies: Bodies, index: Tensor, first: int) -> None:
    """Both ends of each joint, as a pair with what is at its other end."""
    N = len(bodies.row)
    ends = index[some.row[:, None], some.name.clamp(min=0)]  # (S, 2), N for `fixed`
    table, gyration, mass = table_of(bodies.position), table_of(bodies.gyration), table_of(bodies.mass)
    axes = table_of(bodies.axis)
    upright = torch.cat([bodies.axis, unit(bodies.spin.new_zeros(1))])  # the world's axes for what is nailed to it
    anchors = [some.point("ax", "ay"), some.point("bx", "by")] if kind != "motor" else [torch.zeros_like(table[:1])] * 2
    arms = [
        anchor[:, :1] * upright[ends[:, side]] + anchor[:, 1:] * left(upright[ends[:, side]])
        for side, anchor in enumerate(anchors)
    ]
    length = some.number["length"] if "length" in some.number else torch.zeros_like(some.row, dtype=table.dtype)
    extent = torch.stack([length, torch.zeros_like(length)], dim=1)
    for side in range(2):
        held = (ends[:, side] < N).nonzero()[:, 0]
        mine, theirs = ends[held, side], ends[held, 1 - side]
        arm, other_arm = (arms[k].expand(len(ends), 2)[held] for k in (side, 1 - side))
        place = table[theirs] + other_arm
        whirl = torch.zeros_like(length[held])
        if kind == "motor":  # it acts on spin alone, wherever the two are
            place = bodies.position[mine]
            whirl = some.number["turn"][held] * (1 if side == 1 else -1)
        loose = theirs == N
        add(
            mine, first + held, theirs, place=place, axis=axes[theirs], extent=extent[held], arm=arm, whirl=whirl,
            other_arm=other_arm.masked_fill(loose[:, None], 0.0),
            gyration=torch.where(loose, bodies.gyration[mine], gyration[theirs]),
            mass=torch.where(loose, HEAVY + bodies.mass[mine], mass[theirs]),
        )  # fmt: skip


def _described(
    bodies: Bodies, body: Tensor, offset: Tensor, slip: Tensor, axis: Tensor, extent: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(frame, hand, pose, angle) of `Pairs`.

    Args:
        offset: (Q, 2) px, from the other's point to the body's.
        slip: (Q, 2) px/s, of the body's point against the other's.
        axis: (Q, 2) of the other, zero where it has none: then the line between the two stands for it.
    """
    distance, fast = offset.norm(dim=1), slip.norm(dim=1)
    # Where both are in one place (the air is everywhere) the line goes the way they part.
    apart = torch.where(fast[:, None] > SLOW, slip / fast.clamp(min=SLOW)[:, None], bodies.axis[body])
    line = torch.where(distance[:, None] > FAR, offset / distance.clamp(min=FAR)[:, None], apart)
    # The line has nobody on either side of it: its second axis goes with the slip between the two.
    side, pull = dot(slip, left(line)), dot(bodies.pull[body], left(line))
    side = torch.where(side.abs() > SLOW, side, torch.where(pull.abs() > SLOW, pull, bodies.spin[body]))
    side = torch.where(side < 0, -1.0, 1.0)
    round_ = (axis == 0).all(dim=1)
    axis = torch.where(round_[:, None], line, axis)
    own = bodies.axis[body]
    first = torch.stack([line, axis, own], dim=1)  # (Q, F, 2)
    along, across = dot(offset[:, None], first), dot(offset[:, None], left(first))
    toward = torch.where(distance[:, None] > FAR, offset, apart)[:, None]
    flip = torch.where(dot(toward, first) < 0, -1.0, 1.0)
    other_flip = torch.where(dot(toward, left(first)) < 0, -1.0, 1.0)
    frame, hand = first * flip[:, :, None], flip * other_flip
    hand = torch.stack([side, torch.where(round_, side, hand[:, 1]), hand[:, 2]], dim=1)
    sizes = torch.cat([extent, bodies.extent[body]], dim=1)
    pose = torch.cat([distance[:, None], along[:, 1:].abs(), across[:, 1:].abs(), sizes], dim=1)
    cosine = dot(frame[:, 1], frame[:, 2]), dot(frame[:, 1], left(frame[:, 2]) * hand[:, 2:]), dot(line, frame[:, 1])
    return frame, hand, pose, torch.stack([*cosine, dot(line, frame[:, 2])], dim=1)
