"""The Warp simulator against closed forms: free fall, bounces, rolling, sliding, spin, energy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physworld.seeding import generator
from physworld.video.metrics.tracker import bounces
from physworld.video.scenes import CARD, SCENARIOS, VIOLATIONS, distort, shot, stack, violate
from physworld.video.warp.simulation import roll
from physworld.video.warp.worlds import BALL, BOX, GRAVITY, Worlds, drop

G = GRAVITY


def world(*bodies: tuple, planes: list[tuple[float, float, float]], gravity: tuple[float, float] = (0.0, -G)) -> Worlds:
    """From (shape, size, position, velocity, angle, spin, mass, friction, restitution) of each body."""
    columns = [np.array([list(c)], float) for c in zip(*bodies, strict=True)]
    shape, size, position, velocity, angle, spin, mass, friction, restitution = columns
    return Worlds(
        shape=shape.astype(int), size=size, position=position, velocity=velocity, angle=angle, spin=spin, mass=mass,
        friction=friction, restitution=restitution, planes=np.array([planes], float), gravity=np.array([gravity]),
    )  # fmt: skip


def ball(x: float, y: float, r: float = 0.5, **values: float) -> tuple:
    v = {"vx": 0.0, "vy": 0.0, "spin": 0.0, "mass": 1.0, "friction": 0.5, "e": 0.5, **values}
    return (BALL, (r, r), (x, y), (v["vx"], v["vy"]), 0.0, v["spin"], v["mass"], v["friction"], v["e"])


@pytest.mark.parametrize("fps", [8, 10, 16, 24, 30, 60, 120])
def test_drops_follow_the_closed_form_at_every_frame_rate(fps: int) -> None:
    heights, es = (np.array(v) for v in zip(*CARD.values(), strict=True))
    frames = 3 * fps + 1
    y = roll(drop(heights, es), frames, fps).position[:, :, 0, 1] - 0.35
    for k, (h, e) in enumerate(zip(heights, es, strict=True)):
        truth = bounces(h, e, G, np.arange(frames) / fps)
        # The bar is 1 % of the drop; the simulator keeps a thousandth of a metre.
        assert np.abs(y[k] - truth).max() < 1e-3, (h, e)


def test_bounce_heights_are_e_squared_h() -> None:
    es = np.linspace(0.1, 1.0, 10)
    y = roll(drop(np.full(10, 3.0), es), 4000, 1000).position[:, :, 0, 1] - 0.35
    for k, e in enumerate(es):
        impact = int(np.sqrt(2 * 3.0 / G) * 1000) + 1
        flight = int(2 * e * np.sqrt(2 * 3.0 / G) * 1000)
        assert y[k, impact : impact + flight].max() == pytest.approx(e * e * 3.0, rel=0.002)


def test_without_bouncing_loss_energy_stays_for_a_hundred_bounces() -> None:
    energy = roll(drop(np.array([0.5]), np.array([1.0])), 4000, 60).energy()[0]
    assert np.abs(energy / energy[0] - 1).max() < 2e-4


@pytest.mark.parametrize("slope", [0.2, 0.4])
def test_a_ball_rolls_down_a_ramp_at_five_sevenths(slope: float) -> None:
    n = (np.sin(slope), np.cos(slope))
    out = roll(world(ball(0.5 * n[0], 0.5 * n[1], friction=0.9), planes=[(*n, 0.0)]), 61, 60)
    along = (out.position[0, :, 0] - out.position[0, 0, 0]) @ np.array([n[1], -n[0]])
    times = np.arange(61) / 60
    assert along == pytest.approx(5 / 14 * G * np.sin(slope) * times**2, abs=2e-3)
    assert out.spin[0, -1, 0] == pytest.approx(-out.velocity[0, -1, 0] @ np.array([n[1], -n[0]]) / 0.5, rel=1e-3)


def test_a_box_slides_down_or_stays() -> None:
    slope, n = 0.5, (np.sin(0.5), np.cos(0.5))
    for friction in (0.2, 0.8):
        box = (BOX, (0.5, 0.25), (0.25 * n[0], 0.25 * n[1]), (0, 0), -slope, 0.0, 2.0, friction, 0.3)
        out = roll(world(box, planes=[(*n, 0.0)]), 61, 60)
        along = (out.position[0, :, 0] - out.position[0, 0, 0]) @ np.array([n[1], -n[0]])
        pull = max(0.0, G * (np.sin(slope) - friction * np.cos(slope)))
        assert along[-1] == pytest.approx(pull / 2, abs=0.01)
        assert np.abs(out.angle[0, :, 0] + slope).max() < 0.01


def test_a_sliding_ball_starts_to_roll() -> None:
    """From speed v without spin: it slides for 2 v/(7 mu g) and then rolls at 5/7 v."""
    out = roll(world(ball(0, 0.5, vx=3.0, friction=0.4), planes=[(0, 1, 0)]), 121, 60)
    sliding = 2 * 3.0 / (7 * 0.4 * G)
    speed = out.velocity[0, :, 0, 0]
    k = int(sliding * 60 * 0.8)
    assert speed[k] == pytest.approx(3.0 - 0.4 * G * k / 60, abs=0.01)
    assert speed[-1] == pytest.approx(3.0 * 5 / 7, rel=2e-3)
    assert out.spin[0, -1, 0] == pytest.approx(-speed[-1] / 0.5, rel=2e-3)


def test_spin_turns_into_speed_at_a_bounce() -> None:
    """Enough friction stops the contact point: v = 2/7 r w for a solid sphere that falls straight down."""
    spin = 10.0
    out = roll(world(ball(0, 1.5, spin=-spin, friction=5.0, e=0.8), planes=[(0, 1, 0)]), 40, 60)
    assert out.velocity[0, -1, 0, 0] == pytest.approx(2 / 7 * 0.5 * spin, rel=2e-3)


def test_two_balls_meet_as_two_point_masses() -> None:
    w = world(ball(-1, 0, vx=2.0, mass=1.0, e=0.9), ball(1, 0, vx=-1.0, mass=3.0, e=0.9), planes=[], gravity=(0, 0))
    w = replace(w, planes=np.array([[[0, 1, -100.0]]]))
    v = roll(w, 60, 60).velocity[0, -1, :, 0]
    assert v[1] - v[0] == pytest.approx(0.81 * 3.0, rel=1e-3)
    assert v[0] + 3 * v[1] == pytest.approx(2.0 - 3.0, abs=1e-4)


def test_a_flat_box_bounces_without_turning() -> None:
    box = (BOX, (0.4, 0.2), (0.0, 2.2), (0, 0), 0.0, 0.0, 1.0, 0.5, 0.5)
    out = roll(world(box, planes=[(0, 1, 0)]), 200, 100)
    assert np.abs(out.angle).max() < 1e-3
    impact = int(np.sqrt(2 * 2 / G) * 100) + 2
    assert (out.position[0, impact : impact + 40, 0, 1] - 0.2).max() == pytest.approx(0.25 * 2, rel=0.02)


@pytest.mark.parametrize("name", ["multi_ball", "box_tumble", "ball_on_ramp"])
def test_energy_never_rises_and_nothing_falls_through(name: str) -> None:
    out = roll(stack([shot(name, generator(0, "test", k)).world for k in range(12)]), 240, 60)
    energy = out.energy()
    assert (np.diff(energy) < 1e-3 * energy[:, :1]).all()
    half = np.where(out.worlds.shape == BOX, out.worlds.size.min(-1), out.worlds.size[..., 0])  # nearest to the floor
    low = out.position[..., 1] - half[:, None]
    assert low[(out.worlds.shape != 0)[:, None].repeat(240, 1)].min() > -1e-3


def test_a_world_is_the_same_in_any_batch() -> None:
    worlds = [shot(name, generator(3, "train", k)).world for k, name in enumerate(SCENARIOS)]
    together = roll(stack(worlds), 30, 30)
    for k in (0, 6, 8, 10):
        alone = roll(worlds[k], 30, 30)
        many = worlds[k].shape.shape[1]
        assert np.array_equal(alone.position[0], together.position[k, :, :many])
        assert np.array_equal(alone.spin[0], together.spin[k, :, :many])


def test_violations_are_what_they_say() -> None:
    one = shot("ball_elastic", generator(0, "test", 0)).world
    paths = {}
    for kind in ("correct", *VIOLATIONS):
        rng = generator(0, "test", 1)
        changed, said = violate(one, kind, rng)
        assert said == kind
        out = roll(changed, 31, 10, allow_violation=True)
        distort(out, 0, kind, rng)
        paths[kind] = out.position[0, :, 0, 1] - 0.35
    times = np.arange(31) / 10
    assert paths["gravity_0.4"] == pytest.approx(bounces(3.0, 0.85, 0.4 * G, times), abs=1e-3)
    assert paths["gravity_2"] == pytest.approx(bounces(3.0, 0.85, 2 * G, times), abs=1e-3)
    assert paths["restitution_wrong"] == pytest.approx(bounces(3.0, 0.5, G, times), abs=1e-3)
    assert paths["reversed"] == pytest.approx(paths["correct"][::-1], abs=1e-6)
    assert paths["linear"][:8] == pytest.approx(3.0 - np.sqrt(G * 3.0 / 2) * times[:8], abs=1e-4)
    assert paths["restitution_gain"].max() > 3.5
    jump = np.abs(paths["teleport"] - paths["correct"])
    assert jump[0] == 0 and 0.8 <= jump[-1] <= 1.6 and len(np.unique(jump.round(4))) == 2


def test_worlds_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match=r"restitution=1\.2 lies outside 0-1; allow_violation"):
        roll(drop(np.array([2.0]), np.array([1.2])), 9, 10)
    with pytest.raises(ValueError, match=r"restitution=-0\.1"):
        roll(drop(np.array([2.0]), np.array([-0.1])), 9, 10, allow_violation=True)
    with pytest.raises(ValueError, match="mass"):
        roll(drop(np.array([2.0]), np.array([0.5]), mass=0.0), 9, 10)
    with pytest.raises(ValueError, match=r"Did you mean ball_elastic\?"):
        shot("ball_elastik", generator(0, "test", 0))


@pytest.mark.skipif(not __import__("warp").is_cuda_available(), reason="no CUDA device")
def test_cpu_and_cuda_agree() -> None:
    w = stack([shot("ball_drop", generator(0, "test", k)).world for k in range(64)])
    a, b = (roll(w, 49, 10, device=d).position for d in ("cpu", "cuda"))
    assert np.abs(a - b).max() < 1e-3
