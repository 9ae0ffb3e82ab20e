"""The `engine` text format, which the published physics weights were trained on.

    Scene: A ball and a box.
    Gravity: (0.0, -981.0)
    Timestep: 0.01667
    Type: projectile
    Difficulty: 2
    Static: seg (10,50)-(790,50); peg (400,300) r=8
    Constraints: PinJoint static->0

    Frame 1: 1 of 2 objects are moving.
      obj_0: pos=(105.0000, 395.0000), vel=(300.0000, -100.0000)
      obj_1: pos=(600.0000, 100.0000), vel=(0.0000, 0.0000), a=0.7854, av=0.0000

    Predict next frame:

The answer is a line break and the whole next frame. Angle and spin are printed only when one of them exceeds 0.001;
absent means 0. Known losses: no masses, sizes, friction, restitution, joint anchors,
lengths or strengths, wall radii, belts or fields.

`published_bytes=True` writes what the published trainer really fed its model, which differs in three places: no
empty lines in the prompt; the frame's title twice (`Frame 1: Frame 1: All objects are at rest.`, because the data's
description carries it already); and an answer that begins after an empty line and has no description (`Frame 5:`).
Source: AlexWortega/PhysicsLLMEngine, src/training/data_loader.py and src/finetune/lfm2_trainer.py.

With number tokens (`by_value`, see `_number_tokens`) numbers are the nearest of a list, in their shortest form:
`pos=(105, 395), vel=(300, -100)`, and `Timestep: 0.017`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from physworld.text.codecs._frame_grammar import Choice, Count, Number, Piece
from physworld.text.codecs._scene_dict import PYMUNK_NAMES
from physworld.text.codecs._text import AT_REST, IN_MOTION, NUMBER, SOME_MOVE, TextCodec, one_line, read_bodies
from physworld.text.codecs._text_writer import Layout
from physworld.types import FIXED, Joint, Peg, Scene, Segment, State, Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TURNED = 0.001  # rad and rad/s: angle and spin are printed when one of them is larger

_LINE = re.compile(
    rf"\s*obj_([0-9]{{1,6}}): pos=\({NUMBER}, {NUMBER}\), vel=\({NUMBER}, {NUMBER}\)(?:, a={NUMBER}, av={NUMBER})?"
)

WORDS = (
    "Scene: ", "Gravity: (", "Timestep: ", "Type: ", "Difficulty: ", "Static: ", "seg (", ")-(", "peg (", ") r=",
    "; ", "Constraints: ", "PinJoint ", "static", "->", "Frame ", "All objects are at rest.",
    "All objects are in motion.", " of ", " objects are moving.", "  obj_", ": pos=(", "), vel=(", ", a=", ", av=",
    ", ", "Predict next frame:",
)  # fmt: skip


class EngineCodec(TextCodec):
    """Header, the last given frames and `Predict next frame:`; the answer is the next frame."""

    text_name = "engine"
    line = _LINE

    def __init__(
        self,
        *,
        context_frames: int = 4,
        tokenizer: PreTrainedTokenizerBase | None = None,
        history_frames: int | None = None,
        by_value: bool = False,
        published_bytes: bool = False,
    ) -> None:
        gap, title = ("\n", "Frame {0}: Frame {0}: ") if published_bytes else ("\n\n", "Frame {}: ")
        layout = Layout(
            name="engine",
            header=write_header,
            begin=gap,
            decimals=4,
            turned=TURNED,
            at_rest=AT_REST,
            in_motion=IN_MOTION,
            moving=SOME_MOVE,
            title=title,
            after=gap,
            cue="Predict next frame:",
            answer="\n\nFrame {}:" if published_bytes else "\nFrame {}: ",
            described=not published_bytes,
        )
        super().__init__(
            layout, WORDS, context_frames=context_frames, tokenizer=tokenizer, history_frames=history_frames,
            by_value=by_value,
        )  # fmt: skip
        self.published_bytes = published_bytes

    def parse(self, text: str, given: Trajectory) -> State | None:
        """The first frame in the text; angle and spin are 0 where it leaves them out."""
        numbers = read_bodies(text, _LINE, len(given.scene.bodies))
        if numbers is None:
            return None
        return State(position=numbers[:, :2], velocity=numbers[:, 2:4], angle=numbers[:, 4], spin=numbers[:, 5])

    def frame_grammar(self, bodies: int, number: int) -> tuple[Piece, ...]:
        value = Number(4)
        moving: tuple[Piece, ...] = (Count(len(str(bodies))), f" of {bodies} objects are moving.")
        title = Choice((("All objects are at rest.",), ("All objects are in motion.",), moving))
        pieces: list[Piece] = [f"\n\nFrame {number}:"] if self.published_bytes else [f"\nFrame {number}: ", title]
        for index in range(bodies):
            pieces += [f"\n  obj_{index}: pos=(", value, ", ", value, "), vel=(", value, ", ", value, ")"]
            pieces.append(Choice(((), (", a=", value, ", av=", value))))
        return tuple(pieces)

    def round_state(self, state: State, scene: Scene) -> State:
        """Four decimals; angle and spin 0 where the text leaves them out."""
        turned = (np.abs(state.angle) > TURNED) | (np.abs(state.spin) > TURNED)
        return State(
            position=self.printed(state.position),
            velocity=self.printed(state.velocity),
            angle=np.where(turned, self.printed(state.angle), 0.0),
            spin=np.where(turned, self.printed(state.spin), 0.0),
        )


def write_header(scene: Scene) -> str:
    """The lines before the first frame, without the last line's break."""
    lines = [
        f"Scene: {one_line(scene.text)}",
        f"Gravity: ({float(scene.gravity[0])}, {float(scene.gravity[1])})",
        f"Timestep: {scene.dt:.5f}",
        f"Type: {one_line(scene.name)}",
        f"Difficulty: {scene.difficulty}",
    ]
    if scene.static:
        lines.append("Static: " + "; ".join(map(_static, scene.static)))
    if scene.joints:
        lines.append("Constraints: " + "; ".join(map(_joint, scene.joints)))
    return "\n".join(lines)


def _joint(joint: Joint) -> str:
    start = "static" if joint.body_a == FIXED else joint.body_a
    return f"{PYMUNK_NAMES[type(joint)]} {start}->{joint.body_b}"


def _static(part: Segment | Peg) -> str:
    if isinstance(part, Segment):
        (x, y), (to_x, to_y) = part.start, part.end
        return f"seg ({x:.0f},{y:.0f})-({to_x:.0f},{to_y:.0f})"
    x, y = part.center
    return f"peg ({x:.0f},{y:.0f}) r={part.radius:.0f}"
