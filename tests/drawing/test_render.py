"""Pictures: geometry checked by colour at known places, and files read back."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from physworld.drawing import render as r
from physworld.io import images
from physworld.io.atomic import replacing
from physworld.types import (
    FIXED,
    Attractor,
    Body,
    Motor,
    Peg,
    PinJoint,
    PivotJoint,
    Rope,
    Scene,
    Segment,
    Spring,
    Trajectory,
    Wind,
)


def world(frames: int = 4, bodies: tuple[Body, ...] | None = None, **kwargs) -> Trajectory:
    bodies = bodies or (
        Body(shape="circle", size=(40.0,), position=(200.0, 500.0)),
        Body(shape="rect", size=(200.0, 40.0), position=(500.0, 200.0)),
    )
    base = {"name": "hand", "category": "test", "difficulty": 1, "text": "", "bodies": bodies}
    scene = Scene(**{**base, **kwargs})
    state, n = scene.state, len(bodies)
    return Trajectory(
        scene=scene,
        position=np.repeat(state.position[None], frames, 0),
        velocity=np.zeros((frames, n, 2)),
        angle=np.zeros((frames, n)),
        spin=np.zeros((frames, n)),
    )


def is_ground(pixel: np.ndarray) -> bool:
    return bool(np.abs(pixel.astype(int) - r.GROUND).max() <= 2)


def is_red(frames: np.ndarray) -> np.ndarray:
    rgb = frames.astype(int)
    return (rgb[..., 0] > 180) & (rgb[..., 1] < 110) & (rgb[..., 2] < 110)


def test_shape_and_y_points_up():
    frames = r.render(world())
    assert frames.shape == (4, 300, 400, 3) and frames.dtype == np.uint8
    # 800x600 px world on 400x300: (200, 500) is column 100, row 50; its mirror image in y is empty
    assert not is_ground(frames[0, 50, 95]) and is_ground(frames[0, 250, 95])
    assert frames[0, 200, 210].tolist() != frames[0, 50, 95].tolist()  # two bodies, two colours


def test_rectangle_turns_counterclockwise_and_its_mark_points_along_its_axis():
    turned = world(2)
    turned.angle[1, 1] = np.pi / 2
    frames = r.render(turned)
    for row in (193, 207):  # 40 px high: 10 rows above and below the centre row 200
        assert not is_ground(frames[0, row, 270]) and is_ground(frames[0, row + 2 * (row - 200), 270])
    end, top = (200, 295), (155, 250)  # 90 world px right of the centre / above it
    assert not is_ground(frames[0][end]) and is_ground(frames[0][top])
    assert is_ground(frames[1][end]) and not is_ground(frames[1][top])
    up, down = frames[1, 155:198, 250].mean(), frames[1, 202:245, 250].mean()
    assert up > down + 10  # the light mark lies on the upper half only


def test_circle_mark_follows_the_angle():
    spun = world(2)
    spun.angle[1, 0] = np.pi
    a, b = r.render(spun)[:, 50, 104:112].astype(int).mean(axis=(1, 2))
    assert a > b + 10


def test_static_parts_joints_and_attractors_are_drawn():
    parts = {
        "static": (Segment(start=(0.0, 20.0), end=(800.0, 20.0), radius=5.0), Peg(center=(700.0, 500.0), radius=20.0)),
        "joints": (PinJoint(body_a=FIXED, body_b=0, anchor_a=(200.0, 590.0), length=90.0),),
        "fields": (Attractor(center=(400.0, 400.0), strength=1.0),),
    }
    bare = r.render(world(1))[0]
    spots = {"static": [(290, 200), (50, 350)], "joints": [(18, 100)], "fields": [(100, 200)]}
    for name, value in parts.items():
        drawn = r.render(world(1, **{name: value}))[0]
        for spot in spots[name]:
            assert is_ground(bare[spot]) and not is_ground(drawn[spot]), name


def test_joint_end_follows_its_anchor_in_the_bodys_frame():
    joint = PinJoint(body_a=FIXED, body_b=1, anchor_a=(600.0, 400.0), anchor_b=(100.0, 0.0), length=200.0)
    moving = world(2, joints=(joint,))
    moving.angle[1, 1] = np.pi / 2  # the anchor is now at (500, 300)
    frames = r.render(moving)
    assert not is_ground(frames[0, 140, 300]) and is_ground(frames[1, 160, 300])
    assert not is_ground(frames[1, 125, 275])


def test_trail_shows_where_a_body_was_and_can_be_off():
    moving = world(6)
    moving.position[:, 0, 0] = 200 + 60.0 * np.arange(6)  # now at column 250, was at column 100
    assert not is_ground(r.render(moving, trails=10)[5, 50, 150])
    assert is_ground(r.render(moving, trails=0)[5, 50, 150])
    assert is_ground(r.render(moving, trails=2)[5, 50, 150])


def test_other_proportions_keep_a_circle_round():
    frame = r.render(world(1), size=(400, 400))[0]
    # the canvas is letterboxed: 800x600 on 400 wide leaves 50 rows above and below
    assert not is_ground(frame[100, 95]) and is_ground(frame[150, 95])


def test_comparison_marks_errors_in_red_and_only_on_the_overlay():
    truth, said = world(3), world(3)
    said.position[2, 0] += (150.0, -80.0)
    frames = r.comparison(truth, said)
    assert frames.shape == (3, 320, 1208, 3)
    body = frames[:, r.HEADER :]
    assert not is_red(body[:2]).any() and not is_red(body[2, :, :808]).any()
    assert is_red(body[2, :, 808:]).sum() > 60
    assert (body[2, :, :400] == body[0, :, :400]).all() and (body[2, :, 404:804] != body[0, :, 404:804]).any()
    assert (frames[0, : r.HEADER] != frames[1, : r.HEADER]).any()  # the frame number counts
    assert (r.comparison(truth, said, every=2) == frames[::2]).all()


def test_a_wild_prediction_is_drawn_without_complaint():
    truth, said = world(3), world(3)
    said.position[1] = np.nan
    said.position[2] = 1e300
    assert len(r.comparison(truth, said)) == 3


def test_no_frames_other_bodies_and_tiny_pictures_are_refused():
    with pytest.raises(ValueError, match="no frames"):
        r.render(world(0))
    with pytest.raises(ValueError, match="same frames and bodies"):
        r.comparison(world(3), world(2))
    with pytest.raises(ValueError, match="at least 16"):
        r.render(world(1), size=(4, 300))


@pytest.fixture(scope="module")
def sixty() -> np.ndarray:
    rng = np.random.default_rng(0)
    bodies = tuple(Body(shape="circle", size=(15.0,), position=tuple(rng.uniform(50, 550, 2))) for _ in range(14))
    truth = world(60, bodies)
    said = world(60, bodies)
    walk = np.cumsum(rng.normal(0, 4, truth.position.shape), axis=0)
    truth.position[:] += walk
    said.position[:] += 1.3 * walk
    return r.comparison(truth, said)


def test_gif_is_small_loops_and_shows_the_same_picture(tmp_path, sixty):
    path = images.write_gif(tmp_path / "a" / "roll.gif", sixty, fps=30)
    assert path.stat().st_size <= 2_000_000
    with Image.open(path) as gif:
        assert gif.n_frames == 60 and gif.info["duration"] == 30 and gif.info["loop"] == 0
        gif.seek(59)
        shown = np.asarray(gif.convert("RGB")).astype(int)
    assert np.abs(shown - sixty[59]).mean() < 2
    assert is_red(shown).sum() >= 0.8 * is_red(sixty[59]).sum() > 0  # thin error lines keep their colour


def test_gif_rate_never_falls_under_what_browsers_slow_down(sixty):
    import io

    with Image.open(io.BytesIO(images.gif_bytes(sixty[:2], fps=60))) as gif:
        assert gif.info["duration"] == 20


@pytest.mark.slow
def test_mp4_with_odd_sides_reads_back(tmp_path, sixty):
    path = images.write_mp4(tmp_path / "roll.mp4", sixty[:5, :299, :401], fps=30)
    back = iio.imread(path, plugin="pyav")
    assert back.shape == (5, 300, 402, 3)
    assert np.abs(back[:, :299, :401].astype(int) - sixty[:5, :299, :401]).mean() < 6


def test_png_is_exact(tmp_path, sixty):
    path = images.write_png(tmp_path / "one.png", sixty[0])
    assert (np.asarray(Image.open(path)) == sixty[0]).all()
    with pytest.raises(ValueError, match="one picture"):
        images.write_png(path, sixty)
    with pytest.raises(ValueError, match="uint8"):
        images.write_gif(path, sixty[:2].astype(float), 30)


def test_a_broken_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("error")
def test_a_brake_has_no_arrow_head():
    brake = {"body_a": FIXED, "body_b": 0, "torque": 1.0}
    still, left, right = (r.render(world(1, joints=(Motor(**brake, spin=spin),)))[0] for spin in (0.0, -2.0, 2.0))
    bare = r.render(world(1))[0]
    rows, columns, _ = np.nonzero(still != bare)
    assert 0 < np.ptp(rows) < 20 and 0 < np.ptp(columns) < 20  # an arc at the body, no line off the picture
    assert (still != left).any() and (still != right).any()


def test_hinges_ropes_springs_motors_belts_and_wind_are_drawn():
    bare = r.render(world(1))[0]
    joints = {
        PivotJoint(body_a=FIXED, body_b=0, anchor_a=(100.0, 500.0), anchor_b=(-100.0, 0.0)): (50, 48),
        Rope(body_a=FIXED, body_b=0, anchor_a=(300.0, 500.0), length=160.0): (76, 125),  # slack: it sags
        Spring(body_a=FIXED, body_b=0, anchor_a=(200.0, 590.0), length=90.0, stiffness=1.0): (18, 100),
        Motor(body_a=FIXED, body_b=0, spin=2.0, torque=1.0): (45, 100),
    }
    for joint, spot in joints.items():
        drawn = r.render(world(1, joints=(joint,)))[0]
        assert (drawn != bare).any(), joint
        row, column = spot
        window = np.s_[row - 4 : row + 5, column - 4 : column + 5]
        assert (drawn[window] != bare[window]).any(), joint
    wind = r.render(world(1, fields=(Wind(velocity=(300.0, 0.0), drag=0.1),)))[0]
    assert not is_ground(wind[250, 60]) and is_ground(wind[250, 40])  # an arrow from (100, 100) to the right
    belt = {"start": (300.0, 100.0), "end": (700.0, 100.0), "radius": 9.0, "surface_speed": 50.0}
    right, left, still = (
        r.render(world(1, static=(Segment(**belt | {"surface_speed": speed}),)))[0] for speed in (50.0, -50.0, 0.0)
    )
    assert (right != still).any() and (right != left).any()
