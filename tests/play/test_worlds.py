"""Two worlds on one scene: what the page shows is what the simulator and the rollout give, and a hand is in both."""

from __future__ import annotations

import numpy as np
import pytest

import physworld as pw
from physworld import scenarios
from physworld.errors import UserError
from physworld.play.limits import MAX_BODIES
from physworld.play.reading import shown
from physworld.play.worlds import Hand, Worlds, figures, packed
from physworld.science import Model
from physworld.seeding import generator
from physworld.sim.pymunk_sim import Live, simulate


@pytest.fixture(scope="module")
def shipped() -> Model:
    return pw.load("shipped")


@pytest.mark.parametrize("name", ["billiards", "wrecking_ball", "solar_system", "wind", "conveyor", "trampoline"])
def test_a_live_world_is_the_simulator(name: str) -> None:
    scene = scenarios.build(name, generator(2, "val", 0), 2)
    live, truth = Live(scene), simulate(scene, 40)
    for _ in range(39):
        live.step()
    assert np.allclose(live.state.position, truth.position[-1], rtol=0, atol=1e-9)
    assert np.allclose(live.state.spin, truth.spin[-1], rtol=0, atol=1e-9)


def test_frame_by_frame_is_the_rollout(shipped: Model) -> None:
    scene = scenarios.build("billiards", generator(2, "val", 0), 1)
    worlds = Worlds(scene, shipped)
    for _ in range(20):
        worlds.step()
    guess = np.stack([moment.guess.position for moment in worlds.moments if moment.guess is not None])
    truth = np.stack([moment.truth.position for moment in worlds.moments])
    assert np.abs(shipped.rollout(scene, 21).position - guess).max() < 1e-3
    assert np.array_equal(truth, simulate(scene, 21).position)


def test_a_hand_moves_a_body_in_both_worlds(shipped: Model) -> None:
    scene = pw.Scene(bodies=[pw.Body.circle(20.0, position=(200.0, 400.0))])
    worlds = Worlds(scene, shipped)
    worlds.hold(Hand(body=0, x=230.0, y=410.0))
    moment = worlds.step()
    assert moment.guess is not None
    for state in (moment.truth, moment.guess):
        assert np.allclose(state.position, [[230.0, 410.0]]) and np.allclose(state.velocity, [[1800.0, 600.0]])
    worlds.hold(None)
    thrown = worlds.step().truth  # p += v·dt
    assert np.allclose(thrown.position, [[260.0, 420.0]])
    worlds.hold(Hand(body=0, x=1e9, y=0.0))
    assert np.linalg.norm(worlds.step().truth.velocity) == pytest.approx(4000.0)
    with pytest.raises(UserError, match="There is no body 5; the scene has 0 to 0"):
        worlds.hold(Hand(body=5, x=0.0, y=0.0))


def test_going_back_goes_on_from_there() -> None:
    scene = scenarios.build("projectile", generator(2, "val", 1), 1)
    worlds = Worlds(scene, pw.load("ballistic"))
    for frame in range(30):
        worlds.hold(Hand(body=1, x=450.0, y=100.0) if frame in (3, 4) else None)
        worlds.step()
    before = [moment.truth.position for moment in worlds.moments]
    worlds.back_to(9)
    assert len(worlds.moments) == 10
    for frame in range(10, 31):  # contacts are remembered, and what the hand did, to the bit
        assert np.array_equal(worlds.step().truth.position, before[frame])
    worlds.change((0.0, 0.0), None, 1.0)
    free, after = worlds.step().truth, worlds.step().truth
    assert np.allclose(free.velocity, after.velocity) and all(b.restitution == 1.0 for b in worlds.scene.bodies)


def test_figures_are_the_metrics(shipped: Model) -> None:
    scene = pw.Scene(bodies=[pw.Body.circle(20.0, position=(200.0, 400.0), velocity=(300.0, 0.0), mass=2.0)])
    worlds = Worlds(scene, shipped)
    found = figures(worlds.now)
    assert found == {"rmse": 0.0, "energy": [pytest.approx(87.48)] * 2, "momentum": [6.0, 6.0]}
    assert packed(worlds.now, 0)["truth"] == [[200.0, 400.0, 0.0, 300.0, 0.0, 0.0]]


def test_a_scene_that_the_model_cannot_read_runs_without_it(shipped: Model) -> None:
    triangle = pw.Body.polygon([(0.0, 0.0), (40.0, 0.0), (0.0, 40.0)], position=(100.0, 300.0))
    worlds = Worlds(pw.Scene(bodies=[triangle]), shipped)
    assert "a polygon cannot be written" in worlds.why and worlds.step().guess is None
    worlds.choose(pw.load("linear"))
    assert worlds.why == "" and worlds.step().guess is not None
    crowd = [pw.Body.circle(1.0, position=(3.0 * k, 10.0)) for k in range(MAX_BODIES + 1)]
    with pytest.raises(UserError, match="the page takes at most 300"):
        Worlds(pw.Scene(bodies=crowd), shipped)


def test_what_the_model_says_comes_with_its_doubt(shipped: Model) -> None:
    """A ball that has come to lie: every number's range holds what was said, and every doubt is a share."""
    floor = pw.Segment(start=(0.0, 50.0), end=(800.0, 50.0), radius=10.0)
    scene = pw.Scene(bodies=[pw.Body.circle(20.0, position=(300.0, 81.0), velocity=(90.0, -60.0))], static=[floor])
    worlds = Worlds(scene, shipped)
    said = worlds.step().said
    assert said is not None
    (document,) = shown(shipped, said)["documents"]
    assert document["reads"][0].startswith("self o0") and document["reads"][-1] == "next"
    words = [pair for line in document["says"] for pair in line]
    assert words[0][0] == "o0" and words[-1][0] == "end"
    ranges = [(float(word), *map(float, doubt)) for word, doubt in words if isinstance(doubt, list)]
    shares = [doubt for _, doubt in words if isinstance(doubt, float)]
    assert ranges and all(low <= word <= high for word, low, high in ranges)
    assert shares and all(0 <= doubt <= 1 for doubt in shares)


def test_lines_said_side_by_side_have_doubts_too() -> None:
    solver = pw.load("solver")
    scene = scenarios.build("billiards", generator(2, "val", 0), 1)
    worlds, checked = Worlds(scene, solver), 0
    for _ in range(40):
        said = worlds.step().said
        for document in shown(solver, said)["documents"] if said is not None else []:
            for name, *numbers in document["says"][:-1]:
                assert name == [name[0], 0.0]  # whose line it is is no guess
                for word, doubt in numbers:
                    if isinstance(doubt, list):
                        assert float(doubt[0]) <= float(word) <= float(doubt[1])
                        checked += 1
                    else:
                        assert word in ("coast", "rest") and 0 <= doubt < 1
    assert checked > 8
