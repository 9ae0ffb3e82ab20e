"""Ten songs made by code through `physworld mix`, every outlet checked by another program.

python experiments/014_stems_to_sound/study.py OUT [SONGS]     # rows.jsonl in OUT, a summary on the screen
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT)]

from songs import song  # noqa: E402

from physworld.spatial.scene.reading import read_payload, read_scene  # noqa: E402
from physworld.spatial.scene.rules import check  # noqa: E402
from physworld.spatial.scene.terms import great_circle  # noqa: E402
from physworld.spatial.sound.iamf import PAIRS, ffmpeg  # noqa: E402
from physworld.spatial.sound.panning import AmbisonicPanner, decoder, unit, LAYOUTS  # noqa: E402

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
    sums = [power[(hertz >= a) & (hertz < b)].sum(axis=0) for a, b in zip(edges, edges[1:], strict=False)]
    return 10 * np.log10(np.array(sums).T + 1e-9)


def main(out: Path, count: int) -> None:
    rows = []
    for seed in range(count):
        stems = int(np.linspace(6, 20, max(count, 2))[seed])
        folder = out / f"song{seed}"
        bpm = 84.0 + 8 * seed
        truth = song(folder, stems=stems, seconds=12, seed=seed, bpm=bpm)
        mixed = out / f"song{seed}_mix"
        begin = time.time()
        subprocess.run(
            [sys.executable, "-m", "physworld", "mix", folder, "--out", mixed, "--style", "club", "--section", "drop"]
            + ["--target", "iamf,bed,ambisonics,binaural,adm"], check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
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
            [sys.executable, "-m", "physworld", "mix", folder, "--out", opus, "--style", "club", "--section", "drop"]
            + ["--codec", "opus"], check=True, cwd=ROOT, capture_output=True,
        )  # fmt: skip
        coded = decoded(opus / "mix.iamf", 12, list(PAIRS["7.1.4"]), out)
        a, b = bands(render), bands(coded[: len(render)])
        loud = a > a.max() - 60
        valid = subprocess.run(
            [sys.executable, "-m", "sentinel", "validate", mixed / "mix.iamf"], capture_output=True, text=True
        )
        rows.append(
            {
                "seed": seed, "stems": stems, "seconds": round(seconds, 1), "classes": float(np.mean(right)),
                "bands": float(np.mean(band)), "percussive": float(np.min(sharp)), "bpm": report["bpm"], "bpm_true": bpm,
                "stem_lufs_error": float(np.abs(other).max()), "violations": len(check(scene, payload).violations),
                "bed_lu_off": bed[0] - target, "bed_dbtp": bed[1], "binaural_lu_off": two[0] - target,
                "binaural_dbtp": two[1], "flac_wrong": int((back[: len(render)] != render)[there].sum()),
                "flac_missing": int((~there).sum()), "missing_loudest": float(np.abs(render[~there]).max(initial=0)),
                "opus_db": float(np.abs(a - b)[loud].max()), "sentinel": valid.returncode,
                "ambisonic_deg": directions(3), "first_order_deg": directions(1),
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    (out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def meter_of(folder: Path, name: str) -> float:
    return metered(folder / name)[0]


def directions(order: int) -> float:
    """Largest angle between a direction and the energy vector of its encoding, sampled back at 400 even directions."""
    rng = np.random.default_rng(0)
    az, el = rng.uniform(-180, 180, 200), np.degrees(np.arcsin(rng.uniform(-0.7, 1, 200)))
    encoded = AmbisonicPanner(order).gains(az, el, 0.0)
    grid = np.arange(1000)
    up, around = np.degrees(np.arcsin(1 - (2 * grid + 1) / 1000)), np.degrees(grid * np.pi * (3 - 5**0.5)) % 360
    degree = np.concatenate([[n] * (2 * n + 1) for n in range(order + 1)])
    heard = encoded * (2 * degree + 1) @ AmbisonicPanner(order).gains(around, up, 0.0).T
    vector = np.square(heard) @ unit(around, up)
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    cosine = np.clip((vector * unit(az, el)).sum(axis=1), -1, 1)
    return float(np.degrees(np.arccos(cosine)).max())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10)
