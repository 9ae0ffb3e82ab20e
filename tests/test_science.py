"""Physworld from Python: three lines make a scene, and what comes back can be laid side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import physworld as pw
from physworld import science
from physworld.errors import UserError

from evaluations import untrained_run
from repository import ROOT

FLOOR = pw.Segment(start=(0.0, 50.0), end=(800.0, 50.0), radius=10.0)


def thrown() -> pw.Scene:
    return pw.Scene(bodies=[pw.Body.circle(20.0, position=(150.0, 400.0), velocity=(200.0, 0.0))], static=[FLOOR])


@pytest.fixture(scope="module")
def shipped() -> science.Model:
    return pw.load("shipped")


def test_names_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import physworld, sys\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "physworld.Body.circle(1.0, position=(0.0, 0.0))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert sorted(science.__all__) == sorted(pw.SCIENCE)
    with pytest.raises(AttributeError, match="no attribute 'Scen'"):
        _ = pw.Scen


def test_lists_make_the_same_scene_as_tuples() -> None:
    scene = thrown()
    assert scene == replace(scene, bodies=tuple(scene.bodies), static=(FLOOR,)) and hash(scene)


def test_a_ball_flies_as_chipmunk_integrates() -> None:
    """p[t] = p0 + t·v·dt - t(t-1)/2·g·dt², until the floor."""
    truth = pw.simulate(thrown(), 40)
    steps = np.arange(40)
    y = 400.0 - 981.0 / 3600 * steps * (steps - 1) / 2
    assert np.allclose(truth.position[:, 0, 1], y) and np.allclose(truth.position[:, 0, 0], 150 + 200 * steps / 60)


def test_the_model_begins_where_the_scene_does(shipped: science.Model) -> None:
    """In free flight the shipped text is exact up to its rounding; ballistic flight is exact."""
    scene = thrown()
    truth = pw.simulate(scene, 30)
    flight, guess = pw.load("ballistic").rollout(scene, 30), shipped.rollout(scene, 30)
    assert len(guess) == 30 and guess.readable == 29
    assert np.array_equal(guess.position[0], truth.position[0])
    assert pw.compare(truth, flight).position.max() < 1e-9
    assert pw.compare(truth, guess).position.max() < 0.1
    moved = replace(scene, bodies=(replace(scene.bodies[0], position=(160.0, 400.0)),))
    assert np.allclose(pw.compare(truth, pw.simulate(moved, 30)).position, 10.0)
    assert np.allclose(pw.compare(truth, pw.simulate(moved, 30), units="m").position, 0.1)


def test_known_frames_go_before_the_own_ones(shipped: science.Model) -> None:
    truth = pw.simulate(thrown(), 12)
    guess = shipped.rollout(truth.window(0, 10), 12)
    assert np.array_equal(guess.position[:10], truth.position[:10]) and guess.readable == 2


def test_what_the_text_cannot_say_is_refused_by_name(shipped: science.Model) -> None:
    triangle = pw.Body.polygon([(0.0, 0.0), (40.0, 0.0), (0.0, 40.0)], position=(100.0, 300.0))
    scene = pw.Scene(bodies=[triangle])
    with pytest.raises(UserError, match="shipped cannot read this scene: a polygon cannot be written as islands text"):
        shipped.rollout(scene, 10)
    assert len(pw.load("ballistic").rollout(scene, 10)) == 10
    with pytest.raises(UserError, match="frames=1 must be a whole number above 1"):
        shipped.rollout(thrown(), 1)


def test_a_comparison_reads_as_a_table() -> None:
    truth = pw.simulate(thrown(), 31)
    still = pw.compare(truth, pw.load("copy_last").rollout(thrown(), 31), units="m")
    lines = str(still).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["1", "10", "30"] and "m/s" in lines[1]
    assert float(lines[-1].split()[1]) == pytest.approx(still.position[30], rel=1e-3)
    assert still.energy[0, 0] == still.energy[0, 1] == pytest.approx((400 * 981 + 200**2 / 2) / 1e4)
    with pytest.raises(UserError, match="choose px or m"):
        pw.compare(truth, truth, units="cm")


def test_pictures(tmp_path: Path) -> None:
    truth = pw.simulate(thrown(), 9)
    shown = pw.draw(truth, pw.load("linear").rollout(thrown(), 7), size=(64, 48))
    assert shown.frames.shape == (4, 68, 3 * 64 + 8, 3) and shown.fps == pytest.approx(30.0)
    assert "data:image/gif;base64,R0lGOD" in shown._repr_html_()
    with Image.open(BytesIO(pw.draw(truth, size=(64, 48)).save(tmp_path / "a.gif").read_bytes())) as gif:
        assert gif.n_frames == 5  # type: ignore[attr-defined]
    assert pw.draw(thrown(), size=(64, 48)).save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"choose \.gif, \.mp4 or \.png"):
        shown.save(tmp_path / "a.bmp")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("shiped", "shiped is no model. Did you mean shipped?"), ("nowhere/run", "Give a run directory")],
)
def test_a_model_that_is_not_there(name: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        pw.load(name)
    assert sentence in str(raised.value)


def test_a_run_has_the_name_that_commands_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained_run(tmp_path / "outputs", 0)
    monkeypatch.chdir(tmp_path)
    assert pw.load("run0").name == "run0"


BALL = pw.Body.circle(20.0, position=(150.0, 400.0))
SCENE = pw.Scene(bodies=[BALL])
PATH = pw.simulate(SCENE, 4)
SLOW = pw.simulate(replace(SCENE, dt=1 / 30), 4)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: pw.Scene(bodies="ball"), "a scene has bodies 'ball', it must be a list of Body"),
        (lambda: pw.Scene(bodies=[{"a": 1}]), "number 0 of its bodies; each must be Body"),
        (lambda: pw.Scene(bodies=[BALL], static=[BALL]), "number 0 of its static; each must be Peg or Segment"),
        (lambda: pw.Scene(bodies=[BALL], fields=[FLOOR]), "each must be Attractor or MutualGravity or Wind"),
        (lambda: pw.simulate(pw.Scene(bodies=[]), 5), "scene 'own' has no bodies, so nothing moves"),
        (lambda: pw.simulate("scene.yaml", 5), "scene must be a Scene, and 'scene.yaml' is none"),
        (lambda: pw.simulate(SCENE, 2.5), "num_frames=2.5 must be a whole number, 1 or more"),
        (lambda: pw.compare(PATH, SCENE), "predicted must be a Trajectory"),
        (lambda: pw.compare(PATH, SLOW), "The two have timesteps of 0.01667 and 0.03333 s; give two of one timestep"),
        (lambda: pw.draw(SLOW, PATH), "The two have timesteps of 0.03333 and 0.01667 s"),
        (lambda: pw.draw("scene"), "the first argument must be a Scene or a Trajectory, and 'scene' is none"),
        (lambda: pw.draw(PATH, "guess"), "predicted must be a Trajectory, and 'guess' is none"),
        (lambda: pw.draw(PATH, size=400), "size=400 must be (width, height), whole numbers from 16 (px)"),
        (lambda: pw.draw(PATH, every=0), "every=0 must be a whole number, 1 or more"),
        (lambda: pw.draw(PATH, speed=0), "speed=0 cannot be used; it must be positive"),
        (lambda: pw.load(""), "'' is no model. Give a run directory"),
        (lambda: pw.load("shipped", device="gpu"), "device='gpu' is none; choose cpu, cuda"),
        (lambda: pw.load("shipped", device="cuda:99"), "device='cuda:99' is not there; choose cpu, or a GPU that is"),
        (lambda: pw.load("shipped", device="meta"), "device='meta' is not there; choose cpu"),
        (lambda: pw.load("linear").rollout("scene", 5), "start must be a Scene or a Trajectory"),
        (lambda: pw.load("linear").rollout(SCENE, "5"), "frames='5' must be a whole number above 1"),
        (lambda: pw.load("linear").rollout(SCENE, 5, temperature=-1), "temperature=-1 cannot be used"),
        (lambda: pw.load("linear").rollout(SCENE, 5, seed="x"), "seed='x' must be a whole number, 0 or more"),
        (lambda: pw.read_scene(3), "path must be a str or a PathLike, and 3 is none"),
        (lambda: pw.read_scene("a.parquet", row=-1), "row=-1 must be a whole number, 0 or more"),
        (lambda: pw.read_scene("a.yaml", row=1), "row=1 is for Parquet files; a.yaml holds one scene, so leave it out"),
        (lambda: pw.read_scene("a.jsonl", row=2), "row=2 is for Parquet files; a.jsonl holds one scene"),
        (lambda: pw.read_scene("a.parquet"), "a.parquet: there is no such file"),
        (lambda: pw.write_yaml("a.yaml", "scene"), "'scene' is no Scene"),
    ],
)
def test_what_is_of_a_wrong_kind_is_one_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises((UserError, ValueError)) as raised:
        call()
    assert sentence in str(raised.value)


def test_files_of_every_kind_give_their_scene(tmp_path: Path) -> None:
    from physworld.text.codecs.scene_json import write_jsonl

    scene = thrown()
    pw.write_yaml(tmp_path / "a.yaml", scene)
    write_jsonl(tmp_path / "a.jsonl", pw.simulate(scene, 3))
    assert pw.read_scene(tmp_path / "a.yaml") == pw.read_scene(tmp_path / "a.jsonl") == scene
