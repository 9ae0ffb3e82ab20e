"""A folder of stems -> the payload that asks for their scene, with everything measured and why.

Levels and bands are measured (physworld/spatial/sound/features.py). Classes come from file names first, from sound
second. `leadness` is a judgement: half what a class usually is (`draw.CHARACTER`), half how far a stem stands out here,
which is the mean of its loudness beside the loudest stem's (0 dB = 1, 20 dB below = 0) and its presence (300 Hz - 4
kHz). `energy` of the mix: half its onset strength, half the share of stems that sound, on average over time.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError, suggest
from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import CHARACTER
from physworld.spatial.scene.reading import Invalid, canonical, payload_from, printable
from physworld.spatial.scene.terms import FORMATS, MOST_OBJECTS, SECTIONS, STYLES
from physworld.spatial.sound.classes import from_name, from_sound, read_classes, said_class
from physworld.spatial.sound.features import (
    CLIPPED,
    LOST,
    OFFSET,
    STEPS,
    Features,
    measure,
    onset_strength,
    rises,
    tempo,
)
from physworld.spatial.sound.files import StemFile, read_json, stem_files

RANGE = 20.0  # dB below the loudest stem at which a stem does not stand out at all
TEMPO = 120.0  # bpm that are written where nothing repeats
MEASURED_TOGETHER = 4  # stems, of which each takes some 10 MB; reading and filtering leave Python alone
SOUNDS = -30.0  # dB below its loudest moment down to which a stem counts as playing


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is known of one stem."""

    file: StemFile
    features: Features
    track_class: str
    source: str  # of the class: name, sound or --classes
    leadness: float


@dataclass(frozen=True, kw_only=True)
class Description:
    stems: tuple[Described, ...]  # silent files are not among them
    payload: Payload
    remarks: tuple[str, ...]  # what a musician should know before mixing
    bpm: float | None  # None: nothing repeats; the payload then says 120

    @property
    def seconds(self) -> float:
        return max(stem.file.seconds for stem in self.stems)

    def report(self) -> dict[str, Any]:
        """What was measured, for a file beside the payload."""
        return {
            "seconds": round(self.seconds, 3),
            "bpm": None if self.bpm is None else round(self.bpm, 1),
            "remarks": list(self.remarks),
            "stems": [
                {
                    "id": one.file.id, "file": one.file.path.name, "class": one.track_class, "class_from": one.source,
                    "rate_hz": one.file.rate, "channels": one.file.channels, "seconds": round(one.file.seconds, 3),
                    "lufs": round(one.features.lufs, 2), "peak_dbfs": _db(one.features.peak),
                    "transient": round(one.features.transient, 3),
                    "band_energy": dict(zip(("low", "mid", "high"), map(_round4, one.features.bands), strict=True)),
                    "presence": round(one.features.presence, 3), "active": round(one.features.active, 3),
                    "leadness": round(one.leadness, 3), "clipped_places": one.features.clipped,
                    "dc_offset": round(one.features.offset, 5), "lost_in_mono_db": round(one.features.lost, 2),
                }
                for one in self.stems
            ],
        }  # fmt: skip


def _round4(value: float) -> float:
    return round(value, 4)


def _db(value: float) -> float | None:
    return round(20 * math.log10(value), 2) if value > 0 else None


def describe(
    folder: Path,
    *,
    target: str,
    style: str,
    section: str,
    max_objects: int | None = None,
    classes: Path | None = None,
    rules: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Description:
    """Measure every stem and put the payload together.

    Args:
        max_objects: None = one for every stem.
        classes: a file that says what stems are.
        rules: a file with the payload's rules; None = `usual_rules`.
        progress: called with 1 after every stem.

    Raises:
        UserError: a setting is wrong, or a file is broken; all broken files are named.
    """
    for name, value, known in (("target", target, FORMATS), ("style", style, STYLES), ("section", section, SECTIONS)):
        if value not in known:
            raise UserError(f"--{name} {value} is unknown.{suggest(value, known)} Choose one of {', '.join(known)}.")
    if max_objects is not None and not 1 <= max_objects <= MOST_OBJECTS:
        raise UserError(f"--max-objects {max_objects} must lie between 1 and {MOST_OBJECTS}.")
    said = read_classes(classes) if classes is not None else {}
    asked = read_rules(rules) if rules is not None else None
    found, remarks = list[tuple[StemFile, Features]](), list[str]()
    listed = stem_files(folder)
    with ThreadPoolExecutor(min(MEASURED_TOGETHER, os.cpu_count() or 1)) as pool:
        for file, features in zip(listed, pool.map(measure, listed), strict=True):
            progress(1)
            remarks += remarks_on(file, features)
            if not features.silent:
                found.append((file, features))
    if not found:
        raise UserError(f"{folder} holds silence alone.")
    unknown = [name for name in said if not any(said_class({name: ""}, f.path, f.id) is not None for f, _ in found)]
    if unknown:
        raise UserError(f"--classes names {unknown[0]!r}, and no stem that sounds is called so.")
    loudest = max(features.lufs for _, features in found)
    stems = tuple(_described(file, features, said, loudest) for file, features in found)
    by_sound = [f"{one.file.path.name} ({one.track_class})" for one in stems if one.source == "sound"]
    if by_sound:
        remarks.append(f"No class in the name, judged by sound: {', '.join(by_sound)}; --classes FILE says otherwise.")
    bpm, energy = of_the_mix([one.features for one in stems])
    data = {
        "target_format": target,
        "max_objects": max_objects or len(stems),
        "style": style,
        "section": section,
        "global": {"bpm": round(bpm or TEMPO, 1), "energy": round(energy, 2)},
        "stems": [_stem(one) for one in stems],
        "rules": usual_rules(stems) if asked is None else asked,
    }
    try:
        payload = payload_from(canonical(data))
    except Invalid as error:
        raise UserError(f"--rules {rules}: {error}.") from None
    return Description(stems=stems, payload=payload, remarks=tuple(map(printable, remarks)), bpm=bpm)


def remarks_on(file: StemFile, features: Features) -> list[str]:
    """What is wrong with a file that can be read, one sentence each."""
    name = file.path.name
    if features.silent:
        return [f"{name} is silent; it is left out."]
    found = []
    if features.clipped:
        found.append(f"{name} is clipped in {features.clipped} place(s), {CLIPPED} samples or more at full scale.")
    if features.offset > OFFSET:
        found.append(f"{name} has a DC offset of {100 * features.offset:.1f} % of full scale.")
    if features.lost > LOST:
        found.append(f"{name} loses {features.lost:.1f} dB as one channel: its sides are out of phase.")
    return found


def read_rules(path: Path) -> Any:
    """Rules from a file: a JSON list, or a payload, whose rules are taken.

    Raises:
        UserError: it is neither.
    """
    data = read_json("--rules", path)
    data = data.get("rules") if isinstance(data, dict) else data
    if not isinstance(data, list):
        raise UserError(f"--rules {path} must be a list of rules, or a payload.")
    return data


def usual_rules(stems: Sequence[Described]) -> list[dict[str, Any]]:
    """What most mixes keep to: low end in the middle, a single lead voice in front, and room around it."""
    kinds = [one.track_class for one in stems]
    rules: list[dict[str, Any]] = []
    voices = [kind for kind in ("lead_vocal", "dialogue") if kinds.count(kind) == 1]
    if voices:
        rules.append({"type": "anchor", "track_class": voices[0], "az_deg": 0, "el_deg": 0, "dist_m": 1.6})
        for other in ("synth_lead", "guitar", "piano"):
            if 0 < kinds.count(other) <= 2:
                rules.append({"type": "avoid_masking", "a": voices[0], "b": other, "min_sep_deg": 20})
    if "kick" in kinds or "bass" in kinds:
        rules.append({"type": "mono_low_end", "hz_below": 120})
    return rules


def of_the_mix(features: Sequence[Features]) -> tuple[float | None, float]:
    """(beats per minute or None, energy 0-1) of stems played together."""
    length = max(len(one.levels) for one in features)
    onsets, total, playing = np.zeros(length), np.zeros(length), np.zeros(length)
    for one in features:
        count = len(one.levels)
        # A quiet stem's onsets count less, as the ear has it: by its amplitude.
        onsets[:count] += np.square(rises(one.levels)) * math.sqrt(float(one.levels.max()))
        total[:count] += one.levels
        playing[:count] += one.levels > one.levels.max() * 10 ** (SOUNDS / 10)
    sounding = playing > 0
    dense = float(playing[sounding].mean()) / len(features) if sounding.any() else 0.0
    found = tempo(onsets) if length > 2 * STEPS else None
    return found, 0.5 * onset_strength(total) + 0.5 * dense


def _described(file: StemFile, features: Features, said: Mapping[str, str], loudest: float) -> Described:
    given, named = said_class(said, file.path, file.id), from_name(file.path.stem)
    kind = given or named or from_sound(features.transient, features.bands)
    stands_out = 0.5 * max(0.0, 1 - (loudest - features.lufs) / RANGE) + 0.5 * features.presence
    return Described(
        file=file,
        features=features,
        track_class=kind,
        source="--classes" if given else "name" if named else "sound",
        leadness=0.5 * CHARACTER[kind][2] + 0.5 * stands_out,
    )


def _stem(one: Described) -> dict[str, Any]:
    low, high = (round(one.features.bands[k], 2) for k in (0, 2))
    return {
        "id": one.file.id,
        "class": one.track_class,
        "lufs": round(min(0.0, max(-60.0, one.features.lufs)), 1),
        "transient": round(one.features.transient, 2),
        "band_energy": {"low": low, "mid": round(max(0.0, 1 - low - high), 2), "high": high},
        "leadness": round(one.leadness, 2),
    }


def payload_text(payload: Payload) -> str:
    """The payload as people edit it."""
    from physworld.spatial.scene.reading import as_dict

    return json.dumps(as_dict(payload), indent=2) + "\n"
