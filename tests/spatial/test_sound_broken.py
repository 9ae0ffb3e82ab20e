"""Forty and more broken inputs of describe and mix: one sentence each, exit code 1, nothing written over or lost."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from physworld.cli import main

Maker = Callable[[Path], list[str]]


def tone(path: Path, rate: int = 48000, channels: int = 1, seconds: float = 0.5, **form: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.1 * np.sin(np.arange(round(seconds * rate)) * 0.1)
    soundfile.write(path, np.stack([sound] * channels, axis=1), rate, **form)


def with_file(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> list[str]:
        (folder / "stems" / name).write_bytes(content)
        return []

    return make


def option(*words: str) -> Maker:
    return lambda folder: list(words)


def document(flag: str, content: str) -> Maker:
    def make(folder: Path) -> list[str]:
        (folder / "given.json").write_text(content)
        return [flag, str(folder / "given.json")]

    return make


def truncated(folder: Path) -> list[str]:
    tone(folder / "stems" / "cut.flac", seconds=3)
    path = folder / "stems" / "cut.flac"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return []


def not_finite(folder: Path) -> list[str]:
    soundfile.write(folder / "stems" / "nan.wav", np.array([0.1, np.nan] * 100), 48000, subtype="FLOAT")
    return []


def many(folder: Path) -> list[str]:
    for n in range(33):
        tone(folder / "stems" / f"{n}.wav", seconds=0.01)
    return []


def wave(**form: object) -> bytes:
    """A WAVE file by hand: 8 bytes of samples."""
    rate, channels, bits = (
        int(form.get(key, value)) for key, value in (("rate", 48000), ("channels", 1), ("bits", 16))
    )  # type: ignore[call-overload]
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    data = bytes(form.get("data", b"\1\0" * 4))  # type: ignore[arg-type]
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def surround(folder: Path) -> list[str]:
    tone(folder / "stems" / "bed.wav", channels=6)
    return []


def emptied(folder: Path) -> list[str]:
    for path in (folder / "stems").iterdir():
        path.unlink()
    return []


def silent(folder: Path) -> list[str]:
    emptied(folder)
    soundfile.write(folder / "stems" / "a.wav", np.zeros(48000), 48000)
    return []


def dangling(folder: Path) -> list[str]:
    (folder / "stems" / "gone.wav").symlink_to(folder / "nowhere.wav")
    return []


def bad_scene(text: str) -> Maker:
    def make(folder: Path) -> list[str]:
        (folder / "out").mkdir()
        (folder / "out" / "scene.json").write_text(text)
        return []

    return make


def bad_payload(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "out" / "payload.json").write_text('{"stems": []}')
    return []


def rendered_already(folder: Path) -> list[str]:
    (folder / "out").mkdir()
    (folder / "out" / "mix.positions.csv").write_text("mine")
    return []


RULE = '[{"type": "anchor", "track_class": "kick", "az_deg": 500, "el_deg": 0, "dist_m": 1}]'
STRANGER = '{"version": "1.0", "bed": {"layout": "iamf", "loudness_target_lufs": -14, "room_preset": "x"}, "objects": [{"id": "who", "class": "kick", "az_deg": 0, "el_deg": 0, "dist_m": 1, "width": 0, "gain_db": 0, "reverb_send": 0, "early_reflections": 0, "motion": []}], "constraints_applied": []}'  # fmt: skip  # noqa: E501
LATE = '[{"section": "verse", "start_s": 0}, {"section": "drop", "start_s": 99}]'
BROKEN: list[tuple[str, Maker, str]] = [
    ("text named wav", with_file("a.wav", b"this is no sound"), "a.wav"),
    ("empty file", with_file("a.wav", b""), "a.wav"),
    ("header alone", with_file("a.wav", wave()[:20]), "a.wav"),
    ("no samples", with_file("a.wav", wave(data=b"")), "a.wav"),
    ("no rate", with_file("a.wav", wave(rate=0)), "a.wav"),
    ("a rate of 100 Hz", with_file("a.wav", wave(rate=100)), "100 Hz"),
    ("no channel", with_file("a.wav", wave(channels=0)), "a.wav"),
    ("noise named flac", with_file("a.flac", bytes(range(256)) * 8), "a.flac"),
    ("noise named aiff", with_file("a.aiff", b"FORM" + bytes(200)), "a.aiff"),
    ("a FLAC cut in two", truncated, "cut.flac"),
    ("NaN", not_finite, "not finite"),
    ("six channels", surround, "6 channels"),
    ("33 stems", many, "32"),
    ("nothing there", emptied, "no stem"),
    ("silence alone", silent, "silence"),
    ("a link to nothing", dangling, "gone.wav"),
    ("style", option("--style", "clb"), "Did you mean club"),
    ("section", option("--section", "dropp"), "Did you mean drop"),
    ("no objects", option("--max-objects", "0"), "between 1 and 32"),
    ("objects in words", option("--max-objects", "many"), "--max-objects"),
    ("target", option("--target", "iaff"), "iamf"),
    ("classes: no file", option("--classes", "nowhere.json"), "nowhere.json"),
    ("classes: no JSON", document("--classes", "{"), "no valid JSON"),
    ("classes: nested deeply", document("--classes", "[" * 100_000), "nested too deeply"),
    ("classes: a list", document("--classes", "[]"), "must be an object"),
    ("classes: unknown", document("--classes", '{"kick.wav": "kik"}'), "kick"),
    ("classes: a list as class", document("--classes", '{"kick.wav": ["kick"]}'), "class"),
    ("classes: no such stem", document("--classes", '{"snare.wav": "snare"}'), "snare.wav"),
    ("rules: no JSON", document("--rules", "NaN"), "--rules"),
    ("rules: a number", document("--rules", "7"), "list of rules"),
    ("rules: out of range", document("--rules", RULE), "az_deg"),
    ("rules: 33", document("--rules", json.dumps([{"type": "mono_low_end", "hz_below": 90}] * 33)), "32"),
    ("sections: not from 0", document("--sections", '[{"section": "verse", "start_s": 1}]'), "begin at 0"),
    ("sections: unknown", document("--sections", '[{"section": "vers", "start_s": 0}]'), "vers"),
    ("sections: beyond the end", document("--sections", LATE), "0.5 s"),
    ("sections: an object", document("--sections", "{}"), "must be a list"),
    ("codec", option("--codec", "mp3"), "flac, opus, pcm"),
    ("order", option("--order", "7"), "1, 2, 3"),
    ("layout", option("--layout", "9.1.6"), "7.1.4"),
    ("fade", option("--fade", "-1"), "between 0 and 60"),
    ("hrtf: no file", option("--hrtf", "nowhere.sofa", "--target", "binaural"), "nowhere.sofa"),
    ("hrtf: no SOFA", document("--hrtf", "{}"), "no SOFA file"),
    ("run", option("--run", "nowhere"), "no run directory"),
    ("a scene that is none", bad_scene("{}"), "no scene"),
    ("a scene of other stems", bad_scene(STRANGER), "who"),
    ("a payload that is none", bad_payload, "no payload"),
    ("rendered already", rendered_already, "is there already"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_inputs_are_one_sentence(
    make: Maker, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tone(tmp_path / "stems" / "kick.wav")
    given = make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    target = [] if "--target" in given else ["--target", "binaural" if "--hrtf" in given else "csv"]
    assert main(["mix", str(tmp_path / "stems"), "--out", str(tmp_path / "out"), *target, *given]) == 1
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1 and said.strip().endswith(".") and words in said
    assert {path: path.read_bytes() for path in before} == before
    assert not list((tmp_path / "out").glob("mix.*.wav"))


def test_a_folder_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["describe", str(tmp_path / "nowhere")]) == 1
    assert "is no folder of stems" in capsys.readouterr().err


def test_describe_writes_over_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tone(tmp_path / "stems" / "kick.wav")
    out = tmp_path / "payload.json"
    assert main(["describe", str(tmp_path / "stems"), "--out", str(out)]) == 0
    assert main(["describe", str(tmp_path / "stems"), "--out", str(out)]) == 0  # the same again
    assert main(["describe", str(tmp_path / "stems"), "--out", str(out), "--style", "jazz"]) == 1
    assert "is there already" in capsys.readouterr().err and '"style": "pop"' in out.read_text()
