"""A blind A/B listening test of mixes as a page of its own, and what people chose.

Two sets of mixes of the same songs (folders that `mix` wrote, from the same payloads) become a folder: `index.html`,
which needs no network and no server, `sounds/` under names that tell nothing, and `key.json`, which the page does not
read: which sound is whose, with payloads and scenes. The page saves a listener's choices as JSON. Both together are
what `tally` counts and what preference training reads (`sources.listened`).

Files have the format's name in `format`. A choice names a trial, the sounds in the order they were offered, and the
chosen one, or null where a listener heard no difference.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.io.placing import placing
from physworld.spatial.scene.documents import Payload, SpatialScene
from physworld.spatial.scene.reading import (
    Invalid,
    as_dict,
    payload_from,
    printable,
    read_payload,
    read_scene,
    scene_from,
)
from physworld.spatial.sound.files import read_json
from physworld.spatial.sound.meters import LoudnessMeter

KEY, ANSWERS = "physworld listening key 1", "physworld listening answers 1"
SOUND = "mix.binaural.wav"
MOST_KEY = 100_000_000  # bytes; a long test's key holds megabytes of scenes
EVEN = 0.05  # LU that two sounds of a trial may differ: the louder one is turned down


@dataclass(frozen=True, kw_only=True)
class Mix:
    """One folder that `mix` wrote."""

    folder: Path
    payloads: tuple[Payload, ...]  # of its sections
    scenes: tuple[SpatialScene, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One answer of one listener."""

    listener: int  # file of answers, counted from 0
    trial: str
    name: str  # of the song
    payloads: tuple[Payload, ...]
    chosen: str | None  # whose sound: one of the two sets' names; None = no difference heard
    scenes: dict[str, tuple[SpatialScene, ...]]  # set -> scenes of its sections


def read_mix(folder: Path) -> Mix:
    """Raises: UserError: the folder lacks a file, or one of them is broken."""
    found: list[tuple[Payload, SpatialScene]] = []
    for path in sorted(folder.glob("payload*.json")):
        scene = path.with_name(path.name.replace("payload", "scene", 1))
        try:
            found.append((read_payload(path.read_bytes()), read_scene(scene.read_bytes())))
        except OSError as error:
            raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from None
        except Invalid as error:
            raise UserError(f"{path} or its scene is broken: {error}.") from None
    if not found or not (folder / SOUND).is_file():
        what = "payload.json" if not found else SOUND
        raise UserError(f"{folder} has no {what}; a listening test takes folders of `mix --target binaural`.")
    return Mix(folder=folder, payloads=tuple(p for p, _ in found), scenes=tuple(s for _, s in found))


def pairs(first: Path, second: Path) -> list[tuple[str, Mix, Mix]]:
    """(song, its mix of either set): the folders themselves, or those of one name in both.

    Raises:
        UserError: there is no such pair, or two mixes are of different payloads.
    """
    for folder in (first, second):
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; a listening test takes two folders of mixes.")
    if any(first.glob("payload*.json")):
        named = [(first.name, first, second)]
    else:
        both = sorted(
            {p.name for p in first.iterdir() if p.is_dir()} & {p.name for p in second.iterdir() if p.is_dir()}
        )
        named = [(name, first / name, second / name) for name in both]
    if not named:
        raise UserError(f"{first} and {second} hold no mixes of one name, and are none themselves.")
    found = [(name, read_mix(a), read_mix(b)) for name, a, b in named]
    for name, a, b in found:
        if a.folder.resolve() == b.folder.resolve():
            raise UserError(f"{name}: {a.folder} and {b.folder} are one and the same mix.")
        if a.payloads != b.payloads:
            raise UserError(f"{name}: {a.folder} and {b.folder} were mixed from different payloads.")
    return found


def make_test(first: Path, second: Path, out: Path, *, repeats: int = 1) -> list[str]:
    """Write the page, its sounds and its key; returns what there is to say.

    Args:
        repeats: how often every song is asked about; more than once shows how sure a listener is.

    Raises:
        UserError: the mixes do not fit together, or another file lies in `out`.
    """
    if not 1 <= repeats <= 10:
        raise UserError(f"--repeats {repeats} must lie between 1 and 10.")
    names = [first.resolve().name, second.resolve().name]
    if names[0] == names[1]:
        names = [str(first), str(second)]
    if names[0] == names[1]:
        raise UserError(f"{first} is on both sides; a listening test compares two sets of mixes.")
    together = pairs(first, second)
    remarks, trials, shown = list[str](), list[dict[str, Any]](), list[dict[str, Any]]()
    with placing(out, "--out") as work:
        (work / "sounds").mkdir()
        for number, (name, a, b) in enumerate(together, 1):
            sounds, remark = _written(a, b, work / "sounds", repr(names))
            remarks += [f"{name}: {remark}"] if remark else []
            whose = dict(zip(sounds, names, strict=True))
            scenes = {
                names[0]: [as_dict(scene) for scene in a.scenes], names[1]: [as_dict(scene) for scene in b.scenes]
            }  # fmt: skip
            payloads = [as_dict(payload) for payload in a.payloads]
            for again in range(repeats):
                trial = f"t{number:03d}{chr(97 + again) if repeats > 1 else ''}"
                trials.append(
                    {"trial": trial, "name": name, "sounds": whose, "payloads": payloads, "scenes": scenes}
                )  # fmt: skip
                shown.append({"trial": trial, "sounds": sorted(sounds)})
        test = hashlib.sha256(json.dumps(trials, sort_keys=True).encode()).hexdigest()[:16]
        key = {"format": KEY, "test": test, "sets": names, "trials": trials}
        (work / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
        page = files("physworld.spatial.sound").joinpath("listening.html").read_text(encoding="utf-8")
        data = json.dumps({"format": ANSWERS, "test": test, "trials": shown}).replace("<", "\\u003c")
        (work / "index.html").write_text(page.replace("__TEST__", data), encoding="utf-8")
    return remarks


def _written(a: Mix, b: Mix, folder: Path, salt: str) -> tuple[list[str], str]:
    """(names of both sounds as they lie in `folder`, what there is to say): equally loud, equally long."""
    import soundfile

    try:
        (one, rate), (two, other) = (soundfile.read(mix.folder / SOUND, dtype="float32") for mix in (a, b))
    except (soundfile.LibsndfileError, OSError) as error:
        raise UserError(f"{a.folder / SOUND} or {b.folder / SOUND} cannot be read ({error}).") from None
    if rate != other or not one.shape[1:] == two.shape[1:] == (2,):
        raise UserError(f"{a.folder / SOUND} and {b.folder / SOUND} are not two stereo files of one sample rate.")
    length = min(len(one), len(two))
    loud = [_loudness(sound[:length], rate) for sound in (one, two)]
    turned = [0.0, 0.0]
    if all(map(math.isfinite, loud)) and abs(loud[0] - loud[1]) > EVEN:
        turned = [min(0.0, min(loud) - level) for level in loud]
    made = []
    for mix, sound, gain in zip((a, b), (one, two), turned, strict=True):
        name = hashlib.sha256(f"{salt}{mix.folder.resolve()}".encode()).hexdigest()[:12]
        soundfile.write(folder / f"{name}.flac", sound[:length] * 10 ** (gain / 20), rate, subtype="PCM_24")
        made.append(name)
    return made, f"the louder mix is turned down by {-min(turned):.2f} dB" if min(turned) < -EVEN else ""


def _loudness(sound: np.ndarray, rate: int) -> float:
    meter = LoudnessMeter(np.ones(sound.shape[1]), rate)
    meter.add(sound)
    return meter.loudness()


def read_choices(key: Path, answers: Sequence[Path]) -> tuple[list[str], list[Choice]]:
    """(names of both sets, every choice of every listener).

    Raises:
        UserError: a file is none of these, or of another test.
    """
    data = read_json("key", key, most=MOST_KEY)
    if not isinstance(data, dict) or data.get("format") != KEY:
        raise UserError(f"{key} is no key of a listening test; it is the key.json beside the test's index.html.")
    try:
        trials = {
            one["trial"]: (
                one["name"], dict(one["sounds"]), tuple(map(payload_from, one["payloads"])),
                {name: tuple(map(scene_from, scenes)) for name, scenes in one["scenes"].items()},
            )
            for one in data["trials"]
        }  # fmt: skip
        sets, test = list(map(str, data["sets"])), data["test"]
        for _, sounds, payloads, scenes in trials.values():
            if not set(sounds.values()) == set(scenes) == set(sets) or len(set(sets)) != 2:
                raise ValueError("sounds and scenes are not those of both sets")
            if any(len(payloads) != len(some) for some in scenes.values()):
                raise ValueError("scenes and payloads are not of the same sections")
    except (Invalid, KeyError, TypeError, AttributeError, ValueError):
        raise UserError(f"{key} is a damaged key of a listening test; make the test again.") from None
    found, sittings = [], dict[str, Path]()
    for path in answers:
        said = read_json("answers", path)
        if not isinstance(said, dict) or said.get("format") != ANSWERS or not isinstance(said.get("answers"), list):
            raise UserError(f"{path} holds no answers of a listening test; the page's button saves them.")
        if said.get("test") != test:
            raise UserError(f"{path} answers another listening test than {key}.")
        sitting = json.dumps([said["listener"], said["started"]]) if {"listener", "started"} <= set(said) else str(path)
        if sitting in sittings:
            raise UserError(f"{sittings[sitting]} and {path} hold the same answers; leave one of them.")
        sittings[sitting] = path
        answered: set[str] = set()
        for one in said["answers"]:
            trial = one.get("trial") if isinstance(one, dict) else None
            strange = UserError(f"{path}: {json.dumps(one)[:80]} is no answer of this test.")
            if not isinstance(trial, str) or trial not in trials:
                raise strange
            name, sounds, payloads, scenes = trials[trial]
            chosen = one.get("chosen")
            if chosen is not None and not (isinstance(chosen, str) and chosen in sounds):
                raise strange
            if trial in answered:
                raise UserError(f"{path} answers {printable(trial)} twice; a listener answers each trial once.")
            answered.add(trial)
            found.append(
                Choice(
                    listener=len(sittings) - 1, trial=trial, name=name, payloads=payloads, scenes=scenes,
                    chosen=None if chosen is None else sounds[chosen],
                )
            )  # fmt: skip
    return sets, found


def tally(sets: Sequence[str], choices: Sequence[Choice]) -> list[str]:
    """How often each set was chosen: a sign test without ties, and Wilson's interval of 95 %.

    A listener who is asked about a song several times has one vote on it: what most of those answers say.
    """
    from scipy.stats import binomtest

    asked: dict[tuple[int, str], list[str | None]] = {}
    for choice in choices:
        asked.setdefault((choice.listener, choice.name), []).append(choice.chosen)
    leads = [said.count(sets[0]) - said.count(sets[1]) for said in asked.values()]
    votes, decided = sum(lead > 0 for lead in leads), sum(lead != 0 for lead in leads)
    counts = [sum(choice.chosen == name for choice in choices) for name in sets]
    ties = sum(choice.chosen is None for choice in choices)
    lines = [f"{name}: chosen {count} times" for name, count in zip(sets, counts, strict=True)]
    lines.append(f"no difference: {ties} times; {len(choices)} answers")
    if decided:
        test = binomtest(votes, decided)
        low, high = test.proportion_ci(method="wilson")
        lines.append(
            f"{sets[0]} is preferred in {100 * votes / decided:.0f} % ({100 * low:.0f}-{100 * high:.0f}) of the "
            f"{decided} votes with a difference, one for each listener and song; by chance a share as far from 50 % or "
            f"farther has probability {test.pvalue:.2g}"
        )
    by_trial: dict[str, set[str | None]] = {}
    for choice in choices:
        by_trial.setdefault(choice.name, set()).add(choice.chosen)
    mixed = sum({*sets} <= found for found in by_trial.values())
    lines.append(f"songs on which both were chosen: {mixed} of {len(by_trial)}")
    return lines
