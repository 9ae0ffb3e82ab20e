"""suite=phyworld: its systems come out as its own integrator has them, its files are read, its error is measured."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from pathlib import Path

import h5py
import imageio.v3 as iio
import jsonschema
import numpy as np
import pytest

from physworld.errors import UserError
from physworld.metrics.scores import MODEL, score_rollouts
from physworld.runs.leaderboard import About
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.board import _phyworld
from physworld.text.codecs.engine import EngineCodec
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.evaluation.evaluation import EvalResult, Evaluation, compared
from physworld.text.evaluation.phyworld import NEEDED, PARSER, TRACKER, PhyWorldSuite
from physworld.text.report.phyworld import phyworld_section
from physworld.text.sources import phyworld
from physworld.text.sources.phyworld import (
    EVERY,
    FRAMES,
    GIVEN,
    RADIUS,
    RADIUS_OF_TWO,
    SCALE,
    SPEED,
    SPLITS,
    SUBSTEP,
    SYSTEMS,
    draw,
    paint,
    parse,
    track,
    velocity_error,
)

from evaluations import EVALUATION
from repository import ROOT


def clip(system: str, split: str = "in", number: int = 0) -> phyworld.Clip:
    return draw(system, split, generator(7, "test", number))


def test_a_parabola_is_box2ds() -> None:
    """Its order: the velocity first, then the position with the new one."""
    one = clip("parabola")
    x, y = one.position[0, 0] - (one.speed[0] * SUBSTEP, -2.5 * SUBSTEP**2)
    velocity, kept = np.array([one.speed[0], 0.0]), []
    place = np.array([x, y])
    for step in range(FRAMES * 10):
        velocity = velocity - np.array([0.0, 2.5 * SUBSTEP])
        place = place + SUBSTEP * velocity
        if step % 10 == 0:
            kept.append(place)
    assert np.abs(np.array(kept) - one.position[:, 0]).max() < 1e-9


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("split", SPLITS)
def test_our_simulator_follows_from_the_last_given_frame(system: str, split: str) -> None:
    for number in range(4):
        one = clip(system, split, number)
        path = simulate(one.scene(), NEEDED + 1)
        said = phyworld.sampled(path.position[1:], path.position[0], one)
        off = np.abs(said - one.position)[one.inside].max()
        if system == "collision":  # an impact is seen a step late
            assert off < 2 * one.speed.sum() / 60
        else:
            assert off < 1e-9


def test_balls_that_meet_keep_momentum_and_energy_and_slow_ones_stick() -> None:
    fast = np.array([1.0, 2.0])
    for speed, sticks in ((fast, False), (np.array([0.3, 0.5]), True)):
        radius = np.array([0.5, 1.0])
        path = phyworld._meeting(radius, speed, 2.0, 5.5, 5.0)[..., 0]
        before, after = (path[1] - path[0]) / EVERY, (path[-1] - path[-2]) / EVERY
        mass = radius**2
        assert mass @ before == pytest.approx(mass @ after)
        if sticks:
            assert after[0] == pytest.approx(after[1]) or np.allclose(after, before)
        else:
            assert mass @ before**2 == pytest.approx(mass @ after**2)
            assert after[1] - after[0] == pytest.approx(before[0] - before[1])


@pytest.mark.parametrize("system", SYSTEMS)
def test_splits_are_the_published_ranges(system: str) -> None:
    sizes = RADIUS_OF_TWO if system == "collision" else RADIUS
    for split in SPLITS:
        for number in range(20):
            one = clip(system, split, number)
            told = [(one.radius, sizes), (one.speed, SPEED)]
            usual = [(v >= r["in"][0]) & (v <= r["in"][1]) for v, r in told]
            other = [(v >= r[split][0]) & (v <= r[split][1]) for v, r in told]
            assert all((a | b).all() for a, b in zip(usual, other, strict=True))
            assert all(u.all() for u in usual) == (split == "in")
            assert one.inside.sum() >= 2


@pytest.mark.parametrize("system", ["uniform", "collision"])
def test_pixels_tell_where_the_balls_are(system: str) -> None:
    one = clip(system)
    frames = paint(one.radius, one.position, 128)
    count = len(one.radius)
    shown = one.inside
    assert np.abs(track(frames, count) - one.position)[shown].max() < 0.02
    published = parse(frames, count)[shown]
    assert np.abs(published - one.position[shown] * 127 / 128).max() < 0.05  # it divides by one pixel too many
    assert np.isnan(track(frames * 0 + 255, count)).all()


def test_the_error_of_velocity() -> None:
    one = clip("uniform")
    shifted = one.position + 0.3
    shifted[: GIVEN - 1] = np.nan  # what was given is not asked
    assert velocity_error(one, shifted) == pytest.approx(0, abs=1e-9)
    still = np.repeat(one.position[:1], FRAMES, axis=0)
    assert velocity_error(one, still) == pytest.approx(one.speed[0])
    two = clip("collision")
    assert velocity_error(two, two.position) == 0
    wrong, speed = two.position.copy(), np.diff(two.position[:, 0, 0])
    impact = 1 + int((np.abs(np.diff(speed)) > 0.01).argmax())
    wrong[impact + 1 :, 0, 0] += 1.0  # a jump while they meet, which is left out
    assert velocity_error(two, wrong) == pytest.approx(0, abs=1e-9)
    wrong[impact + 4 :, 0, 0] += 1.0
    assert velocity_error(two, wrong) > 0.1


@lru_cache
def film(number: int) -> np.ndarray:
    one = clip("uniform", "in", number)
    frames = paint(one.radius, one.position, 64)
    out = io.BytesIO()
    iio.imwrite(out, frames, plugin="pyav", extension=".mp4", codec="libx264", fps=5)
    return np.frombuffer(out.getvalue(), np.uint8)


@pytest.mark.parametrize("merged", [False, True])
def test_published_files_are_read(tmp_path: Path, merged: bool) -> None:
    wanted = [clip("uniform", "in", 0), clip("uniform", "out", 1)]  # both with the first one's film
    path = tmp_path / "some.hdf5"
    with h5py.File(path, "w") as file:

        def put(key: str, data: object, **how: object) -> None:
            home, name = (file.require_group(key), "00000") if merged else (file, key)
            home.create_dataset(name, data=data, **how)

        put("init_streams", np.array([[c.radius[0], c.speed[0]] for c in wanted]))
        put("position_streams", np.stack([c.position[:, 0] for c in wanted]))
        ragged = np.empty(2, dtype=object)
        ragged[:] = [film(0) for _ in wanted]
        put("video_streams", ragged, dtype=h5py.vlen_dtype(np.uint8))
    found = phyworld.read(path)
    assert [(c.system, c.split) for c in found] == [("uniform", "in"), ("uniform", "out")]
    assert np.array_equal(found[1].position, wanted[1].position)
    seen = track(phyworld.frames_of(found[0]), 1)
    assert np.abs(seen - wanted[0].position)[wanted[0].inside].max() < 0.1
    suite = PhyWorldSuite(name="phyworld", systems=["uniform"], splits=["in"], file=str(path))
    kept = suite.clips(Evaluation(**{**EVALUATION, "frames": NEEDED}), split="test", seed=0, limit=None)
    assert len(kept) == 1 and kept[0].video == found[0].video
    with pytest.raises(UserError, match=r"split=val is of drawn clips; those of suite\.file=.* are judged as they are"):
        suite.clips(Evaluation(**{**EVALUATION, "frames": NEEDED}), split="val", seed=0, limit=None)


def test_two_balls_of_a_file(tmp_path: Path) -> None:
    one = clip("collision")
    with h5py.File(tmp_path / "two.hdf5", "w") as file:
        file["init_streams"] = np.array([[*one.radius, *one.speed]])
        file["position_streams"] = one.position[None]
    (found,) = phyworld.read(tmp_path / "two.hdf5")
    assert found.system == "collision" and np.array_equal(found.speed, one.speed)


@pytest.mark.parametrize("harm", ["text", "cut", "names", "keys", "shape", "nan", "nothing"])
def test_a_broken_file_is_named(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "broken.hdf5"
    one = clip("uniform")
    with h5py.File(path, "w") as file:
        start = np.array([[np.nan if harm == "nan" else one.radius[0], one.speed[0]]])
        file["init_streams"] = start[:0] if harm == "nothing" else start
        if harm != "keys":
            paths = one.position[None, :, 0]
            file["position_streams"] = paths[:, :9] if harm == "shape" else paths[:0] if harm == "nothing" else paths
    if harm == "text":
        path.write_text("no HDF5")
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:700])
    if harm == "names":
        path.write_bytes(path.read_bytes().replace(b"SNOD", b"XXXX"))
    with pytest.raises(UserError, match=r"^suite\.file=.*gone\.hdf5 cannot be read \(there is no such file\)\.$"):
        phyworld.read(tmp_path / "gone.hdf5")
    with pytest.raises(UserError, match=r"broken\.hdf5"):
        phyworld.read(path)


@pytest.mark.parametrize("way", ["external", "virtual", "link", "linked member", "soft link", "rows"])
def test_a_file_that_reads_others_or_is_too_large_is_refused(tmp_path: Path, way: str) -> None:
    one, other = clip("uniform"), tmp_path / "other.hdf5"
    paths = one.position[None, :, 0]
    (tmp_path / "secret.bin").write_bytes(paths.tobytes())
    with h5py.File(other, "w") as file:
        file["position_streams"] = paths
    with h5py.File(tmp_path / "clips.hdf5", "w") as file:
        file["init_streams"] = np.array([[one.radius[0], one.speed[0]]])
        match way:
            case "external":
                whole = [(str(tmp_path / "secret.bin"), 0, paths.nbytes)]
                file.create_dataset("position_streams", shape=paths.shape, dtype=float, external=whole)
            case "virtual":
                layout = h5py.VirtualLayout(shape=paths.shape, dtype=float)
                layout[:] = h5py.VirtualSource(str(other), "position_streams", shape=paths.shape)
                file.create_virtual_dataset("position_streams", layout)
            case "link":
                file["position_streams"] = h5py.ExternalLink(str(other), "position_streams")
            case "linked member":
                file["position_streams/a"] = h5py.ExternalLink(str(other), "position_streams")
            case "soft link":
                file["position_streams"] = h5py.SoftLink("init_streams")
            case "rows":
                shape = (10**12, 32, 2)
                file.create_dataset("position_streams", shape=shape, dtype=float, chunks=(1, 32, 2))
    says = {"rows": "has 1000000000000 rows, at most", "external": "is no data set that lies in this file itself"}
    says["virtual"] = says["external"]
    with pytest.raises(UserError, match=says.get(way, "is a link")):
        phyworld.read(tmp_path / "clips.hdf5")


def test_the_table_has_everybody() -> None:
    suite = PhyWorldSuite(name="phyworld", systems=["uniform", "collision"], splits=["in"])
    evaluation = Evaluation(**{**EVALUATION, "frames": NEEDED, "rollouts": 2})
    codec = EngineCodec()
    cases = suite.sample_cases(evaluation, [codec], [], [], split="test", seed=0, trained_on=(), limit=None)
    predicted = [BASELINES["linear"](given, NEEDED) for given in cases.given]
    references = compared(cases, NEEDED, codec)
    rows = score_rollouts(cases.truth, {MODEL: predicted, **references}, [True] * 4, [NEEDED], cases.meta)
    result = EvalResult(rows=rows, summary={}, cases=cases, predicted=predicted, references=references)
    suite.finish(result, codec, split="test")
    table = result.summary["phyworld"]
    assert table["uniform in"][MODEL]["mean"] < 1e-9  # a straight line is what it is
    assert table["collision in"][MODEL]["mean"] > 0.5 > 0.01 > table["collision in"]["truth"]["mean"]
    speeds = [c.speed[0] for c in cases.clips if c.system == "uniform"]
    assert table["uniform in"]["copy_last"]["mean"] == pytest.approx(np.mean(speeds))
    assert table["uniform in"][TRACKER]["mean"] < table["uniform in"][PARSER]["mean"] < 0.03
    schema = json.loads((ROOT / "docs" / "metrics.schema.json").read_text())
    jsonschema.validate(table, {**schema["properties"]["phyworld"], "$defs": schema["$defs"]})
    text = "\n".join(phyworld_section(result.summary))
    assert "published: DiT-L, 3 M clips | 0.012 | –" in text
    assert ", n = " not in text
    fewer = {kind: {**row, TRACKER: {**row[TRACKER], "count": 1}} for kind, row in table.items()}
    said = [line for line in phyworld_section({"phyworld": fewer}) if ", n = 1 |" in line]
    assert len(said) == 1 and said[0].startswith(f"| {TRACKER} |")  # pictures are made of the first clips alone
    found = _phyworld(result.summary, About(model="mine", suite="phyworld", split="test", seed="0"))
    assert {one.model for one in found if not one.reference} == {"mine"} and {one.count for one in found} == {2}
    assert cases.given[0].scene.bodies[0].size[0] == pytest.approx(cases.clips[0].radius[0] * SCALE)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"systems": ["uniform"], "splits": ["up"]}, "suite.splits"),
        ({"systems": None, "splits": ["in"]}, "suite.systems"),
        ({"systems": ["uniform", "uniform"], "splits": ["in"]}, "suite.systems has uniform twice; give each once"),
    ],
)
def test_mistakes_are_one_sentence(settings: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        PhyWorldSuite(name="phyworld", **settings)
