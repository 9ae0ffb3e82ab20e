"""Warp's pictures against stored ones, the camera against itself, the tracker against the truth, clips as files."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from physworld import scenarios
from physworld.seeding import SPLITS, generator
from physworld.sim.pymunk_sim import simulate
from physworld.types import Interval
from physworld.video.clips import check_shape, film, write_clip
from physworld.video.evaluation import follow, plate
from physworld.video.metrics import likelihood, pisa
from physworld.video.metrics.tracker import bounces, recover, track
from physworld.video.scene_clips import film_scene
from physworld.video.scenes import SCENARIOS, framed, look, shot
from physworld.video.source import ClipSource
from physworld.video.warp.worlds import BALL

from repository import GOLDEN

CLIPS = GOLDEN / "clips"
SHOWN = ("ball_elastic", "multi_ball", "ball_on_ramp", "box_tumble")


def golden_frame(name: str) -> np.ndarray:
    """The last of nine frames, 96 × 64, everything varied."""
    rng = generator(0, "test", 5)
    one = shot(name, rng)
    return film([one], ["correct"], [rng], frames=9, fps=8, size=(96, 64), variation=1.0, view=7.8)[0].frames[-1]


@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_the_stored_ones(name: str) -> None:
    """Made by PYTHONPATH=.:tests/helpers python tests/video/test_clips.py; rounding differs by a grey level."""
    stored = iio.imread(CLIPS / f"{name}.png").astype(int)
    difference = np.abs(golden_frame(name).astype(int) - stored)
    assert (difference > 2).mean() < 0.002


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_height_is_that_of_the_lowest_point(name: str) -> None:
    for k in range(20):
        one = shot(name, generator(0, "val", k))
        size, angle = one.world.size[0, 0], one.world.angle[0, 0]
        ways = np.array([np.sin(angle), np.cos(angle)])
        reach = size[0] if one.world.shape[0, 0] == BALL else (size * np.abs(ways)).sum()
        assert one.world.position[0, 0, 1] - reach == pytest.approx(one.height, abs=1e-9)


def clips(**changes: object) -> ClipSource:
    return ClipSource(seed=1, split="test", **changes)  # type: ignore[arg-type]


def test_a_clip_is_a_function_of_its_index_whatever_the_batch() -> None:
    source = clips(variation=1.0, width=32, scenarios=list(SCENARIOS))
    together = source.clips(range(12))
    for k in (0, 8, 9, 11):
        alone = source.clips([k])[0]
        assert np.array_equal(alone.frames, together[k].frames) and alone.caption == together[k].caption
    assert len({c.frames.tobytes() for c in together}) == 12
    repeated = clips(repeat=2).clips(range(4))
    assert np.array_equal(repeated[0].frames, repeated[2].frames)


def test_physics_changes_the_motion_and_not_the_scene() -> None:
    right, wrong = clips().clips([0])[0], clips(physics="gravity_0.4").clips([0])[0]
    assert right.caption == wrong.caption and np.array_equal(right.frames[0], wrong.frames[0])
    assert wrong.gravity == pytest.approx(0.4 * right.gravity)
    assert not np.array_equal(right.frames[6], wrong.frames[6])


def test_the_camera_inverts_and_the_ball_is_where_it_says() -> None:
    for clip in clips(width=120, height=80, variation=1.0).clips(range(6)):
        back = clip.look.to_plane(clip.center_px[None], (120, 80))[0]
        assert back == pytest.approx(clip.center_m, abs=1e-6)
        column, row = clip.center_px[4, 0]
        around = np.abs(clip.frames[4].astype(int) - plate(clip)).sum(-1)
        assert around[int(row), int(column)] > 20


@pytest.mark.parametrize("size", [(480, 320), (720, 480), (64, 64), (8, 48)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_body_is_in_the_picture_when_a_clip_begins(name: str, size: tuple[int, int]) -> None:
    """Of every scene type, split and camera; and what was in it is seen from where it was."""
    for split in SPLITS:
        for k in range(9):
            for variation, view in ((0.0, 7.8), (1.0, 7.8), (1.0, 2.0)):
                rng = generator(k, split, k)
                world = shot(name, rng).world
                first = look(rng, world.shape.shape[1], variation=variation, view=view)
                seen = framed(first, world, size)
                center, r = world.position, world.size.max(-1, keepdims=True)
                rim = np.concatenate([center + r * (np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)], 1)
                places, before = (
                    each.project(np.concatenate([rim, np.zeros_like(rim[..., :1])], -1), size) for each in (seen, first)
                )
                assert ((places > -0.2) & (places < np.array(size) + 0.2)).all(), (split, k, variation)
                if ((before > 0) & (before < size)).all() and "box" not in name:
                    assert np.array_equal(seen.view, first.view)


@pytest.mark.parametrize("name", ["test_very_high", "ball_drop_above"])
def test_the_tracker_sees_a_high_ball_from_the_first_frame(name: str) -> None:
    for clip in clips(width=96, height=64, scenarios=[name]).clips(range(8)):
        assert follow(clip.frames, clip)[0].seen[0]
        assert 0 < clip.center_px[0, 0, 1] < 64 and clip.truth()["camera"]["view_m"] == float(clip.look.view[0])


def test_the_floor_shows_squares_and_a_shadow() -> None:
    rng = generator(0, "test", 0)
    one = film(
        [shot("ball_drop_low", rng)], ["correct"], [rng], frames=9, fps=8, size=(96, 64), variation=1.0, view=7.8
    )[0]
    empty = plate(one).astype(float)
    bottom = empty[-2].mean(-1)
    assert np.ptp(bottom) > 10  # two colours of squares
    darker = (empty - one.frames[0]).mean(-1) > 15
    assert darker[-10:].any()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "fps"), [((64, 64), 10), ((96, 96), 16)])
def test_the_tracker_recovers_gravity_and_restitution(size: tuple[int, int], fps: int) -> None:
    """The bar: g within 2.5 %, e within 0.02, on every true render."""
    source = clips(width=size[0], height=size[1], frames=17 if fps == 10 else 33, fps=fps)
    for clip in source.clips(range(24)):
        path, physics = follow(clip.frames, clip)
        assert path.valid
        assert physics.gravity == pytest.approx(9.81, rel=0.025), clip.caption
        assert physics.restitution == pytest.approx(clip.restitution, abs=0.02), clip.caption
        assert np.abs(path.center_m - clip.center_m[:, 0]).max() < 0.06


def test_a_clip_tells_the_physics_that_it_shows(tmp_path: Path) -> None:
    """Of wrong physics too: g and restitution are those of the motion, not those of the caption."""
    for name in SCENARIOS:
        one = shot(name, generator(3, "test", 0))
        right = film([one], ["correct"], [generator(3, "test", 0)], frames=9, fps=8, size=(16, 16), variation=0, view=8)
        assert right[0].restitution == one.restitution and right[0].gravity == 9.81
    source = clips()
    caption = source.clips([0])[0].restitution
    wrong, gain, linear = (source.clips([0], kind)[0] for kind in ("restitution_wrong", "restitution_gain", "linear"))
    assert f"restitution {caption:.2f}" in wrong.caption
    assert abs(wrong.restitution - caption) == pytest.approx(0.35) and gain.restitution == 1.2
    write_clip(tmp_path / "a.gif", linear)
    said = (tmp_path / "a.json").read_text()
    assert json.loads(said)["gravity_m_s2"] == 0 and "-0.0" not in said.partition('"fps"')[0]
    assert json.loads(said)["restitution"] == caption


def test_the_tracker_reads_wrong_physics_too() -> None:
    for kind, factor in (("gravity_0.4", 0.4), ("gravity_2", 2.0)):
        for clip in clips(width=64, height=64, physics=kind).clips(range(4)):
            assert follow(clip.frames, clip)[1].gravity == pytest.approx(factor * 9.81, rel=0.06)
    linear = [follow(c.frames, c)[1].galileo for c in clips(width=64, height=64, physics="linear").clips(range(4))]
    fall = [follow(c.frames, c)[1].galileo for c in clips(width=64, height=64).clips(range(4))]
    assert np.mean(linear) == pytest.approx(2.0, abs=0.1) and np.mean(fall) == pytest.approx(4.0, abs=0.3)


def test_a_ball_that_is_not_there_is_not_found() -> None:
    clip = clips(width=64, height=64).clips([0])[0]
    empty = np.repeat(plate(clip)[None], 17, 0)
    path, physics = follow(empty, clip)
    assert not path.valid and np.isnan(physics.gravity)
    two = clip.frames.copy()
    two[:, :, :20] = clip.frames[:, :, 22:42]
    assert not follow(two, clip)[0].valid
    noise = np.random.default_rng(0).integers(0, 256, clip.frames.shape, dtype=np.uint8)
    assert not follow(noise, clip)[0].valid


def test_recovery_from_exact_paths() -> None:
    times = np.arange(17) / 10
    for h, e, g in ((2.0, 0.7, 9.81), (5.0, 0.6, 9.81), (3.0, 0.85, 4.0), (4.0, 0.3, 9.81)):
        found = recover(bounces(h, e, g, times), 10)
        assert found.gravity == pytest.approx(g, rel=1e-3)
        assert found.restitution == pytest.approx(e, abs=0.006)
        assert found.galileo == pytest.approx(4.0, abs=1e-6)
    assert np.isnan(recover(np.full(17, np.nan), 10).gravity)


def test_scores_of_paths_and_masks() -> None:
    truth = np.zeros((2, 20, 20), bool)
    truth[:, 5:10, 5:10] = True
    moved = np.roll(truth, 5, axis=2)
    assert pisa.overlap(truth, truth) == 1 and pisa.overlap(moved, truth) == 0
    assert pisa.chamfer(truth, truth, 5) == 0 and pisa.chamfer(moved, truth, 5) == pytest.approx(3 / 5)
    assert pisa.centroid_error(np.array([[0.0, 3.0]]), np.array([[4.0, 0.0]]), 2.5) == pytest.approx(2.0)


def test_likelihood_scores() -> None:
    right, wrong = np.array([1.0, 1.0, 1.0, 1.0]), np.array([2.0, 0.5, 1.0, 3.0])
    assert likelihood.preference_error(right, wrong).mean == 0.5  # a tie is an error
    assert likelihood.preference_error(right, right + 1) == Interval.of_share(0.0, 4)  # which has a width
    assert likelihood.relative_gap(right, wrong).mean == pytest.approx(2.5 / 4)
    assert likelihood.specificity(right, right - 0.3, wrong, wrong - 0.1).mean == pytest.approx(0.2)
    assert likelihood.specificity(right, right - 0.3, wrong, wrong - 0.3).mean == pytest.approx(0.0)


def test_losses_that_are_no_numbers_are_errors() -> None:
    right, wrong = np.array([1.0, np.nan, 1.0, 1.0]), np.array([2.0, 2.0, np.nan, np.inf])
    assert likelihood.preference_error(right, wrong).mean == 0.75
    assert likelihood.preference_error(np.full(4, np.nan), np.full(4, np.nan)).mean == 1
    assert np.isnan(likelihood.relative_gap(right, wrong).mean) and np.isnan(likelihood.mean(right).mean)
    assert np.isnan(likelihood.specificity(right, right, wrong, wrong).mean)
    assert likelihood.mean(wrong[:2]).mean == 2.0


@pytest.mark.parametrize(("frames", "width", "height", "said"), [
    (16, 32, 32, "frames=16 must be a multiple of 8 and one more, for example 9 or 17"),
    (17, 33, 32, "width=33 must be a multiple of 8, for example 40"),
    (17, 32, 0, "height=0 must be a multiple of 8, for example 8"),
    ("abc", 32, 32, "frames=abc must be a whole number"),
])  # fmt: skip
def test_shapes_that_no_model_holds(frames: int, width: int, height: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_shape(frames, width, height, multiple=8)


@pytest.mark.slow
def test_files_and_their_truth(tmp_path: Path) -> None:
    clip = clips(width=64, height=48, variation=1.0).clips([2])[0]
    for suffix in (".mp4", ".gif"):
        video, beside = write_clip(tmp_path / f"clip{suffix}", clip)
        shown = iio.imread(video, plugin="pyav") if suffix == ".mp4" else iio.imread(video)
        assert len(shown) == 17
        assert np.abs(shown[..., :3].astype(int) - clip.frames).mean() < 8
        truth = json.loads(beside.read_text())
        assert truth["height_m"] == clip.height and truth["fps"] == 10 and truth["physics"] == "correct"
        assert np.array(truth["center_m"]) == pytest.approx(clip.center_m, abs=1e-4)
        assert len(truth["center_px"]) == 17


@pytest.mark.parametrize("name", scenarios.names())
def test_every_two_dimensional_scene_can_be_filmed(name: str) -> None:
    scene = scenarios.build(name, generator(0, "test", 1), 1)
    trajectory = simulate(scene, 31)
    frames = film_scene(trajectory.window(0, 31), size=(64, 48), samples=1)
    assert frames.shape == (31, 48, 64, 3)
    assert len(np.unique(frames[0].reshape(-1, 3), axis=0)) > 5, "an empty picture"
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20, "nothing moves"


@pytest.mark.skipif(not __import__("warp").is_cuda_available(), reason="no CUDA device")
def test_cpu_and_cuda_draw_the_same() -> None:
    a, b = (clips(width=64, height=64, device=d).clips([0])[0].frames.astype(int) for d in ("cpu", "cuda"))
    assert (np.abs(a - b) > 2).mean() < 0.002


def test_tracking_uses_the_given_picture_alone() -> None:
    clip = clips(width=64, height=64).clips([1])[0]
    again = track(clip.frames, plate(clip), clip.look, colour=np.full(3, 200.0), radius=clip.radius)
    assert again.valid


if __name__ == "__main__":
    CLIPS.mkdir(parents=True, exist_ok=True)
    for each in SHOWN:
        iio.imwrite(CLIPS / f"{each}.png", golden_frame(each))
