"""Scenes as ADM (ITU-R BS.2076) in a BW64 file (BS.2088); physworld/spatial/export/adm_reading.py reads it back.

Every object is one mono channel. Its pack carries the farthest distance of its path as `absoluteDistance`, and blocks
the share of it, so metres survive. Blocks end at keyframes and a renderer runs linearly towards them. What ADM has no
words for (class, sends, room, applied rules) stands in the file's coreMetadata as JSON.

Nothing clips: a stem that is too loud for whole numbers is turned down in the file and up in its blocks. A bed that is
too loud turns the whole programme down (channel beds have no gain that renderers know), and the loudness says so.
"""

from __future__ import annotations

import json
import math
import struct
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.io.atomic import replacing
from physworld.spatial.export.adm_reading import LABEL, AdmError
from physworld.spatial.export.adm_reading import read_adm as read_adm
from physworld.spatial.export.levels import decibels, excess, programme_loudness
from physworld.spatial.export.times import blocks, ticks_of, time_text
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.reading import printable

NAMESPACE = "urn:ebu:metadata-schema:ebuCore_2014"
BLOCK = 2**17  # samples, written at a time
FULL = 2**32 - 1  # bytes, of a file without 64-bit sizes


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What keeps samples from clipping, and how loud the programme is."""

    raised: dict[str, float]  # object's id -> factor by which its samples are lower and its blocks' gains higher
    lowered: float  # factor by which everything is lower, 1 or more
    loudness: float  # LUFS, of what the file sounds like; -inf for silence

    def remarks(self) -> list[str]:
        """What was turned down, one sentence each."""
        bed = f"the bed is too loud for whole numbers: the whole programme is {decibels(self.lowered):.2f} dB lower"
        return [*too_loud(self.raised), *([bed] if self.lowered > 1 else [])]


def too_loud(raised: Mapping[str, float]) -> list[str]:
    """A sentence on every stem (id -> factor) that was turned down in its file."""
    return [
        f"{name} is too loud for whole numbers: {decibels(factor):.2f} dB go from its samples into its gain"
        for name, factor in raised.items()
        if factor > 1
    ]


def write_adm(
    path: Path, scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, bed: dict[str, np.ndarray] | None = None
) -> Levels:
    """One file with all objects, 24 bit; returns what was done to levels.

    Args:
        stems: (n,) samples of every object by id, all of one length; it is the section's length.
        bed: (n,) samples of stems that are no objects; they share a stereo bed.

    Raises:
        AdmError: the file would be longer than 4 GB.
    """
    centre = stereo_bed(bed or {})
    lowered = excess(centre) if centre is not None else 1.0
    raised = {name: excess(samples) for name, samples in stems.items()}
    loud = programme_loudness(scene, stems, rate, centre) - decibels(lowered)
    levels = Levels(raised=raised, lowered=lowered, loudness=loud)
    count = len(next(iter(stems.values())))
    axml = _axml(scene, ticks_of(count, rate), bool(bed), levels)
    channels = len(scene.objects) + (2 if centre is not None else 0)
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 3, channels * 3, 24)
    chunks = [(b"fmt ", form), (b"chna", _chna(len(scene.objects), bool(bed))), (b"axml", axml)]
    length = count * channels * 3
    size = 4 + sum(8 + len(body) + len(body) % 2 for _, body in chunks) + 8 + length + length % 2
    if size > FULL:
        raise AdmError(f"{path} would have more than 4 GB; export a shorter section.")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size) + b"WAVE")
        for name, body in chunks:
            file.write(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
        file.write(b"data" + struct.pack("<I", length))
        for start in range(0, count, BLOCK):  # in blocks: all channels at once would be gigabytes of a long song
            part = slice(start, start + BLOCK)
            tracks = [stems[thing.id][part] / raised[thing.id] for thing in scene.objects]
            if centre is not None:
                tracks += [centre[part] / lowered] * 2
            file.write(_pcm24(np.stack(tracks, axis=1)))
        file.write(b"\0" * (length % 2))
    return levels


def stereo_bed(rest: dict[str, np.ndarray]) -> np.ndarray | None:
    """(n,) samples of either loudspeaker of the bed; None where nothing is in it."""
    return np.sum(list(rest.values()), axis=0) * math.sqrt(0.5) if rest else None


def _pcm24(samples: np.ndarray) -> bytes:
    """Samples that fit (`levels.excess`)."""
    whole = np.round(samples * 2**23).astype("<i4")
    return whole.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()


def _chna(objects: int, bed: bool) -> bytes:
    """Track number -> track UID, track format, pack format."""
    rows = [(n, f"AT_0003{4096 + n:04x}_01", f"AP_0003{4096 + n:04x}") for n in range(1, objects + 1)]
    if bed:
        rows += [(objects + k, f"AT_0001000{k}_01", "AP_00010002") for k in (1, 2)]
    body = struct.pack("<HH", len(rows), len(rows))
    for n, track, pack in rows:
        body += struct.pack("<H12s14s11sx", n, f"ATU_{n:08x}".encode(), track.encode(), pack.encode())
    return body


def _axml(scene: SpatialScene, ticks: int, bed: bool, levels: Levels) -> bytes:
    root = ET.Element("ebuCoreMain", {"xmlns": NAMESPACE, "xmlns:dc": "http://purl.org/dc/elements/1.1/"})
    core = ET.SubElement(root, "coreMetadata")
    note = ET.SubElement(core, "description", {"typeLabel": LABEL})
    ET.SubElement(note, "dc:description").text = json.dumps(_extras(scene, levels))
    formats = ET.SubElement(ET.SubElement(core, "format"), "audioFormatExtended")
    length = {"start": time_text(0), "end": time_text(ticks)}
    programme = ET.SubElement(
        formats, "audioProgramme", {"audioProgrammeID": "APR_1001", "audioProgrammeName": "scene", **length}
    )
    content = ET.SubElement(
        formats, "audioContent", {"audioContentID": "ACO_1001", "audioContentName": "objects and bed"}
    )
    ET.SubElement(programme, "audioContentIDRef").text = "ACO_1001"
    if math.isfinite(levels.loudness):
        measured = ET.SubElement(programme, "loudnessMetadata", {"loudnessMethod": "ITU-R BS.1770"})
        ET.SubElement(measured, "integratedLoudness").text = f"{levels.loudness:.2f}"
    for n, thing in enumerate(scene.objects, 1):
        ET.SubElement(content, "audioObjectIDRef").text = f"AO_{4096 + n:04x}"
        _object(formats, n, thing, ticks, 10 ** (thing.gain_db / 20) * levels.raised[thing.id] / levels.lowered)
    if bed:
        n = len(scene.objects) + 1
        ET.SubElement(content, "audioObjectIDRef").text = f"AO_{4096 + n:04x}"
        item = ET.SubElement(formats, "audioObject", {"audioObjectID": f"AO_{4096 + n:04x}", "audioObjectName": "bed"})
        ET.SubElement(item, "audioPackFormatIDRef").text = "AP_00010002"
        for k in (0, 1):
            ET.SubElement(item, "audioTrackUIDRef").text = f"ATU_{n + k:08x}"
            uid = ET.SubElement(formats, "audioTrackUID", {"UID": f"ATU_{n + k:08x}"})
            ET.SubElement(uid, "audioTrackFormatIDRef").text = f"AT_0001000{k + 1}_01"
            ET.SubElement(uid, "audioPackFormatIDRef").text = "AP_00010002"
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8")


def _object(formats: ET.Element, n: int, thing: SceneObject, ticks: int, gain: float) -> None:
    """Object, pack, channel with its blocks, stream, track and UID of one scene object."""
    code, name = f"{4096 + n:04x}", printable(thing.id)  # XML has no control characters; the note has the id itself
    item = ET.SubElement(formats, "audioObject", {"audioObjectID": f"AO_{code}", "audioObjectName": name})
    ET.SubElement(item, "audioPackFormatIDRef").text = f"AP_0003{code}"
    ET.SubElement(item, "audioTrackUIDRef").text = f"ATU_{n:08x}"
    kind = {"typeLabel": "0003", "typeDefinition": "Objects"}
    pack = ET.SubElement(
        formats, "audioPackFormat", {"audioPackFormatID": f"AP_0003{code}", "audioPackFormatName": name, **kind}
    )
    farthest = max(pose[2] for _, pose in thing.path)
    pack.set("absoluteDistance", f"{farthest:.4f}")
    ET.SubElement(pack, "audioChannelFormatIDRef").text = f"AC_0003{code}"
    channel = ET.SubElement(
        formats, "audioChannelFormat",
        {"audioChannelFormatID": f"AC_0003{code}", "audioChannelFormatName": name, **kind},
    )  # fmt: skip
    for k, (block, pose) in enumerate(_blocks(thing, ticks), 1):
        element = ET.SubElement(channel, "audioBlockFormat", {"audioBlockFormatID": f"AB_0003{code}_{k:08x}", **block})
        places = {"azimuth": f"{pose[0]:g}", "elevation": f"{pose[1]:g}", "distance": f"{pose[2] / farthest:.8f}"}
        for coordinate, value in places.items():
            ET.SubElement(element, "position", {"coordinate": coordinate}).text = value
        ET.SubElement(element, "width").text = f"{180 * thing.width:g}"
        ET.SubElement(element, "gain").text = f"{gain:.10f}"
    stream = _pcm(formats, "audioStreamFormat", f"AS_0003{code}", name)
    ET.SubElement(stream, "audioChannelFormatIDRef").text = f"AC_0003{code}"
    ET.SubElement(stream, "audioTrackFormatIDRef").text = f"AT_0003{code}_01"
    track = _pcm(formats, "audioTrackFormat", f"AT_0003{code}_01", name)
    ET.SubElement(track, "audioStreamFormatIDRef").text = f"AS_0003{code}"
    uid = ET.SubElement(formats, "audioTrackUID", {"UID": f"ATU_{n:08x}"})
    ET.SubElement(uid, "audioTrackFormatIDRef").text = f"AT_0003{code}_01"
    ET.SubElement(uid, "audioPackFormatIDRef").text = f"AP_0003{code}"


def _pcm(formats: ET.Element, kind: str, identity: str, name: str) -> ET.Element:
    """A stream or track format of plain samples."""
    named = {f"{kind}ID": identity, f"{kind}Name": name}
    return ET.SubElement(formats, kind, {**named, "formatLabel": "0001", "formatDefinition": "PCM"})


def _blocks(thing: SceneObject, ticks: int) -> list[tuple[dict[str, str], tuple[float, float, float]]]:
    """(rtime and duration, pose at the block's end)."""
    path = thing.path
    if len(path) == 1:
        return [({}, path[0][1])]
    return [
        ({"rtime": time_text(begin), "duration": time_text(length)}, pose)
        for begin, length, pose in blocks(path, ticks)
    ]


def _extras(scene: SpatialScene, levels: Levels) -> dict[str, Any]:
    """`added_db` is in the file's gains, and not the scene's."""
    return {
        "version": scene.version,
        "layout": scene.bed.layout,
        "loudness_target_lufs": scene.bed.loudness_target_lufs,
        "room_preset": scene.bed.room_preset,
        "constraints_applied": scene.constraints_applied,
        "objects": [
            {
                "name": printable(thing.id), "id": thing.id, "class": thing.track_class,
                "reverb_send": thing.reverb_send, "early_reflections": thing.early_reflections,
                "added_db": decibels(levels.raised[thing.id] / levels.lowered),
            }
            for thing in scene.objects
        ],
    }  # fmt: skip
