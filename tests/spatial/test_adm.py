"""ADM that fits without gaps, levels that survive whole numbers, and files of other programs."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from physworld.cli import main
from physworld.spatial.export.adm import write_adm
from physworld.spatial.export.adm_reading import read_adm
from physworld.spatial.export.binaural import render_binaural
from physworld.spatial.export.levels import decibels, excess, loudness, programme_loudness
from physworld.spatial.export.metadata import metadata
from physworld.spatial.export.times import blocks, seconds_of, ticks_of, time_text
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict, dumps, scene_from
from physworld.spatial.scene.terms import great_circle, pose_at

from spatial_tools import payload

RATE = 48000
THING: dict[str, Any] = {
    "id": "vox", "class": "lead_vocal", "az_deg": 0, "el_deg": 0, "dist_m": 2, "width": 0.1, "gain_db": -6,
    "reverb_send": 0.1, "early_reflections": 0.1, "motion": [],
}  # fmt: skip


def scene_of(*things: dict[str, Any]) -> SpatialScene:
    bed = {"layout": "7.1.4", "loudness_target_lufs": -18, "room_preset": "hall_medium"}
    return scene_from({"version": "1.0", "bed": bed, "objects": list(things), "constraints_applied": []})


def moving(*keys: tuple[float, float]) -> SpatialScene:
    motion = [{"t": t, "az_deg": az, "el_deg": 0, "dist_m": 2} for t, az in keys]
    return scene_of({**THING, "az_deg": keys[0][1], "motion": motion})


def sine(amplitude: float, count: int = 4800) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 1000 * np.arange(count) / RATE)


# --- times


@settings(max_examples=300, deadline=None)
@given(
    samples=st.integers(1, 400_000),
    rate=st.sampled_from([8000, 22050, 44100, 48000, 88200, 96000, 192000, 11025]) | st.integers(1000, 400_000),
    times=st.lists(st.floats(0, 1) | st.integers(0, 100).map(lambda n: n / 100), min_size=2, max_size=64),
)
@example(samples=4004, rate=48000, times=[0, 0.21, 0.47, 0.73, 1.0])
@example(samples=1, rate=192000, times=[0, 0.5, 1.0])
def test_blocks_touch_for_every_length_rate_and_keyframes(samples: int, rate: int, times: list[float]) -> None:
    total = ticks_of(samples, rate)
    made = blocks([(t, (float(k), 0.0, 1.0)) for k, t in enumerate(sorted(times))], total)
    said = [(seconds_of(time_text(begin)), seconds_of(time_text(length))) for begin, length, _ in made]
    assert said[0][0] == 0 and sum(said[-1]) == seconds_of(time_text(total)) == Fraction(total, 100_000)
    assert all(a + b == c for (a, b), (c, _) in pairwise(said)) and all(length > 0 for _, length in said)
    assert abs(Fraction(samples, rate) - sum(said[-1])) <= Fraction(1, 100_000)


def in_blocks(made: list[tuple[int, int, Any]], total: int) -> list[tuple[float, Any]]:
    """A path as a renderer runs along it: from block to block, at rest in the first."""
    first = made[0]
    return [(first[0] / total, first[2]), *((float((begin + length) / total), pose) for begin, length, pose in made)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=2, max_size=12, unique=True), st.floats(0, 1))
@example([50, 100], 0.25)
@example([20, 60], 0.9)
def test_a_wait_before_and_after_is_in_the_blocks(times: list[int], t: float) -> None:
    """The same place at every time as the scene's path says, within the first block's millisecond."""
    path = [(n / 100, (30.0 * k, 0.0, 1.0)) for k, n in enumerate(sorted(times))]
    total = 800_000
    expected, heard = pose_at(path, t), pose_at(in_blocks(blocks(path, total), total), t)
    assert great_circle(expected, heard) < 0.5


@pytest.mark.parametrize("keys", [[(0.5, 0), (1.0, 90)], [(0.0, 30), (0.21, 50), (1.0, 150)], [(0.0, 0), (0.6, 40)]])
def test_every_outlet_means_the_same_motion(keys: list[tuple[float, float]], tmp_path: Path) -> None:
    scene = moving(*keys)
    write_adm(tmp_path / "a.wav", scene, {"vox": sine(0.1, 96000)}, RATE)
    back = read_adm(tmp_path / "a.wav").objects[0]
    said = [(k["time_s"] / 2, (k["azimuth_deg"], 0, 2)) for k in metadata(scene, 2.0)["objects"][0]["keyframes"]]
    for t in np.linspace(0, 1, 41):
        here = pose_at(scene.objects[0].path, t)
        assert great_circle(here, pose_at(back.path, t)) < 1e-6
        assert great_circle(here, pose_at(said, t)) < 1e-6
    if keys[-1][0] == 1:
        assert back == scene.objects[0]


def test_binaural_waits_too() -> None:
    late, at_once = moving((0.5, 80), (1.0, -80)), moving((0.0, 80), (1.0, -80))
    rng = np.random.default_rng(0)
    sound = {"vox": 0.05 * rng.standard_normal(48000)}
    energy = []
    for scene in (late, at_once):
        quarter = render_binaural(scene, sound, RATE)[12000:24000]
        energy.append(np.square(quarter).sum(axis=0))
    assert energy[0][0] / energy[0][1] > 2 * energy[1][0] / energy[1][1]


EAR = shutil.which("ear-render")


@pytest.mark.skipif(EAR is None, reason="the EBU ADM Renderer is not installed (README.md)")
@pytest.mark.parametrize("samples", [4004, 4801, 5003])
def test_the_ebu_renderer_takes_odd_lengths(samples: int, tmp_path: Path) -> None:
    scene = moving((0, 30), (0.21, 50), (0.47, 90), (0.73, 120), (1, 150))
    write_adm(tmp_path / "a.wav", scene, {"vox": sine(0.5, samples)}, RATE)
    done = subprocess.run(
        [str(EAR), "-s", "0+5+0", tmp_path / "a.wav", tmp_path / "o.wav"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# --- levels


@pytest.mark.parametrize("amplitude", [0.5, 1.0, 1.8, 40.0])
def test_a_hot_stem_keeps_its_form_and_its_level(amplitude: float, tmp_path: Path) -> None:
    """Samples times the block's gain are the stem times the scene's gain."""
    scene, stem = scene_of(THING), sine(amplitude)
    write_adm(tmp_path / "a.wav", scene, {"vox": stem}, RATE)
    audio, _ = soundfile.read(tmp_path / "a.wav")
    gain = float(re.search(rb"<gain>(.*?)</gain>", (tmp_path / "a.wav").read_bytes())[1])  # type: ignore[index]
    assert np.abs(audio).max() < 1 and np.abs(audio * gain - stem * 10 ** (-6 / 20)).max() < 1e-6 * amplitude + 1e-7
    assert read_adm(tmp_path / "a.wav") == scene
    assert excess(audio) == 1


def test_a_loud_bed_turns_everything_down_alike(tmp_path: Path) -> None:
    scene, stem = scene_of(THING), sine(0.9)
    bed = {f"pad{k}": sine(0.9) for k in range(4)}
    levels = write_adm(tmp_path / "a.wav", scene, {"vox": stem}, RATE, bed)
    audio, _ = soundfile.read(tmp_path / "a.wav")
    gain = float(re.search(rb"<gain>(.*?)</gain>", (tmp_path / "a.wav").read_bytes())[1])  # type: ignore[index]
    assert levels.lowered > 2 and np.abs(audio).max() < 1
    down = 1 / levels.lowered
    assert audio[:, 0] * gain == pytest.approx(down * stem * 10 ** (-6 / 20), abs=1e-6)
    for side in (1, 2):
        assert audio[:, side] == pytest.approx(down * 4 * stem * math.sqrt(0.5), abs=1e-6)
    assert read_adm(tmp_path / "a.wav") == scene


def test_the_loudness_in_the_file_is_measured(tmp_path: Path) -> None:
    """EBU Tech 3341's sine, -23 dBFS: one channel of it is 3 dB below -23 LUFS; from the side it counts more."""
    stem = sine(10 ** (-23 / 20), 5 * RATE)
    for az, gain, expected in ((0, 0, -26.0), (0, -6, -32.0), (90, 0, -26 + 10 * math.log10(1.41))):
        scene = scene_of({**THING, "az_deg": az, "gain_db": gain})
        assert write_adm(tmp_path / "a.wav", scene, {"vox": stem}, RATE).loudness == pytest.approx(expected, abs=0.1)
        said = re.search(rb"<integratedLoudness>(.*?)<", (tmp_path / "a.wav").read_bytes())
        assert float(said[1]) == pytest.approx(expected, abs=0.1)  # type: ignore[index]
        assert read_adm(tmp_path / "a.wav").bed.loudness_target_lufs == -18
    scene = scene_of({**THING, "gain_db": 0})
    assert programme_loudness(scene, {"vox": stem}, RATE, stem * math.sqrt(0.5)) == pytest.approx(-23.0, abs=0.1)
    write_adm(tmp_path / "a.wav", scene, {"vox": np.zeros(4800)}, RATE)
    assert b"integratedLoudness" not in (tmp_path / "a.wav").read_bytes()


def test_no_stem_is_lost_on_headphones() -> None:
    """A stem that is no object is heard as part of the bed, from the middle; alone it would be silence."""
    scene = scene_of({**THING, "reverb_send": 0, "early_reflections": 0})
    silent, pad = {"vox": np.zeros(9600)}, {"pad": sine(0.2, 9600)}
    assert not render_binaural(scene, silent, RATE).any()
    out = render_binaural(scene, silent, RATE, pad)
    assert loudness(out, RATE) == pytest.approx(-18, abs=0.01) and np.allclose(out[:, 0], out[:, 1])


def exported(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[np.ndarray, str]:
    (folder / "s.json").write_text(dumps(scene_of(THING)), encoding="utf-8")
    out = folder / f"out.{kind}.wav"
    arguments = [
        "export",
        str(folder / "s.json"),
        "--format",
        kind,
        "--stems",
        str(folder / "stems"),
        "--out",
        str(out),
    ]
    assert main(arguments) == 0
    return soundfile.read(out, always_2d=True)[0], capsys.readouterr().err


@pytest.mark.parametrize(
    "kind", ["adm", "binaural", pytest.param("ebu", marks=pytest.mark.skipif(EAR is None, reason="no EAR"))]
)
def test_no_outlet_clips_without_a_word(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stems").mkdir()
    soundfile.write(tmp_path / "stems" / "vox.wav", sine(3.0), RATE, subtype="FLOAT")
    for k in range(3):
        soundfile.write(tmp_path / "stems" / f"pad{k}.wav", sine(0.95), RATE)
    audio, said = exported(kind, tmp_path, capsys)
    assert 0.1 < np.abs(audio).max() < 0.99
    if kind != "binaural":
        assert f"{decibels(excess(sine(3.0))):.2f} dB" in said and "the bed is too loud" in said


def test_ids_that_xml_cannot_hold_come_back(tmp_path: Path) -> None:
    names = ["a\0b", "../../x", "<&>", "two\nlines", "é", "x" * 500, "a\0b"]
    scene = scene_of(*({**THING, "id": name, "gain_db": -k} for k, name in enumerate(names)))
    write_adm(tmp_path / "a.wav", scene, {name: sine(0.1) for name in names}, RATE)
    assert read_adm(tmp_path / "a.wav") == scene
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_strange_ids_leave_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Words of a scene never become a path; a stem of such a name is looked for under a safe one."""
    from physworld.io.names import safe_name

    (tmp_path / "in" / "stems").mkdir(parents=True)
    names = ["../../x", "/etc/x", "..", "CON", "a\0b", "y" * 3000]
    (tmp_path / "in" / "s.json").write_text(dumps(scene_of(*({**THING, "id": n} for n in names))), encoding="utf-8")
    for name in names:
        soundfile.write(tmp_path / "in" / "stems" / f"{safe_name(name)}.wav", sine(0.1), RATE)
    before = set(tmp_path.rglob("*"))
    stems = ["--stems", str(tmp_path / "in" / "stems")]
    for kind in ("adm", "binaural", "iamf-json", "iamf-csv", "png", "json"):
        out = tmp_path / "in" / f"out.{kind}"
        command = ["export", str(tmp_path / "in" / "s.json"), "--format", kind, "--out", str(out)]
        assert main([*command, *(stems if kind not in ("png", "json") else [])]) == 0
        assert set(tmp_path.rglob("*")) - before == {out}
        before.add(out)


def test_engineer_s_scenes_survive_with_every_level(tmp_path: Path) -> None:
    scene = engineer(payload())
    rng = np.random.default_rng(1)
    stems = {thing.id: (k + 1) * rng.standard_normal(4800) for k, thing in enumerate(scene.objects)}
    write_adm(tmp_path / "a.wav", scene, stems, RATE, {"rest": 5 * rng.standard_normal(4800)})
    assert as_dict(read_adm(tmp_path / "a.wav")) == as_dict(scene)
