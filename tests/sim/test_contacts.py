"""Contacts against closed forms, against themselves turned and swapped, and against Chipmunk's own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pymunk
import pytest

from physworld.scenarios import build, names
from physworld.seeding import generator
from physworld.sim.contacts import Contacts, _place, contacts, solids
from physworld.sim.pymunk_sim import build_space, simulate
from physworld.types import Body, Peg, Scene, Segment

FLOOR = Segment(start=(0.0, 0.0), end=(100.0, 0.0), radius=5.0)  # its surface is y = 5
KINDS = ("disc", "box", "wall", "peg")


def disc(x: float, y: float, radius: float = 10.0) -> Body:
    return Body(shape="circle", size=(radius,), position=(x, y))


def box(x: float, y: float, width: float = 40.0, height: float = 20.0, angle: float = 0.0) -> Body:
    return Body(shape="rect", size=(width, height), position=(x, y), angle=angle)


def scene(*bodies: Body, static: tuple[Segment | Peg, ...] = ()) -> Scene:
    return Scene(name="test", category="collision", difficulty=1, text="", bodies=bodies, static=static)


def found(world: Scene, margin: float = 0.0) -> Contacts:
    state = world.state
    return contacts(solids(world), state.position, state.angle, margin=margin)


def one(world: Scene, margin: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(normal (2,), gaps (P,), places (P, 2)) of the only contact."""
    got = found(world, margin)
    assert len(got.body) == 1
    assert np.linalg.norm(got.normal[0]) == pytest.approx(1, abs=1e-12)
    points = got.points[0]
    return got.normal[0], got.gap[0, :points], got.place[0, :points]


# --- closed forms


def test_two_discs() -> None:
    normal, gap, place = one(scene(disc(3, 4, 4), disc(0, 0, 2)))
    np.testing.assert_allclose(normal, (0.6, 0.8), atol=1e-12)  # from the partner to the body
    assert gap == pytest.approx([5 - 6])
    np.testing.assert_allclose(place, [(0.6 * 1.5, 0.8 * 1.5)], atol=1e-12)  # half way between the surfaces, at 1 and 2


def test_discs_in_one_place_have_some_unit_normal() -> None:
    _, gap, place = one(scene(disc(7, 7), disc(7, 7)))
    assert gap == pytest.approx([-20]) and np.isfinite(place).all()


@pytest.mark.parametrize(
    ("x", "y", "normal", "gap"),
    [
        (50, 14, (0, 1), -1),
        (50, -14, (0, -1), -1),
        (50, 3, (0, 1), -12),  # deep, but its centre is still above the wall's middle
        (106, 8, (0.6, 0.8), -5),  # past the right end, which is round
        (-6, 8, (-0.6, 0.8), -5),
        (112, 0, (1, 0), -3),
    ],
)
def test_disc_and_wall(x: float, y: float, normal: tuple[float, float], gap: float) -> None:
    n, gaps, place = one(scene(disc(x, y), static=(FLOOR,)))
    np.testing.assert_allclose(n, normal, atol=1e-12)
    assert gaps == pytest.approx([gap])
    np.testing.assert_allclose(place[0], np.array([x, y]) - n * (10 + gap / 2), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
@pytest.mark.parametrize(
    ("offset", "normal", "gap"),
    [
        ((5, 18), (0, 1), -2),  # above the face: 18 - 10 - 10
        ((-28, 3), (-1, 0), -2),
        ((23, 14), (0.6, 0.8), -5),  # off the corner (20, 10) by (3, 4)
        ((2, 7), (0, 1), -13),  # centre inside, 3 below the nearest face
        ((-18, 1), (-1, 0), -12),
    ],
)
def test_disc_and_box(angle: float, offset: tuple[float, float], normal: tuple[float, float], gap: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    x, y = turn @ offset + (300, 200)
    n, gaps, place = one(scene(disc(x, y), box(300, 200, angle=angle)))
    np.testing.assert_allclose(n, turn @ normal, atol=1e-9)
    assert gaps == pytest.approx([gap])
    np.testing.assert_allclose(place[0], np.array([x, y]) - n * (10 + gap / 2), atol=1e-9)


def test_box_flat_on_the_floor_stands_on_two_corners() -> None:
    normal, gap, place = one(scene(box(50, 14.7), static=(FLOOR,)))
    np.testing.assert_allclose(normal, (0, 1), atol=1e-12)
    assert gap == pytest.approx([-0.3, -0.3])
    assert sorted(place[:, 0]) == pytest.approx([30, 70])
    assert place[:, 1] == pytest.approx([4.85, 4.85])  # half way between the floor's surface and the box's


def test_box_over_the_end_of_the_floor_stands_on_the_end() -> None:
    _, gap, place = one(scene(box(95, 14.7), static=(FLOOR,)))
    assert gap == pytest.approx([-0.3, -0.3])
    assert sorted(place[:, 0]) == pytest.approx([75, 100])


def test_tilted_box_stands_on_one_corner() -> None:
    tilt = 0.2
    lowest = -20 * math.sin(tilt) - 10 * math.cos(tilt)  # of the corner (-20, -10), which turning lowers
    lift = 5 - lowest - 0.4
    normal, gap, place = one(scene(box(50, lift, angle=tilt), static=(FLOOR,)), margin=1.5)
    np.testing.assert_allclose(normal, (0, 1), atol=1e-12)
    assert gap == pytest.approx([-0.4])
    assert place[0, 0] == pytest.approx(50 - 20 * math.cos(tilt) + 10 * math.sin(tilt))


def test_stacked_boxes_touch_where_both_are() -> None:
    normal, gap, place = one(scene(box(50, 100), box(62, 119.5, width=30)))
    np.testing.assert_allclose(normal, (0, -1), atol=1e-12)  # the upper box is the partner
    assert gap == pytest.approx([-0.5, -0.5])
    assert sorted(place[:, 0]) == pytest.approx([47, 70])
    assert place[:, 1] == pytest.approx([109.75, 109.75])


def test_corner_on_a_face() -> None:
    half = 10 * math.sqrt(2)  # a square of side 20 on its corner
    normal, gap, place = one(scene(box(50, 100), box(45, 110 + half - 0.25, width=20, angle=math.pi / 4)), margin=1.5)
    np.testing.assert_allclose(normal, (0, -1), atol=1e-9)
    assert gap == pytest.approx([-0.25])
    np.testing.assert_allclose(place, [(45, 109.875)], atol=1e-9)


def test_parallel_faces_choose_the_same_side_under_noise() -> None:
    """A resting pair must not flicker between two answers."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        dx, dy, turn = rng.normal(0, 1e-5, 3)
        _, _, place = one(scene(box(50, 100), box(62 + dx, 119.5 + dy, angle=turn)), margin=1.5)
        assert place[:, 0] == pytest.approx([70, 42], abs=1e-3)


@pytest.mark.parametrize("away", [1.4999, 1.5001])
@pytest.mark.parametrize(
    "make",
    [
        lambda gap: scene(disc(0, 0), disc(0, 20 + gap)),
        lambda gap: scene(disc(50, 15 + gap), static=(FLOOR,)),
        lambda gap: scene(disc(0, 0), static=(Peg(center=(0, 20 + gap), radius=10),)),
        lambda gap: scene(box(0, 0), disc(25, 0)),  # stands in for itself below
        lambda gap: scene(box(0, 0), disc(30 + gap, 0)),
        lambda gap: scene(box(50, 15 + gap), static=(FLOOR,)),
        lambda gap: scene(box(0, 0), box(40 + gap, 0)),
    ],
)
def test_margin(make: object, away: float) -> None:
    world = make(away)  # type: ignore[operator]
    inside = away < 1.5 or world.bodies[-1].position == (25, 0)
    assert len(found(world, 1.5).body) == inside


# --- laws


def random_pair(rng: np.random.Generator, first: str, second: str, spread: float) -> Scene:
    def body(kind: str, x: float, y: float) -> Body:
        if kind == "disc":
            return disc(x, y, float(rng.uniform(8, 25)))
        return box(x, y, *rng.uniform(15, 60, 2).tolist(), angle=float(rng.uniform(-4, 4)))

    x, y = rng.normal(0, spread, 2).tolist()
    turn = float(rng.uniform(0, math.pi))
    half = rng.uniform(20, 60) * np.array([math.cos(turn), math.sin(turn)])
    partner = {
        "wall": Segment(start=tuple((-half).tolist()), end=tuple(half.tolist()), radius=float(rng.uniform(3, 8))),
        "peg": Peg(center=(0.0, 0.0), radius=float(rng.uniform(5, 20))),
    }
    if second in partner:
        return scene(body(first, x, y), static=(partner[second],))
    return scene(body(first, x, y), body(second, 0.0, 0.0))


PAIRS = [(a, b) for a in ("disc", "box") for b in KINDS]


@pytest.mark.parametrize(("first", "second"), [pair for pair in PAIRS if pair[1] in ("disc", "box")])
def test_swapping_the_two_turns_the_normal(first: str, second: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        world = random_pair(rng, first, second, 25)
        there, back = found(world, 1.5), found(scene(*world.bodies[::-1]), 1.5)
        assert len(there.body) == len(back.body)
        if len(there.body):
            # Which of two axes of all but equal gap is taken may depend on the order, by the 0.001 px of preference.
            assert there.gap[0, : there.points[0]].min() == pytest.approx(back.gap[0, : back.points[0]].min(), abs=2e-3)
            if first != second or first == "disc":
                np.testing.assert_allclose(there.normal[0], -back.normal[0], atol=1e-9)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_turning_and_moving_everything_changes_nothing_else(first: str, second: str) -> None:
    rng = np.random.default_rng(2)
    touching = 0
    for _ in range(200):
        world = random_pair(rng, first, second, 30)
        angle, (dx, dy) = float(rng.uniform(0, 6)), rng.uniform(-300, 300, 2)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        state = world.state
        still, moved = solids(world), solids(world)
        pose = still.static_pose.copy()
        pose[:, :2] = pose[:, :2] @ turn.T + (dx, dy)
        pose[:, 2] += angle
        before = contacts(still, state.position, state.angle, margin=1.5)
        corners, box, n = np.zeros_like(moved.static_corners), np.zeros_like(moved.static_box), len(world.bodies)
        _place(moved.kind[n:], moved.extent[n:], moved.rounding[n:], pose[:, :2], pose[:, 2], corners, box)
        moved = moved._replace(static_pose=pose, static_corners=corners, static_box=box)
        after = contacts(moved, state.position @ turn.T + (dx, dy), state.angle + angle, margin=1.5)
        assert before.points.tolist() == after.points.tolist()
        for k in range(len(before.body)):
            touching += 1
            points = before.points[k]
            np.testing.assert_allclose(after.normal[k], turn @ before.normal[k], atol=1e-9)
            np.testing.assert_allclose(after.gap[k, :points], before.gap[k, :points], atol=1e-9)
            np.testing.assert_allclose(after.place[k, :points], before.place[k, :points] @ turn.T + (dx, dy), atol=1e-8)
    assert touching > 50


@pytest.mark.parametrize("name", names())
def test_a_crowd_touches_as_its_pairs_do(name: str) -> None:
    """The quick tests that skip far pairs skip no near one."""
    path = simulate(build(name, generator(0, "test", 3), 3), 60)
    world, state = path.scene, path.frame(59)
    whole = contacts(solids(world), state.position, state.angle, margin=1.5)
    pairs = set(zip(whole.body.tolist(), whole.partner.tolist(), strict=True))
    count = len(world.bodies)
    for i in range(count):
        for j in range(i + 1, count + len(world.static)):
            two = (i, j) if j < count else (i,)
            part = scene(*(world.bodies[k] for k in two), static=() if j < count else (world.static[j - count],))
            near = contacts(solids(part), state.position[list(two)], state.angle[list(two)], margin=1.5)
            assert len(near.body) == ((i, j) in pairs)


# --- Chipmunk


def chipmunk(world: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Chipmunk's (normal from the partner to the body, gaps (P,), places (P, 2)), or None where it sees no contact."""
    bodies = list((space := build_space(world)).bodies)
    (body,) = bodies[0].shapes
    (partner,) = space.static_body.shapes if world.static else bodies[1].shapes
    # Chipmunk collides circles before segments before polygons; asked the other way round it reports depths as gaps.
    order = (pymunk.Circle, pymunk.Segment, pymunk.Poly)
    swap = order.index(type(body)) < order.index(type(partner))
    first, second = (body, partner) if swap else (partner, body)
    first.cache_bb()
    second.cache_bb()
    try:
        found = first.shapes_collide(second)
    except AssertionError:  # Pymunk's way to say that boxes intersect but shapes do not touch
        return None
    if not found.points:
        return None
    normal = np.array(found.normal) * (-1 if swap else 1)
    gaps = np.array([point.distance for point in found.points])
    return normal, gaps, np.array([(point.point_a + point.point_b) / 2 for point in found.points])


def test_chipmunk_agrees_on_discs_and_pegs() -> None:
    for first, second in [pair for pair in PAIRS if "disc" in pair or "peg" in pair]:
        rng = np.random.default_rng(3)
        touching = 0
        for _ in range(400):
            world = random_pair(rng, first, second, 25)
            got, true = found(world), chipmunk(world)
            assert len(got.body) == (true is not None)
            if true is None:
                continue
            touching += 1
            assert got.points[0] == len(true[1]) == 1
            np.testing.assert_allclose(got.normal[0], true[0], atol=1e-9)
            np.testing.assert_allclose(got.gap[0, 0], true[1][0], atol=1e-9)
            np.testing.assert_allclose(got.place[0, 0], true[2][0], atol=1e-9)
        assert touching > 100


@pytest.mark.parametrize(("second", "may_differ"), [("box", 0.0), ("wall", 0.06)])
def test_chipmunk_agrees_on_boxes_that_overlap_a_little(second: str, may_differ: float) -> None:
    """Up to 3 px deep, as contacts in a simulation are; deeper, the two choose other second points to clip to.

    Box and wall may differ where a box meets a wall's round end, which is taken for straight here: half of the walls
    drawn here are shorter than the box, so this happens far more often than in a scene.
    """
    rng = np.random.default_rng(4)
    touching = differing = 0
    while touching < 150:
        world = random_pair(rng, "box", second, 25)
        got, true = found(world), chipmunk(world)
        if true is not None and true[1].min() < -3:
            if second == "box":  # this at least, and as deep
                assert got.gap[0, : got.points[0]].min() == pytest.approx(true[1].min(), abs=1e-6)
            continue
        if true is None and not len(got.body):
            continue
        touching += 1
        differing += not _same(got, true, 1e-6, 1e-9)
    assert differing <= may_differ * touching


def _same(got: Contacts, true: tuple[np.ndarray, np.ndarray, np.ndarray] | None, within: float, turned: float) -> bool:
    """Gaps and places agree `within` px and the normal but for `turned` rad, in whichever order the points come."""
    if true is None or not len(got.body) or got.points[0] != len(true[1]):
        return False
    points = got.points[0]
    rows = np.column_stack([got.gap[0, :points], got.place[0, :points]])
    other = np.column_stack([true[1], true[2]])
    off = min(np.abs(rows - other).max(), np.abs(rows - other[::-1]).max())
    return off <= within and bool(np.abs(got.normal[0] - true[0]).max() <= turned)


@pytest.mark.parametrize("name", names())
def test_chipmunk_agrees_in_scenes(name: str) -> None:
    """All that overlap by 0.02 px in a running scene: of faces that barely touch, which of the two points counts is a
    matter of the last digits. Not to the last digit: of two faces that are parallel but for a
    hundredth of a radian, ours prefers one side by 0.001 px, so that the answer does not flicker."""
    path = simulate(build(name, generator(0, "test", 5), 3), 120)
    world, packed = path.scene, solids(path.scene)
    count, seen = len(world.bodies), 0
    wrong: list[tuple[object, ...]] = []
    for frame in range(0, 120, 6):
        state = path.frame(frame)
        whole = contacts(packed, state.position, state.angle, margin=-1e-6)
        for k in range(len(whole.body)):
            if whole.gap[k, : whole.points[k]].max() > -0.02:
                continue
            i, j = int(whole.body[k]), int(whole.partner[k])
            parts = [
                replace(world.bodies[n], position=tuple(state.position[n].tolist()), angle=float(state.angle[n]))
                for n in (i, j)
                if n < count
            ]
            true = chipmunk(scene(*parts, static=() if j < count else (world.static[j - count],)))
            pair = Contacts(*(part[k : k + 1] for part in whole))
            seen += 1
            if not _same(pair, true, 0.002, 0.01):
                wrong.append((frame, i, j, pair, true))
    # Known exceptions: a box on the round end of a wall (see geometry.py), and tall boxes side by side whose faces are
    # parallel but for a hundredth of a radian, where the two pick different faces (bowling: 6 of 265).
    assert len(wrong) <= 0.03 * seen, wrong[0]
