"""Out-of-distribution families: each does what it says, to any scenario, and measures how far it went."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from physworld import scenarios
from physworld.errors import UserError
from physworld.metrics.scores import RolloutMeta
from physworld.seeding import generator
from physworld.settings import checks
from physworld.settings.groups import register
from physworld.sim.ood import FAMILIES, THICK, distance, maybe_shifted, shift, thickened, varied
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.scene_json import read_jsonl
from physworld.text.evaluation.evaluation import EvalCases, _shifted
from physworld.types import Body, Part, Scene, Segment

from commands import ended, run
from repository import ROOT
from worlds import deepest_overlap

NAMES = scenarios.names()
register()  # the option group `ood`


def scene(name: str, difficulty: int = 2) -> Scene:
    return scenarios.build(name, generator(0, "test", 1), difficulty)


def test_the_eight_families_are_those_of_the_report() -> None:
    assert set(FAMILIES) == {
        "unseen_count_low", "unseen_count_high", "extreme_mass", "extreme_friction",
        "extreme_elasticity", "zero_gravity", "low_gravity", "high_gravity",
    }  # fmt: skip
    with pytest.raises(ValueError, match="family 'zero_gravty' is unknown; did you mean 'zero_gravity'"):
        shift(scene("pong"), "zero_gravty", generator(0, "test", 0))
    for level in (0.0, 1.5):
        with pytest.raises(ValueError, match=f"level must be above 0 and at most 1, got {level}"):
            shift(scene("pong"), "zero_gravity", generator(0, "test", 0), level=level)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_works_on_every_scenario(family: str) -> None:
    for name in NAMES:
        before = scene(name)
        after = shift(before, family, generator(0, "test", 2))
        assert after == shift(before, family, generator(0, "test", 2)), "the same seed must give the same scene"
        rolled = simulate(after.scene, 60)
        assert np.isfinite(rolled.position).all() and np.isfinite(rolled.velocity).all(), name
        if family.startswith("unseen_count"):
            assert deepest_overlap(after.scene) <= 0.1, name
        bodies = after.scene.bodies
        masses, frictions = np.array([b.mass for b in bodies]), np.array([b.friction for b in bodies])
        bounces = np.array([part.restitution for part in (*bodies, *after.scene.static)])
        match family:
            case "unseen_count_low":
                assert 1 <= len(bodies) <= 9 and set(bodies) <= set(before.bodies)
            case "unseen_count_high":
                assert 51 <= len(bodies) <= 100 and bodies[: len(before.bodies)] == before.bodies
            case "extreme_mass":
                assert ((masses > 20) | (masses < 0.5)).all() and (masses >= 0.01).all() and (masses <= 200).all()
            case "extreme_friction":
                assert ((frictions < 0.1) | (frictions > 1)).all() and (frictions >= 0).all() and (frictions <= 5).all()
            case "extreme_elasticity":
                assert ((bounces > 0.95) & (bounces <= 0.99)).all()
            case "zero_gravity":
                assert after.scene.gravity == (0.0, 0.0)
            case "low_gravity":
                assert after.scene.gravity == pytest.approx((0.0, -163.0))
            case "high_gravity":
                assert after.scene.gravity == pytest.approx((0.0, -2450.0))


@pytest.mark.parametrize("family", FAMILIES)
def test_distance_grows_with_level(family: str) -> None:
    mean = [
        np.mean(
            [shift(scene("explosion", 4), family, generator(0, "test", s), level=level).distance for s in range(20)]
        )
        for level in (0.1, 0.4, 0.7, 1.0)
    ]
    assert 0 <= mean[0] < mean[1] < mean[2] < mean[3]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_higher_level_never_comes_out_nearer(family: str) -> None:
    """Seed by seed and for every type; strictly further for those that the family can move at all."""
    stuck = set()
    drawn = {name: scene(name, 1 + place % 5) for place, name in enumerate(NAMES)}
    for name, before in drawn.items():
        far = [shift(before, family, generator(0, "test", 3), level=level).distance for level in (0.05, 0.35, 0.7, 1.0)]
        assert all(0 <= near <= more for near, more in pairwise(far)), (name, far)
        if far[0] == far[-1]:
            stuck.add(name)
    match family:
        case "zero_gravity":
            assert stuck == {name for name in NAMES if drawn[name].gravity == (0.0, 0.0)}
        case "unseen_count_low":  # those that start with less than ten bodies may be there already
            assert all(len(drawn[name].bodies) < 10 for name in stuck)
        case _:
            assert not stuck


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_applies_at_every_difficulty(family: str) -> None:
    for name in NAMES:
        for difficulty in scenarios.DIFFICULTIES:
            before = scenarios.build(name, generator(0, "test", difficulty), difficulty)
            after = shift(before, family, generator(0, "test", 4))
            assert after.distance == distance(before, after.scene, family)
            assert after.scene == before or "Out of distribution: " + family.replace("_", " ") in after.scene.text


def test_copies_of_polygons_and_compounds_are_as_small_as_their_places() -> None:
    corners = [(-60.0, -40.0), (60.0, -40.0), (0.0, 80.0)]
    ends = [Part(shape="circle", size=(20.0,), at=(side * 50.0, 0.0)) for side in (-1, 1)]
    bar = [Part(shape="rect", size=(100.0, 20.0)), Part(shape="polygon", vertices=tuple(corners)), *ends]
    for large in (Body.polygon(corners, position=(150.0, 150.0)), Body.compound(bar, position=(150.0, 150.0))):
        before = Scene(bodies=(large,))
        after = shift(before, "unseen_count_high", generator(0, "test", 1)).scene
        assert len(after.bodies) > 50 and deepest_overlap(after) == 0
        copy = after.bodies[1]
        share = copy.reach / large.reach
        assert 0 < share < 0.2
        assert copy.area == pytest.approx(large.area * share**2) and copy.shape == large.shape


def test_options_are_the_families_and_bind() -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for family in FAMILIES:
            options = compose("simulate", [f"ood={family}", "ood.level=0.5"]).ood
            before = scene("tower")
            rng, again = generator(0, "test", 0), generator(0, "test", 0)
            assert maybe_shifted(before, rng, **options) == shift(before, family, again, level=0.5).scene
        assert maybe_shifted(before, rng, **compose("simulate").ood) is before


def test_a_wrong_option_is_one_sentence(tmp_path: Path) -> None:
    done = ended(ROOT, "simulate.py", f"hydra.run.dir={tmp_path}", "ood=zero_gravty")
    assert done.returncode == 1 and not done.stdout and done.stderr.count("\n") == 1
    assert done.stderr.startswith("ood=zero_gravty is unknown. Did you mean zero_gravity? Choose one of extreme_elas")
    for level in (0, -1, 2, float("nan"), "high", True, None):
        with pytest.raises(UserError, match=f"ood.level={level} must be a number above 0 and at most 1"):
            checks.ood("low_gravity", level)
    with pytest.raises(UserError, match=r"ood\.family=zero is unknown\. Choose one of unseen_count_low, .*, or null"):
        checks.ood("zero", 1.0)


@pytest.mark.slow
def test_the_command_writes_the_shifted_scene_and_leaves_the_others(tmp_path: Path) -> None:
    options = ["scenario.names=[tower,pong]", "count=2", "frames=3"]
    for place, more in (("plain", []), ("moved", ["ood=zero_gravity"])):
        run(ROOT, "simulate.py", *options, f"hydra.run.dir={tmp_path / place}", *more)
    plain, moved = (read_jsonl(tmp_path / place / "tower/scene_0.jsonl").scene for place in ("plain", "moved"))
    assert plain.gravity == (0.0, -981.0) and moved.gravity == (0.0, 0.0) and plain.bodies == moved.bodies
    assert (tmp_path / "plain/pong/scene_1.jsonl").read_bytes() == (tmp_path / "moved/pong/scene_1.jsonl").read_bytes()


def test_distances_are_those_of_the_table() -> None:
    rng = generator(0, "test", 0)
    assert shift(scene("billiards"), "zero_gravity", rng).distance == 0.0
    assert shift(scene("tower"), "zero_gravity", rng).distance == pytest.approx(1.0)
    assert shift(scene("tower"), "low_gravity", rng).distance == pytest.approx((981 - 163) / 981)
    assert shift(scene("tower"), "high_gravity", rng, level=0.5).distance == pytest.approx((2450 - 981) / 981 / 2)
    many = shift(scene("billiards"), "unseen_count_high", rng)
    assert many.distance == (len(many.scene.bodies) - 50) / 50
    few = shift(scene("billiards", 3), "unseen_count_low", rng)
    assert few.distance == (10 - len(few.scene.bodies)) / 10
    two = replace(scene("billiards"), bodies=scene("billiards").bodies[:2])
    alone = shift(two, "unseen_count_low", generator(0, "test", 0), level=0.25)  # seven bodies at the least
    assert alone.scene == two and alone.distance == 0.0


def test_joints_follow_their_bodies_and_the_fastest_body_stays() -> None:
    before = scene("pendulum_wave", 4)
    for seed in range(5):
        after = shift(before, "unseen_count_low", generator(0, "test", seed)).scene
        for joint in after.joints:
            kept = after.bodies[joint.body_b]
            old = next(j for j in before.joints if j.anchor_a == joint.anchor_a and j.length == joint.length)
            assert before.bodies[old.body_b] == kept
        assert len(after.joints) == len(after.bodies)
        cue = scene("billiards", 3).bodies[-1]
        assert cue in shift(scene("billiards", 3), "unseen_count_low", generator(0, "test", seed)).scene.bodies


def test_new_bodies_stay_in_the_glass() -> None:
    before = scene("hourglass", 4)
    left, right = (edge(part.start[0] for part in before.static) for edge in (min, max))
    for body in shift(before, "unseen_count_high", generator(0, "test", 0)).scene.bodies:
        assert left < body.position[0] < right


def test_thick_walls_keep_their_inner_faces() -> None:
    before = scene("tower")
    after = thickened(before)
    floor, thick = before.static[0], after.static[0]
    assert isinstance(floor, Segment) and isinstance(thick, Segment) and thick.radius == THICK
    assert thick.start[1] + thick.radius == pytest.approx(floor.start[1] + floor.radius)
    assert math.dist(thick.start, thick.end) == pytest.approx(math.dist(floor.start, floor.end))
    neck = thickened(scene("funnel")).static
    assert sum(part.radius == THICK for part in neck) == 4, "only the room's own walls may grow"
    falling = shift(scene("wind", 3), "high_gravity", generator(0, "test", 0)).scene
    assert (simulate(falling, 200).position[..., 1] > 0).all(), "something fell through the floor"


@pytest.mark.parametrize("family", FAMILIES)
def test_levels_of_an_evaluation_are_in_order(family: str) -> None:
    """All levels of a family shift one scene by one draw, so the error can be read against the distance."""
    codec, cases = ImpulseCodec(), EvalCases(given=[], truth=[], meta=[], left_out={})
    scene = scenarios.build("projectile", generator(0, "test", 5), 4)
    distances = []
    for level in (0.25, 0.5, 1.0):
        about = RolloutMeta(index=5, start_frame=3, seed=0, held_out=False, shift="", distance=0.0)
        if _shifted(cases, codec, scene, (family, level), about, "test") is not None:
            distances.append(about["distance"])
    assert distances and distances == sorted(distances)


@pytest.mark.parametrize("name", NAMES)
def test_varied_scenes_are_in_range_and_nothing_bursts(name: str) -> None:
    plain = scene(name, 4)
    moved = varied(plain, generator(0, "test", 2))
    assert distance(plain, moved, "extreme_mass") == distance(plain, moved, "extreme_friction") == 0
    assert distance(plain, moved, "extreme_elasticity") == 0 and moved.bodies != plain.bodies
    speeds = np.linalg.norm(simulate(moved, 90).velocity, axis=-1)
    assert speeds.max() < 3000  # px/s; a spring that gains energy passes this within a second
