"""`physworld validate` and `physworld export`: spatial scenes as people and other programs want them."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from physworld.errors import UserError, suggest
from physworld.io.atomic import replacing
from physworld.io.images import write_gif, write_png
from physworld.io.placing import placing
from physworld.spatial.export import adm, metadata
from physworld.spatial.export.binaural import render_binaural
from physworld.spatial.export.pictures import animate, draw_scene
from physworld.spatial.export.stems import StemError, read_stems
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.reading import (
    Invalid,
    dumps,
    parse_json,
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
VALID, BROKEN, UNREADABLE = 0, 1, 2  # exit codes of validate


def validate(scene: Path, payload: Path | None, console: Console) -> int:
    """Print every violation with its JSON path; 0 = valid, 1 = not, 2 = a file is no JSON or no payload."""
    try:
        data = parse_json(_bytes(scene))
        asked = _payload(payload) if payload is not None else None
    except Invalid as error:
        for violation in error.violations:
            console.print(f"{scene}: {violation}", soft_wrap=True)
        return UNREADABLE
    except UserError as error:
        console.print(str(error), soft_wrap=True)
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
    if not 0 < options.seconds <= 3600:
        raise UserError(f"--seconds {options.seconds:g} must lie between 0 and 3600.")
    path = Path(options.what)
    scene = _scene(path)
    out = options.out or path.with_name(path.name.partition(".")[0] + EXPORTS[kind])
    stems: dict[str, np.ndarray] = {}
    rest: dict[str, np.ndarray] = {}
    rate, seconds = 48000, options.seconds
    if kind in HEARD and options.stems is None:
        raise UserError(f"--format {kind} needs --stems DIR, a folder with ID.wav of every object.")
    if options.stems is not None:
        try:
            stems, rest, rate = read_stems(options.stems, scene)
        except StemError as error:
            raise UserError(str(error)) from None
        seconds = len(next(iter(stems.values()))) / rate
    with placing(out.parent, "--out") as work:
        made = work / out.name
        if kind == "adm":
            _adm(made, scene, stems, rate, rest)
        elif kind == "binaural":
            _wav(made, render_binaural(scene, stems, rate), rate)
        elif kind == "ebu":
            _ebu(made, scene, stems, rate, rest, options.layout)
        elif kind == "png":
            write_png(made, draw_scene(scene))
        elif kind == "gif":
            write_gif(made, animate(scene), 12)
        else:
            text = {
                "iamf-json": lambda: metadata.as_json(scene, seconds),
                "iamf-csv": lambda: metadata.as_csv(scene, seconds),
                "json": lambda: dumps(scene) + "\n",
            }[kind]()
            made.write_text(text, encoding="utf-8")
    return Path(out)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None


def _payload(path: Path) -> Payload:
    try:
        return read_payload(_bytes(path))
    except Invalid as error:
        raise UserError(f"{path} is no payload: {error}") from None


def _scene(path: Path) -> SpatialScene:
    try:
        return adm.read_adm(path) if path.suffix.lower() == ".wav" else read_scene(_bytes(path))
    except Invalid as error:
        raise UserError(f"{path} is no scene: {error}") from None
    except adm.AdmError as error:
        raise UserError(str(error)) from None


def _adm(out: Path, scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, rest: dict[str, np.ndarray]) -> None:
    try:
        adm.write_adm(out, scene, stems, rate, rest)
    except adm.AdmError as error:
        raise UserError(str(error)) from None


def _wav(path: Path, samples: np.ndarray, rate: int) -> None:
    import soundfile

    with replacing(path) as temporary:
        soundfile.write(temporary, samples, rate, subtype="PCM_24")


def _ebu(
    out: Path, scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, rest: dict[str, np.ndarray], layout: str
) -> None:
    """The EBU ADM Renderer, where it is installed: it reads our file as any other."""
    program = shutil.which("ear-render")
    if program is None:
        raise UserError(
            "--format ebu needs the EBU ADM Renderer on the PATH; docs/how_to/spatial.md says how to install it."
        )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "scene.wav"
        _adm(source, scene, stems, rate, rest)
        with replacing(out) as temporary:
            done = subprocess.run(
                [program, "-s", layout, str(source), str(temporary)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise UserError(f"ear-render refused --layout {layout}: {last}")
