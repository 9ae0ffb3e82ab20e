"""What the spatial tab asks its server: a scene for a payload, whether a scene keeps the rules, and its repair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from physworld.errors import UserError
from physworld.settings.checks import installed

if TYPE_CHECKING:
    from physworld.spatial.scene.documents import Payload

EXAMPLE = Path(__file__).parent / "page" / "spatial_example.json"
TEMPLATES: tuple[dict[str, Any], ...] = (  # one rule of each type, for the form
    {"type": "anchor", "track_class": "lead_vocal", "az_deg": 0, "el_deg": 10, "dist_m": 1.6},
    {"type": "mono_low_end", "hz_below": 120},
    {"type": "width_target", "class": "pad", "min": 0.5, "max": 0.9},
    {"type": "avoid_masking", "a": "lead_vocal", "b": "guitar", "min_sep_deg": 30},
    {"type": "motion_limit", "max_deg": 30},
    {"type": "elevation_range", "class": "hihat", "min_deg": 10, "max_deg": 45},
    {"type": "keep_in_bed", "class": "ambience"},
    {"type": "motion_pattern", "class": "fx", "pattern": "circle"},
)


def choices() -> dict[str, Any]:
    """What the form offers, and the payload that it begins with."""
    _needed()
    from physworld.spatial.scene.terms import CLASSES, FORMATS, SECTIONS, STYLES

    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return {
        "classes": CLASSES, "formats": FORMATS, "sections": SECTIONS, "styles": STYLES, "rules": TEMPLATES,
        "payload": example,
    }  # fmt: skip


def write(asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"payload": ...}: the rule-based engineer's scene, judged."""
    payload = _payload(asked)
    from physworld.spatial.scene.engineer import engineer
    from physworld.spatial.scene.reading import as_dict

    return judged(as_dict(engineer(payload)), payload)


def judge(asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"payload": ..., "scene": ...}: what the scene keeps and breaks."""
    return judged(asked["scene"], _payload(asked))


def mend(asked: Mapping[str, Any]) -> dict[str, Any]:
    """{"payload": ..., "scene": ...}: the nearest scene that keeps the rules, and every edit."""
    payload = _payload(asked)
    from physworld.spatial.scene.reading import as_dict
    from physworld.spatial.scene.repair import repair

    mended = repair(asked["scene"], payload)
    return {**judged(as_dict(mended.scene), payload), "edits": [str(edit) for edit in mended.edits]}


def judged(scene: Any, payload: Payload) -> dict[str, Any]:
    """The scene, every rule with its status, and every violation with its JSON path.

    `constraints_applied` says what held when the scene was written; on the page it is made anew from what holds now.
    """
    from physworld.spatial.scene.reading import Invalid, as_dict, scene_from
    from physworld.spatial.scene.rules import applied, check

    try:
        read = scene_from(scene)
    except Invalid as error:
        raise UserError(f"This is no scene: {error}") from None
    read = read.model_copy(update={"constraints_applied": applied(read, payload)})
    report = check(read, payload)
    return {
        "scene": as_dict(read),
        "rules": [
            {"tag": v.tag, "status": v.status, "reasons": [str(reason) for reason in v.reasons]}
            for v in report.verdicts
        ],
        "violations": [str(violation) for violation in report.violations],
        "conflicts": [str(conflict) for conflict in report.conflicts],
    }  # fmt: skip


def _payload(asked: Mapping[str, Any]) -> Payload:
    _needed()
    from physworld.spatial.scene.reading import Invalid, payload_from

    try:
        return payload_from(asked["payload"])
    except Invalid as error:
        raise UserError(f"This is no payload: {error}") from None


def _needed() -> None:
    installed("spatial", "pydantic", "scipy", what="the spatial tab of physworld play")
