"""Scenes as ADM (ITU-R BS.2076) in a BW64 file (BS.2088), and back.

Every object is one mono channel. Its pack carries the farthest distance of its path as `absoluteDistance`, and blocks
the share of it, so metres survive. Blocks end at keyframes and a renderer runs linearly towards them. What ADM has no
words for (class, sends, room, applied rules) stands in the file's coreMetadata as JSON.
"""

from __future__ import annotations

import json
import math
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from physworld.io.atomic import replacing
from physworld.spatial.scene.documents import SceneObject, SpatialScene
from physworld.spatial.scene.reading import (
    MOST_BYTES,
    Invalid,
    Violation,
    parse_json,
    scene_from,
)
from physworld.spatial.scene.rules import VERSION
from physworld.spatial.scene.terms import GRID, snap

START = 0.001  # s, length of a moving object's first block, which puts it at its first keyframe
NAMESPACE = "urn:ebu:metadata-schema:ebuCore_2014"
LABEL = "physworld spatial scene"
FULL = 2**32 - 1  # bytes, of a file without 64-bit sizes


class AdmError(ValueError):
    """A file that is no ADM file of ours; the message says why."""


# --- writing


def write_adm(
    path: Path, scene: SpatialScene, stems: dict[str, np.ndarray], rate: int, bed: dict[str, np.ndarray] | None = None
) -> None:
    """One file with all objects, 24 bit.

    Args:
        stems: (n,) samples of every object by id, all of one length; it is the section's length.
        bed: (n,) samples of stems that are no objects; they share a stereo bed.

    Raises:
        AdmError: the file would be longer than 4 GB.
    """
    tracks = [stems[thing.id] for thing in scene.objects]
    if bed:
        centre = np.sum(list(bed.values()), axis=0) * math.sqrt(0.5)
        tracks += [centre, centre]
    samples = np.stack(tracks, axis=1)
    data = _pcm24(samples)
    axml = _axml(scene, len(samples) / rate, bool(bed))
    channels = samples.shape[1]
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 3, channels * 3, 24)
    chunks = [(b"fmt ", form), (b"chna", _chna(len(scene.objects), bool(bed))), (b"axml", axml), (b"data", data)]
    size = 4 + sum(8 + len(body) + len(body) % 2 for _, body in chunks)
    if size > FULL:
        raise AdmError(f"{path} would have more than 4 GB; export a shorter section.")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", size) + b"WAVE")
        for name, body in chunks:
            file.write(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))


def _pcm24(samples: np.ndarray) -> bytes:
    whole = np.clip(np.round(samples * 2**23), -(2**23), 2**23 - 1).astype("<i4")
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


def _time(seconds: float) -> str:
    ticks = round(seconds * 100_000)
    minutes, rest = divmod(ticks, 6_000_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 100_000:02d}.{rest % 100_000:05d}"


def _axml(scene: SpatialScene, seconds: float, bed: bool) -> bytes:
    root = ET.Element("ebuCoreMain", {"xmlns": NAMESPACE, "xmlns:dc": "http://purl.org/dc/elements/1.1/"})
    core = ET.SubElement(root, "coreMetadata")
    note = ET.SubElement(core, "description", {"typeLabel": LABEL})
    ET.SubElement(note, "dc:description").text = json.dumps(_extras(scene))
    formats = ET.SubElement(ET.SubElement(core, "format"), "audioFormatExtended")
    length = {"start": _time(0), "end": _time(seconds)}
    programme = ET.SubElement(
        formats, "audioProgramme", {"audioProgrammeID": "APR_1001", "audioProgrammeName": "scene", **length}
    )
    content = ET.SubElement(
        formats, "audioContent", {"audioContentID": "ACO_1001", "audioContentName": "objects and bed"}
    )
    ET.SubElement(programme, "audioContentIDRef").text = "ACO_1001"
    measured = ET.SubElement(programme, "loudnessMetadata")
    ET.SubElement(measured, "integratedLoudness").text = f"{scene.bed.loudness_target_lufs:g}"
    for n, thing in enumerate(scene.objects, 1):
        ET.SubElement(content, "audioObjectIDRef").text = f"AO_{4096 + n:04x}"
        _object(formats, n, thing, seconds)
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


def _object(formats: ET.Element, n: int, thing: SceneObject, seconds: float) -> None:
    """Object, pack, channel with its blocks, stream, track and UID of one scene object."""
    code, name = f"{4096 + n:04x}", thing.id
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
    for k, (block, pose) in enumerate(_blocks(thing, seconds), 1):
        element = ET.SubElement(channel, "audioBlockFormat", {"audioBlockFormatID": f"AB_0003{code}_{k:08x}", **block})
        places = {"azimuth": f"{pose[0]:g}", "elevation": f"{pose[1]:g}", "distance": f"{pose[2] / farthest:.8f}"}
        for coordinate, value in places.items():
            ET.SubElement(element, "position", {"coordinate": coordinate}).text = value
        ET.SubElement(element, "width").text = f"{180 * thing.width:g}"
        ET.SubElement(element, "gain").text = f"{10 ** (thing.gain_db / 20):.8f}"
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


def _blocks(thing: SceneObject, seconds: float) -> list[tuple[dict[str, str], tuple[float, float, float]]]:
    """(rtime and duration, pose at the block's end)."""
    path = thing.path
    if len(path) == 1:
        return [({}, path[0][1])]
    ends = [START, *(t * seconds for t, _ in path[1:])]
    found, begin = [], 0.0
    for end, (_, pose) in zip(ends, path, strict=True):
        found.append(({"rtime": _time(begin), "duration": _time(end - begin)}, pose))
        begin = end
    return found


def _extras(scene: SpatialScene) -> dict[str, Any]:
    return {
        "version": scene.version,
        "layout": scene.bed.layout,
        "room_preset": scene.bed.room_preset,
        "constraints_applied": scene.constraints_applied,
        "objects": {
            thing.id: [thing.track_class, thing.reverb_send, thing.early_reflections] for thing in scene.objects
        },
    }


# --- reading


def read_adm(path: Path) -> SpatialScene:
    """The scene in an ADM file; positions, widths, gains and times come from the ADM blocks, within the grid.

    Raises:
        AdmError: damaged, or no ADM file with objects.
        Invalid: its values make no scene.
    """
    try:
        with path.open("rb") as file:
            text = _axml_chunk(file.read(12), file)
    except OSError as error:
        raise AdmError(f"{path} cannot be read ({error.strerror or error}).") from None
    if text is None:
        raise AdmError(f"{path} has no axml chunk; it is no ADM file.")
    if b"<!" in text.replace(b"<!--", b""):
        raise AdmError(f"{path} declares XML entities; it is not read.")  # they can be made to expand without end
    try:
        return _scene(ET.fromstring(text))
    except Invalid:
        raise
    except (ET.ParseError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise AdmError(f"{path} holds ADM that cannot be read ({str(error)[:100]}).") from None


def _axml_chunk(head: bytes, file: Any) -> bytes | None:
    if len(head) < 12 or head[:4] not in (b"RIFF", b"BW64", b"RF64") or head[8:12] != b"WAVE":
        return None
    while len(head := file.read(8)) == 8:
        name, size = head[:4], int(struct.unpack("<I", head[4:])[0])
        if name == b"axml":
            return file.read(size) if size <= 64 * MOST_BYTES else None
        file.seek(size + size % 2, 1)
    return None


def _scene(root: ET.Element) -> SpatialScene:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    extras = _noted(root)
    packs = {pack.get("audioPackFormatID"): pack for pack in root.iter("audioPackFormat")}
    channels = {c.get("audioChannelFormatID"): c for c in root.iter("audioChannelFormat")}
    seconds = max(_seconds(p.get("end", "")) for p in root.iter("audioProgramme"))
    objects = []
    for item in root.iter("audioObject"):
        pack = packs.get(item.findtext("audioPackFormatIDRef"))
        if pack is None or pack.get("typeLabel") != "0003":
            continue  # a bed
        channel = channels[pack.findtext("audioChannelFormatIDRef")]
        scale = float(pack.get("absoluteDistance", "1"))
        objects.append(_thing(item.get("audioObjectName", ""), channel, scale, seconds, extras))
    return scene_from(
        {
            "version": extras.get("version", VERSION),
            "bed": {
                "layout": extras.get("layout", "binaural"),
                "loudness_target_lufs": float(root.findtext(".//integratedLoudness") or -14),
                "room_preset": extras.get("room_preset", "studio_medium"),
            },
            "objects": objects,
            "constraints_applied": extras.get("constraints_applied", []),
        }
    )


def _noted(root: ET.Element) -> dict[str, Any]:
    for note in root.iter("description"):
        if note.get("typeLabel") == LABEL:
            data = parse_json("".join(note.itertext()))
            if not isinstance(data, dict):
                raise Invalid([Violation("$", "the note in coreMetadata is no object")])
            return data
    return {}


def _thing(name: str, channel: ET.Element, scale: float, seconds: float, extras: dict[str, Any]) -> dict[str, Any]:
    kind, reverb, early = extras.get("objects", {}).get(name, ["other", 0.0, 0.0])
    keys: list[dict[str, Any]] = []
    first = None
    for block in channel.iter("audioBlockFormat"):
        place = {p.get("coordinate"): float(p.text or "nan") for p in block.iter("position")}
        pose = {
            "az_deg": snap("az_deg", place["azimuth"]),
            "el_deg": snap("el_deg", place["elevation"]),
            "dist_m": snap("dist_m", place.get("distance", 1.0) * scale),
        }
        if first is None:
            first = (pose, float(block.findtext("width") or 0), float(block.findtext("gain") or 1))
        if block.get("rtime") is not None:
            end = _seconds(block.get("rtime", "")) + _seconds(block.get("duration", ""))
            keys.append({"t": snap("t", end / seconds) if keys else 0.0, **pose})
    assert first is not None, f"{name} has no blocks"
    pose, width, gain = first
    low = GRID["gain_db"][0]
    level = 20 * math.log10(gain) if gain > 0 else low
    return {
        "id": name, "class": kind, **pose, "width": snap("width", width / 180), "gain_db": snap("gain_db", level),
        "reverb_send": reverb, "early_reflections": early, "motion": keys if len(keys) > 1 else [],
    }  # fmt: skip


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
