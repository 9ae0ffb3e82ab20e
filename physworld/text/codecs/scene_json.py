"""Scene JSONL, the format of the published physics-scenarios files: a header line, then one line per frame.

Frame k is the state after k steps and the header is the initial state, so a trajectory's frame 0 goes into the
header and its frame k into the line numbered k. Numbers are printed with 4 decimals (angles and spins 6).

The published format loses initial velocities, wall radii, joint lengths and force fields. Our header therefore
carries "physworld": the exact scene, and the exact frame 0 where it is not the scene's initial state; and, for people,
the "physworld_version" that wrote it. Other readers skip both; `read_jsonl` takes scene and frame 0 from the first,
refuses a header whose public keys say something else (an edit would be lost), and returns frames 0, 1, 2 ... Without it
the trajectory and its scene start at the file's first frame, and a joint's length is the distance of its anchors there;
a published joint to `static` says anchor (0, 0) wherever its true anchor was, and that is kept.

Files are read as JSON only, line by line, with limits on every size. `.gz` and `.zst` are (de)compressed by suffix.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import physworld
from physworld.errors import FormatError
from physworld.io.compression import BROKEN, opened, written
from physworld.io.integers import whole_number
from physworld.text.codecs._public import LEFT_OUT, RADIUS, ROUNDING, as_xy, object_of, public_header
from physworld.text.codecs._published import Note, check_keys, published_scene
from physworld.text.codecs._scene_dict import (
    MAX_BODIES,
    integer,
    is_remark,
    known_keys,
    mapping,
    number,
    only_once,
    pair,
    scene_from_dict,
    scene_to_dict,
    sequence,
    shown,
    xy,
)
from physworld.text.codecs._text import describe
from physworld.types import Scene, State, Trajectory

__all__ = ["MAX_BODIES", "read_jsonl", "scene_from_dict", "scene_to_dict", "write_jsonl"]

VERSION = 1  # of the "physworld" key
MAX_LINE = 16 * 2**20  # bytes; 4096 bodies take about 1 MB
MAX_STATES = 5_000_000  # bodies x frames: about 240 MB as arrays
COMPARED = ("gravity", "timestep", "objects", "static_geometry", "constraints", "scenario_type", "scenario_category",
            "difficulty", "description", "fields", "canvas")  # fmt: skip
FRAME, MOVING = ("frame", "description", "objects"), (
    "id", "type", "position", "velocity", "angle", "angular_velocity", "material",
)  # fmt: skip


def write_jsonl(path: str | os.PathLike[str], trajectory: Trajectory, *, seed: int = 0) -> None:
    """Write frames 0, 1, 2 ... of `trajectory`; the file appears complete or not at all.

    Raises:
        ValueError: fewer than two frames, or a number that is not finite.
    """
    if len(trajectory) < 2:
        raise ValueError(f"a scene file needs at least 2 frames (the first is its header), got {len(trajectory)}")
    path = Path(path)
    with written(path) as stream:
        try:
            stream.write(_line(_header(trajectory, seed)))
            for frame in range(1, len(trajectory)):
                stream.write(_line(_frame(trajectory, frame)))
        except ValueError as error:  # json's word for NaN and infinity
            raise ValueError(
                f"{path} was not written: the trajectory of {trajectory.scene.name!r} is not finite"
            ) from error


def read_jsonl(path: str | os.PathLike[str]) -> Trajectory:
    """Read a file of ours or a published one.

    Raises:
        FormatError: names the file, the line and the problem.
    """
    path = Path(path)
    place = f"{path}"
    try:
        lines = _lines(path)
        states: list[State] = []
        scene: Scene | None = None
        header: dict[str, Any] = {}
        left_out: dict[str, str] = {}  # what is taken for what the file leaves out -> where

        def note(sentence: str) -> None:
            left_out.setdefault(sentence, place)

        ids: list[int] = []
        previous: int | None = None
        for row, text in lines:
            place = f"{path} line {row}"
            record = mapping(_json(text, once=not ids), "the line")
            if not ids:
                header, ids = record, _ids_of_header(record)
                check_keys(header)
                scene, start = _exact(header, len(ids))
                if scene is not None and start is not None:
                    _refuse_edits(header, scene, start)
                    states.append(start)
                    previous = 0
                objects = header["objects"] if scene is None else public_header(scene, scene.state)["objects"]
                solid = {i: (o.get("type"), o.get("material")) for i, o in zip(ids, objects, strict=True)}
                continue
            previous = _next_number(record, previous)
            states.append(_state(record, solid, note))
            if len(states) * len(ids) > MAX_STATES:
                raise FormatError(f"the file has more than {MAX_STATES} body states")
        place = f"{path}"
        if not ids:
            raise FormatError("the file is empty; its first line must be a scene_header")
        if len(states) == 0 or (scene is not None and len(states) == 1):
            raise FormatError("the file has a header but no frames")
        if scene is None:
            place = f"{path} line 1"
            scene = published_scene(header, ids, states[0], note)
        for sentence, where in left_out.items():
            _state_once(where, sentence)
        return Trajectory.of(scene, states)
    except FormatError as error:
        raise FormatError(f"{place}: {error}") from None
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except BROKEN as error:
        raise FormatError(f"{path}: cannot be read ({error})") from None


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode("ascii") + b"\n"


def _header(trajectory: Trajectory, seed: int) -> dict[str, Any]:
    scene, start = trajectory.scene, trajectory.frame(0)
    exact: dict[str, Any] = {"version": VERSION, "scene": scene_to_dict(scene)}
    initial = scene.state
    if not all(np.array_equal(getattr(start, name), getattr(initial, name)) for name in State.__annotations__):
        exact["start"] = {name: getattr(start, name).tolist() for name in State.__annotations__}
    public = public_header(scene, start)
    return {
        "type": "scene_header",
        "seed": seed,
        "description": public.pop("description"),
        "object_count": len(scene.bodies),
        **public,
        "physworld_version": physworld.__version__,
        "physworld": exact,
    }


def _frame(trajectory: Trajectory, frame: int) -> dict[str, Any]:
    now = trajectory.frame(frame)
    places, speeds = np.round(now.position, 4).tolist(), np.round(now.velocity, 4)
    angles, spins = np.round(now.angle, 6).tolist(), np.round(now.spin, 6).tolist()
    moves = speeds.tolist()
    objects = []
    for i, body in enumerate(trajectory.scene.bodies):
        record = object_of(i, body, places[i])
        material = record.pop("material")
        record["velocity"] = as_xy(moves[i])
        record["angle"] = angles[i]
        record["angular_velocity"] = spins[i]
        record["material"] = material
        objects.append(record)
    return {"frame": frame, "description": f"Frame {frame}: {describe(speeds)}", "objects": objects}


def _ids_of_header(header: dict[str, Any]) -> list[int]:
    """The objects' ids in the header's order, which is the order of Scene.bodies."""
    if header.get("type") != "scene_header":
        raise FormatError('the first line must have "type": "scene_header"')
    objects = sequence(header.get("objects"), "objects")
    if not 1 <= len(objects) <= MAX_BODIES:
        raise FormatError(f"the header has {len(objects)} objects; 1 to {MAX_BODIES} can be read")
    count = header.get("object_count", len(objects))
    if count != len(objects):
        raise FormatError(f"object_count is {count!r} but the header lists {len(objects)} objects")
    ids = [integer(mapping(o, "object").get("id", i), "id") for i, o in enumerate(objects)]
    if len(set(ids)) != len(ids):
        raise FormatError("two objects have the same id")
    return ids


def _exact(header: dict[str, Any], count: int) -> tuple[Scene | None, State | None]:
    """Scene and frame 0 from our own key; (None, None) without it."""
    if "physworld" not in header:
        return None, None
    extra = mapping(header["physworld"], "physworld")
    known_keys(extra, ("version", "scene", "start"), 'the "physworld" key')
    if extra.get("version") != VERSION:
        raise FormatError(f'the "physworld" key has version {extra.get("version")!r}; version {VERSION} can be read')
    scene = scene_from_dict(extra.get("scene"))
    if len(scene.bodies) != count:
        raise FormatError(f'the "physworld" scene has {len(scene.bodies)} bodies but the header lists {count} objects')
    if "start" not in extra:
        return scene, scene.state
    start = mapping(extra["start"], "start")
    known_keys(start, tuple(State.__annotations__), "start")
    pairs = [[pair(p, f"start {name}") for p in _column(start, name, count)] for name in ("position", "velocity")]
    plain = [[number(a, name) for a in _column(start, name, count)] for name in ("angle", "spin")]
    return scene, State(
        position=np.array(pairs[0]), velocity=np.array(pairs[1]), angle=np.array(plain[0]), spin=np.array(plain[1])
    )


def _refuse_edits(header: dict[str, Any], scene: Scene, start: State) -> None:
    """Public keys that someone has changed beside the "physworld" key would be read past.

    Raises:
        FormatError: names the first key that differs.
    """
    exact, full = public_header(scene, start), None
    for key in COMPARED:
        if key in header and header[key] != exact.get(key):  # as we write them they are equal, which costs nothing
            full = full or public_header(scene, start, full=True)
            found = _difference(header[key], full[key], key)
            if found:
                raise FormatError(
                    f'{found} in the "physworld" key; delete "physworld" from the line to use the edit (walls of '
                    f"another radius than {RADIUS:g} px, belts, fields and initial velocities stand only there), or "
                    "change it there too"
                )


def _difference(public: Any, exact: Any, where: str) -> str:
    """The first place where two values differ by more than rounding, or ''; keys that are not there say nothing."""
    if isinstance(public, dict) and isinstance(exact, dict):
        names = (name for name in public if not is_remark(name))
        pairs = [(public[name], exact.get(name, LEFT_OUT.get(name)), f"{where} {name}") for name in names]
    elif isinstance(public, list) and isinstance(exact, list | tuple):
        if len(public) != len(exact):
            return f"{where} has {len(public)} entries, but {len(exact)}"
        pairs = [(*both, f"{where} {k}") for k, both in enumerate(zip(public, exact, strict=True))]
    elif type(public) in (int, float) and type(exact) in (int, float) and abs(public - exact) <= ROUNDING:
        return ""
    else:
        return "" if public == exact else f"{where} is {shown(public)}, but {shown(exact)}"
    return next((found for pair in pairs if (found := _difference(*pair))), "")


def _column(start: dict[str, Any], name: str, count: int) -> list[Any]:
    column = sequence(start.get(name), f"start {name}")
    if len(column) != count:
        raise FormatError(f"start {name} has {len(column)} entries but the scene has {count} bodies")
    return column


def _next_number(record: dict[str, Any], previous: int | None) -> int:
    if "frame" not in record:
        raise FormatError('the key "frame" is missing')
    frame = integer(record["frame"], "frame")
    if previous is not None and frame != previous + 1:
        raise FormatError(f"frame {frame} follows frame {previous}; frame numbers must rise by one")
    return frame


_MOVING = frozenset(MOVING)


def _state(record: dict[str, Any], solid: dict[int, tuple[Any, Any]], note: Note) -> State:
    """solid: type and material of each object by its id, in the header's order."""
    known_keys(record, FRAME, "the frame")
    objects, ids = sequence(record.get("objects"), "objects"), list(solid)
    if len(objects) != len(ids):
        raise FormatError(f"the frame has {len(objects)} objects but the header lists {len(ids)}")
    rows: dict[int, tuple[float, ...]] = {}
    for index, entry in enumerate(objects):
        item = mapping(entry, "object")
        name = integer(item.get("id", ids[index]), "id")
        kind, material = solid.get(name, (None, None))
        if not (
            item.keys() <= _MOVING and item.get("type", kind) == kind and item.get("material", material) == material
        ):
            _check_object(item, name, solid)
        if not ("angle" in item and "angular_velocity" in item):
            lacks = " and no ".join(key for key in ("angle", "angular_velocity") if key not in item)
            note(f"an object of a frame has no {lacks}, so 0 is taken")
        rows[name] = (
            *xy(item.get("position"), "position"),
            *xy(item.get("velocity"), "velocity"),
            number(item.get("angle", 0.0), "angle"),
            number(item.get("angular_velocity", 0.0), "angular_velocity"),
        )
    missing = [i for i in ids if i not in rows]
    if missing:
        raise FormatError(f"object {missing[0]} of the header is missing in this frame")
    values = np.array([rows[i] for i in ids], dtype=np.float64)
    return State(position=values[:, :2], velocity=values[:, 2:4], angle=values[:, 4], spin=values[:, 5])


def _check_object(item: dict[str, Any], name: int, solid: dict[int, tuple[Any, Any]]) -> None:
    """A frame's object that says more than it may, or something else than the header: which, and where.

    Raises:
        FormatError: an unknown key, or another type or material by more than rounding.
    """
    known_keys(item, MOVING, "an object of the frame")
    for key, own in zip(("type", "material"), solid.get(name, (None, None)), strict=True):
        if key in item and name in solid:
            found = _difference(item[key], {} if own is None else own, f"object {name} {key}")
            if found:
                raise FormatError(f"{found} in the header; a body stays what it is")


_STATED: set[str] = set()  # a folder of thousands of files says it once


def _state_once(place: str, sentence: str) -> None:
    if sentence not in _STATED:
        _STATED.add(sentence)
        print(f"{place}: {sentence} (said once, for this file and all others).", file=sys.stderr, flush=True)


def _json(text: bytes, *, once: bool = False) -> Any:
    """once: a key that an object names twice is refused; of the two values one would be read past."""
    if len(text) > MAX_LINE:
        raise FormatError(f"the line is longer than {MAX_LINE} bytes")
    try:
        pairs = only_once if once else None
        return json.loads(
            text.rstrip(), parse_constant=_refuse, parse_int=whole_number, object_pairs_hook=pairs
        )  # else a cut line is said to hold a line break
    except UnicodeDecodeError:
        raise FormatError("this is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # some of Python's messages end so
        raise FormatError(f"this is not valid JSON ({what} at column {error.colno})") from None
    except RecursionError:
        raise FormatError("this JSON is nested too deeply") from None


def _refuse(constant: str) -> Any:
    raise FormatError(f"{constant} is not a finite number")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 and the lines that are not blank."""
    with opened(path) as stream:
        row = 0
        while text := stream.readline(MAX_LINE + 1):
            row += 1
            if text.strip():
                yield row, text
