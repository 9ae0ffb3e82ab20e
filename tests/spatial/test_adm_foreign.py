"""ADM as other programs write it: units, times left out, Cartesian rooms, jumps, more blocks than a scene holds."""

from __future__ import annotations

import gzip
import json
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from physworld.spatial.export.adm_reading import AdmError, polar, read_adm
from physworld.spatial.export.times import time_text
from physworld.spatial.scene.reading import Invalid
from physworld.spatial.scene.terms import great_circle, pose_at

RATE = 48000
REF = "audioChannelFormatIDRef"


def foreign(
    path: Path,
    blocks: str,
    *,
    programme: str = 'end="00:00:02.00000"',
    item: str = "",
    pack: str = "",
    chunk: bytes = b"axml",
    attributes: str = "",
) -> Path:
    """A small ADM file as another program might write it."""
    xml = (
        f'<f><audioProgramme audioProgrammeID="APR_1001" {programme}/>'
        f'<audioObject audioObjectID="AO_1001" audioObjectName="x" {attributes}>{item}<audioPackFormatIDRef>AP_00031001'
        f'</audioPackFormatIDRef></audioObject><audioPackFormat audioPackFormatID="AP_00031001" {pack}>'
        "<audioChannelFormatIDRef>AC_00031001</audioChannelFormatIDRef></audioPackFormat>"
        f'<audioChannelFormat audioChannelFormatID="AC_00031001">{blocks}</audioChannelFormat></f>'
    ).encode()
    body = b"\1\0" + gzip.compress(xml) if chunk == b"bxml" else xml
    form = struct.pack("<HHIIHH", 1, 1, RATE, RATE * 3, 3, 24)
    chunks = [(b"fmt ", form), (b"data", bytes(RATE * 3 * 4)), (chunk, body)]
    data = b"".join(name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for name, part in chunks)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WAVE" + data)
    return path


def block(az: float = 0.0, extra: str = "", times: str = "") -> str:
    return (
        f'<audioBlockFormat {times}><position coordinate="azimuth">{az}</position><position coordinate="elevation">0'
        f"</position>{extra}</audioBlockFormat>"
    )


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ('<gain gainUnit="dB">-6</gain>', -6), ('<gain gainUnit="linear">0.5</gain>', -6), ("<gain>0.5</gain>", -6),
        ('<gain gainUnit="dB">0</gain>', 0), ('<gain gainUnit="dB">-inf</gain>', -60), ("<gain>0</gain>", -60),
        ('<gain gainUnit="dB"> 3.5 </gain>', 3.5), ("", 0), ('<gain gainUnit="DB">-12</gain>', -12),
    ],
)  # fmt: skip
def test_gains_have_units(gain: str, expected: float, tmp_path: Path) -> None:
    assert read_adm(foreign(tmp_path / "a.wav", block(extra=gain))).objects[0].gain_db == expected


@pytest.mark.parametrize(
    ("item", "expected"), [('<gain gainUnit="dB">-4</gain>', -10), ("<mute>1</mute>", -60), ("<mute>0</mute>", -6)]
)
def test_an_object_s_own_gain_counts(item: str, expected: float, tmp_path: Path) -> None:
    made = foreign(tmp_path / "a.wav", block(extra='<gain gainUnit="dB">-6</gain>'), item=item)
    assert read_adm(made).objects[0].gain_db == expected


@pytest.mark.parametrize(
    "gain", ['<gain gainUnit="sone">1</gain>', "<gain>nan</gain>", "<gain>loud</gain>", "<gain>inf</gain>"]
)
def test_gains_that_mean_nothing_are_refused(gain: str, tmp_path: Path) -> None:
    with pytest.raises(AdmError, match="cannot be read"):
        read_adm(foreign(tmp_path / "a.wav", block(extra=gain)))


def test_what_a_scene_cannot_hold_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    two = block(extra="<gain>10</gain>", times='rtime="00:00:00" duration="00:00:01"')
    two += block(az=40, extra="<gain>0.1</gain>", times='rtime="00:00:01" duration="00:00:01"')
    thing = read_adm(foreign(tmp_path / "a.wav", two), said).objects[0]
    assert thing.gain_db == 12
    assert any("gain_db 20 is beyond" in line for line in said) and any("its level changes" in line for line in said)


def test_left_out_times_have_their_meaning(tmp_path: Path) -> None:
    """No end of the programme: the audio's; no duration of a block: until the next one begins."""
    two = block(10, times='rtime="00:00:00.00000"') + block(50, times='rtime="00:00:02.00000"')
    thing = read_adm(foreign(tmp_path / "a.wav", two, programme="")).objects[0]
    assert [(key.t, key.az_deg) for key in thing.motion] == [(0.5, 10), (1.0, 50)]
    later = block(10, times='rtime="00:00:00.24000S48000" duration="00:00:00.24000S48000"') + block(
        50, times='rtime="00:00:01.00000" duration="00:00:00.50000"'
    )
    made = foreign(
        tmp_path / "b.wav", later, programme='start="10:00:00" end="10:00:04"', attributes='start="00:00:01"'
    )
    assert [(key.t, key.az_deg) for key in read_adm(made).objects[0].motion] == [(0.5, 10), (0.63, 50)]


def test_a_jump_is_a_jump(tmp_path: Path) -> None:
    two = block(10, times='rtime="00:00:00" duration="00:00:01"') + block(
        70, extra="<jumpPosition>1</jumpPosition>", times='rtime="00:00:01" duration="00:00:01"'
    )
    path = read_adm(foreign(tmp_path / "a.wav", two)).objects[0].path
    assert pose_at(path, 0.49)[0] == pytest.approx(10) and pose_at(path, 0.52)[0] == pytest.approx(70)


@pytest.mark.parametrize(
    ("x", "y", "z", "expected"),
    [
        (0, 1, 0, (0, 0, 1)), (1, 1, 0, (-30, 0, 1)), (-1, 1, 0, (30, 0, 1)), (1, -1, 0, (-110, 0, 1)),
        (0, -1, 0, (180, 0, 1)), (0, 0, 1, (0, 90, 1)), (0, 1, 1, (0, 30, 1)), (-1, 1, -1, (30, -30, 1)),
        (-1, 0, 0, (70, 0, 1)),
    ],
)  # fmt: skip
def test_cartesian_rooms(x: float, y: float, z: float, expected: tuple[float, float, float], tmp_path: Path) -> None:
    """BS.2127, section 10: the corners of the room are the loudspeakers of 4+5+0."""
    assert great_circle(polar(x, y, z), expected) < 1e-6 and polar(x, y, z)[2] == pytest.approx(expected[2])
    places = "".join(f'<position coordinate="{name}">{v}</position>' for name, v in zip("XYZ", (x, y, z), strict=True))
    made = foreign(tmp_path / "a.wav", f"<audioBlockFormat><cartesian>1</cartesian>{places}</audioBlockFormat>")
    assert great_circle(read_adm(made).objects[0].pose, expected) < 0.5


def test_distances_labels_and_packed_xml(tmp_path: Path) -> None:
    far = block(extra='<position coordinate="distance">0.5</position>')
    for pack, metres in (
        ('absoluteDistance="8"', 4),
        ("", 0.5),
        ('absoluteDistance="-1"', 0.5),
        ('typeLabel="0003" absoluteDistance="8"', 4),
    ):
        assert read_adm(foreign(tmp_path / "a.wav", far, pack=pack)).objects[0].dist_m == metres
    assert read_adm(foreign(tmp_path / "b.wav", far, chunk=b"bxml")).objects[0].dist_m == 0.5
    with pytest.raises(AdmError, match="no audioObject"):
        read_adm(foreign(tmp_path / "c.wav", far, pack='typeLabel="0001"'))


def test_many_blocks_become_the_keyframes_that_matter(tmp_path: Path) -> None:
    """200 blocks of a program that writes one every 10 ms."""
    every = "".join(
        block(az=min(90, k), times=f'rtime="{time_text(1000 * k)}" duration="{time_text(1000)}"') for k in range(200)
    )
    said: list[str] = []
    thing = read_adm(foreign(tmp_path / "a.wav", every), said).objects[0]
    assert len(thing.motion) == 64 and any("keyframes" in line for line in said)
    for t in np.linspace(0.01, 1, 50):
        assert abs(pose_at(thing.path, t)[0] - min(90, 200 * t - 1)) < 2.5


def test_files_of_version_0_1_are_read(tmp_path: Path) -> None:
    note = json.dumps({"version": "1.0", "layout": "iamf", "objects": {"x": ["kick", 0.2, 0.3]}})
    made = foreign(
        tmp_path / "a.wav", block(), item=f'<description typeLabel="physworld spatial scene">{note}</description>'
    )
    thing = read_adm(made).objects[0]
    assert (thing.track_class, thing.reverb_send, thing.early_reflections) == ("kick", 0.2, 0.3)


def test_a_bed_that_is_left_out_is_said(tmp_path: Path) -> None:
    bed = "</audioObject><audioObject audioObjectID='AO_1002'><audioPackFormatIDRef>AP_00010002</audioPackFormatIDRef>"
    bed += "</audioObject><audioObject audioObjectID='AO_1003' audioObjectName='y'>"
    said: list[str] = []
    assert len(read_adm(foreign(tmp_path / "a.wav", block(), item=bed), said).objects) == 1
    assert len(said) == 1 and "bed is left out" in said[0]


@pytest.mark.parametrize("kind", ["beds", "objects"])
def test_many_elements_take_time_in_proportion(kind: str, tmp_path: Path) -> None:
    """6,000 of them took 20 s of a core, and four times as many 16 times as long."""
    code, channel = ("0001", "") if kind == "beds" else ("0003", f"<{REF}>AC_00031001</{REF}>")
    many = "".join(
        f'</audioObject><audioPackFormat audioPackFormatID="AP_{code}{k}">{channel}</audioPackFormat>'
        f'<audioObject audioObjectID="AO_x{k}"><audioPackFormatIDRef>AP_{code}{k}</audioPackFormatIDRef>'
        for k in range(6000)
    )
    path, start = foreign(tmp_path / "a.wav", block(), item=many), time.process_time()
    if kind == "beds":
        assert len(read_adm(path).objects) == 1
    else:
        with pytest.raises(Invalid, match="at most 32"):
            read_adm(path)
    assert time.process_time() - start < 5


def test_sizes_of_chunks_that_are_not_there_are_one_sentence(tmp_path: Path) -> None:
    """A format chunk that ends early, and a chunk of 2^64 - 1 bytes."""
    (tmp_path / "short.wav").write_bytes(b"RIFF" + struct.pack("<I", 22) + b"WAVEfmt " + struct.pack("<I", 16) + b"\1")
    long = struct.pack("<QQQI", 0, 0, 0, 1) + struct.pack("<4sQ", b"junk", 2**64 - 1)
    chunks = b"ds64" + struct.pack("<I", len(long)) + long + b"junk" + struct.pack("<I", 2**32 - 1) + b"abcd"
    (tmp_path / "long.wav").write_bytes(b"BW64" + struct.pack("<I", 2**32 - 1) + b"WAVE" + chunks)
    for name in ("short.wav", "long.wav"):
        with pytest.raises(AdmError, match=f"{name} is damaged"):
            read_adm(tmp_path / name)
