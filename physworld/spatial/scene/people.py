"""Payloads as people write them: any order of stems and rules, any id, poses all around, rules that contradict.

`draw_payload` draws tidy ones within narrow ranges. These have off-grid angles behind, above, near and far, 1-20 stems,
several voices of one class, tolerances, rules by id, rules for stems that are not there, and rules that cannot all
hold. What is kept from training stays out: pairs of style and section, counts of stems, pairs of rules
(`draw.HELD_OUT_...`).

Counts of stems and instruments per style are judged; `counted` has those of a collection. Levels and bands are
`draw.CHARACTER` with twice its spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.draw import CHARACTER, HELD_OUT_COUNTS, HELD_OUT_PAIRS, HELD_OUT_RULES, IDS, RULE_ODDS
from physworld.spatial.scene.patterns import PATTERNS
from physworld.spatial.scene.reading import payload_from
from physworld.spatial.scene.terms import CLASSES, FORMATS, SECTIONS, STYLES

MOST = 20  # stems
# style -> classes that such songs have, the more often the more of them there are.
BANDS = {
    "club": "kick snare hihat hihat bass bass synth_lead synth_lead pad pad fx fx lead_vocal back_vocal "
    "drums_bus ambience",
    "pop": "lead_vocal lead_vocal back_vocal back_vocal kick snare hihat bass guitar guitar "
    "piano pad synth_lead strings fx",
    "rock": "lead_vocal back_vocal kick snare hihat drums_bus bass guitar guitar guitar guitar piano other",
    "hiphop": "lead_vocal lead_vocal back_vocal kick snare hihat hihat bass synth_lead pad fx dialogue piano",
    "jazz": "drums_bus bass piano guitar brass brass brass lead_vocal ambience other",
    "orchestral": "strings strings strings strings brass brass brass piano ambience other back_vocal drums_bus",
    "ambient": "pad pad pad ambience ambience fx synth_lead piano strings guitar other",
    "cinematic": "strings strings brass brass drums_bus fx fx pad ambience dialogue dialogue "
    "piano synth_lead bass other",
}  # fmt: skip
WORDS = {
    "lead_vocal": ("LeadVox", "Vox", "lead-vocal", "Singer"), "back_vocal": ("BGV", "Choir", "Harm", "BackVox"),
    "kick": ("Kick", "BD", "kick_in"), "snare": ("Snare", "Snr_top", "Clap"), "hihat": ("HH", "Hats", "Ride"),
    "bass": ("Bass", "Sub", "808", "BassDI"), "drums_bus": ("Drums", "Kit", "OH", "Perc"), "pad": ("Pad", "WarmPad"),
    "synth_lead": ("Lead", "Arp", "SawLead"),
    "guitar": ("Gtr", "EGtr", "Acoustic"), "piano": ("Piano", "Keys", "Rhodes"),
    "strings": ("Strings", "Vln", "Cello"), "brass": ("Brass", "Horns", "Tpt"), "fx": ("FX", "Riser", "Impact"),
    "dialogue": ("Dialog", "VO", "DX"), "ambience": ("Amb", "Room", "Rain"), "other": ("Misc", "Stem", "Track"),
}  # fmt: skip
# A kind of rule is written up to so many times.
OFTEN = {
    "anchor": 4, "mono_low_end": 1, "width_target": 3, "avoid_masking": 3, "motion_limit": 2, "elevation_range": 2,
    "keep_in_bed": 2, "motion_pattern": 2,
}  # fmt: skip
RARE_ODDS = {**RULE_ODDS, "anchor": 0.4, "motion_limit": 0.7, "width_target": 0.5, "avoid_masking": 0.6,
             "motion_pattern": 0.5}  # fmt: skip
MOVING = ("build", "drop", "bridge", "breakdown")  # sections in which the engineer moves something
assert set(WORDS) == set(CLASSES) == set(IDS)


def draw_people(rng: np.random.Generator, *, rare: bool = False) -> Payload:
    """One payload, a function of the generator's state.

    Args:
        rare: with what is rare otherwise: rules of `RARE_ODDS`, sections that move and the energy that it takes.
    """
    sections = MOVING if rare and rng.random() < 0.7 else SECTIONS
    style, section = str(rng.choice(STYLES)), str(rng.choice(sections))
    while (style, section) in HELD_OUT_PAIRS:
        style, section = str(rng.choice(STYLES)), str(rng.choice(sections))
    counts = [n for n in range(1, MOST + 1) if n not in HELD_OUT_COUNTS]
    odds = np.array([1.0 if n <= 8 else 0.8 for n in counts])
    count = int(rng.choice(counts, p=odds / odds.sum()))
    return draw_band(rng, style, section, count, BANDS[style].split(), rare=rare)


def draw_band(
    rng: np.random.Generator,
    style: str,
    section: str,
    count: int,
    usual: Sequence[str],
    *,
    odd: float = 0.15,
    rare: bool = False,
) -> Payload:
    """A payload of so many stems, with rules as people write them.

    Args:
        usual: classes to draw from, the more often the likelier.
        odd: share of the stems that are of any class.
        rare: see `draw_people`.
    """
    stems = _stems(rng, usual, count, odd)
    budget = count if rng.random() < 0.5 else int(rng.integers(max(1, count // 3), min(32, count + 6) + 1))
    return payload_from(
        {
            "target_format": str(rng.choice(FORMATS)),
            "max_objects": budget,
            "style": style,
            "section": section,
            "global": {
                "bpm": round(float(rng.uniform(40, 240)), 1),
                "energy": round(float(rng.uniform(0.5 if rare and section in MOVING else 0.0, 1.0)), 2),
            },
            "stems": stems,
            "rules": _rules(rng, stems, RARE_ODDS if rare else RULE_ODDS),
        }
    )


def _stems(rng: np.random.Generator, usual: Sequence[str], count: int, odd: float) -> list[dict[str, Any]]:
    stems: list[dict[str, Any]] = []
    taken: set[str] = set()
    for _ in range(count):
        kind = str(rng.choice(usual)) if rng.random() < 1 - odd else str(rng.choice(CLASSES))
        lufs, transient, leadness, bands = CHARACTER[kind]
        mixed = np.maximum(0.0, np.array(bands) + rng.uniform(-0.24, 0.24, 3))
        low, mid, _ = (mixed / mixed.sum()).round(2).tolist()
        word = str(rng.choice(WORDS[kind]))
        if rng.random() < 0.2:
            word = f"{chr(97 + int(rng.integers(26)))}{rng.integers(1000)}"
        name, number = word[:16], 1
        while name in taken:
            number += 1
            name = f"{word}{rng.choice(['', '_', '-'])}{number}"[:16]
        taken.add(name)
        stems.append(
            {
                "id": name,
                "class": kind,
                "lufs": round(float(np.clip(lufs + rng.uniform(-12, 10), -60, 0)), 1),
                "transient": round(float(np.clip(transient + rng.uniform(-0.4, 0.4), 0, 1)), 2),
                "band_energy": {"low": low, "mid": mid, "high": round(max(0.0, 1 - low - mid), 2)},
                "leadness": round(float(np.clip(leadness + rng.uniform(-0.3, 0.3), 0, 1)), 2),
            }
        )
    return stems


def _rules(rng: np.random.Generator, stems: list[dict[str, Any]], odds: Mapping[str, float]) -> list[dict[str, Any]]:
    """0-8 rules in any order, most of them of a few kinds; some twice, some against each other."""
    kinds = [name for name, share in odds.items() if rng.random() < share]
    for together in HELD_OUT_RULES:
        if together <= set(kinds):
            kinds.remove(str(rng.choice(sorted(together))))
    rules = [
        {"type": kind, **_rule(rng, kind, stems)}
        for kind in kinds
        for _ in range(int(rng.integers(1, OFTEN[kind] + 1)))
    ]
    order = rng.permutation(len(rules))[:8]
    return [rules[k] for k in order]


def _number(rng: np.random.Generator, low: float, high: float, whole: float) -> float:
    """People write round numbers, whole ones, and such with decimals."""
    value = float(rng.uniform(low, high))
    step = rng.choice([whole * 5, whole, whole / 10], p=[0.5, 0.35, 0.15])
    return float(np.clip(round(round(value / step) * step, 2), low, high))


def _rule(rng: np.random.Generator, kind: str, stems: list[dict[str, Any]]) -> dict[str, Any]:
    def someone(key: str) -> str:
        return str(stems[int(rng.integers(len(stems)))][key])

    def some_class() -> str:
        return someone("class") if rng.random() < 0.95 else str(rng.choice(CLASSES))

    if kind == "anchor":
        who = {"id": someone("id")} if rng.random() < 0.4 else {"track_class": some_class()}
        pose = {
            "az_deg": 0.0 if rng.random() < 0.2 else _number(rng, -180, 180, 1),
            "el_deg": 0.0 if rng.random() < 0.3 else _number(rng, -45, 90, 1),
            "dist_m": _number(rng, 0.5, 15 if rng.random() < 0.4 else 4, 0.1),
        }
        if rng.random() < 0.15:
            pose["tol"] = {"az_deg": _number(rng, 1, 20, 1), "el_deg": _number(rng, 1, 10, 1)}  # type: ignore[assignment]
        return {**who, **pose}
    if kind == "mono_low_end":
        return {"hz_below": _number(rng, 60, 200, 10)}
    if kind == "width_target":
        if rng.random() < 0.5:
            return {"class": some_class(), "width": round(float(rng.random()), int(rng.integers(1, 3)))}
        low, high = sorted(rng.random(2).round(2).tolist())
        return {"class": some_class(), "min": low, "max": min(1.0, round(high + 0.05, 2))}
    if kind == "avoid_masking":
        key = "id" if rng.random() < 0.3 else "class"
        return {"a": someone(key), "b": someone(key), "min_sep_deg": _number(rng, 5, 90, 1)}
    where = {"class": some_class()} if rng.random() < 0.5 else {}
    if kind == "motion_limit":
        return {**where, "max_deg": _number(rng, 0, 60, 1)}
    if kind == "motion_pattern":
        return {"class": some_class(), "pattern": str(rng.choice(PATTERNS))}
    if kind == "elevation_range":
        low, high = sorted(_number(rng, -45, 90, 1) for _ in range(2))
        return {**where, "min_deg": low, "max_deg": min(90.0, high + 5)}
    return {"class": some_class()}
