"""`physworld mix`: every step's file, and outlets that other programs read back."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import lone, song

from physworld.cli import main
from physworld.errors import UserError
from physworld.spatial.export.adm_reading import read_adm
from physworld.spatial.scene.documents import Keyframe, Payload
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import read_payload, read_scene
from physworld.spatial.scene.rules import check
from physworld.spatial.scene.terms import pose_at, turn
from physworld.spatial.sound.describe import describe
from physworld.spatial.sound.iamf import PAIRS, Measured, ffmpeg
from physworld.spatial.sound.mix import Part, Song, render
from physworld.spatial.sound.outlets import Options
from physworld.spatial.sound.render import RATE, Section
from physworld.spatial.sound.textproto import as_textproto, q78
from physworld.spatial.sound.timeline import Point, timelines, unrolled


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("song")
    song(folder / "stems", stems=7, seconds=4, seed=0)
    soundfile.write(folder / "stems" / "Silence.wav", np.zeros(4800), 48000)
    kinds = "iamf,bed,ambisonics,binaural,adm,rpp,csv,iamf-objects"
    arguments = [
        "mix",
        str(folder / "stems"),
        "--style",
        "club",
        "--section",
        "drop",
        "--target",
        kinds,
        "--order",
        "3",
    ]
    assert main([*arguments, "--out", str(folder / "ambi")]) == 0
    assert main([*arguments[:6], "--target", "iamf,bed", "--out", str(folder / "bed")]) == 0
    return folder


def decoded(path: Path, streams: int, work: Path) -> list[np.ndarray]:
    command = [ffmpeg(), "-hide_banner", "-loglevel", "quiet", "-y", "-i", str(path)]
    for k in range(streams):
        command += ["-map", f"0:{k}", "-c:a", "pcm_s24le", "-f", "wav", str(work / f"{k}.wav")]
    subprocess.run(command, check=True)
    return [soundfile.read(work / f"{k}.wav", always_2d=True, dtype="int32")[0] for k in range(streams)]


def test_mix_writes_a_scene_that_obeys_and_every_step(mixed: Path) -> None:
    payload_ = read_payload((mixed / "ambi" / "payload.json").read_bytes())
    scene = read_scene((mixed / "ambi" / "scene.json").read_bytes())
    assert check(scene, payload_).violations == []
    said = json.loads((mixed / "ambi" / "stems.json").read_text())
    assert {one["class"] for one in said["stems"]} == {
        "kick", "bass", "lead_vocal", "snare", "hihat", "pad", "synth_lead"
    } and any("Silence" in remark for remark in said["remarks"])  # fmt: skip
    assert said["bpm"] == pytest.approx(120, abs=1)
    assert {rule.type for rule in payload_.rules} == {"anchor", "avoid_masking", "mono_low_end"}
    assert read_adm(mixed / "ambi" / "mix.adm.wav") == scene


def test_iamf_comes_back_bit_by_bit(mixed: Path, tmp_path: Path) -> None:
    """Of FLAC, by ffmpeg; its reader leaves out a last frame that is silent (a packet of a few bytes)."""
    render, _ = soundfile.read(mixed / "bed" / "mix.bed.wav", always_2d=True, dtype="int32")
    for part, places in zip(decoded(mixed / "bed" / "mix.iamf", 7, tmp_path), PAIRS["7.1.4"], strict=True):
        assert (part == render[: len(part), places]).all()
        assert len(render) - len(part) <= 4608 and not render[len(part) :, places].any()
    waves, _ = soundfile.read(mixed / "ambi" / "mix.ambix.wav", always_2d=True, dtype="int32")
    for k, part in enumerate(decoded(mixed / "ambi" / "mix.iamf", 16, tmp_path)):
        assert (part[:, 0] == waves[: len(part), k]).all() and not waves[len(part) :, k].any()


def test_iamf_is_valid_and_says_what_it_measures(mixed: Path) -> None:
    sentinel = pytest.importorskip("sentinel.cli")
    for folder in ("bed", "ambi"):
        assert sentinel.main(["validate", str(mixed / folder / "mix.iamf")]) == 0


def test_loudness_and_peak_by_an_independent_meter(mixed: Path) -> None:
    for path, layout in (
        (mixed / "ambi" / "mix.binaural.wav", "stereo"),
        (mixed / "bed" / "mix.bed.wav", "FL+FR+FC+LFE+SL+SR+FLC+FRC+TFL+TFR+TFC+TC"),  # sides weigh 1.41, the rest 1
    ):
        chain = f"aformat=channel_layouts={layout},ebur128=peak=true"
        command = [
            ffmpeg(),
            "-hide_banner",
            "-channel_layout",
            layout,
            "-i",
            str(path),
            "-af",
            chain,
            "-f",
            "null",
            "-",
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr.rpartition("Summary:")[2]
        lufs, peak = (float(re.search(rf"{name}:\s+(-?[\d.]+)", said)[1]) for name in ("I", "Peak"))  # type: ignore[index]
        assert lufs == pytest.approx(-14, abs=0.5) and peak <= -1.0


def test_the_reaper_project_has_every_track_and_its_place(mixed: Path) -> None:
    text = (mixed / "ambi" / "mix.rpp").read_text()
    scene = read_scene((mixed / "ambi" / "scene.json").read_bytes())
    lines = [line.strip() for line in text.splitlines()]
    assert sum(line.startswith("<") for line in lines) == lines.count(">")
    tracks = text.split("<TRACK")[2:]
    assert len(tracks) == len(scene.objects)
    for thing in scene.objects:
        track = next(part for part in tracks if f'NAME "{thing.id} (' in part)
        envelope = re.search(r"<PARMENV 6 .*?PT [\d.]+ ([\d.]+) 0", track, re.DOTALL)
        assert envelope is not None and float(envelope[1]) * 360 - 180 == pytest.approx(thing.az_deg, abs=1e-4)
        volume = re.search(r"VOLPAN ([\d.]+)", track)
        assert volume is not None
        assert float(volume[1]) == pytest.approx(10 ** (thing.gain_db / 20) / max(thing.dist_m, 0.5), abs=1e-5)
        assert Path(re.search(r"FILE \"(.*)\"", track)[1]).is_file()  # type: ignore[index]


def test_automation_crosses_the_back_at_once() -> None:
    points = [Point(0.0, 170, 0, 1, 0, 0), Point(2.0, -170, 10, 1, 0, 0)]
    assert [(p.time, p.az) for p in unrolled(points)] == [(0, 170), (1, 180), (1, -180), (2, -170)]
    sections = [Section(scene=lone(a), start=k * RATE, end=(k + 1) * RATE) for k, a in enumerate((30, -30))]
    assert [(p.time, p.az) for p in timelines(sections, 0.2)["a"][1]] == [(0, 30), (0.9, 30), (1.1, -30), (2, -30)]


@pytest.mark.parametrize(
    ("start", "end"),
    [(90, -90), (-90, 90), (180, 0), (0, 180), (150, -30), (-30, 150), (180, -180), (-180, 180), (170, -100)],
)
def test_automation_goes_round_as_the_render_does(start: float, end: float) -> None:
    """Half a turn, too, where both ways are as short."""
    flat = unrolled([Point(t, az, 0.0, 1.0, 0.0, 0.0) for t, az in ((0.0, start), (1.0, end))])
    for t in (0.1, 0.3, 0.45, 0.7, 0.9):
        drawn = np.interp(t, [p.time for p in flat], [p.az for p in flat])
        assert turn(drawn, pose_at([(0.0, (start, 0, 1)), (1.0, (end, 0, 1))], t)[0]) < 1e-6


def test_the_text_for_iamf_tools_places_every_object(mixed: Path) -> None:
    folder = mixed / "ambi" / "mix.iamf-objects"
    scene, text = read_scene((mixed / "ambi" / "scene.json").read_bytes()), (folder / "scene.textproto").read_text()
    assert text.count("{") == text.count("}") and text.count("AUDIO_ELEMENT_OBJECT_BASED") == len(scene.objects)
    places = list(
        zip(*(re.findall(rf"default_{name}: (-?\d+)", text) for name in ("azimuth", "elevation")), strict=True)
    )
    assert places == [(str(round(t.az_deg)), str(round(t.el_deg))) for t in scene.objects]
    for thing in scene.objects:
        assert soundfile.info(folder / f"{thing.id}.wav").channels == 1


def test_stems_beyond_full_scale_keep_their_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A float file at +6 dBFS: its element is turned down and its gain up; a bed that is too loud is told of, too."""
    wave = 2 * np.sin(np.arange(24000) * 0.05)
    (tmp_path / "stems").mkdir()
    for name in ("Kick", "Pad", "Keys"):
        soundfile.write(tmp_path / "stems" / f"{name}.wav", wave, RATE, subtype="FLOAT")
    command = ["mix", str(tmp_path / "stems"), "--max-objects", "1", "--out", str(tmp_path / "out")]
    assert main([*command, "--target", "adm,iamf-objects"]) == 0
    (thing,) = read_scene((tmp_path / "out" / "scene.json").read_bytes()).objects
    written, _ = soundfile.read(tmp_path / "out" / "mix.iamf-objects" / f"{thing.id}.wav")
    assert written == pytest.approx(wave * 0.98 / 2, abs=1e-4)
    added = 20 * math.log10(2 / 0.98)
    text = (tmp_path / "out" / "mix.iamf-objects" / "scene.textproto").read_text()
    assert re.findall(r"default_mix_gain: (-?[0-9]+)", text)[0] == str(q78(thing.gain_db + added))
    said = capsys.readouterr().out
    assert f"{thing.id} is too loud for whole numbers: 6.2" in said and said.count("dB go from its samples") == 2
    assert "the bed is too loud for whole numbers: the whole programme is" in said


def test_a_moving_object_stands_at_its_first_keyframe_for_iamf_tools() -> None:
    """Also where an edited scene's keyframes begin elsewhere than it stands."""
    scene = lone(0)
    keys = [Keyframe(t=t, az_deg=az, el_deg=20, dist_m=3) for t, az in ((0, 70), (1, 120))]
    scene = scene.model_copy(update={"objects": [scene.objects[0].model_copy(update={"motion": keys})]})
    text = as_textproto(scene, "scene", Measured(lufs=-20, digital_peak=-3, true_peak=-3))
    for name, value in (("azimuth", 70), ("elevation", 20), ("distance", round(127 * 3 / 15))):
        assert f"default_{name}: {value}\n" in text


@pytest.mark.parametrize(
    ("decibels", "said"), [(0.0, 0), (-0.5, -128), (-math.inf, -32768), (-1e9, -32768), (1e9, 32767)]
)
def test_loudness_is_a_number_of_16_bits(decibels: float, said: int) -> None:
    assert q78(decibels) == said


def test_sections_have_scenes_of_their_own_and_edits_stand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song(tmp_path / "stems", stems=4, seconds=4, seed=1)
    (tmp_path / "sections.json").write_text('[{"section": "intro", "start_s": 0}, {"section": "drop", "start_s": 2}]')
    arguments = ["mix", str(tmp_path / "stems"), "--sections", str(tmp_path / "sections.json"), "--target", "csv"]
    arguments += ["--fade", "0.5", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    first, second = tmp_path / "out" / "scene.01_intro.json", tmp_path / "out" / "scene.02_drop.json"
    assert read_payload((tmp_path / "out" / "payload.02_drop.json").read_bytes()).section == "drop"
    assert read_scene(first.read_bytes()).objects[0].id == read_scene(second.read_bytes()).objects[0].id
    table = (tmp_path / "out" / "mix.positions.csv").read_text()
    assert main(arguments) == 1 and "is there already" in capsys.readouterr().err
    edited = json.loads(second.read_text())
    edited["objects"][0]["az_deg"] = 77
    second.write_text(json.dumps(edited))
    (tmp_path / "out" / "mix.positions.csv").unlink()
    assert main(arguments) == 0
    assert ",77," in (tmp_path / "out" / "mix.positions.csv").read_text() != table
    assert json.loads(second.read_text())["objects"][0]["az_deg"] == 77


def test_an_edited_payload_and_the_layout_are_what_is_written(tmp_path: Path) -> None:
    song(tmp_path / "stems", stems=2, seconds=1, seed=1)
    arguments = ["mix", str(tmp_path / "stems"), "--target", "bed", "--layout", "5.1.4", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    path = tmp_path / "out" / "payload.json"
    assert read_payload(path.read_bytes()).target_format == "5.1.4"
    assert read_scene((tmp_path / "out" / "scene.json").read_bytes()).bed.layout == "5.1.4"
    edited = json.loads(path.read_text())
    edited["global"]["bpm"] = 77
    path.write_text(json.dumps(edited))
    assert main(["mix", str(tmp_path / "stems"), "--target", "rpp", "--out", str(tmp_path / "out")]) == 0
    assert "TEMPO 77.000000" in (tmp_path / "out" / "mix.rpp").read_text()


def test_a_new_scene_brings_its_own_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from physworld.spatial.sound import commands

    song(tmp_path / "stems", stems=2, seconds=1, seed=1)
    monkeypatch.setattr(commands, "find_run", lambda *_: tmp_path)
    out = tmp_path / "out"
    for target, said in (("csv", {"first": 1}), ("rpp", {"second": 2})):
        answered = [(said, engineer(described_as(tmp_path)), [])]
        monkeypatch.setattr(commands, "predicted", lambda *_, answered=answered: answered)
        assert main(["mix", str(tmp_path / "stems"), "--run", "x", "--target", target, "--out", str(out)]) == 0
        assert json.loads((out / "answer.json").read_text()) == said
        (out / "scene.json").unlink()


def test_a_watched_scene_is_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice: an edit, then a scene that is none, which is named and waited for."""
    from physworld.spatial.sound import mix

    path, said, done = tmp_path / "scene.json", list[str](), list[str]()
    path.write_text("1")
    steps = iter([lambda: path.write_text("22"), lambda: path.write_text("333"), lambda: None])

    def sleep(_: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    def again() -> None:
        done.append(path.read_text())
        if path.read_text() == "333":
            raise UserError("no scene")

    monkeypatch.setattr(mix.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        mix.watch([path], again, said.append)
    assert done == ["22", "333"] and said[-1] == "no scene"


def described_as(folder: Path) -> Payload:
    return describe(folder / "stems", target="iamf", style="pop", section="verse").payload


def test_a_folder_is_rendered_over_and_what_else_is_there_stays(tmp_path: Path) -> None:
    song(tmp_path / "stems", stems=2, seconds=1, seed=1)
    assert main(["mix", str(tmp_path / "stems"), "--target", "iamf-objects", "--out", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "mix.iamf-objects"
    (folder / "mine.iamf").write_text("encoded")
    edited = (tmp_path / "out" / "scene.json").read_text().replace('"az_deg": 0', '"az_deg": 33')
    (tmp_path / "out" / "scene.json").write_text(edited)
    described = describe(tmp_path / "stems", target="iamf", style="pop", section="verse")
    part = Part(name="verse", start=0.0, end=described.seconds)
    render(Song(tmp_path / "out", described, [part], tmp_path), ["iamf-objects"], Options(), again=True,
           progress=lambda count: None, say=lambda line: None)  # fmt: skip
    assert "default_azimuth: 33" in (folder / "scene.textproto").read_text()
    assert (folder / "mine.iamf").read_text() == "encoded"
    assert not list((tmp_path / "out").glob(".unfinished*"))


def test_the_bed_is_in_the_order_of_the_stems(tmp_path: Path) -> None:
    """What is summed in another order differs in its last bits."""
    song(tmp_path / "stems", stems=7, seconds=1, seed=2)
    described = describe(tmp_path / "stems", target="iamf", style="pop", section="verse", max_objects=1)
    mix = Song(tmp_path, described, [Part(name="verse", start=0.0, end=1.0)], tmp_path)
    (section,) = mix.sections([engineer(described.payload)])
    names = [one.file.id for one in described.stems]
    assert len(section.bed) == 6 and list(section.bed) == [name for name in names if name in section.bed]
