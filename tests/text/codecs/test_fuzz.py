"""Parsers against damaged and invented input: they answer None or their own error, never another exception.

PHYSWORLD_FUZZ=20000 sets the cases per parser (seven parsers; the default keeps the suite quick).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physworld import scenarios
from physworld.errors import FormatError, UserError
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.card import CardCodec
from physworld.text.codecs.engine import EngineCodec
from physworld.text.codecs.impulse import ImpulseCodec
from physworld.text.codecs.scene_json import read_jsonl, write_jsonl
from physworld.text.evaluation.external_predictions import Predictions
from physworld.text.evaluation.store import DiskStore, moment_id
from physworld.types import Sample, State, Trajectory

CASES = int(os.environ.get("PHYSWORLD_FUZZ", "250"))
RUN = simulate(scenarios.build("billiards", generator(0, "test", 1), 1), 8)
GIVEN, TARGET = RUN.window(0, 4), RUN.window(4, 5)
# What formats are made of, so that damage looks like the real thing.
PIECES = [
    *(
        [
            "obj_0",
            "obj_",
            "pos=(",
            "vel=(",
            "Frame",
            "-",
            ".",
            "e9",
            "nan",
            "inf",
            "Infinity",
            "NaN",
            "1e999",
            "0",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "null",
            "true",
            "-0",
            "--1",
            "1.",
            ".5",
            "1_000",
        ]
    ),
    *(
        [
            "oK",
            "o0",
            "end",
            "world",
            "wall",
            "rest",
            "coast",
            "fixed",
            "pin",
            "id",
            "position",
            "text",
            "[[[1,2]]]",
            '"',
            '"id"',
            '"position"',
            '"text"',
        ]
    ),
    *("9" * 400, " ", "\n", "\r", "\x00", "\u2028", "\ud7ff", "𝟙", "٣"),
]

edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(st.sampled_from(PIECES), st.text(max_size=4))), max_size=8
)


def damaged(text: str, changes: list[tuple[float, int, str]]) -> str:
    """`text` with pieces cut out and others put in."""
    for where, cut, piece in changes:
        at = int(where * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text


def sample() -> Sample:
    return Sample(seed=0, given=GIVEN, target=TARGET)


@functools.cache
def impulse() -> ImpulseCodec:
    return ImpulseCodec()


@functools.cache
def plain(name: str) -> CardCodec | EngineCodec:
    return CardCodec() if name == "card" else EngineCodec()


def checked(state: State | None) -> None:
    assert state is None or np.isfinite(state.position).all()


def read_answer(name: str, text: str) -> None:
    codec = plain(name)
    state = codec.parse(text, GIVEN)
    checked(state)
    missing, _ = codec.inspect_text(text, GIVEN, state)
    assert 0 <= missing <= len(GIVEN.scene.bodies)


def read_impulse_prompt(text: str) -> None:
    found = impulse().read_prompt(text)
    if found is not None:
        impulse().prompt(found)  # what was read can be written


def read_scene_file(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        assert len(read_jsonl(path)) >= 1
    except FormatError as error:
        assert str(error).startswith(str(path))


def read_predictions(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        said = Predictions(path, plain("engine")).load([GIVEN], 2)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert len(said.predicted[0]) == 2


def predictions_text() -> str:
    answer = {"id": moment_id(GIVEN), "position": RUN.position[4:6].tolist(), "velocity": RUN.velocity[4:6].tolist()}
    other = {"id": "0" * 16, "text": [plain("engine").write_target(sample())]}
    return json.dumps(answer) + "\n" + json.dumps(other) + "\n"


def scene_text(path: Path) -> str:
    write_jsonl(path, RUN.window(0, 3))
    return path.read_text(encoding="utf-8")


def parsers(folder: Path) -> dict[str, tuple[str, Callable[[str], None]]]:
    """Name -> text that is right, and what reads it."""
    answer = impulse().encode(sample())
    said = impulse().text(answer.input_ids[answer.labels != -100])
    file = folder / "file.jsonl"
    return {
        "card": (plain("card").write_target(sample()), lambda text: read_answer("card", text)),
        "engine": (plain("engine").write_target(sample()), lambda text: read_answer("engine", text)),
        "impulse answer": (said, lambda text: checked(impulse().parse(text, GIVEN))),
        "impulse prompt": (impulse().text(impulse().prompt(GIVEN)), read_impulse_prompt),
        "scene file": (scene_text(file), lambda text: read_scene_file(file, text)),
        "predictions": (predictions_text(), lambda text: read_predictions(file, text)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["card", "engine", "impulse answer", "impulse prompt", "scene file", "predictions"])
def test_no_parser_raises(name: str, tmp_path: Path) -> None:
    right, read = parsers(tmp_path)[name]
    read(right)

    @settings(
        max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(edits, st.booleans())
    def attack(changes: list[tuple[float, int, str]], invented: bool) -> None:
        read(damaged("" if invented else right, changes))

    attack()


def test_token_ids_of_any_kind(tmp_path: Path) -> None:
    @settings(
        max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(st.lists(st.integers(-5, 80_000), max_size=60), st.sampled_from(["card", "engine", "impulse"]))
    def attack(ids: list[int], name: str) -> None:
        codec = impulse() if name == "impulse" else plain(name)
        checked(codec.decode(np.array(ids, np.int64), GIVEN))

    attack()


def test_a_damaged_store_is_made_anew(tmp_path: Path) -> None:
    from physworld.text.rollout import Rollout

    store = DiskStore(tmp_path, "key")
    done = Rollout(predicted=[TARGET], parsed=[1], missing=[0], drifted=[0])
    store.save([GIVEN], 1, done)
    again = store.load([GIVEN], 1)
    assert again is not None and np.array_equal(again.predicted[0].position, TARGET.position) and again.parsed == [1]
    assert DiskStore(tmp_path, "other key").load([GIVEN], 1) is None and store.load([GIVEN], 2) is None
    (file,) = tmp_path.rglob("*.npz")
    content = file.read_bytes()
    for damage in (b"", content[:100], b"PK" + content[2:50], b"\x80\x04" + content):
        file.write_bytes(damage)
        assert store.load([GIVEN], 1) is None
    pickled = np.array([{"a": 1}], dtype=object)
    np.savez(file, parsed=pickled)
    assert store.load([GIVEN], 1) is None  # objects are never unpickled


def test_moments_have_different_names() -> None:
    moved = Trajectory(
        scene=GIVEN.scene, position=GIVEN.position + 1e-12, velocity=GIVEN.velocity, angle=GIVEN.angle, spin=GIVEN.spin
    )
    assert moment_id(GIVEN) == moment_id(RUN.window(0, 4)) != moment_id(RUN.window(1, 5))
    assert moment_id(moved) != moment_id(GIVEN)
