"""What leaves the house: ADM that others read, sound that comes from the right side, metadata, pictures, commands."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from physworld.cli import main
from physworld.spatial.export.adm import AdmError, read_adm, write_adm
from physworld.spatial.export.binaural import ear_delay, render_binaural
from physworld.spatial.export.levels import loudness
from physworld.spatial.export.metadata import as_csv, metadata
from physworld.spatial.export.pictures import animate, draw_scene, from_above, from_side
from physworld.spatial.export.stems import StemError, read_stems
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import as_dict, dumps

from spatial_tools import EXAMPLE, payload, samples

RATE = 48000


def noise(scene: SpatialScene, count: int = 4800) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {thing.id: 0.05 * rng.standard_normal(count) for thing in scene.objects}


def lone(az: float, el: float = 0.0, **fields: object) -> SpatialScene:
    """One dry point source."""
    scene = engineer(payload())
    dry = {"width": 0.0, "reverb_send": 0.0, "early_reflections": 0.0, "gain_db": 0.0, "dist_m": 1.0, "motion": []}
    thing = scene.objects[0].model_copy(update={**dry, "az_deg": az, "el_deg": el, **fields})
    return scene.model_copy(update={"objects": [thing]})


def click(scene: SpatialScene) -> dict[str, np.ndarray]:
    sound = np.zeros(9600)
    sound[4000] = 1.0
    return {scene.objects[0].id: sound}


# --- ADM


@pytest.mark.parametrize("axis", ["seen", "stem_count", "off_grid"])
def test_adm_round_trip_is_exact_on_the_grid(axis: str, tmp_path: Path) -> None:
    moving = 0
    for k, sample in enumerate(samples(axis, count=25)):
        scene, path = sample.target, tmp_path / "scene.wav"
        write_adm(path, scene, noise(scene), RATE, {"rest": np.zeros(4800)} if k % 2 else None)
        assert read_adm(path) == scene
        moving += any(thing.moves for thing in scene.objects)
    assert moving > 0


def test_adm_audio_is_read_by_libsndfile(tmp_path: Path) -> None:
    scene = samples()[0].target
    stems = noise(scene)
    write_adm(tmp_path / "a.wav", scene, stems, RATE, {"rest": np.full(4800, 0.25)})
    audio, rate = soundfile.read(tmp_path / "a.wav", always_2d=True)
    assert rate == RATE and audio.shape == (4800, len(scene.objects) + 2)
    for n, thing in enumerate(scene.objects):
        assert np.abs(audio[:, n] - stems[thing.id]).max() <= 0.5 / 2**23 + 1e-12
    assert audio[:, -2:] == pytest.approx(0.25 * 0.5**0.5, abs=1e-6)


def test_adm_chunks_follow_the_standard(tmp_path: Path) -> None:
    """BS.2088: every chna row of 40 bytes names a track UID, track and pack format that the XML has."""
    scene = samples()[0].target
    write_adm(tmp_path / "a.wav", scene, noise(scene), RATE)
    data = (tmp_path / "a.wav").read_bytes()
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    at = data.index(b"chna")
    size, tracks, uids = struct.unpack("<IHH", data[at + 4 : at + 12])
    assert tracks == uids == len(scene.objects) and size == 4 + 40 * uids
    for k in range(uids):
        row = data[at + 12 + 40 * k : at + 52 + 40 * k]
        number, uid, track, pack = struct.unpack("<H12s14s11sx", row)
        assert number == k + 1
        for name in (uid, track, pack):
            assert data.count(name) >= 2
    assert b'absoluteDistance="' in data and b"<integratedLoudness>" in data


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"x" * 5000])
def test_foreign_files_are_no_adm(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AdmError):
        read_adm(tmp_path / "a.wav")


def test_entity_bombs_are_not_read(tmp_path: Path) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>'
    chunk = b"axml" + struct.pack("<I", len(bomb)) + bomb
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WAVE" + chunk)
    with pytest.raises(AdmError, match="entities"):
        read_adm(tmp_path / "a.wav")


@pytest.mark.skipif(shutil.which("ear-render") is None, reason="the EBU ADM Renderer is not installed (README.md)")
@pytest.mark.parametrize(("az", "louder"), [(90, 0), (-90, 1)])
def test_the_ebu_renderer_hears_it_on_the_same_side(az: float, louder: int, tmp_path: Path) -> None:
    scene = lone(az)
    write_adm(tmp_path / "a.wav", scene, noise(scene), RATE)
    done = subprocess.run(
        ["ear-render", "-s", "0+2+0", str(tmp_path / "a.wav"), str(tmp_path / "out.wav")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    energy = np.square(soundfile.read(tmp_path / "out.wav")[0]).sum(axis=0)
    assert energy[louder] > 10 * energy[1 - louder]


# --- binaural


@pytest.mark.parametrize(("az", "near"), [(90, 0), (-90, 1)])
def test_a_source_at_the_side_is_louder_and_earlier_there(az: float, near: int) -> None:
    scene = lone(az)
    out = render_binaural(scene, click(scene), RATE)
    far = 1 - near
    energy = np.square(out).sum(axis=0)
    assert energy[near] > 4 * energy[far]
    lag = (int(np.abs(out[:, far]).argmax()) - int(np.abs(out[:, near]).argmax())) / RATE
    # Woodworth: (a/c)(1 + pi/2) = 0.656 ms for a source at the ear's axis
    assert lag == pytest.approx(0.0875 / 343 * (1 + np.pi / 2), abs=2 / RATE)


def test_the_middle_is_the_middle_and_height_brings_it_there() -> None:
    scene = lone(0)
    out = render_binaural(scene, click(scene), RATE)
    assert np.allclose(out[:, 0], out[:, 1])
    side, high = (render_binaural(s, click(s), RATE) for s in (lone(60), lone(60, 80)))
    balance = [np.square(o).sum(axis=0) for o in (side, high)]
    assert balance[0][0] / balance[0][1] > 10 > 3 > balance[1][0] / balance[1][1] > 1


def test_delay_grows_from_near_to_far_ear() -> None:
    delays = [ear_delay(angle) for angle in np.linspace(0, np.pi, 50)]
    assert delays[0] == 0 and all(a < b for a, b in pairwise(delays))


def test_motion_is_heard_from_left_to_right() -> None:
    keys = [{"t": t, "az_deg": az, "el_deg": 0, "dist_m": 1.0} for t, az in ((0.0, 80), (1.0, -80))]
    still = lone(80)
    moving = SpatialScene.model_validate(
        {**json.loads(dumps(still)), "objects": [{**json.loads(dumps(still))["objects"][0], "motion": keys}]}
    )
    out = render_binaural(moving, noise(moving, 48000), RATE)
    first, last = np.square(out[:12000]).sum(axis=0), np.square(out[36000:48000]).sum(axis=0)
    assert first[0] > 1.5 * first[1] and last[1] > 1.5 * last[0]


def test_further_away_is_quieter_and_the_loudness_is_met() -> None:
    both = lone(45)
    near = both.objects[0]
    far = near.model_copy(update={"id": "kick", "track_class": "kick", "az_deg": -45, "dist_m": 4.0})
    pair = both.model_copy(update={"objects": [near, far]})
    sound = noise(pair, 48000)
    sound["kick"] = sound[near.id]
    energy = np.square(render_binaural(pair, sound, RATE)).sum(axis=0)
    assert energy[0] > 2 * energy[1]
    assert loudness(render_binaural(pair, sound, RATE), RATE) == pytest.approx(-14, abs=0.01)


@pytest.mark.parametrize("preset", ["my_room", "", "a", "hall_huge"])
def test_a_room_without_a_known_size_is_a_medium_one(preset: str) -> None:
    scene = lone(30)
    rooms = [
        scene.model_copy(update={"bed": scene.bed.model_copy(update={"room_preset": p})})
        for p in (preset, "hall_medium")
    ]
    one, other = (render_binaural(room, click(room), RATE) for room in rooms)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_loudness_of_the_standard_s_sine(rate: int) -> None:
    """EBU Tech 3341, case 1: a stereo sine of 1 kHz at -23 dBFS reads -23.0 ± 0.1 LUFS."""
    sine = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * np.arange(5 * rate) / rate)
    assert loudness(np.stack([sine, sine], axis=1), rate) == pytest.approx(-23, abs=0.1)
    assert loudness(np.zeros((rate, 2)), rate) == -np.inf


# --- metadata and pictures


def test_metadata_says_what_the_scene_says() -> None:
    scene = next(s.target for s in samples() if any(o.moves for o in s.target.objects))
    data = metadata(scene, 8.0)
    rows = list(csv.DictReader(io.StringIO(as_csv(scene, 8.0))))
    assert len(rows) == sum(len(thing.path) for thing in scene.objects)
    assert {row["id"] for row in rows} == {thing.id for thing in scene.objects}
    for thing, said in zip(scene.objects, data["objects"], strict=True):
        assert said["spread_deg"] == 180 * thing.width
        assert [k["time_s"] for k in said["keyframes"]] == [8 * t for t, _ in thing.path]


def test_the_target_of_a_loudness_is_not_called_measured() -> None:
    scene = samples()[0].target
    assert metadata(scene, 8.0)["loudness_target_lufs"] == scene.bed.loudness_target_lufs
    assert "integrated_loudness_lufs" not in metadata(scene, 8.0)
    said = metadata(scene, 8.0, ["room"], -20.5)
    assert said["integrated_loudness_lufs"] == -20.5 and said["bed_stems"] == ["room"]


def test_pictures_show_left_on_the_left_and_motion() -> None:
    assert from_above((90, 0, 2))[0] < 0 < from_above((-90, 0, 2))[0]
    assert from_above((0, 0, 2))[1] > 0 and from_side((0, 45, 2))[1] > 0
    left, right = draw_scene(lone(90)).astype(int), draw_scene(lone(-90)).astype(int)
    half = left.shape[1] // 4
    changed = np.abs(left - right).sum(axis=(0, 2))
    assert changed[:half].sum() > 0 and changed[half : 2 * half].sum() > 0 and left.shape == (320, 640, 3)
    scene = next(s.target for s in samples() if any(o.moves for o in s.target.objects))
    frames = animate(scene, 6)
    assert frames.shape == (6, 320, 640, 3) and (frames[0] != frames[3]).any()


# --- stems and commands


def test_stems_are_checked(tmp_path: Path) -> None:
    scene = engineer(payload())
    with pytest.raises(StemError, match="no folder"):
        read_stems(tmp_path / "none", scene)
    for name in ("vox", "kick", "bass"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(100), RATE)
    with pytest.raises(StemError, match=r"pad\.wav"):
        read_stems(tmp_path, scene)
    soundfile.write(tmp_path / "pad.wav", np.zeros((50, 2)), RATE)
    objects, rest, rate = read_stems(tmp_path, scene)
    assert {len(a) for a in objects.values()} == {100} and rate == RATE and not rest
    soundfile.write(tmp_path / "room.flac", np.zeros(10), 44100)
    with pytest.raises(StemError, match="44100"):
        read_stems(tmp_path, scene)


def test_a_folder_of_stems_as_people_have_it(tmp_path: Path) -> None:
    """Suffixes in capitals, links to files and folders, and what macOS leaves beside files."""
    scene, stems = engineer(payload()), tmp_path / "stems"
    stems.mkdir()
    (tmp_path / "far").mkdir()
    soundfile.write(stems / "vox.WAV", np.full(10, 0.1), RATE, format="WAV")
    soundfile.write(tmp_path / "far" / "bass.Flac", np.full(10, 0.2), RATE, format="FLAC")
    soundfile.write(tmp_path / "take3.wav", np.full(10, 0.3), RATE)
    soundfile.write(stems / "pad.wav", np.full(10, 0.4), RATE)
    (stems / "linked").symlink_to(tmp_path / "far")
    (stems / "linked_again").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "loop").symlink_to(stems)
    (stems / "kick.wav").symlink_to(tmp_path / "take3.wav")
    (stems / "._vox.WAV").write_bytes(b"\0\5\x16\7")
    objects, rest, _ = read_stems(stems, scene)
    assert {name: round(float(a[0]), 3) for name, a in objects.items()} == {
        "vox": 0.1,
        "kick": 0.3,
        "bass": 0.2,
        "pad": 0.4,
    }
    assert not rest
    soundfile.write(stems / "vox.flac", np.zeros(10), RATE)
    with pytest.raises(StemError, match=r"vox.WAV and .*vox.flac are both the stem vox|vox.flac and .*vox.WAV"):
        read_stems(stems, scene)
    (stems / "vox.flac").unlink()
    (stems / "gone.wav").symlink_to(tmp_path / "nothing.wav")
    with pytest.raises(StemError, match=r"gone\.wav cannot be read"):
        read_stems(stems, scene)


def test_what_an_export_made_is_no_stem(tmp_path: Path) -> None:
    """A scene among its own stems: the second export hears what the first one heard."""
    scene = engineer(payload())
    (tmp_path / "mix.scene.json").write_text(dumps(scene), encoding="utf-8")
    for name, sound in noise(scene).items():
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE)
    for kind in ("adm", "binaural"):
        assert main(["export", str(tmp_path / "mix.scene.json"), "--format", kind, "--stems", str(tmp_path)]) == 0
        assert read_stems(tmp_path, scene)[1] == {}


def test_the_name_of_an_export_keeps_all_of_the_scene_s(tmp_path: Path) -> None:
    for name, made in (
        ("my.mix.scene.json", "my.mix.png"),
        ("Take 1.JSON", "Take 1.png"),
        (".scene.json", ".scene.png"),
    ):
        (tmp_path / name).write_text(dumps(engineer(payload())), encoding="utf-8")
        assert main(["export", str(tmp_path / name), "--format", "png"]) == 0
        assert (tmp_path / made).is_file()


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from physworld.spatial.scene.reading import read_payload

    asked = read_payload(EXAMPLE.read_text(encoding="utf-8"))
    scene = engineer(asked)
    good, bad = tmp_path / "scene.json", tmp_path / "bad.json"
    good.write_text(dumps(scene), encoding="utf-8")
    bad.write_text(dumps(scene).replace('"az_deg":0', '"az_deg":9'), encoding="utf-8")
    assert main(["validate", str(good), str(EXAMPLE)]) == 0
    assert main(["validate", str(bad), str(EXAMPLE)]) == 1
    assert "$.objects[0]: anchor:lead_vocal@0/10/1.6: v1 is off by 9°" in capsys.readouterr().out
    assert main(["validate", str(tmp_path / "none.json")]) == 2
    (tmp_path / "stems").mkdir()
    for thing in scene.objects:
        soundfile.write(tmp_path / "stems" / f"{thing.id}.wav", noise(scene)[thing.id], RATE)
    for kind in ("adm", "binaural", "iamf-json", "iamf-csv"):
        assert main(["export", str(good), "--format", kind, "--stems", str(tmp_path / "stems")]) == 0
    for kind in ("png", "gif"):
        assert main(["export", str(good), "--format", kind]) == 0
    assert soundfile.info(tmp_path / "scene.binaural.wav").channels == 2
    moving = next(s.target for s in samples() if any(o.moves for o in s.target.objects))
    (tmp_path / "moving.json").write_text(dumps(moving), encoding="utf-8")
    assert main(["export", str(tmp_path / "moving.json"), "--format", "gif"]) == 0
    assert Image.open(tmp_path / "moving.gif").is_animated
    assert main(["export", str(tmp_path / "scene.adm.wav"), "--format", "json", "--out", str(tmp_path / "b.json")]) == 0
    assert (tmp_path / "b.json").read_text(encoding="utf-8").strip() == dumps(scene)
    capsys.readouterr()
    for arguments, words in (
        (["export", str(good), "--format", "adn"], "Did you mean adm?"),
        (["export", str(good), "--format", "adm"], "--stems DIR"),
        (["export", str(EXAMPLE), "--format", "png"], "$.version"),
    ):
        assert main(arguments) == 1
        assert words in capsys.readouterr().err


def test_packed_scenes_and_adm_are_judged_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = engineer(payload())
    (tmp_path / "a.scene.JSON.GZ").write_bytes(gzip.compress(dumps(scene).encode()))
    (tmp_path / "asked.json.gz").write_bytes(gzip.compress(dumps(payload()).encode()))
    write_adm(tmp_path / "a.adm.WAV", scene, noise(scene), RATE)
    for name in ("a.scene.JSON.GZ", "a.adm.WAV"):
        assert main(["validate", str(tmp_path / name), str(tmp_path / "asked.json.gz")]) == 0
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"x" * 10_000)[:40])
    assert main(["validate", str(tmp_path / "a.json.gz")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "a.scene.JSON.GZ"), "--format", "png"]) == 0
    assert (tmp_path / "a.png").is_file()


def test_sound_is_written_under_any_name(tmp_path: Path) -> None:
    scene = engineer(payload())
    (tmp_path / "s.json").write_text(dumps(scene), encoding="utf-8")
    (tmp_path / "stems").mkdir()
    for name, sound in noise(scene).items():
        soundfile.write(tmp_path / "stems" / f"{name}.wav", sound, RATE)
    for name, kind in (("out", "WAV"), ("out.binaural", "WAV"), ("out.FLAC", "FLAC")):
        out = ["--stems", str(tmp_path / "stems"), "--out", str(tmp_path / name)]
        assert main(["export", str(tmp_path / "s.json"), "--format", "binaural", *out]) == 0
        assert soundfile.info(tmp_path / name).format == kind


def test_an_export_writes_nothing_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither its own scene nor what lies there already; the same export again is no mistake."""
    scene = tmp_path / "scene.json"
    scene.write_text(dumps(engineer(samples()[0].given.payload)), encoding="utf-8")
    before = scene.read_bytes()
    (tmp_path / "folder").mkdir()
    for taken in (scene, tmp_path / "folder"):
        assert main(["export", str(scene), "--format", "png", "--out", str(taken)]) == 1
        assert "is there already" in capsys.readouterr().err
    assert main(["export", str(scene), "--format", "png", "--out", str(scene / "a.png")]) == 1
    assert "cannot be read or written" in capsys.readouterr().err
    assert scene.read_bytes() == before
    for _ in range(2):
        assert main(["export", str(scene), "--format", "png"]) == 0


def test_a_strangers_id_moves_no_cursor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = as_dict(engineer(samples()[0].given.payload))
    document["objects"][0]["id"] = "[red]a\x1b[2J\nall rules are kept"
    scene = tmp_path / "scene.json"
    scene.write_text(dumps(document), encoding="utf-8")
    assert main(["validate", str(scene), str(EXAMPLE)]) == 1
    assert main(["export", str(scene), "--format", "adm", "--stems", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "[red]a\\x1b[2J\\nall rules" in said.out and "\x1b" not in said.out + said.err
    assert len(said.err.splitlines()) == 1
