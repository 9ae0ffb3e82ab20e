"""Stems -> payload -> scene -> sound, every step's file kept.

A step whose file is there already is not done again: an edited payload or scene is taken as it stands. What is rendered
is never written over, but by `--watch`, which renders again when a scene has changed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.io.atomic import replacing
from physworld.io.placing import placing
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.engineer import engineer
from physworld.spatial.scene.reading import (
    Invalid,
    as_dict,
    canonical,
    payload_from,
    read_payload,
    read_scene,
)
from physworld.spatial.scene.repair import repair
from physworld.spatial.scene.rules import check
from physworld.spatial.scene.terms import SECTIONS
from physworld.spatial.sound.describe import Described, Description, of_the_mix
from physworld.spatial.sound.features import STEPS
from physworld.spatial.sound.files import Mono, read_json
from physworld.spatial.sound.finish import Finished
from physworld.spatial.sound.outlets import OUTLETS, Options, write
from physworld.spatial.sound.render import RATE, Section

HEARD = 1e-6  # of a stem's loudest 10 ms: below that a stem is silent in a section (60 dB)
LOOK = 0.5  # s between two looks at the scenes of --watch
MOST_SECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class Part:
    """One section of a song."""

    name: str  # one of terms.SECTIONS
    start: float  # s
    end: float
    style: str | None = None  # None = the song's


def read_sections(path: Path, seconds: float) -> list[Part]:
    """Sections from a JSON list of {"section", "start_s"[, "style"]}; each one lasts until the next begins.

    Raises:
        UserError: it is no such file, or the times do not fit the song.
    """
    data = read_json("--sections", path)
    if not isinstance(data, list) or not 1 <= len(data) <= MOST_SECTIONS:
        raise UserError(
            f'--sections {path} must be a list of 1 to {MOST_SECTIONS} such as {{"section": "verse", "start_s": 0}}.'
        )
    starts: list[float] = []
    for n, item in enumerate(data):
        known = isinstance(item, dict) and {"section", "start_s"} <= set(item) <= {"section", "start_s", "style"}
        if not known or not isinstance(item["start_s"], (int, float)) or isinstance(item["start_s"], bool):
            raise UserError(f'--sections {path}: number {n + 1} must be {{"section": NAME, "start_s": SECONDS}}.')
        if item["section"] not in SECTIONS:
            raise UserError(f"--sections {path}: {item['section']!r} is unknown; choose one of {', '.join(SECTIONS)}.")
        starts.append(float(item["start_s"]))
    if starts[0] != 0 or any(b <= a for a, b in pairwise(starts)) or starts[-1] >= seconds:
        raise UserError(
            f"--sections {path}: times must begin at 0, rise, and end before the song does at {seconds:.1f} s."
        )
    return [
        Part(name=item["section"], start=start, end=end, style=item.get("style"))
        for item, start, end in zip(data, starts, [*starts[1:], seconds], strict=True)
    ]


def payloads(described: Description, parts: Sequence[Part]) -> list[Payload]:
    """One payload for each section: the stems that sound there, and the energy they have there.

    Raises:
        UserError: a section's style is unknown, or nothing sounds in it.
    """
    found = []
    for part in parts:
        playing = [one for one in described.stems if _sounds(one, part)]
        if not playing:
            raise UserError(f"Nothing sounds in the section {part.name} from {part.start:g} s on; leave it out.")
        names = {one.file.id for one in playing}
        _, energy = of_the_mix([_cut(one, part) for one in playing])
        data = as_dict(described.payload)
        data["section"], data["style"] = part.name, part.style or data["style"]
        data["global"]["energy"] = round(energy, 2)
        data["stems"] = [stem for stem in data["stems"] if stem["id"] in names]
        kinds = {stem["class"] for stem in data["stems"]} | names
        data["rules"] = [rule for rule in data["rules"] if _meant(rule) <= kinds]
        try:
            found.append(payload_from(canonical(data)))
        except Invalid as error:
            raise UserError(f"--sections: {part.name} from {part.start:g} s on: {error}.") from None
    return found


def _meant(rule: Mapping[str, Any]) -> set[str]:
    """Classes and ids that a rule names."""
    return {rule[key] for key in ("track_class", "id", "class", "a", "b") if key in rule}


def _levels(one: Described, part: Part) -> np.ndarray:
    return one.features.levels[int(part.start * STEPS) : max(int(part.start * STEPS) + 1, int(part.end * STEPS))]


def _sounds(one: Described, part: Part) -> bool:
    here = _levels(one, part)
    return bool(len(here) and here.max() > HEARD * one.features.levels.max())


def _cut(one: Described, part: Part) -> Any:
    return dataclasses.replace(one.features, levels=_levels(one, part))


def predicted(asked: Sequence[Payload], run: str | None, mode: str) -> list[tuple[Any, SpatialScene, list[str]]]:
    """(what was said, the scene that obeys, edits and rules that cannot hold) for every payload.

    Args:
        run: of a trained model; None = the rule-based engineer.

    Raises:
        UserError: there is no such run, or a scene cannot be made to obey.
    """
    if run is None:
        said: list[Any] = [engineer(payload) for payload in asked]
    else:
        from physworld.spatial.predict import answers  # here, because it loads torch

        said = answers(run, list(asked), mode)
    found = []
    for payload, scene in zip(asked, said, strict=True):
        mended = repair(scene, payload)
        report = check(mended.scene, payload)
        if report.violations:
            raise UserError(f"No scene was found that keeps all rules: {report.violations[0]}.")
        remarks = [f"repaired {edit}" for edit in mended.edits] + [f"cannot hold: {v}" for v in report.conflicts]
        found.append((scene, mended.scene, remarks))
    return found


class Song:
    """A folder of one mix: its steps' files, and the stems they are of."""

    def __init__(self, out: Path, described: Description, parts: Sequence[Part], work: Path) -> None:
        """work: a folder for converted samples."""
        self.out, self.described, self.parts = out, described, list(parts)
        self.stems = {one.file.id: Mono(one.file, RATE, work) for one in described.stems}
        self.names = [part.name for part in parts]
        many = len(self.parts) > 1
        self.labels = [f".{k + 1:02d}_{part.name}" if many else "" for k, part in enumerate(self.parts)]

    def payload_file(self, k: int) -> Path:
        return self.out / f"payload{self.labels[k]}.json"

    def scene_file(self, k: int) -> Path:
        return self.out / f"scene{self.labels[k]}.json"

    def payloads(self) -> tuple[list[Payload], list[str]]:
        """(payloads, files that were there): those that lie in the folder stand for what would be made."""
        made, kept = payloads(self.described, self.parts), []
        for k, payload in enumerate(made):
            path = self.payload_file(k)
            if not path.exists():
                continue
            try:
                made[k] = read_payload(path.read_bytes())
            except Invalid as error:
                raise UserError(f"{path} is no payload: {error}.") from None
            strangers = {stem.id for stem in made[k].stems} - set(self.stems)
            if strangers:
                raise UserError(
                    f"{path} names {sorted(strangers)[0]}, which no stem is called; delete it to make it anew."
                )
            if made[k] != payload:
                kept.append(str(path))
        return made, kept

    def scenes(self) -> list[SpatialScene]:
        """The scenes as they lie in the folder.

        Raises:
            UserError: one is missing, is none, or has an object that no stem is.
        """
        found = []
        for k in range(len(self.parts)):
            path = self.scene_file(k)
            try:
                scene = read_scene(path.read_bytes())
            except FileNotFoundError:
                raise UserError(f"{path} is gone; run the command again to make it anew.") from None
            except Invalid as error:
                raise UserError(f"{path} is no scene: {error}.") from None
            strangers = [thing.id for thing in scene.objects if thing.id not in self.stems]
            if strangers:
                raise UserError(f"{path} names {strangers[0]}, which no stem is called.")
            ids = [thing.id for thing in scene.objects]
            if len(set(ids)) < len(ids):
                raise UserError(f"{path} has {max(ids, key=ids.count)} twice.")
            found.append(scene)
        return found

    def sections(self, scenes: Sequence[SpatialScene]) -> list[Section]:
        total = max(stem.frames for stem in self.stems.values())
        starts = [round(part.start * RATE) for part in self.parts]
        ends = [*starts[1:], total]
        found = []
        for scene, start, end in zip(scenes, starts, ends, strict=True):
            placed = {thing.id for thing in scene.objects}
            bed = tuple(name for name in self.stems if name not in placed)  # in order: sums of floats depend on it
            found.append(Section(scene=scene, start=start, end=end, bed=bed))
        return found

    def samples(self) -> int:
        return max(stem.frames for stem in self.stems.values())

    def close(self) -> None:
        for stem in self.stems.values():
            stem.close()


def save_text(path: Path, text: str, *, again: bool = False) -> None:
    """Write a file where none is, or where one of the same text is.

    Raises:
        UserError: another text lies there.
    """
    if again:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    with placing(path.parent, "--out") as work:
        (work / path.name).write_text(text, encoding="utf-8")


def render(
    song: Song,
    kinds: Sequence[str],
    options: Options,
    *,
    again: bool,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> dict[str, Finished | None]:
    """Write every outlet into the song's folder.

    Args:
        again: replace what was rendered before.

    Raises:
        UserError: an outlet cannot be made, or (unless again) another file lies there.
    """
    sections, found = song.sections(song.scenes()), dict[str, Finished | None]()
    if not again:  # said before minutes are spent; the bytes are compared when they are there
        there = [song.out / f"mix{OUTLETS[kind]}" for kind in kinds if (song.out / f"mix{OUTLETS[kind]}").exists()]
        if there:
            raise UserError(
                f"{there[0]} is there already; choose another --out, move it, or render over it with --watch."
            )
    for kind in kinds:
        name = f"mix{OUTLETS[kind]}"
        with tempfile.TemporaryDirectory(prefix=".unfinished_", dir=song.out) as work:
            done, remarks = write(
                kind, Path(work) / name, sections, song.stems, options, names=song.names, progress=progress
            )
            made, target = Path(work) / name, song.out / name
            if target.is_dir() and not made.is_dir():
                raise UserError(f"{target} is a folder that is there already; move it.")
            if target.is_dir():  # file by file: somebody may keep others there
                for file in sorted(made.iterdir()):
                    os.replace(file, target / file.name)
            else:
                os.replace(made, target)
        found[kind] = done
        for remark in remarks:
            say(f"{name}: {remark}")
        figures = f" ({done.lufs:.1f} LUFS, {done.true_peak:.1f} dBTP)" if done is not None else ""
        say(f"{song.out / name}{figures}")
    return found


def watch(paths: Sequence[Path], render_again: Callable[[], None], say: Callable[[str], None]) -> None:
    """Render whenever one of the files has changed, until Ctrl-C. A scene that is none is named, and waited for."""
    seen = _stamps(paths)
    say(f"Watching {', '.join(path.name for path in paths)}; edit and save to render again, Ctrl-C to stop.")
    while True:
        time.sleep(LOOK)
        now = _stamps(paths)
        if now == seen:
            continue
        seen = now
        try:
            render_again()
        except UserError as error:
            say(str(error))


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)  # an editor is replacing it
    return found


def scene_text(scene: SpatialScene) -> str:
    return json.dumps(as_dict(scene), indent=2) + "\n"
