"""Models that live elsewhere: moments written as JSONL for them, and their predictions read back.

`python evaluate.py export=moments.jsonl suite=... codec=engine` writes one line per moment:

    {"id": "9f3c...", "scenario": ..., "difficulty": ..., "frames": 30, "dt": ..., "scene": {all parts},
     "given": {"position": [T][N][2] px, "velocity": [T][N][2] px/s, "angle": [T][N] rad, "spin": [T][N] rad/s},
     "prompt": "the given frames as text, in the chosen codec"}

`python evaluate.py predictions=FILE.jsonl suite=...` with the same suite, seed and limit reads one line per moment:

    {"id": "9f3c...", "position": [F][N][2], "velocity": [F][N][2], "angle": [F][N], "spin": [F][N]}
    {"id": "9f3c...", "text": ["answer to the prompt", "answer to the prompt of the frame after", ...]}

Without `velocity` it is worked out from the positions, p[t+1] = p[t] + v[t]·dt as in the simulator; without `angle` and
`spin` bodies go on turning as they did. A moment without a line, or with fewer than F frames, counts as not parsed and
stands still from there on; a frame with a number beyond 1e6 ends it, too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from physworld.errors import UserError, suggest
from physworld.io.atomic import replacing
from physworld.io.compression import BROKEN, opened
from physworld.text.codecs._scene_dict import is_remark
from physworld.text.codecs._text import LARGEST
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.codecs.scene_json import scene_to_dict
from physworld.text.evaluation.evaluation import EvalCases
from physworld.text.evaluation.store import moment_id
from physworld.text.rollout import Rollout
from physworld.types import State, Trajectory

LONGEST_LINE = 64 * 2**20  # bytes
# Of a line; what export= wrote may stay.
KEYS = (
    "id",
    "position",
    "velocity",
    "angle",
    "spin",
    "text",
    "scenario",
    "difficulty",
    "frames",
    "dt",
    "scene",
    "given",
    "prompt",
)
SHAPES = {"position": 3, "velocity": 3, "angle": 2, "spin": 2}  # axes


def write_cases(path: Path, cases: EvalCases, frames: int, codec: FrameCodec) -> None:
    """One line per moment; the file appears complete or not at all.

    Raises:
        UserError: another file lies there; an older export is written over, which its command makes again.
    """
    if path.exists() and not _is_export(path):
        raise UserError(f"export={path} is there already and is no export; choose another name, or move it.")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for given in cases.given:
            scene = given.scene
            line = {
                "id": moment_id(given),
                "scenario": scene.name,
                "difficulty": scene.difficulty,
                "frames": frames,
                "dt": scene.dt,
                "scene": scene_to_dict(scene),
                "given": {name: getattr(given, name).tolist() for name in State.__annotations__},
                "prompt": codec.write_prompt(given),
            }
            stream.write(json.dumps(line, allow_nan=False) + "\n")


def _is_export(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as stream:
            line = json.loads(stream.readline(LONGEST_LINE))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(line, dict) and {"id", "scene", "given", "prompt"} <= set(line)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How a predictions file and an evaluation fit together."""

    lines: int  # of the file
    unmatched: int  # lines that are about none of the moments
    first: str  # the first of these, '' where there is none
    unanswered: int  # moments without a line

    @property
    def sentence(self) -> str:
        return f"{self.unmatched} of {self.lines} lines match no scene of this evaluation, the first is {self.first}"


class Predictions:
    """Lines of a predictions file by id; a `Store` of finished rollouts."""

    def __init__(self, path: Path, codec: FrameCodec) -> None:
        """
        Raises:
            UserError: the file cannot be read, or a line is no prediction.
        """
        self.path, self.codec = path, codec
        self.lines: dict[str, tuple[int, dict[str, Any]]] = {}
        try:
            with opened(path) as stream:
                row = 0
                while text := stream.readline(LONGEST_LINE):
                    row += 1
                    if text.strip():
                        self._add(row, text)
        except BROKEN as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise UserError(f"predictions={path} cannot be read ({reason}); give a JSONL file.") from None
        if not self.lines:
            raise UserError(f"predictions={path} holds no predictions.")

    def _add(self, row: int, text: bytes) -> None:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path} line {row} is not valid JSON ({str(error)[:80]}).") from None
        if not isinstance(line, dict) or not isinstance(line.get("id"), str):
            raise UserError(f'{self.path} line {row} has no "id"; take it from the file that export= wrote.')
        unknown = next((key for key in line if key not in KEYS and not is_remark(key)), None)
        if unknown is not None:
            raise UserError(
                f"{self.path} line {row} has the unknown key {unknown!r}; choose from {', '.join(KEYS[:6])}."
                f"{suggest(unknown, KEYS[:6])}"
            )
        if ("position" in line) == ("text" in line):
            raise UserError(f'{self.path} line {row} must have either "position" or "text".')
        if line["id"] in self.lines:
            raise UserError(f"{self.path} line {row} predicts {line['id']} again, as line {self.lines[line['id']][0]}.")
        self.lines[line["id"]] = (row, line)

    def coverage(self, given: Sequence[Trajectory]) -> Coverage:
        """Which lines are about the moments that will be evaluated, and which moments have no line.

        Raises:
            UserError: one of these lines is no prediction of its moment.
        """
        moments = {moment_id(moment): moment for moment in given}
        asked = set(moments)
        for key in sorted(asked & set(self.lines), key=lambda key: self.lines[key][0]):
            row, line = self.lines[key]
            if "text" in line:
                self._texts(row, line["text"])
            else:
                self._states(row, line, moments[key])
        strangers = [(row, key) for key, (row, _) in self.lines.items() if key not in asked]
        return Coverage(
            lines=len(self.lines),
            unmatched=len(strangers),
            first=f"{strangers[0][1]} in line {strangers[0][0]}" if strangers else "",
            unanswered=len(asked - set(self.lines)),
        )

    def turn(self, given: Sequence[Trajectory], num_frames: int, *, wait: bool) -> AbstractContextManager[bool]:
        """Nothing is made, so nobody waits."""
        return nullcontext(True)

    def save(self, given: Sequence[Trajectory], num_frames: int, rollout: Rollout) -> None:
        raise AssertionError("predictions are never made here")

    def load(self, given: Sequence[Trajectory], num_frames: int) -> Rollout:
        found = [self._one(moment, num_frames) for moment in given]
        predicted, parsed, missing, drifted = (list(column) for column in zip(*found, strict=True))
        return Rollout(predicted=predicted, parsed=parsed, missing=missing, drifted=drifted)

    def _one(self, given: Trajectory, frames: int) -> tuple[Trajectory, int, int, int]:
        key = moment_id(given)
        if key not in self.lines:
            return _held(given, [], frames), 0, len(given.scene.bodies), 0
        row, line = self.lines[key]
        if "text" in line:
            return self._read(self._texts(row, line["text"]), given, frames)
        states = self._states(row, line, given)[:frames]
        return _held(given, states, frames), len(states), 0, 0

    def _texts(self, row: int, texts: Any) -> list[str]:
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserError(f'{self.path} line {row}: "text" must be a list of texts, one per frame.')
        return texts

    def _read(self, texts: list[str], given: Trajectory, frames: int) -> tuple[Trajectory, int, int, int]:
        states: list[State] = []
        context, missing, drifted = given, 0, 0
        for text in texts[:frames]:
            state = self.codec.parse(text, context)
            lacks, drifts = self.codec.inspect_text(text, context, state)
            missing, drifted = missing + lacks, drifted + drifts
            if state is None:
                break
            states.append(state)
            context = context.window(1, len(context)).then(Trajectory.of(given.scene, [state]))
        return _held(given, states, frames), len(states), missing, drifted

    def _states(self, row: int, line: dict[str, Any], given: Trajectory) -> list[State]:
        said = {name: self._array(row, line, name, given) for name in SHAPES if name in line}
        if len({len(array) for array in said.values()}) > 1:
            raise UserError(f"{self.path} line {row}: {', '.join(said)} have different lengths.")
        count = min(map(_in_range, said.values()))
        said = {name: array[:count] for name, array in said.items()}
        position = said["position"]
        dt, last = given.scene.dt, given.frame(-1)
        if "velocity" in said:
            velocity = said["velocity"]
        else:  # Chipmunk moves a body with the velocity it had before, so the last frame repeats the one before it
            moved = np.diff(np.concatenate([last.position[None], position]), axis=0) / dt
            velocity = np.concatenate([moved[1:], moved[-1:]]) if count else moved
        steps = np.arange(1, count + 1)[:, None]
        angle = said["angle"] if "angle" in said else last.angle + steps * dt * last.spin
        spin = said["spin"] if "spin" in said else np.repeat(last.spin[None], count, axis=0)
        return [State(position=position[t], velocity=velocity[t], angle=angle[t], spin=spin[t]) for t in range(count)]

    def _array(self, row: int, line: dict[str, Any], name: str, given: Trajectory) -> np.ndarray:
        shape = (len(given.scene.bodies), 2)[: SHAPES[name] - 1]
        try:
            array = np.array(line[name], dtype=np.float64) if line[name] != [] else np.empty((0, *shape))
        except (ValueError, TypeError):
            array = np.empty(0)
        except OverflowError:  # a whole number beyond every float
            array = np.full((1, *shape), np.inf)
        if array.shape[1:] != shape:
            raise UserError(f'{self.path} line {row}: "{name}" must be numbers of shape [frames]{list(shape)}.')
        if not np.isfinite(array).all():
            raise UserError(f'{self.path} line {row}: "{name}" holds a number that is not finite.')
        return array


def _in_range(array: np.ndarray) -> int:
    """Frames of (T, ...) before the first with a number that is out of range, as it is for frames that are text."""
    wild = np.abs(array).max(axis=tuple(range(1, array.ndim)), initial=0.0) > LARGEST
    return int(wild.argmax()) if wild.any() else len(array)


def _held(given: Trajectory, states: list[State], frames: int) -> Trajectory:
    """`frames` frames: the last state stands still where there are too few."""
    last = states[-1] if states else given.frame(-1)
    return Trajectory.of(given.scene, [*states, *[last] * (frames - len(states))])
