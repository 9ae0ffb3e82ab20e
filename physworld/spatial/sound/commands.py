"""`physworld describe`, `mix` and `listen`: from stems to a payload, a scene, sound, and what people prefer."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from physworld.errors import UserError
from physworld.io.placing import placing
from physworld.reporting.progress import bar
from physworld.runs.directory import find_run
from physworld.spatial.export.binaural import DECAY
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import printable
from physworld.spatial.scene.terms import FORMATS
from physworld.spatial.sound.describe import Description, describe, payload_text
from physworld.spatial.sound.files import stem_files
from physworld.spatial.sound.listening import make_test, read_choices, tally
from physworld.spatial.sound.mix import Part, Song, predicted, read_sections, render, save_text, scene_text, watch
from physworld.spatial.sound.outlets import Options, checked
from physworld.spatial.sound.render import RATE

ASKED = {"binaural": "binaural", "adm": "7.1.4"}  # outlet -> the payload's format; of a bed its layout, else iamf


def run_describe(options: argparse.Namespace, console: Console) -> Path:
    """Measure, print a table, write payload.json (or --out) and, beside it, what was measured."""
    out: Path = options.out or _beside(options.stems, "payload.json")
    described = _described(options, options.target, console)
    _table(described, console)
    with placing(out.parent, "--out") as work:
        (work / out.name).write_text(payload_text(described.payload), encoding="utf-8")
        report = json.dumps(described.report(), indent=2) + "\n"
        (work / f"{out.name.removesuffix('.json')}.stems.json").write_text(report, encoding="utf-8")
    return out


def run_mix(options: argparse.Namespace, console: Console) -> Path:
    """Describe, predict, repair, render; returns the folder."""
    kinds = checked([kind for said in options.target or ["iamf"] for kind in said.split(",")])
    given = {name: getattr(options, name) for name in ("codec", "order", "layout", "hrtf", "fade")}
    chosen = Options(**{name: value for name, value in given.items() if value is not None})
    _refuse_idle(options, kinds)
    if options.run is not None:  # before minutes are spent
        find_run(options.run, "--run")
    out: Path = options.out or _beside(options.stems, "mix")
    asked = chosen.layout if kinds[0] == "bed" else ASKED.get(kinds[0], "iamf")
    described = _described(options, asked, console)
    whole = Part(name=options.section, start=0.0, end=described.seconds)
    parts = [whole] if options.sections is None else read_sections(options.sections, described.seconds)
    for line in described.remarks:
        console.print(line, soft_wrap=True)

    def say(line: str) -> None:
        console.print(printable(line), soft_wrap=True)

    with tempfile.TemporaryDirectory() as work:
        song = Song(out, described, parts, Path(work))
        first = _scenes(song, options, say)[0]
        chosen = replace(chosen, bpm=first.overall.bpm)  # of a payload that was edited, too
        tail = max(DECAY.values()) * RATE
        heard = [kind for kind in kinds if kind not in ("adm", "rpp", "csv")]

        def render_all(again: bool) -> None:
            with bar("Rendering", max(1, len(heard) * round((song.samples() + tail) / RATE)), console) as advance:
                render(
                    song,
                    kinds,
                    chosen,
                    again=again,
                    progress=lambda count: advance(round(count / RATE)),
                    say=say,
                )

        render_all(bool(options.watch))
        if options.watch:
            watch([song.scene_file(k) for k in range(len(parts))], lambda: render_all(True), say)
        song.close()
    return out


def run_listen(options: argparse.Namespace, console: Console) -> Path | None:
    """Make a listening test of two sets of mixes; or, with --answers, count what people chose in one."""
    if options.answers:
        for name in ("out", "repeats"):
            if getattr(options, name) is not None:
                raise UserError(f"--{name} has no effect with --answers; leave it out.")
        if len(options.folders) != 1:
            raise UserError("physworld listen TEST --answers FILES takes one folder, that of the test.")
        sets, choices = read_choices(options.folders[0] / "key.json", options.answers)
        for line in tally(sets, choices):
            console.print(printable(line), soft_wrap=True)
        return None
    if len(options.folders) != 2:
        raise UserError("physworld listen takes two folders of mixes to compare; see physworld listen --help.")
    out: Path = options.out or Path("listening_test")
    first, second = options.folders
    for remark in make_test(first, second, out, repeats=1 if options.repeats is None else options.repeats):
        console.print(printable(remark), soft_wrap=True)
    return out / "index.html"


def _refuse_idle(options: argparse.Namespace, kinds: Sequence[str]) -> None:
    """Raises: UserError: an option is given that none of these outlets reads."""
    beds = ("bed", "iamf") if options.order is None else ("bed",)  # with an order .iamf holds ambisonics
    readers = {"codec": ("iamf",), "order": ("iamf", "ambisonics"), "layout": beds, "hrtf": ("binaural",)}
    needs = {name: f"--target {' or '.join(some)}" for name, some in readers.items() if not set(some) & set(kinds)}
    if options.sections is None:
        needs["fade"] = "--sections FILE"
    if options.run is None:
        needs["mode"] = "--run RUN"
    for name, what in needs.items():
        if getattr(options, name) is not None:
            raise UserError(f"--{name} has no effect without {what}; leave it out.")


def _scenes(song: Song, options: argparse.Namespace, say) -> list[Payload]:  # type: ignore[no-untyped-def]
    """Payloads and scenes into the song's folder, what lies there taken as it stands; returns the payloads."""
    song.out.mkdir(parents=True, exist_ok=True)
    asked, kept = song.payloads()
    for edited in kept:
        say(f"{edited} is taken as it stands; delete it to make it anew.")
    there = [song.scene_file(k) for k in range(len(asked)) if song.scene_file(k).exists()]
    missing = [k for k in range(len(asked)) if not song.scene_file(k).exists()]
    for path in there:
        say(f"{path} is taken as it stands; delete it to make it anew.")
    answers = predicted([asked[k] for k in missing], options.run, options.mode or "raw")
    save_text(song.out / "stems.json", json.dumps(song.described.report(), indent=2) + "\n")
    for k, (said, scene, remarks) in zip(missing, answers, strict=True):
        if not song.payload_file(k).exists():
            save_text(song.payload_file(k), payload_text(asked[k]))
        if options.run is not None:
            raw = said if isinstance(said, dict) or said is None else json.loads(scene_text(said))
            raw_file = song.scene_file(k).with_name(song.scene_file(k).name.replace("scene", "answer", 1))
            save_text(raw_file, json.dumps(raw, indent=2) + "\n", again=True)  # one of an earlier scene says nothing
        for remark in remarks:
            say(remark)
        save_text(song.scene_file(k), scene_text(scene))
    return asked


def _described(options: argparse.Namespace, target: str, console: Console) -> Description:
    if target not in FORMATS:
        raise UserError(f"--target {target} is unknown; choose one of {', '.join(FORMATS)}.")
    count = len(stem_files(options.stems))
    with bar("Measuring", count, console) as advance:
        return describe(
            options.stems, target=target, style=options.style, section=options.section, max_objects=options.max_objects,
            classes=options.classes, rules=options.rules, progress=advance,
        )  # fmt: skip


def _table(described: Description, console: Console) -> None:
    from rich.table import Table

    table = Table("stem", "class", "from", "LUFS", "peak dBFS", "onsets", "low", "mid", "high", "leadness")
    for one in described.stems:
        features = one.features
        table.add_row(
            one.file.id, one.track_class, one.source, f"{features.lufs:.1f}", f"{20 * math.log10(features.peak):.1f}",
            f"{features.transient:.2f}", *(f"{share:.2f}" for share in features.bands), f"{one.leadness:.2f}",
        )  # fmt: skip
    console.print(table)
    bpm = f"{described.bpm:.1f} bpm" if described.bpm is not None else "no beat found, 120 bpm is written"
    count = f"{len(described.stems)} stem{'s' * (len(described.stems) != 1)}"
    console.print(f"{count}, {described.seconds:.1f} s, {bpm}, energy {described.payload.overall.energy:g}")
    for line in described.remarks:
        console.print(line, soft_wrap=True)


def _beside(stems: Path, what: str) -> Path:
    """STEMS_mix or STEMS.payload.json beside the folder: what is made is no stem."""
    folder = stems.resolve()
    return folder.parent / (f"{folder.name}_mix" if what == "mix" else f"{folder.name}.{what}")
