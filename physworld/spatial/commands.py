"""`physworld validate` and `physworld export`: spatial scenes as people and other programs want them."""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from physworld.errors import UserError, suggest
from physworld.io.atomic import replacing
from physworld.io.compression import BROKEN as DAMAGED
from physworld.io.compression import damage, opened
from physworld.io.images import write_gif, write_png
from physworld.io.placing import placing
from physworld.spatial.export import adm, metadata
from physworld.spatial.export.adm_reading import read_adm
from physworld.spatial.export.binaural import render_binaural
from physworld.spatial.export.levels import HEADROOM, decibels, loudness, programme_loudness
from physworld.spatial.export.pictures import animate, draw_scene
from physworld.spatial.export.stems import read_stems
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.reading import (
    MOST_BYTES,
    Invalid,
    dumps,
    parse_json,
    printable,
    read_payload,
    read_scene,
)
from physworld.spatial.scene.rules import check

# format -> suffix of its file
EXPORTS = {
    "adm": ".adm.wav", "binaural": ".binaural.wav", "ebu": ".ebu.wav", "iamf-json": ".iamf.json",
    "iamf-csv": ".iamf.csv", "png": ".png", "gif": ".gif", "json": ".scene.json",
}  # fmt: skip
HEARD = ("adm", "binaural", "ebu")  # formats that need stems
SILENT = ("png", "gif", "json")  # those that no stem changes
VALID, BROKEN, UNREADABLE = 0, 1, 2  # exit codes of validate


def validate(scene: Path, payload: Path | None, console: Console) -> int:
    """Print every violation with its JSON path; 0 = valid, 1 = not, 2 = a file is no JSON or no payload."""
    try:
        data = _scene(scene, []) if _is_wave(scene) else parse_json(_bytes(scene))
        asked = _payload(payload) if payload is not None else None
    except Invalid as error:
        for violation in error.violations:
            console.print(f"{scene}: {violation}", soft_wrap=True)
        return UNREADABLE
    except UserError as error:  # no word about a scene
        print(error, file=sys.stderr)
        return UNREADABLE
    if isinstance(data, dict) and "stems" in data and "objects" not in data:
        console.print(f"{scene} is a payload and no scene; validate takes SCENE PAYLOAD.", soft_wrap=True)
        return UNREADABLE
    report = check(data, asked)
    for violation in report.violations:
        console.print(str(violation), soft_wrap=True)
    for conflict in report.conflicts:
        console.print(f"{conflict} [cannot hold]", soft_wrap=True)
    count = len(report.violations)
    what = "rules and profile" if asked is not None else "schema and strict profile"
    verdict = f"{scene} keeps {what}." if not count else f"{scene} breaks {what} in {count} place(s)."
    console.print(verdict, soft_wrap=True)
    return BROKEN if count else VALID


def export(options: argparse.Namespace) -> Path:
    """Write one format; returns the file. What lies there and differs (the scene itself, say) is never written over."""
    kind = options.format
    if not Path(options.what).exists():
        raise UserError(f"{options.what} is neither a run nor a scene: there is no such file or folder.")
    if kind not in EXPORTS:
        raise UserError(f"--format {kind} is unknown.{suggest(kind, EXPORTS)} Choose one of {', '.join(EXPORTS)}.")
    if options.layout is not None and kind != "ebu":
        raise UserError(f"--layout is for --format ebu, and this is {kind}; leave it out.")
    if options.stems is not None and kind in SILENT:
        raise UserError(f"--stems is for formats of sound, and {kind} has none; leave it out.")
    if options.seconds is not None and (options.stems is not None or kind not in ("iamf-json", "iamf-csv")):
        raise UserError(
            "--seconds is for --format iamf-json or iamf-csv without --stems, whose length counts; leave it out."
        )
    seconds = 8.0 if options.seconds is None else options.seconds
    if not 0 < seconds <= 3600:
        raise UserError(f"--seconds {seconds:g} must lie between 0 and 3600.")
    path = Path(options.what)
    remarks: list[str] = []
    scene = _scene(path, remarks)
    out = options.out or path.with_name(_bare(path.name) + EXPORTS[kind])
    stems: dict[str, np.ndarray] = {}
    rest: dict[str, np.ndarray] = {}
    rate = 48000
    if kind in HEARD and options.stems is None:
        raise UserError(f"--format {kind} needs --stems DIR, a folder with ID.wav of every object.")
    if options.stems is not None:
        stems, rest, rate = read_stems(options.stems, scene)
        seconds = len(next(iter(stems.values()))) / rate
    with placing(out.parent, "--out") as work:
        made = work / out.name
        if kind == "adm":
            remarks += adm.write_adm(made, scene, stems, rate, rest).remarks()
        elif kind == "binaural":
            heard = render_binaural(scene, stems, rate, rest)
            remarks += _quieter(heard, scene, rate)
            _wav(made, heard, rate)
        elif kind == "ebu":
            remarks += _ebu(made, scene, stems, rate, rest, options.layout or "0+2+0")
        elif kind == "png":
            write_png(made, draw_scene(scene))
        elif kind == "gif":
            write_gif(made, animate(scene), 12)
        else:
            text = {
                "iamf-json": lambda: metadata.as_json(scene, seconds, list(rest), _measured(scene, stems, rate, rest)),
                "iamf-csv": lambda: metadata.as_csv(scene, seconds),
                "json": lambda: dumps(scene) + "\n",
            }[kind]()
            made.write_text(text, encoding="utf-8")
    for remark in remarks:
        print(printable(remark), file=sys.stderr)
    return Path(out)


def _measured(
    scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, rest: dict[str, np.ndarray]
) -> float | None:
    """LUFS of objects and bed; None: there are no stems, or they are silent."""
    if not stems:
        return None
    level = programme_loudness(scene, stems, rate, adm.stereo_bed(rest))
    return round(level, 2) if math.isfinite(level) else None


def _bare(name: str) -> str:
    """`my.mix.scene.json` -> `my.mix`; a name without a known ending keeps all but its last suffix."""
    for ending in (*EXPORTS.values(), ".scene.json.gz", ".scene.json.zst", ".json.gz", ".json.zst", ".json", ".wav"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return Path(name).stem


def _bytes(path: Path) -> bytes:
    """Of a file that may be compressed; no more than shows that it is too long."""
    try:
        with opened(path) as file:
            return file.read(MOST_BYTES + 1)
    except DAMAGED as error:
        raise UserError(f"{path} cannot be read ({damage(error)}).") from None


def _is_wave(path: Path) -> bool:
    return path.suffix.lower() == ".wav"


def _payload(path: Path) -> Payload:
    try:
        return read_payload(_bytes(path))
    except Invalid as error:
        raise UserError(f"{path} is no payload: {error}") from None


def _scene(path: Path, remarks: list[str]) -> SpatialScene:
    try:
        return read_adm(path, remarks) if _is_wave(path) else read_scene(_bytes(path))
    except Invalid as error:
        raise UserError(f"{path} is no scene: {error}") from None


def _quieter(heard: np.ndarray, scene: SpatialScene, rate: int) -> list[str]:
    """What there is to say where the target's loudness would clip."""
    level, target = loudness(heard, rate), scene.bed.loudness_target_lufs
    if not math.isfinite(level) or target - level < 0.05:
        return []
    return [f"its peaks leave room for {level:.1f} LUFS; the scene asks for {target:g}"]


def _wav(path: Path, samples: np.ndarray, rate: int) -> None:
    import soundfile

    with replacing(path) as temporary:
        kind = "FLAC" if path.suffix.lower() == ".flac" else "WAV"
        soundfile.write(temporary, samples, rate, format=kind, subtype="PCM_24")


def _peak(path: Path) -> float:
    import soundfile

    return max(float(np.abs(block).max()) for block in soundfile.blocks(path, blocksize=2**20))


def _ebu(
    out: Path, scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, rest: dict[str, np.ndarray], layout: str
) -> list[str]:
    """The EBU ADM Renderer, where it is installed: it reads our file as any other.

    It cuts off what is beyond full scale; then it renders once more, as much lower as is needed.
    """
    program = shutil.which("ear-render")
    if program is None:
        raise UserError(
            "--format ebu needs the EBU ADM Renderer on the PATH; docs/how_to/spatial.md says how to install it."
        )
    with tempfile.TemporaryDirectory() as folder:
        source, trial = Path(folder) / "scene.wav", Path(folder) / "trial.wav"
        remarks = adm.write_adm(source, scene, stems, rate, rest).remarks()

        def render(target: Path, gain: float) -> str:
            """The renderer's last words, '' where all is well."""
            done = subprocess.run(
                [program, "-s", layout, "--output-gain-db", f"{gain:.4f}", "--fail-on-overload", source, target],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            return (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""

        with replacing(out) as temporary:
            why, lower = render(temporary, 0.0), 0.0
            if "overload" in why:
                # All tracks at their peaks from one loudspeaker are the worst that can come.
                tracks = [np.abs(stems[t.id]).max() * 10 ** (t.gain_db / 20) for t in scene.objects]
                worst = float(sum(tracks) + sum(np.abs(samples).max() for samples in rest.values()))
                margin = decibels(max(worst, 1.0)) + 1
                why = render(trial, -margin)
                if not why:
                    lower = margin + decibels(_peak(trial) / HEADROOM)
                    why = render(temporary, -lower)
            if why:
                raise UserError(f"ear-render refused --layout {layout}: {why}")
    if lower:
        remarks.append(f"the rendered sound is {lower:.2f} dB lower, so that it does not clip")
    return remarks
