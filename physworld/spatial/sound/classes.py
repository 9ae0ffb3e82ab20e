"""Which instrument a stem is: from its file's name first, from what it sounds like second."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from physworld.errors import UserError, suggest
from physworld.spatial.scene.draw import CHARACTER
from physworld.spatial.scene.terms import CLASSES
from physworld.spatial.sound.files import read_json

# Words of a name in lower case, the first class that has one wins. Longer phrases stand before their parts.
WORDS: dict[str, tuple[str, ...]] = {
    "back_vocal": (
        "backing vocal", "backing vox", "back vocal", "backvox", "bgv", "bgvs", "bvs", "bv", "choir",
        "harmony", "harmonies",
        "harm", "adlib", "adlibs", "vox dbl", "double vox", "gang", "backing",
    ),
    "dialogue": ("dialogue", "dialog", "dx", "dlg", "narration", "narrator", "voiceover", "vo", "speech", "interview"),
    "lead_vocal": ("lead vocal", "lead vox", "leadvox", "vocal", "vocals", "vox", "voice", "singer", "rap", "lv"),
    "kick": ("kick", "kik", "bd", "kck", "kickdrum"),
    "snare": ("snare", "snr", "sn", "clap", "claps", "rimshot", "rim", "sd"),
    "hihat": ("hihat", "hi hat", "hh", "hat", "hats", "ride", "cymbal", "cymbals", "shaker", "tambourine", "crash"),
    "drums_bus": ("drums", "drum", "overhead", "overheads", "oh", "percussion", "perc", "loop", "toms", "tom", "kit"),
    "bass": ("bass", "sub", "808", "bss", "bassline", "subbass"),
    "pad": ("pad", "pads", "atmos pad", "warm pad"),
    "strings": ("strings", "string", "violin", "violins", "viola", "cello", "celli", "vln", "vla", "vcl", "contrabass"),
    "brass": ("brass", "trumpet", "trombone", "horn", "horns", "tuba", "sax", "saxophone", "tpt", "tbn"),
    "piano": ("piano", "pno", "keys", "rhodes", "wurli", "wurlitzer", "ep", "organ", "clav", "clavinet", "harpsichord"),
    "guitar": ("guitar", "guitars", "gtr", "gtrs", "git", "acoustic", "egtr", "agtr", "banjo", "mandolin", "ukulele"),
    "synth_lead": ("synth lead", "lead synth", "synth", "lead", "arp", "pluck", "saw", "seq"),
    "ambience": ("ambience", "ambient", "room", "atmos", "atmosphere", "amb", "rain", "wind", "crowd", "field"),
    "fx": ("fx", "sfx", "effect", "effects", "riser", "impact", "sweep", "whoosh", "hit", "uplifter", "downlifter"),
    "other": ("other", "oth", "misc"),
}  # fmt: skip
assert set(WORDS) == set(CLASSES)
FREE = tuple(name for name in CLASSES if name != "other")


def from_name(name: str) -> str | None:
    """The class that a file's name says, or None: it says none."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    text = f" {' '.join(re.findall('[a-z]+|808', spaced.lower()))} "
    squeezed = text.replace(" ", "")
    if squeezed in CLASSES or squeezed.replace("bus", "_bus") in CLASSES:
        return squeezed if squeezed in CLASSES else squeezed.replace("bus", "_bus")
    if " bass drum " in text:  # a kick, though a class is called bass
        return "kick"
    for kind in CLASSES:
        if f" {kind.replace('_', ' ')} " in text:
            return kind
    return next((kind for kind, words in WORDS.items() if any(f" {word} " in text for word in words)), None)


def from_sound(transient: float, bands: tuple[float, float, float]) -> str:
    """The class whose usual transient and balance of low, mid and high (`draw.CHARACTER`) are nearest."""

    def apart(kind: str) -> float:
        _, usual, _, balance = CHARACTER[kind]
        return math.dist((transient, *bands), (usual, *balance))

    return min(FREE, key=apart)


def read_classes(path: Path) -> dict[str, str]:
    """A file that says what stems are: JSON, {"file name or id": "class"}.

    Raises:
        UserError: it is no such file.
    """
    said = read_json("--classes", path)
    if not isinstance(said, dict):
        raise UserError(f'--classes {path} must be an object such as {{"take3.wav": "lead_vocal"}}.')
    for name, kind in said.items():
        if kind not in CLASSES:
            raise UserError(
                f"--classes {path} gives {name!r} the class {kind!r}.{suggest(str(kind), CLASSES)} Choose one of "
                f"{', '.join(CLASSES)}."
            )
    return said


def said_class(said: Mapping[str, str], path: Path, name: str) -> str | None:
    """What a --classes file says of one stem, by file name, name without suffix, or id."""
    return next((said[key] for key in (path.name, path.stem, name) if key in said), None)
