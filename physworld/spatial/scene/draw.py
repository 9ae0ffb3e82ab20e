"""Payloads from a generator: who plays, how loud, under which rules; some kinds are kept from training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physworld.spatial.scene.documents import Payload
from physworld.spatial.scene.reading import payload_from
from physworld.spatial.scene.terms import CLASSES, FORMATS, SECTIONS, STYLES

# Kept from training, each scored apart. Every style, section, rule and nearly every count is seen in other company.
HELD_OUT_PAIRS = frozenset(
    {
        ("club", "bridge"), ("pop", "breakdown"), ("rock", "intro"), ("hiphop", "outro"),
        ("jazz", "build"), ("orchestral", "chorus"), ("ambient", "verse"), ("cinematic", "drop"),
    }
)  # fmt: skip
HELD_OUT_COUNTS = frozenset({7, 13, 14})  # of stems; training has 1-12 without 7, so 13 and 14 are beyond it
HELD_OUT_RULES = (
    frozenset({"width_target", "motion_limit"}),
    frozenset({"keep_in_bed", "avoid_masking"}),
)  # never together in training
AXES = ("seen", "style_section", "stem_count", "off_grid", "rule_mix")
MOST_SEEN = 12  # stems in training

IDS = {
    "lead_vocal": "vox", "back_vocal": "bv", "kick": "kick", "snare": "sn", "hihat": "hh", "bass": "bass",
    "drums_bus": "drums", "pad": "pad", "synth_lead": "lead", "guitar": "gtr", "piano": "pno", "strings": "str",
    "brass": "brs", "fx": "fx", "dialogue": "dlg", "ambience": "amb", "other": "oth",
}  # fmt: skip
# LUFS, transient, leadness around which a class is drawn, and its low / mid / high balance.
CHARACTER = {
    "lead_vocal": (-16, 0.3, 0.9, (0.10, 0.60, 0.30)), "back_vocal": (-21, 0.3, 0.5, (0.10, 0.60, 0.30)),
    "kick": (-12, 0.9, 0.3, (0.80, 0.15, 0.05)), "snare": (-14, 0.9, 0.3, (0.20, 0.50, 0.30)),
    "hihat": (-22, 0.8, 0.1, (0.02, 0.18, 0.80)), "bass": (-14, 0.4, 0.4, (0.75, 0.20, 0.05)),
    "drums_bus": (-13, 0.8, 0.4, (0.40, 0.30, 0.30)), "pad": (-22, 0.1, 0.3, (0.25, 0.50, 0.25)),
    "synth_lead": (-17, 0.4, 0.7, (0.10, 0.50, 0.40)), "guitar": (-18, 0.5, 0.5, (0.20, 0.60, 0.20)),
    "piano": (-19, 0.6, 0.5, (0.30, 0.50, 0.20)), "strings": (-20, 0.2, 0.4, (0.20, 0.50, 0.30)),
    "brass": (-18, 0.5, 0.5, (0.20, 0.55, 0.25)), "fx": (-24, 0.5, 0.2, (0.20, 0.30, 0.50)),
    "dialogue": (-17, 0.4, 0.8, (0.15, 0.65, 0.20)), "ambience": (-28, 0.1, 0.1, (0.30, 0.40, 0.30)),
    "other": (-20, 0.5, 0.3, (0.33, 0.34, 0.33)),
}  # fmt: skip
RULE_ODDS = {
    "anchor": 0.7, "mono_low_end": 0.5, "width_target": 0.35, "avoid_masking": 0.45, "motion_limit": 0.25,
    "elevation_range": 0.25, "keep_in_bed": 0.15,
}  # fmt: skip


class _Dice:
    """Uniform numbers drawn in one go: a generator call per number would cost more than the payload."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._numbers = iter(rng.random(512).tolist())

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * next(self._numbers)

    def below(self, count: int) -> int:
        return min(int(next(self._numbers) * count), count - 1)

    def choice(self, items: Sequence[Any]) -> Any:
        return items[self.below(len(items))]

    def odds(self, share: float) -> bool:
        return next(self._numbers) < share


def draw_payload(rng: np.random.Generator, axis: str = "seen") -> Payload:
    """A payload: as training meets them (`seen`), or one that is new in the way the axis says.

    Raises:
        ValueError: unknown axis.
    """
    if axis not in AXES:
        raise ValueError(f"axis {axis!r} is unknown; choose one of {', '.join(AXES)}")
    dice = _Dice(rng)
    if axis == "style_section":
        style, section = dice.choice(sorted(HELD_OUT_PAIRS))
    else:
        style, section = dice.choice(STYLES), dice.choice(SECTIONS)
        while (style, section) in HELD_OUT_PAIRS:
            style, section = dice.choice(STYLES), dice.choice(SECTIONS)
    if axis == "stem_count":
        count = dice.choice(sorted(HELD_OUT_COUNTS))
    else:
        count = dice.choice([n for n in range(1, MOST_SEEN + 1) if n not in HELD_OUT_COUNTS])
    stems = _stems(dice, count)
    return payload_from(
        {
            "target_format": dice.choice(FORMATS),
            "max_objects": count + dice.below(4) if dice.odds(0.6) else max(1, round(count * dice.uniform(0.4, 1))),
            "style": style,
            "section": section,
            "global": {"bpm": round(dice.uniform(60, 180)), "energy": round(dice.uniform(), 2)},
            "stems": stems,
            "rules": _rules(dice, stems, _rule_types(dice, axis), off_grid=axis == "off_grid"),
        }
    )


def _stems(dice: _Dice, count: int) -> list[dict[str, Any]]:
    stems, used = [], dict[str, int]()
    for _ in range(count):
        name = dice.choice(CLASSES)
        used[name] = used.get(name, 0) + 1
        lufs, transient, leadness, bands = CHARACTER[name]
        low, mid, high = (max(0.0, b + dice.uniform(-0.12, 0.12)) for b in bands)
        whole = low + mid + high
        low, mid = round(low / whole, 2), round(mid / whole, 2)
        stems.append(
            {
                "id": f"{IDS[name]}{used[name]}",
                "class": name,
                "lufs": round(min(0.0, lufs + dice.uniform(-5, 5)), 1),
                "transient": round(_unit(transient + dice.uniform(-0.2, 0.2)), 2),
                "band_energy": {"low": low, "mid": mid, "high": round(max(0.0, 1 - low - mid), 2)},
                "leadness": round(_unit(leadness + dice.uniform(-0.15, 0.15)), 2),
            }
        )
    return stems


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _rule_types(dice: _Dice, axis: str) -> list[str]:
    """Kinds of rules, in the order they are written; `rule_mix` has a held-out pair, the others never do."""
    chosen = [name for name, share in RULE_ODDS.items() if dice.odds(share)]
    if axis == "rule_mix":
        chosen = list(dict.fromkeys([*chosen, *sorted(dice.choice(HELD_OUT_RULES))]))
    elif axis == "off_grid":
        chosen = list(dict.fromkeys(["anchor", *chosen]))
    if axis != "rule_mix":
        for together in HELD_OUT_RULES:
            if together <= set(chosen):
                chosen.remove(dice.choice(sorted(together)))
    return chosen


def _rules(dice: _Dice, stems: list[dict[str, Any]], types: list[str], *, off_grid: bool) -> list[dict[str, Any]]:
    """Some types come twice. Classes are those of the stems, so that most rules bite."""
    rules = []
    present = [stem["class"] for stem in stems]
    for kind in types:
        for _ in range(2 if kind in ("anchor", "width_target", "avoid_masking") and dice.odds(0.3) else 1):
            rules.append({"type": kind, **_rule(dice, kind, stems, present, off_grid)})
    return rules


def _rule(dice: _Dice, kind: str, stems: list[dict[str, Any]], present: list[str], off_grid: bool) -> dict[str, Any]:
    if kind == "anchor":
        fine = 1.0 if not off_grid else 0.1
        pose = {
            "az_deg": _rounded(dice.uniform(-150, 150), fine),
            "el_deg": _rounded(dice.uniform(-20, 45), fine),
            "dist_m": round(dice.uniform(1, 4), 2 if off_grid else 1),
        }
        if dice.odds(0.25):
            pose = {**pose, "az_deg": 0}
        return (
            {"id": dice.choice(stems)["id"], **pose} if dice.odds(0.3) else {"track_class": _lead(dice, stems), **pose}
        )
    if kind == "mono_low_end":
        return {"hz_below": dice.choice((80, 100, 120, 150))}
    if kind == "width_target":
        if dice.odds(0.5):
            return {"class": dice.choice(present), "width": round(0.05 * dice.below(19), 2)}
        low = 0.05 * dice.below(13)
        return {"class": dice.choice(present), "min": round(low, 2), "max": round(low + 0.1 + 0.05 * dice.below(5), 2)}
    if kind == "avoid_masking":
        return {"a": dice.choice(present), "b": dice.choice(present), "min_sep_deg": 10 + 5 * dice.below(9)}
    if kind == "motion_limit":
        where = {"class": dice.choice(present)} if dice.odds(0.4) else {}
        return {**where, "max_deg": dice.choice((0, 10, 15, 20, 30))}
    if kind == "elevation_range":
        where = {"class": dice.choice(present)} if dice.odds(0.4) else {}
        low = -20 + 5 * dice.below(6)
        return {**where, "min_deg": low, "max_deg": low + 15 + 5 * dice.below(8)}
    return {"class": dice.choice(present)}


def _lead(dice: _Dice, stems: list[dict[str, Any]]) -> str:
    """The most leading stem's class, or any."""
    return str((max(stems, key=lambda s: s["leadness"]) if dice.odds(0.6) else dice.choice(stems))["class"])


def _rounded(value: float, step: float) -> float | int:
    return round(value) if step == 1.0 else round(value, 1)
