"""Object metadata for IAMF authoring: JSON, and CSV with one line per keyframe.

IAMF and ADM share the axes (azimuth positive to the left). This is metadata for an encoder's input, no IAMF bitstream.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from physworld.io.names import no_formula
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.reading import canonical

COLUMNS = (
    "id", "class", "time_s", "azimuth_deg", "elevation_deg", "distance_m", "spread_deg", "gain_db", "reverb_send",
    "early_reflections",
)  # fmt: skip


def metadata(
    scene: SpatialScene, seconds: float, bed: Sequence[str] = (), loudness: float | None = None
) -> dict[str, Any]:
    """Every object with its keyframes in seconds.

    Args:
        seconds: length of the section.
        bed: stems that are no objects.
        loudness: measured, LUFS; the scene's own is what it aims at.
    """
    return {
        "layout": scene.bed.layout,
        "loudness_target_lufs": scene.bed.loudness_target_lufs,
        **({"integrated_loudness_lufs": loudness} if loudness is not None else {}),
        "room_preset": scene.bed.room_preset,
        "duration_s": seconds,
        **({"bed_stems": list(bed)} if bed else {}),
        "objects": [
            {
                "id": thing.id,
                "class": thing.track_class,
                "spread_deg": 180 * thing.width,
                "gain_db": thing.gain_db,
                "reverb_send": thing.reverb_send,
                "early_reflections": thing.early_reflections,
                "keyframes": _keyframes(thing, seconds),
            }
            for thing in scene.objects
        ],
    }


def _keyframes(thing: SceneObject, seconds: float) -> list[dict[str, float]]:
    return [
        {"time_s": round(t * seconds, 6), "azimuth_deg": az, "elevation_deg": el, "distance_m": dist}
        for t, (az, el, dist) in thing.path
    ]


def as_json(scene: SpatialScene, seconds: float, bed: Sequence[str] = (), loudness: float | None = None) -> str:
    return json.dumps(canonical(metadata(scene, seconds, bed, loudness)), indent=2) + "\n"


def as_csv(scene: SpatialScene, seconds: float) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for thing in metadata(scene, seconds)["objects"]:
        for key in thing.pop("keyframes"):
            writer.writerow(canonical({**thing, **key, "id": no_formula(thing["id"])}))
    return out.getvalue()
