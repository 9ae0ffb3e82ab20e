"""Stems in, sound out: known signals give known numbers, known places give known channels, and loudness is met."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from songs import lone

from physworld.errors import UserError
from physworld.spatial.export.levels import loudness
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.terms import CLASSES, great_circle, pose_at
from physworld.spatial.sound.classes import from_name
from physworld.spatial.sound.features import measure, onset_strength, tempo
from physworld.spatial.sound.files import Mono, StemFile, ids_of, stem_files
from physworld.spatial.sound.finish import Take
from physworld.spatial.sound.headphones import Binaural, Measured, Sphere
from physworld.spatial.sound.meters import LoudnessMeter, TruePeakMeter, decibels, true_peaks
from physworld.spatial.sound.panning import LAYOUTS, AmbisonicPanner, SpeakerPanner, decoder, unit
from physworld.spatial.sound.render import BLOCK, RATE, Channels, Section, rendered


def stem(path: Path, samples: np.ndarray, rate: int = RATE, **form: str) -> StemFile:
    soundfile.write(path, samples, rate, **form)
    return next(file for file in stem_files(path.parent) if file.path == path)


def sine(hertz: float, peak: float, seconds: float = 4.0, rate: int = RATE) -> np.ndarray:
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


class Array:
    """A stem in memory."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples, self.frames = samples.astype(np.float32), len(samples)

    def read(self, start: int, count: int) -> np.ndarray:
        out = np.zeros(count, np.float32)
        part = self.samples[start : start + count]
        out[: len(part)] = part
        return out


def heard(scenes: list[SpatialScene], samples: np.ndarray, voice, fade: float = 0.0) -> np.ndarray:  # type: ignore[no-untyped-def]
    count = len(samples)
    borders = [round(k * count / len(scenes)) for k in range(len(scenes) + 1)]
    sections = [Section(scene=s, start=a, end=b) for s, a, b in zip(scenes, borders, borders[1:], strict=False)]
    return np.concatenate(list(rendered(sections, {"a": Array(samples)}, voice, fade=fade)))


# --- what is measured of a stem


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate", "channels", "lufs"),
    [
        (".wav", "PCM_24", 48000, 2, -23.0),  # EBU Tech 3341, case 1
        (".flac", "PCM_16", 44100, 1, -26.01),  # one channel of it is 3.01 LU less
        (".aiff", "PCM_16", 96000, 2, -23.0),
        (".wav", "FLOAT", 22050, 1, -26.01),
        (".wav", "PCM_U8", 48000, 2, -23.0),
    ],
)
def test_a_sine_has_the_loudness_of_the_standard(
    suffix: str, subtype: str, rate: int, channels: int, lufs: float, tmp_path: Path
) -> None:
    tone = sine(1000, 10 ** (-23 / 20), 5.0, rate)
    file = stem(tmp_path / f"tone{suffix}", np.stack([tone] * channels, axis=1), rate, subtype=subtype)
    found = measure(file)
    assert found.lufs == pytest.approx(lufs, abs=0.1)
    assert found.peak == pytest.approx(10 ** (-23 / 20), abs=0.01)
    assert found.transient < 0.02 and found.bands == pytest.approx((0, 1, 0), abs=0.01)


@pytest.mark.parametrize(("hertz", "band"), [(80, 0), (150, 0), (400, 1), (3000, 1), (6000, 2), (12000, 2)])
def test_bands_are_where_a_sine_is(hertz: float, band: int, tmp_path: Path) -> None:
    assert measure(stem(tmp_path / "a.wav", sine(hertz, 0.5))).bands[band] > 0.99


def test_white_noise_shares_its_energy_by_width(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8 * RATE)
    found = measure(stem(tmp_path / "a.wav", noise, subtype="FLOAT"))
    assert found.bands == pytest.approx((200 / 24000, 3800 / 24000, 20000 / 24000), abs=0.005)
    assert found.transient < 0.1


@pytest.mark.parametrize("count", [1, 300, 5000, 28 * RATE // 10])
@pytest.mark.parametrize("end", ["first", "last"])
def test_bands_hear_a_file_s_first_and_last_sample(count: int, end: str, tmp_path: Path) -> None:
    """A click is white wherever it is: a short kick begins with its attack."""
    click = np.zeros(count)
    click[0 if end == "first" else -1] = 0.5
    found = measure(stem(tmp_path / "a.wav", click, subtype="FLOAT"))
    assert found.bands == pytest.approx((200 / 24000, 3800 / 24000, 20000 / 24000), abs=0.01)


def test_onsets_clicks_are_one_and_a_swell_is_in_between(tmp_path: Path) -> None:
    clicks = np.zeros(8 * RATE)
    clicks[:: RATE // 2] = 0.9
    assert measure(stem(tmp_path / "clicks.wav", clicks)).transient == pytest.approx(1, abs=0.01)
    step = np.concatenate([np.full(50, 1.0), np.full(50, 10**0.6)] * 4)  # 6 dB up once a second
    assert onset_strength(step) == pytest.approx(6 / 24, abs=0.01)


@pytest.mark.parametrize("bpm", [62.0, 97.5, 120.0, 174.0])
def test_tempo_of_a_beat(bpm: float) -> None:
    onsets = np.zeros(3000)
    onsets[np.round(np.arange(0.5, 29, 60 / bpm) * 100).astype(int)] = 1
    found = tempo(onsets)
    assert found is not None and min(abs(found * k / bpm - 1) for k in (0.5, 1, 2)) < 0.01


def test_what_is_wrong_with_a_file_is_counted(tmp_path: Path) -> None:
    tone = np.clip(sine(100, 2.0, 1.0), -1, 1)  # 100 periods, clipped above and below
    found = measure(stem(tmp_path / "a.wav", tone, subtype="FLOAT"))
    assert found.clipped == 200
    found = measure(stem(tmp_path / "b.wav", sine(1000, 0.2) + 0.1, subtype="FLOAT"))
    assert found.offset == pytest.approx(0.1, abs=1e-4) and found.clipped == 0
    out = sine(1000, 0.2)
    assert measure(stem(tmp_path / "c.wav", np.stack([out, -0.9 * out], axis=1))).lost > 20
    assert measure(stem(tmp_path / "d.wav", np.zeros(RATE))).silent


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("01 Lead Vox (dry)", "lead_vocal"), ("BGV_L", "back_vocal"), ("Kick In", "kick"), ("kick_01", "kick"),
        ("SN top", "snare"), ("Bass Gtr DI", "bass"), ("808", "bass"), ("EGtr-L", "guitar"), ("WarmPad", "pad"),
        ("Strings Hi", "strings"), ("HiHat", "hihat"), ("OH L", "drums_bus"), ("Synth Lead", "synth_lead"),
        ("VO", "dialogue"), ("Rain", "ambience"), ("FX Riser", "fx"), ("Grand Piano", "piano"), ("Horns", "brass"),
        ("Bass Drum", "kick"), ("BassDrum In", "kick"), ("Bass Guitar", "bass"), ("Synth Bass", "bass"),
        ("track 7", None), ("Audio 12", None),
    ],
)  # fmt: skip
def test_classes_from_names(name: str, kind: str | None) -> None:
    assert from_name(name) == kind


def test_every_class_is_said_by_its_own_name() -> None:
    assert [from_name(kind) for kind in CLASSES] == list(CLASSES)


def test_ids_are_different_and_fit_a_payload() -> None:
    names = ["Lead Vox (dry)", "Lead Vox [dry]", "säng", "...", "a" * 40, "a" * 41, "LEAD VOX (DRY)"]
    found = ids_of(names)
    assert len({one.lower() for one in found}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,16}", one) for one in found) and found[0] == "Lead_Vox_dry"


# --- meters


def test_meters_agree_with_the_whole_and_with_any_cut_into_blocks() -> None:
    rng = np.random.default_rng(0)
    sound = (0.2 * rng.standard_normal((3 * RATE, 2)) * np.linspace(0, 1, 3 * RATE)[:, None]).astype(np.float32)
    for size in (len(sound), 4801, 1000):
        meter, peak = LoudnessMeter(np.ones(2), RATE), TruePeakMeter()
        for start in range(0, len(sound), size):
            meter.add(sound[start : start + size])
            peak.add(sound[start : start + size])
        assert meter.loudness() == pytest.approx(loudness(sound, RATE), abs=0.02)
        assert peak.peak == pytest.approx(float(true_peaks(sound).max()), abs=1e-4)


def test_true_peak_lies_between_the_samples() -> None:
    """A quarter of the rate, 45 degrees off: samples reach 0.707 of the sine."""
    at = np.arange(9600)
    sound = np.sin(2 * np.pi * at / 4 + np.pi / 4)[:, None] * np.hanning(9600)[:, None]
    assert np.abs(sound).max() < 0.71 and decibels(float(true_peaks(sound).max())) == pytest.approx(0, abs=0.05)


# --- places


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_loudspeakers_get_their_own_directions_and_power_is_kept(layout: str) -> None:
    panner = SpeakerPanner(layout)
    for k, speaker in enumerate(panner.speakers):
        if speaker.name != "LFE":
            assert panner.gains(np.array([speaker.az]), np.array([speaker.el]), 0.0)[0] == pytest.approx(
                np.eye(panner.channels)[k], abs=1e-6
            )
    rng = np.random.default_rng(0)
    az, el = rng.uniform(-180, 180, 500), rng.uniform(-45, 90, 500)
    for width in (0.0, 0.3, 1.0):
        gains = panner.gains(az, el, width)
        assert np.square(gains).sum(axis=1) == pytest.approx(1, abs=1e-6) and gains.min() >= 0
        assert gains[:, 3].max() == 0  # the LFE
        mirrored = panner.gains(-az, el, width)
        swap = [[s.name for s in panner.speakers].index(_other(s.name)) for s in panner.speakers]
        assert mirrored[:, swap] == pytest.approx(gains, abs=1e-6)


def _other(name: str) -> str:
    swapped = name[:-1] + {"L": "R", "R": "L"}.get(name[-1], name[-1])
    return name if name == "FC" or name == "LFE" else swapped


@pytest.mark.parametrize("order", [1, 2, 3])
def test_ambisonics_point_where_the_object_is(order: int) -> None:
    """SN3D: every degree has power 1; the energy vector of 1000 even samples is the direction, within 3°."""
    rng = np.random.default_rng(order)
    az, el = rng.uniform(-180, 180, 100), np.degrees(np.arcsin(rng.uniform(-0.7, 1, 100)))
    coded = AmbisonicPanner(order).gains(az, el, 0.0)
    for degree in range(order + 1):
        assert np.square(coded[:, degree**2 : (degree + 1) ** 2]).sum(axis=1) == pytest.approx(1, abs=1e-9)
    n = np.arange(1000)
    grid = np.degrees(n * np.pi * (3 - 5**0.5)) % 360, np.degrees(np.arcsin(1 - (2 * n + 1) / 1000))
    degrees = np.concatenate([[k] * (2 * k + 1) for k in range(order + 1)])
    sampled = coded * (2 * degrees + 1) @ AmbisonicPanner(order).gains(*grid, 0.0).T
    vector = np.square(sampled) @ unit(*grid)
    cosine = (vector * unit(az, el)).sum(axis=1) / np.linalg.norm(vector, axis=1)
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 3
    power = np.square(coded @ decoder(order).T).sum(axis=1)
    assert power.mean() == pytest.approx(1, abs=0.15)  # of a plane wave, over all directions 1


def test_first_order_has_its_channels_in_ambix_order() -> None:
    left = AmbisonicPanner(1).gains(np.array([90.0]), np.array([0.0]), 0.0)[0]
    up = AmbisonicPanner(1).gains(np.array([0.0]), np.array([90.0]), 0.0)[0]
    assert left == pytest.approx([1, 1, 0, 0], abs=1e-9) and up == pytest.approx([1, 0, 1, 0], abs=1e-9)  # W Y Z X


# --- rendering


@pytest.mark.parametrize("voice", [Channels(SpeakerPanner("7.1.4")), Channels(AmbisonicPanner(2))])
def test_a_dry_object_is_its_samples_times_its_gains(voice: Channels) -> None:
    sound = np.random.default_rng(0).standard_normal(BLOCK + 5000) * 0.1
    found = heard([lone(40, 20, dist_m=2.0, gain_db=6.0)], sound, voice)
    gains = voice.panner.gains(np.array([40.0]), np.array([20.0]), 0.0)[0]
    expected = sound[:, None] * gains * 10 ** (6 / 20) / 2
    assert np.abs(found[: len(sound)] - expected).max() < 1e-6 and np.abs(found[len(sound) :]).max() < 1e-6


def test_a_moving_object_is_where_its_path_is() -> None:
    """Across the border of two blocks, and the shorter way round."""
    motion = [
        {"t": 0.0, "az_deg": 90, "el_deg": 0, "dist_m": 1.0},
        {"t": 1.0, "az_deg": -130, "el_deg": 30, "dist_m": 2.0},
    ]
    scene = SpatialScene.model_validate({**lone(90).model_dump(by_alias=True), "objects": [
        {**lone(90).objects[0].model_dump(by_alias=True), "motion": motion}]})  # fmt: skip
    count = BLOCK + 40_000
    panner = AmbisonicPanner(1)
    found = heard([scene], np.ones(count), Channels(panner))
    for at in (0, 4800, BLOCK - 480, BLOCK, count - 480):
        az, el, dist = pose_at(scene.objects[0].path, at / count)
        assert found[at] == pytest.approx(panner.gains(np.array([az]), np.array([el]), 0.0)[0] / dist, abs=2e-3)


@pytest.mark.parametrize("voice", [Channels(SpeakerPanner("7.1.4")), Binaural(Sphere())])
def test_sections_that_say_the_same_sound_like_one(voice) -> None:  # type: ignore[no-untyped-def]
    """The ramps of a cross-fade add up to 1, with the room's tail, too."""
    scene = lone(40, 10, reverb_send=0.3, early_reflections=0.2, width=0.4)
    sound = np.random.default_rng(0).standard_normal(BLOCK + 9000) * 0.1
    one, three = heard([scene], sound, voice), heard([scene] * 3, sound, voice, fade=0.5)
    assert np.abs(one - three).max() < 2e-6


def test_a_cross_fade_goes_from_one_place_to_the_other() -> None:
    panner = SpeakerPanner("7.1.4")
    found = heard([lone(90), lone(-90)], np.ones(4 * RATE), Channels(panner), fade=1.0)
    left, right = found[:, 4], found[:, 5]
    assert left[RATE] == pytest.approx(1, abs=1e-5) and right[RATE] == pytest.approx(0, abs=1e-5)
    assert left[2 * RATE] == pytest.approx(0.5, abs=1e-3) and right[3 * RATE] == pytest.approx(1, abs=1e-5)


def test_binaural_hears_the_near_ear_first_and_louder() -> None:
    click = np.zeros(9600)
    click[2000] = 1.0
    found = heard([lone(90)], click, Binaural(Sphere()))
    left, right = np.abs(found[:, 0]), np.abs(found[:, 1])
    assert 25 <= right.argmax() - left.argmax() <= 40  # Woodworth: 0.66 ms, 31 samples
    assert left.max() > 1.5 * right.max()


def test_measured_ears_are_the_files(tmp_path: Path) -> None:
    """A SOFA file of three directions: what is rendered is the response of the nearest one."""
    h5py = pytest.importorskip("h5py")
    sounds = np.random.default_rng(0).standard_normal((3, 2, 64))
    with h5py.File(tmp_path / "ears.sofa", "w") as file:
        file.attrs["SOFAConventions"] = "SimpleFreeFieldHRIR"
        file["Data.IR"], file["Data.SamplingRate"] = sounds, [48000.0]
        file["SourcePosition"], file["Data.Delay"] = [[0, 0, 1.2], [90, 0, 1.2], [270, 0, 1.2]], [[0, 3]]
        file["SourcePosition"].attrs["Type"] = "spherical"
    click = np.zeros(4800)
    click[1000] = 1.0
    for az, row in ((10, 0), (80, 1), (-100, 2)):
        found = heard([lone(az)], click, Binaural(Measured(tmp_path / "ears.sofa")))
        assert found[1000:1064, 0] == pytest.approx(sounds[row, 0], abs=1e-5)
        assert found[1003:1067, 1] == pytest.approx(sounds[row, 1], abs=1e-5)


@pytest.mark.parametrize("how", ["external", "virtual", "link", "large"])
def test_ears_that_lie_in_other_files_or_are_too_large_are_refused(how: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(2 * 8 * 4))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["Data.IR"] = np.zeros((1, 2, 8))
    with h5py.File(tmp_path / "ears.sofa", "w") as file:
        shape = (10**10, 2, 1024) if how == "large" else (1, 2, 8)
        if how == "external":
            file.create_dataset("Data.IR", shape, "f4", external=[(str(tmp_path / "secret"), 0, 64)])
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, "f8")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "Data.IR", shape)
            file.create_virtual_dataset("Data.IR", layout)
        elif how == "link":
            file["Data.IR"] = h5py.ExternalLink(tmp_path / "other.h5", "Data.IR")
        else:
            file.create_dataset("Data.IR", shape, "f4", chunks=(1, 2, 1024))
        file["SourcePosition"], file["Data.SamplingRate"] = np.zeros((1, 3)), [48000.0]
    with pytest.raises(UserError, match="is a link" if how == "link" else "lies in this file|at most 134,217,728 are"):
        Measured(tmp_path / "ears.sofa")


def test_ears_with_delays_of_another_number_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "ears.sofa", "w") as file:
        file["Data.IR"], file["Data.SamplingRate"] = np.zeros((4, 2, 8)), [48000.0]
        file["SourcePosition"], file["Data.Delay"] = np.zeros((4, 3)), np.zeros((3, 2))
    with pytest.raises(UserError, match="4 responses, and delays of another number"):
        Measured(tmp_path / "ears.sofa")


# --- loudness and peaks


@pytest.mark.parametrize(("crest", "target"), [(0.25, -14.0), (40.0, -14.0), (8.0, -10.0)])
def test_loudness_is_met_below_the_true_peak(crest: float, target: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    sound = rng.standard_normal((6 * RATE, 2)) * 0.05
    sound[:: RATE // 3] *= crest * 4  # clicks that leave no room without a limiter
    blocks = [sound[start : start + 50_000].astype(np.float32) for start in range(0, len(sound), 50_000)]
    take = Take(blocks, tmp_path / "raw", np.ones(2))
    made = np.concatenate(list(take.finished(target)))
    assert loudness(made, RATE) == pytest.approx(target, abs=0.5)
    assert decibels(float(true_peaks(made).max())) <= -1.0
    assert take.report.lufs == pytest.approx(loudness(made, RATE), abs=0.02)
    assert (take.report.limited > 0.1) == (crest > 1)


@pytest.mark.parametrize("channels", [2, 16])
def test_a_lone_click_is_not_turned_up_without_end(channels: int, tmp_path: Path) -> None:
    """A limiter takes away whatever a click gains, so no gain brings it to its loudness."""
    rng = np.random.default_rng(0)
    sound = np.zeros((28800, channels), np.float32)
    sound[0] = 0.5 * rng.uniform(0.2, 1, channels)
    sound[1:] = 1e-3 * rng.standard_normal((28799, channels)) * 10 ** (-3 * np.arange(28799) / 28799)[:, None]
    take = Take([sound], tmp_path / "raw", np.ones(channels))
    out = np.concatenate(list(take.finished(-14.0)))
    assert take.report.gain <= 24.001 and take.report.true_peak <= -1
    assert true_peaks(out).max() <= 10 ** (-1 / 20)


def test_stems_of_another_rate_keep_their_pitch(tmp_path: Path) -> None:
    file = stem(tmp_path / "a.wav", sine(1000, 0.5, 1.0, 44100), 44100)
    mono = Mono(file, RATE, tmp_path)
    found = mono.read(0, RATE)
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    assert spectrum.argmax() == 1000 and np.abs(found).max() == pytest.approx(0.5, abs=0.01)
    assert math.isclose(mono.frames, RATE, abs_tol=1)
    assert great_circle((0, 0), (90, 0)) == pytest.approx(90)
