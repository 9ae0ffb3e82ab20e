"""ADM (ITU-R BS.2076) in a BW64 file as a scene: our own files exactly, those of others as far as a scene goes."""

from __future__ import annotations

import math
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError
from physworld.spatial.export.bw64 import AdmChunks, read_chunks
from physworld.spatial.export.times import seconds_of
from physworld.spatial.scene.documents import SpatialScene
from physworld.spatial.scene.reading import Invalid, Violation, parse_json, printable, scene_from
from physworld.spatial.scene.rules import VERSION
from physworld.spatial.scene.terms import (
    GRID,
    LOUDNESS,
    MOST_KEYFRAMES,
    MOST_OBJECTS,
    POSE,
    Pose,
    pose_at,
    snap,
    turn,
    wrapped,
)

LABEL = "physworld spatial scene"
GAP = Fraction(1, 10_000)  # s, between blocks that do not touch
# Corners of the room in ADM's Cartesian coordinates and the azimuths they stand for (BS.2127, section 10).
CORNERS = ((0.0, (0.0, 1.0)), (-30.0, (1.0, 1.0)), (-110.0, (1.0, -1.0)), (110.0, (-1.0, -1.0)), (30.0, (-1.0, 1.0)))


class AdmError(UserError):
    """A file that is no ADM file with objects; the message says why."""


@dataclass
class _Reading:
    """A document while it is read."""

    seconds: Fraction  # length of the section
    noted: dict[str, list[dict[str, Any]]]  # what our own files say of an object beyond ADM, by its name
    remarks: list[str]
    gains: dict[str, float]  # audioObject's id -> dB, those it lies in included
    packs: dict[str | None, ET.Element]  # by id
    channels: dict[str | None, ET.Element]
    used: set[str] = field(default_factory=set)

    def grid(self, name: str, key: str, value: float) -> float:
        """On the grid; a value beyond a scene's range is said to be brought into it."""
        low, high, step = GRID[key]
        inside = wrapped(value) if key == "az_deg" else value
        if not low - step <= inside <= high + step and not (key == "gain_db" and inside < low):
            self.remarks.append(
                f"{name}: {key} {value:g} is beyond a scene's {low:g} to {high:g}, and set to the nearest"
            )
        return snap(key, value)


def read_adm(path: Path, remarks: list[str] | None = None) -> SpatialScene:
    """The scene in an ADM file; positions, widths, gains and times come from the ADM blocks, onto the grid.

    Args:
        remarks: what of the file a scene cannot say is added here.

    Raises:
        AdmError: damaged, or no ADM file with objects.
        Invalid: its values make no scene.
    """
    try:
        chunks = read_chunks(path)
    except OSError as error:
        raise AdmError(f"{path} cannot be read ({error.strerror or error}).") from None
    except (struct.error, ValueError, OverflowError):
        raise AdmError(f"{path} is damaged: it says sizes of chunks that it does not have.") from None
    if chunks is None or chunks.axml is None:
        raise AdmError(f"{path} has no axml chunk; it is no ADM file.")
    if b"<!" in chunks.axml.replace(b"\0", b"").replace(b"<!--", b""):  # also in UTF-16
        raise AdmError(f"{path} declares XML entities; it is not read.")  # they can be made to expand without end
    try:
        return _scene(ET.fromstring(chunks.axml), chunks, remarks if remarks is not None else [])
    except Invalid:
        raise
    except AdmError as error:
        raise AdmError(f"{path} {error}.") from None
    except (ET.ParseError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError, LookupError) as error:
        raise AdmError(f"{path} holds ADM that cannot be read ({printable(str(error)[:100])}).") from None


def _scene(root: ET.Element, chunks: AdmChunks, remarks: list[str]) -> SpatialScene:
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    extras = _noted(root)
    packs = {pack.get("audioPackFormatID"): pack for pack in root.iter("audioPackFormat")}
    channels = {c.get("audioChannelFormatID"): c for c in root.iter("audioChannelFormat")}
    reading = _Reading(_length(root, chunks), _entries(extras), remarks, _object_gains(root), packs, channels)
    every = (thing for item in root.iter("audioObject") for thing in _things(item, reading))
    things = list(islice(every, MOST_OBJECTS + 1))  # one too many is refused below
    if not extras and any(_is_bed(item, reading) for item in root.iter("audioObject")):
        remarks.append("its channel bed is left out: a scene has objects, and its bed are the stems that are none")
    if not things:
        raise AdmError("has no audioObject of type Objects")
    target = extras.get("loudness_target_lufs", root.findtext(".//integratedLoudness"))
    layout = extras.get("layout", "binaural")
    return scene_from(
        {
            "version": extras.get("version", VERSION),
            "bed": {
                "layout": layout,
                "loudness_target_lufs": snap("loudness_target_lufs", _number(target)) if target is not None
                else LOUDNESS.get(layout, -14.0),
                "room_preset": extras.get("room_preset", "studio_medium"),
            },
            "objects": things,
            "constraints_applied": extras.get("constraints_applied", []),
        }
    )  # fmt: skip


def _number(value: Any) -> float:
    """Raises: ValueError: not finite."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no number")
    return found


def _noted(root: ET.Element) -> dict[str, Any]:
    for note in root.iter("description"):
        if note.get("typeLabel") == LABEL:
            data = parse_json("".join(note.itertext()))
            if not isinstance(data, dict):
                raise Invalid([Violation("$", "the note in coreMetadata is no object")])
            return data
    return {}


def _entries(extras: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    said = extras.get("objects", [])
    found: dict[str, list[dict[str, Any]]] = {}
    if isinstance(said, dict):  # as files of version 0.1 have it: name -> [class, reverb send, early reflections]
        keys = ("class", "reverb_send", "early_reflections")
        said = [{"name": name, **dict(zip(keys, values, strict=True))} for name, values in said.items()]
    for entry in said:
        found.setdefault(entry["name"], []).append(entry)
    return found


def _length(root: ET.Element, chunks: AdmChunks) -> Fraction:
    """The programme's length, the audio's where it says none."""
    said = [
        seconds_of(p.get("end", "")) - seconds_of(p.get("start", "00:00:00"))
        for p in root.iter("audioProgramme")
        if p.get("end") is not None
    ]
    found = max(said, default=chunks.seconds)
    if found is None or found <= 0:
        raise AdmError("does not say how long its programme is")
    return found


def _object_gains(root: ET.Element) -> dict[str, float]:
    """dB of every audioObject, its own and of those that hold it; muted ones are silent."""
    items = {item.get("audioObjectID", ""): item for item in root.iter("audioObject")}
    own = {
        name: -math.inf if (item.findtext("mute") or "").strip() == "1" else _gain_db(item)
        for name, item in items.items()
    }
    holders = {
        (child.text or "").strip(): name for name, item in items.items() for child in item.iter("audioObjectIDRef")
    }
    found = {}
    for name in items:
        total, at, seen = 0.0, name, set[str]()
        while at in own and at not in seen:
            total += own[at]
            seen.add(at)
            at = holders.get(at, "")
        found[name] = total
    return found


def _gain_db(element: ET.Element) -> float:
    """The gain that an element says; linear is BS.2076's unit where none is named."""
    gain = element.find("gain")
    if gain is None or not (gain.text or "").strip():
        return 0.0
    value, unit = float(gain.text or ""), (gain.get("gainUnit") or "linear").lower()
    if math.isnan(value) or value == math.inf or unit not in ("db", "linear"):
        raise ValueError(f"a gain of {gain.text!r} {gain.get('gainUnit')} means nothing")
    if unit == "db":
        return value
    return 20 * math.log10(abs(value)) if value else -math.inf


def _is_objects(pack: ET.Element) -> bool:
    if pack.get("typeLabel") is not None:
        return pack.get("typeLabel") == "0003"
    if pack.get("typeDefinition") is not None:
        return pack.get("typeDefinition") == "Objects"
    return pack.get("audioPackFormatID", "").startswith("AP_0003")


def _is_bed(item: ET.Element, reading: _Reading) -> bool:
    """Whether an audioObject has a pack, and none of its packs is of type Objects."""
    return item.find("audioPackFormatIDRef") is not None and not any(True for _ in _channels(item, reading))


def _channels(item: ET.Element, reading: _Reading) -> Iterator[tuple[ET.Element, float]]:
    """(channel, metres that its distance 1 means) of every channel of an object, packs in packs included."""
    waiting, seen = [ref.text for ref in item.findall("audioPackFormatIDRef")], set[str | None]()
    while waiting:
        name = waiting.pop(0)
        pack = reading.packs.get(name)
        if pack is None or name in seen or not _is_objects(pack):
            continue  # a bed, or one of the common definitions, which stand in no file
        seen.add(name)
        scale = _number(pack.get("absoluteDistance", "1"))
        for ref in pack.findall("audioChannelFormatIDRef"):
            if ref.text not in reading.channels:
                raise ValueError(f"{ref.text} is not there")
            yield reading.channels[ref.text], scale if scale > 0 else 1.0
        waiting += [ref.text for ref in pack.findall("audioPackFormatIDRef")]


def _things(item: ET.Element, reading: _Reading) -> Iterator[dict[str, Any]]:
    """A scene's objects of one audioObject: one for each of its channels."""
    found = list(_channels(item, reading))
    called = item.get("audioObjectName") or item.get("audioObjectID") or "object"
    if item.find("positionOffset") is not None:
        reading.remarks.append(f"{called}: positionOffset is left out")
    start = seconds_of(item.get("start", "00:00:00"))
    length = item.get("duration")
    stop = start + seconds_of(length) if length is not None else reading.seconds
    for k, (channel, scale) in enumerate(found, 1):
        name = called if len(found) == 1 else f"{called}_{k}"
        entries = reading.noted.get(name)
        entry = entries.pop(0) if entries else {"class": "other", "reverb_send": 0.0, "early_reflections": 0.0}
        base, n = str(entry.get("id", name)), 1
        identity = base
        while identity in reading.used and not entries and "id" not in entry:
            n += 1
            identity = f"{base}_{n}"
        reading.used.add(identity)
        gain = reading.gains[item.get("audioObjectID", "")] - _number(entry.get("added_db", 0.0))
        yield {
            "id": identity, "class": entry["class"], **_placed(channel, name, scale, start, stop, gain, reading),
            "reverb_send": entry["reverb_send"], "early_reflections": entry["early_reflections"],
        }  # fmt: skip


def _placed(
    channel: ET.Element, name: str, scale: float, start: Fraction, stop: Fraction, gain: float, reading: _Reading
) -> dict[str, Any]:
    """Pose, width, gain and motion from a channel's blocks."""
    blocks = list(channel.iter("audioBlockFormat"))
    if not blocks:
        raise ValueError(f"{name} has no blocks")
    begins = [start + seconds_of(block.get("rtime", "00:00:00")) for block in blocks]
    order = sorted(range(len(blocks)), key=begins.__getitem__)
    blocks, begins = [blocks[k] for k in order], sorted(begins)
    poses = [_pose(block, name, scale, reading) for block in blocks]
    points: list[tuple[Fraction, Pose]] = []
    for k, (block, begin) in enumerate(zip(blocks, begins, strict=True)):
        length = block.get("duration")
        following = begins[k + 1] if k + 1 < len(blocks) else max(stop, begin)
        end = begin + seconds_of(length) if length is not None else following
        if points and begin > points[-1][0] + GAP:
            points.append((begin, points[-1][1]))  # between blocks it rests
        jump = block.find("jumpPosition")
        if points and jump is not None and (jump.text or "").strip() == "1":
            reached = begin + Fraction(_number(jump.get("interpolationLength", "0")))
            points += [(begin, points[-1][1]), (min(reached, end), poses[k])]
        points.append((end, poses[k]))
    gains, widths = [gain + _gain_db(block) for block in blocks], [_width(block) for block in blocks]
    for what, values in (("level", gains), ("width", widths)):
        if max(values) - min(values) > 1e-3:
            reading.remarks.append(
                f"{name}: its {what} changes, and a scene has one for each object: the first is taken"
            )
    level = gains[0] if math.isfinite(gains[0]) else GRID["gain_db"][0]
    return {
        **dict(zip(POSE, poses[0], strict=True)),
        "width": reading.grid(name, "width", widths[0] / 180),
        "gain_db": reading.grid(name, "gain_db", level),
        "motion": _motion(points, name, reading) if len(blocks) > 1 else [],
    }


def _motion(points: list[tuple[Fraction, Pose]], name: str, reading: _Reading) -> list[dict[str, Any]]:
    """Keyframes at different times of the grid, at most as many as a scene has."""
    keys: list[tuple[float, Pose]] = []
    for time, pose in points:
        t = float(snap("t", float(time / reading.seconds)))
        if keys and t <= keys[-1][0]:
            if pose == keys[-1][1]:
                continue
            later = round(keys[-1][0] + GRID["t"][2], 2)
            if len(keys) > 1 or later > 1:
                keys[-1] = keys[-1][0], pose
                continue
            t = later
        keys.append((t, pose))
    if len(keys) > MOST_KEYFRAMES:
        reading.remarks.append(f"{name}: of {len(keys)} keyframes the {MOST_KEYFRAMES} that matter most are kept")
    while len(keys) > MOST_KEYFRAMES:
        errors = [_off(keys, k) for k in range(1, len(keys) - 1)]
        del keys[1 + int(np.argmin(errors))]
    return [{"t": t, **dict(zip(POSE, pose, strict=True))} for t, pose in keys]


def _off(keys: list[tuple[float, Pose]], k: int) -> float:
    """How far from its place an object would be at keyframe k without it."""
    az, el, dist = pose_at([keys[k - 1], keys[k + 1]], keys[k][0])
    here = keys[k][1]
    return turn(az, here[0]) + abs(el - here[1]) + 10 * abs(dist - here[2])


def _pose(block: ET.Element, name: str, scale: float, reading: _Reading) -> Pose:
    place = {p.get("coordinate"): _number(p.text) for p in block.iter("position")}
    if _cartesian(block):
        place["azimuth"], place["elevation"], place["distance"] = polar(place["X"], place["Y"], place.get("Z", 0.0))
    for needed in ("azimuth", "elevation"):
        if needed not in place:
            raise ValueError(f"a block of {name} has no {needed}")
    values = place["azimuth"], place["elevation"], place.get("distance", 1.0) * scale
    az, el, dist = (reading.grid(name, key, value) for key, value in zip(POSE, values, strict=True))
    return az, el, dist


def _cartesian(block: ET.Element) -> bool:
    return any(p.get("coordinate") == "X" for p in block.iter("position"))


def _width(block: ET.Element) -> float:
    """Degrees. In Cartesian coordinates it is half the extent across, in parts of the room."""
    width = _number(block.findtext("width") or 0)
    return 2 * math.degrees(math.asin(min(1.0, abs(width)))) if _cartesian(block) else width


def polar(x: float, y: float, z: float) -> Pose:
    """Azimuth °, elevation ° and distance of a place in a room whose corners are at ±1 (BS.2127, section 10.1)."""
    if abs(x) < 1e-10 and abs(y) < 1e-10:
        return 0.0, math.copysign(90.0, z) if abs(z) > 1e-10 else 0.0, abs(z)
    left_az, right_az, g_left, g_right = next(_sectors(x, y))
    across = g_left + g_right
    half = wrapped(left_az - right_az) % 360 / 2
    share = g_right / across * math.pi / 2
    balance = math.sin(share) / (math.sin(share) + math.cos(share))
    az = wrapped(left_az - half + math.degrees(math.atan(2 * (0.5 - balance) * math.tan(math.radians(half)))))
    raised = math.degrees(math.atan(z / across))
    if abs(raised) > 45:
        return az, math.copysign(30 + 60 * (abs(raised) - 45) / 45, raised), abs(z)
    return az, 30 * raised / 45, across


def _sectors(x: float, y: float) -> Iterator[tuple[float, float, float, float]]:
    """Azimuths of the corners between which a place lies, left and right, and its shares of them."""
    for (left_az, left), (right_az, right) in zip(CORNERS, (*CORNERS[1:], CORNERS[0]), strict=True):
        determinant = left[0] * right[1] - left[1] * right[0]
        g_left = (x * right[1] - y * right[0]) / determinant
        g_right = (left[0] * y - left[1] * x) / determinant
        if g_left >= -1e-9 and g_right >= -1e-9:
            yield left_az, right_az, g_left, g_right
