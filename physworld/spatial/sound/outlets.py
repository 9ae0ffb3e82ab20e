"""A song's scenes and stems -> files that are played or opened elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physworld.errors import UserError, suggest
from physworld.spatial.export import adm
from physworld.spatial.export.levels import excess
from physworld.spatial.sound.files import Mono, StemFile
from physworld.spatial.sound.finish import Finished, Take, write_wave
from physworld.spatial.sound.headphones import Binaural, Measured, Sphere
from physworld.spatial.sound.iamf import CODECS, downmix, write_iamf
from physworld.spatial.sound.iamf import Measured as Levels
from physworld.spatial.sound.meters import LoudnessMeter, TruePeakMeter, decibels
from physworld.spatial.sound.panning import LAYOUTS, ORDERS, AmbisonicPanner, SpeakerPanner, decoder
from physworld.spatial.sound.reaper import project
from physworld.spatial.sound.render import RATE, Channels, Section, Voice, rendered
from physworld.spatial.sound.textproto import as_textproto
from physworld.spatial.sound.timeline import as_csv

# outlet -> suffix of its file
OUTLETS = {
    "iamf": ".iamf", "bed": ".bed.wav", "ambisonics": ".ambix.wav", "binaural": ".binaural.wav", "adm": ".adm.wav",
    "rpp": ".rpp", "csv": ".positions.csv", "iamf-objects": ".iamf-objects",
}  # fmt: skip
METERED = "7.1.4"  # layout that ambisonics are decoded to for a measurement


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the outlets have to choose from."""

    codec: str = "flac"  # of .iamf
    order: int | None = None  # of ambisonics in .iamf; None = a bed
    layout: str = "7.1.4"
    hrtf: Path | None = None  # a SOFA file
    fade: float = 2.0  # s, between sections
    bpm: float = 120.0

    def __post_init__(self) -> None:
        if self.codec not in CODECS:
            raise UserError(
                f"--codec {self.codec} is unknown.{suggest(self.codec, CODECS)} Choose one of {', '.join(CODECS)}."
            )
        if self.order is not None and self.order not in ORDERS:
            raise UserError(f"--order {self.order} must be one of {', '.join(map(str, ORDERS))}.")
        if self.layout not in LAYOUTS:
            raise UserError(
                f"--layout {self.layout} is unknown.{suggest(self.layout, LAYOUTS)} Choose one of {', '.join(LAYOUTS)}."
            )
        if not 0 <= self.fade <= 60:
            raise UserError(f"--fade {self.fade:g} must lie between 0 and 60 seconds.")


def checked(kinds: Sequence[str]) -> list[str]:
    """Raises: UserError: an outlet is unknown."""
    for kind in kinds:
        if kind not in OUTLETS:
            raise UserError(f"--target {kind} is unknown.{suggest(kind, OUTLETS)} Choose from {', '.join(OUTLETS)}.")
    return list(dict.fromkeys(kinds))


def write(
    kind: str,
    out: Path,
    sections: Sequence[Section],
    stems: Mapping[str, Mono],
    options: Options,
    *,
    names: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Finished | None, list[str]]:
    """Write one outlet; returns (what was measured of it, what there is to say about it).

    Args:
        out: the file, or for `iamf-objects` a folder.
        names: of the sections.
        progress: called with the samples that were rendered.

    Raises:
        UserError: it cannot be made.
    """
    scene = sections[0].scene
    if kind in ("adm", "iamf-objects") and len(sections) > 1:
        raise UserError(
            f"--target {kind} holds one scene, and this song has {len(sections)} sections; choose another target."
        )
    if kind == "csv":
        out.write_text(as_csv(sections, options.fade), encoding="utf-8")
        return None, []
    if kind == "rpp":
        files: dict[str, StemFile] = {name: stem.stem for name, stem in stems.items()}
        text = project(sections, files, fade=options.fade, bpm=options.bpm, names=names)
        out.write_text(text, encoding="utf-8")
        return None, [
            "the Reaper project plays with IEM's StereoEncoder (plugins.iem.at); gains and places are automation"
        ]
    if kind == "adm":
        return None, _adm(out, sections[0], stems)
    with tempfile.TemporaryDirectory(prefix=".render_", dir=out.parent) as work:
        raw = Path(work) / "take.f32"
        if kind == "iamf-objects":
            return _objects(out, sections, stems, raw, progress)
        voice, weights, decode = _voice(kind, options)
        take = Take(rendered(sections, stems, voice, fade=options.fade, progress=progress), raw, weights, decode)
        if kind != "iamf":
            write_wave(out, take.finished(scene.bed.loudness_target_lufs), take.channels, take.frames)
            return take.report, _said(take.report, scene.bed.loudness_target_lufs)
        source = Path(work) / "source.wav"
        folded = _Folded(decode, options.layout if decode is None else METERED)
        write_wave(source, folded.heard(take.finished(scene.bed.loudness_target_lufs)), take.channels, take.frames)
        done = take.report
        write_iamf(
            out, source, kind=f"ambisonics{options.order}" if options.order else options.layout, codec=options.codec,
            bed=folded.bed(done), stereo=folded.stereo(),
        )  # fmt: skip
        return done, _said(done, scene.bed.loudness_target_lufs)


def _voice(kind: str, options: Options) -> tuple[Voice, np.ndarray, np.ndarray | None]:
    """(renderer, weights of what loudness is measured of, how that is decoded or None)."""
    if kind == "binaural":
        return Binaural(Measured(options.hrtf) if options.hrtf is not None else Sphere()), np.ones(2), None
    order = options.order if kind == "iamf" else (options.order or 3) if kind == "ambisonics" else None
    if order is None:
        panner = SpeakerPanner(options.layout)
        return Channels(panner), panner.weights, None
    return Channels(AmbisonicPanner(order)), SpeakerPanner(METERED).weights, decoder(order, METERED)


class _Folded:
    """Listens to a render as a presentation's layouts play it: as it is (decoded), and folded to stereo."""

    def __init__(self, decode: np.ndarray | None, layout: str) -> None:
        """decode: (loudspeakers, C) of ambisonics; None = the render is a bed."""
        self.decode = None if decode is None else decode.astype(np.float32)
        self.fold = downmix(layout).astype(np.float32)
        self._meter = LoudnessMeter(np.ones(2), RATE)
        self._bed, self._two = TruePeakMeter(), TruePeakMeter()

    def heard(self, blocks):  # type: ignore[no-untyped-def]
        """The same blocks, listened to."""
        for block in blocks:
            if self.decode is None:
                two = block @ self.fold.T
            else:
                bed = block @ self.decode.T
                two = bed @ self.fold.T
                self._bed.add(bed)
            self._two.add(two)
            self._meter.add(two)
            yield block

    def bed(self, done: Finished) -> Levels:
        """Of the loudspeakers' signals; done: what was measured of the render."""
        if self.decode is None:
            return Levels(lufs=done.lufs, digital_peak=done.digital_peak, true_peak=done.true_peak)
        return Levels(lufs=done.lufs, digital_peak=decibels(self._bed.digital), true_peak=decibels(self._bed.peak))

    def stereo(self) -> Levels:
        return Levels(
            lufs=self._meter.loudness(), digital_peak=decibels(self._two.digital), true_peak=decibels(self._two.peak)
        )


def _said(done: Finished, target: float) -> list[str]:
    found = []
    if not np.isfinite(done.lufs):
        return ["it is silent"]
    if abs(done.lufs - target) > 0.5:
        found.append(f"it reaches {done.lufs:.1f} LUFS; the scene asks for {target:g}")
    if done.limited > 0.05:
        found.append(f"a limiter takes its peaks down by up to {done.limited:.1f} dB to reach {target:g} LUFS")
    return found


def _adm(out: Path, section: Section, stems: Mapping[str, Mono]) -> list[str]:
    total = section.end
    objects = {thing.id: stems[thing.id].read(0, total) for thing in section.scene.objects}
    rest = {name: stems[name].read(0, total) for name in section.bed}
    return adm.write_adm(out, section.scene, objects, RATE, rest).remarks()


def _objects(
    out: Path, sections: Sequence[Section], stems: Mapping[str, Mono], raw: Path, progress: Callable[[int], None]
) -> tuple[Finished | None, list[str]]:
    """A folder with scene.textproto and one mono file for every object."""
    scene, total = sections[0].scene, sections[0].end
    panner = SpeakerPanner(METERED)
    take = Take(rendered(sections, stems, Channels(panner), progress=progress), raw, panner.weights)
    folded = _Folded(None, METERED)
    for _ in folded.heard(take.blocks()):
        pass
    out.mkdir()
    raised, things = dict[str, float](), []
    for thing in scene.objects:
        whole = stems[thing.id].read(0, total)[:, None]
        raised[thing.id] = excess(whole)
        things.append(thing.model_copy(update={"gain_db": thing.gain_db + decibels(raised[thing.id])}))
        write_wave(out / f"{thing.id}.wav", [whole / raised[thing.id]], 1, total)
    text = as_textproto(scene.model_copy(update={"objects": things}), "scene", folded.stereo())
    (out / "scene.textproto").write_text(text, encoding="utf-8")
    moving = [thing.id for thing in scene.objects if thing.moves]
    said = (
        [f"iamf-tools' text has no words for motion: {', '.join(moving)} stand at their first keyframe"]
        if moving
        else []
    )
    said += adm.too_loud(raised)
    if sections[0].bed:
        said.append(f"stems of the bed are not among the objects: {', '.join(sections[0].bed)}")
    return None, said
