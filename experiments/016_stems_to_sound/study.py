"""Ten songs made by code through `physworld mix`, every outlet checked by another program.

python experiments/016_stems_to_sound/study.py OUT [SONGS]     # rows.jsonl in OUT, a line on the screen for each song
python experiments/016_stems_to_sound/table.py OUT             # their table

`ear-render` (the EBU ADM Renderer) must be on the PATH; without it the ADM columns are empty.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT)]

from songs import song  # noqa: E402

from physworld.spatial.scene.reading import read_payload, read_scene  # noqa: E402
from physworld.spatial.scene.rules import check  # noqa: E402
from physworld.spatial.scene.terms import great_circle  # noqa: E402
from physworld.spatial.sound.files import Mono, stem_files  # noqa: E402
from physworld.spatial.sound.iamf import PAIRS, ffmpeg  # noqa: E402
from physworld.spatial.sound.outlets import Options, write  # noqa: E402
from physworld.spatial.sound.panning import AmbisonicPanner, unit  # noqa: E402
from physworld.spatial.sound.render import RATE, Section  # noqa: E402

MIX = [sys.executable, "-m", "physworld", "mix", "--style", "club", "--section", "drop"]
WEIGHED = "FL+FR+FC+LFE+SL+SR+FLC+FRC+TFL+TFR+TFC+TC"  # BS.1770-4's weights in ffmpeg's words: sides 1.41, the rest 1


def metered(path: Path, layout: str | None = None) -> tuple[float, float]:
    """(LUFS, dBTP) by ffmpeg's ebur128."""
    chain = "ebur128=peak=true" if layout is None else f"aformat=channel_layouts={layout},ebur128=peak=true"
    given = [] if layout is None else ["-channel_layout", layout]
    command = [ffmpeg(), "-hide_banner", "-nostats", *given, "-i", str(path), "-af", chain, "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    tail = said[said.rindex("Summary:") :]
    loud = float(re.search(r"I:\s+(-?[\d.]+|-inf) LUFS", tail)[1])
    return loud, float(re.search(r"Peak:\s+(-?[\d.]+|-inf) dBFS", tail)[1])


def decoded(path: Path, channels: int, pairs: list[tuple[int, ...]], work: Path) -> np.ndarray:
    """(n, C) of an .iamf file, by ffmpeg; what its reader leaves out at the end is NaN."""
    command = [ffmpeg(), "-hide_banner", "-loglevel", "quiet", "-y", "-i", str(path)]
    for k in range(len(pairs)):
        command += ["-map", f"0:{k}", "-c:a", "pcm_s24le", "-f", "wav", str(work / f"{k}.wav")]
    subprocess.run(command, check=True)
    parts = [soundfile.read(work / f"{k}.wav", always_2d=True)[0] for k in range(len(pairs))]
    out = np.full((max(map(len, parts)), channels), np.nan)
    for part, places in zip(parts, pairs, strict=True):
        out[: len(part), places] = part
    return out


def bands(samples: np.ndarray) -> np.ndarray:
    """(C, 8) dB in octaves from 62 Hz to 16 kHz."""
    power = np.square(np.abs(np.fft.rfft(np.nan_to_num(samples), axis=0)))
    hertz = np.fft.rfftfreq(len(samples), 1 / 48000)
    edges = 62.5 * 2.0 ** np.arange(9)
    sums = [power[(hertz >= a) & (hertz < b)].sum(axis=0) for a, b in pairwise(edges)]
    return 10 * np.log10(np.array(sums).T + 1e-9)


def main(out: Path, count: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    done = out / "rows.jsonl"
    seen = {json.loads(line)["seed"] for line in done.read_text().splitlines()} if done.exists() else set()
    for seed in range(count):
        if seed in seen:  # a run that was ended goes on
            continue
        stems = int(np.linspace(6, 20, max(count, 2))[seed])
        folder = out / f"song{seed}"
        for begun in out.glob(f"song{seed}*"):
            shutil.rmtree(begun)
        bpm = 84.0 + 8 * seed
        truth = song(folder, stems=stems, seconds=12, seed=seed, bpm=bpm)
        mixed = out / f"song{seed}_mix"
        begin = time.time()
        mix = [*MIX, folder, "--out", mixed, "--target", "iamf,bed,ambisonics,binaural,adm"]
        subprocess.run(mix, check=True, cwd=ROOT, capture_output=True)
        seconds = time.time() - begin
        report = json.loads((mixed / "stems.json").read_text())
        payload, scene = (
            read_payload((mixed / "payload.json").read_bytes()),
            read_scene((mixed / "scene.json").read_bytes()),
        )
        by_file = {Path(one["file"]).stem: one for one in report["stems"]}
        right = [by_file[name]["class"] == t.kind for name, t in truth.items()]
        band = [
            max(by_file[n]["band_energy"], key=by_file[n]["band_energy"].get) == t.band
            for n, t in truth.items()
            if t.band
        ]
        sharp = [by_file[n]["transient"] for n, t in truth.items() if t.percussive]
        other = [meter_of(folder, one["file"]) - one["lufs"] for one in report["stems"]]
        target = scene.bed.loudness_target_lufs
        bed, two = metered(mixed / "mix.bed.wav", WEIGHED), metered(mixed / "mix.binaural.wav")
        render, _ = soundfile.read(mixed / "mix.bed.wav", always_2d=True)
        back = decoded(mixed / "mix.iamf", 12, list(PAIRS["7.1.4"]), out)
        there = ~np.isnan(back[: len(render)])
        opus = out / f"song{seed}.opus"
        subprocess.run(
            [*MIX, folder, "--out", opus, "--codec", "opus"], check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
        coded = decoded(opus / "mix.iamf", 12, list(PAIRS["7.1.4"]), out)
        a, b = bands(render), bands(coded[: len(render)])
        loud = a > a.max() - 60
        valid = subprocess.run(
            [sys.executable, "-m", "sentinel", "validate", mixed / "mix.iamf"], capture_output=True, text=True
        )
        sound_off, rendered_by_ear = ear(mixed / "mix.adm.wav", out)
        turned = directions(folder, scene, out)
        row = {
            "seed": seed, "stems": stems, "seconds": round(seconds, 1), "classes": float(np.mean(right)),
            "bands": float(np.mean(band)), "percussive": float(np.min(sharp)),
            "bpm": report["bpm"], "bpm_true": bpm,
            "stem_lufs_error": float(np.abs(other).max()), "violations": len(check(scene, payload).violations),
            "bed_lu_off": bed[0] - target, "bed_dbtp": bed[1], "binaural_lu_off": two[0] - target,
            "binaural_dbtp": two[1], "flac_wrong": int((back[: len(render)] != render)[there].sum()),
            "flac_missing": int((~there).sum()), "missing_loudest": float(np.abs(render[~there]).max(initial=0)),
            "opus_db": float(np.abs(a - b)[loud].max()), "sentinel": valid.returncode,
            "ambisonic_deg": max(turned, default=None), "ambisonic_objects": len(turned),
            "ear": rendered_by_ear, "ear_lu_off": sound_off,
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        with done.open("a") as file:
            file.write(json.dumps(row) + "\n")


def meter_of(folder: Path, name: str) -> float:
    return metered(folder / name)[0]


def ear(path: Path, work: Path) -> tuple[float | None, int | None]:
    """(LU from the loudness that the file says, channels) of an ADM file as the EBU's renderer plays it on 7.1.4."""
    program = shutil.which("ear-render")
    if program is None:
        return None, None
    said = float(re.search(rb"<integratedLoudness>([-\d.]+)<", path.read_bytes())[1])
    heard = work / "ear.wav"
    subprocess.run([program, "-s", "4+7+0", path, heard], check=True, capture_output=True)
    with soundfile.SoundFile(heard) as file:
        channels = file.channels
    return metered(heard, WEIGHED)[0] - said, channels


def directions(folder: Path, scene, work: Path) -> list[float]:  # type: ignore[no-untyped-def]
    """Degrees between where every object that stands still is and where the energy of its ambisonics file comes from.

    Each one is rendered alone and dry (as wide as it is) into a file of the third order; the file is decoded to 1,000
    even directions by sampling.
    """
    grid = np.arange(1000)
    up, around = np.degrees(np.arcsin(1 - (2 * grid + 1) / 1000)), np.degrees(grid * np.pi * (3 - 5**0.5)) % 360
    degree = np.concatenate([[n] * (2 * n + 1) for n in range(4)])
    back = (2 * degree + 1) * AmbisonicPanner(3).gains(around, up, 0.0)
    found = []
    with tempfile.TemporaryDirectory(dir=work) as spare:
        stems = {one.id: Mono(one, RATE, Path(spare)) for one in stem_files(folder)}
        for thing in (thing for thing in scene.objects if not thing.moves):
            dry = thing.model_copy(update={"reverb_send": 0.0, "early_reflections": 0.0})
            alone = Section(scene=scene.model_copy(update={"objects": [dry]}), start=0, end=2 * RATE)
            path = Path(spare) / "alone.wav"
            write("ambisonics", path, [alone], stems, Options(order=3))
            samples, _ = soundfile.read(path)
            power = np.einsum("dc,ce,de->d", back, samples.T @ samples, back)
            x, y, z = power @ unit(around, up)
            heard = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
            found.append(great_circle(heard, (thing.az_deg, thing.el_deg)))
        for stem in stems.values():
            stem.close()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", metavar="songs", type=int, nargs="?", default=10)
    main(**vars(parser.parse_args()))
