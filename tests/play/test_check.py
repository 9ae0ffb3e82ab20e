"""The page without a server takes the scenes that Python takes, and no others."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NODE = shutil.which("node")
if NODE is None:
    pytest.skip("node is not installed (Debian: apt-get install nodejs)", allow_module_level=True)


from physworld import scenarios
from physworld.errors import FormatError
from physworld.play import limits
from physworld.play.page_text import scene_keys
from physworld.play.wasm import WEB
from physworld.seeding import generator
from physworld.text.codecs.scene_json import scene_from_dict, scene_to_dict

from more_worlds import MORE, PLAIN

BALL = {"shape": "circle", "size": [20.0], "position": [400.0, 300.0]}
TWO: dict[str, Any] = {"bodies": [BALL, {**BALL, "position": [200.0, 300.0]}]}
SQUARE = [[-9.0, -9.0], [9.0, -9.0], [9.0, 9.0], [-9.0, 9.0]]
STAR = [[round(9 * np.cos(k * 0.8 * np.pi), 6), round(9 * np.sin(k * 0.8 * np.pi), 6)] for k in range(5)]
WALL: dict[str, Any] = {"type": "segment", "start": [0.0, 0.0], "end": [9.0, 0.0]}


def body(**more: Any) -> dict[str, Any]:
    return {"bodies": [{**BALL, **more}]}


def polygon(corners: Any) -> dict[str, Any]:
    return {"bodies": [{"shape": "polygon", "vertices": corners, "position": [1.0, 1.0]}]}


def compound(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"bodies": [{"shape": "compound", "parts": list(parts), "position": [1.0, 1.0]}]}


def joint(kind: str, **more: Any) -> dict[str, Any]:
    anchors = {"anchor_a": [0.0, 0.0]} if kind in ("pin", "pivot", "rope", "spring", "slide") else {}
    return {**TWO, "joints": [{"type": kind, "body_a": 0, "body_b": 1, **anchors, **more}]}


def wall(**more: Any) -> dict[str, Any]:
    return {**TWO, "static": [{**WALL, **more}]}


PART = {"shape": "circle", "size": [5.0]}
GOOD = [
    TWO, {**TWO, "note": "a remark", "_own": 3}, body(sensor=True, kind="kinematic", filter={"group": 1}),
    polygon(SQUARE), compound({**PART, "at": [6.0, 0.0]}, {**PART, "at": [-6.0, 0.0]}),
    joint("gear", ratio=-2.0), joint("ratchet", ratchet=0.1), joint("slide", shortest=1.0, longest=1.0),
    joint("spring", length=0, stiffness=1.0), wall(one_way=[0.5, 1.0]), wall(one_way=None, surface_speed=-3.0),
    {**TWO, "fields": [{"type": "attractor", "center": [0, 0], "strength": -1e7}]}, body(mass=1e-9),
    {**TWO, "dt": 1e-7},
]  # fmt: skip
BAD = [
    3, None, [], {}, {**TWO, "bodies": []}, {**TWO, "bodies": {}}, {**TWO, "colour": "red"}, {**TWO, "dt": 0},
    {**TWO, "dt": 1.5}, {**TWO, "gravity": [0, "9"]}, {**TWO, "canvas": [800, 0]}, {**TWO, "difficulty": 9},
    {**TWO, "difficulty": 1.5}, {**TWO, "name": 5}, {**TWO, "text": None}, {**TWO, "name": "\ud800"},
    body(mass=0), body(mass=True), body(friction=-1.0), body(restitution=None), body(size=[1e250]), body(size=[0]),
    body(size=[1.0, 2.0]), body(density=3.0), body(sensor="no"), body(sensor=1), body(kind="static"), body(filter=None),
    body(filter={"group": -1}), body(filter={"mask": 2**32}), body(filter={"bits": 1}), body(shape="hexagon"),
    body(shape="toString"), body(spin=1e301), body(position=[1.0]), body(vertices=SQUARE), body(parts=[PART]),
    body(mass=1e-320, size=[1e-3]), {"bodies": [{"shape": "rect", "position": [1.0, 1.0]}]},
    polygon(SQUARE[:2]), polygon(SQUARE[::-1]), polygon([[0, 0], [20, 0], [40, 0]]), polygon([*SQUARE, SQUARE[0]]),
    polygon([[0, 0], [20, 0], [2, 2], [0, 20]]), polygon([[x + 5, y] for x, y in SQUARE]), polygon(STAR),
    polygon([*SQUARE[:2], [9.0, 0.0], *SQUARE[2:]]), polygon(5),
    compound(), compound(*[PART] * 65), compound({**PART, "density": 0}), compound({**PART, "at": [1.0, 0.0]}),
    compound({"shape": "compound"}), compound({**PART, "mass": 1.0}), compound({**PART, "angle": "x"}),
    joint("gear", ratio=0), joint("gear"), joint("ratchet", ratchet=0), joint("rotary_limit", lowest=2.0, highest=1.0),
    joint("slide", shortest=9.0, longest=1.0), joint("rope", length=-1.0), joint("pin"), joint("pivot", length=1.0),
    joint("groove", groove_start=[1.0, 1.0], groove_end=[1.0, 1.0]), joint("constructor"), joint("pivot", body_b=2),
    joint("pivot", body_b=0), joint("pivot", body_a=-2), joint("pivot", body_b=-1), joint("pivot", body_a=0.5),
    {**joint("pivot"), "bodies": [{**one, "kind": "kinematic"} for one in TWO["bodies"]]},
    {**joint("motor", spin=1.0, torque=1.0, body_a=-1, body_b=0), "bodies": [{**BALL, "kind": "kinematic"}]},
    wall(type="toString"), wall(type="peg"), wall(radius=-1.0), wall(one_way=[1.0, 0.0]), wall(one_way=[0.0, 0.0]),
    wall(end=[0.0, 0.0], one_way=[0.0, 1.0]), wall(end=[0.0, 0.0], surface_speed=1.0), wall(width=3.0),
    wall(filter={"a": 1}),
    {**TWO, "static": [{"type": "peg", "center": [0, 0], "radius": 0}]}, {**TWO, "static": [WALL["start"]]},
    {**TWO, "fields": [{"type": "wind", "velocity": [1, 1], "drag": -1}]}, {**TWO, "fields": [{"type": "wind"}]},
    {**TWO, "fields": [{"type": "hasOwnProperty"}]}, {**TWO, "joints": [WALL] * 4097},
]  # fmt: skip


def sentences(folder: Path, scenes: Sequence[Any]) -> list[Any]:
    shutil.copytree(WEB, folder / "web")
    (folder / "package.json").write_text('{"type": "module"}')
    given = json.dumps({"text": {"scene": scene_keys(), "limits": limits.for_page()}, "scenes": scenes})
    script = [str(NODE), str(Path(__file__).with_name("check.mjs")), str(folder)]
    done = subprocess.run(script, input=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def refused(scene: Any) -> str:
    try:
        scene_from_dict(json.loads(json.dumps(scene)))
    except FormatError as error:
        return str(error)
    return ""


def test_what_python_takes_is_taken_and_made_whole(tmp_path: Path) -> None:
    drawn = [scenarios.build(name, generator(5, "val", k), 1 + k % 5) for k, name in enumerate(scenarios.names())]
    given = [*GOOD, *map(scene_to_dict, [*drawn, PLAIN, MORE])]
    for scene, told in zip(given, sentences(tmp_path, given), strict=True):
        assert not isinstance(told, str), told
        assert scene_from_dict(told) == scene_from_dict(json.loads(json.dumps(scene)))


def test_what_python_refuses_is_refused(tmp_path: Path) -> None:
    for scene, told in zip(BAD, sentences(tmp_path, BAD), strict=True):
        assert refused(scene), scene
        assert isinstance(told, str) and told.endswith(".") and "\n" not in told, (scene, told)


def test_scenes_that_are_changed_at_random_are_judged_alike(tmp_path: Path) -> None:
    odd = [None, "x", True, -1.5, 0, -1, 1e301, 1e-320, 1e200, [], {}, [1.5, 2.5], [[1.5, 2.5]], "toString", 2**33]
    rng, scenes = np.random.default_rng(0), []
    whole = [json.loads(json.dumps(scene)) for scene in [*GOOD, *map(scene_to_dict, (PLAIN, MORE))]]
    for _ in range(1500):
        scene = copy.deepcopy(whole[rng.integers(len(whole))])
        at = scene
        while True:  # down to a leaf, or to where it stops on the way
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = keys[rng.integers(len(keys))]
            if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.1:
                break
            at = at[key]
        if rng.random() < 0.15:
            del at[key]
        elif isinstance(at, dict) and rng.random() < 0.1:
            at[str(rng.choice(["colour", "note", "x_own", "type", "size", "kind"]))] = odd[rng.integers(len(odd))]
        else:
            at[key] = odd[rng.integers(len(odd))]
        scenes.append(scene)
    count = 0
    for scene, told in zip(scenes, sentences(tmp_path, scenes), strict=True):
        why = refused(scene)
        assert bool(why) == isinstance(told, str), (scene, why, told)
        count += bool(why)
    assert 500 < count < 1450
