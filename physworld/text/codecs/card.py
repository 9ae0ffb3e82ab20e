"""The `card` text format of the LFM_Physics350M model card.

    Scene: 2 objects (1 circle, 1 rectangle). Gravity: (0.00, -981.00). Timestep: 0.0167.
    Scenario: projectile (collision), difficulty: 2

    Objects:
      obj_0: circle r=15.0 at (100.00, 400.00), density=14.1, friction=0.3
      obj_1: rect 50x50 at (600.00, 100.00), density=4.0, friction=0.5

    Static geometry: 4 segments (walls)
    Constraints: none

    Frame 1: 1 of 2 objects moving.
      obj_0: pos=(105.00, 395.00), vel=(300.00, -100.00)
      obj_1: pos=(600.00, 100.00), vel=(0.00, 0.00)

    Frame 2:

Density is mass per area in kg/m² (100 px = 1 m). Known losses: the text has no wall coordinates, joint anchors,
restitution, angles or spins, and no word for pegs, attractors or wall radii, so part of the physics cannot be known
from it; kept for fidelity, never the default. The card shows scenes without joints only; with some, the line reads
`Constraints: K joints`.

With number tokens (`by_value`, see `_number_tokens`) numbers are the nearest of a list, in their shortest form.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from physworld.errors import counted
from physworld.text.codecs._card_reader import NoCard, read_card
from physworld.text.codecs._frame_grammar import Count, Number, Piece
from physworld.text.codecs._text import NUMBER, TextCodec, one_line, read_bodies
from physworld.text.codecs._text_writer import Layout
from physworld.types import PIXELS_PER_METRE, Body, Scene, Segment, State, Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LINE = re.compile(rf"\s*obj_([0-9]{{1,6}}): pos=\({NUMBER}, {NUMBER}\), vel=\({NUMBER}, {NUMBER}\)")

WORDS = (
    "Scene: ", " objects (", " circles, ", " circle, ", " rectangles). Gravity: (", " rectangle). Gravity: (",
    "). Timestep: ", "Scenario: ", "), difficulty: ", "Objects:", "  obj_", ": circle r=", ": rect ", " at (",
    "), density=", ", friction=", "Static geometry: ", " segments (walls)", "Constraints: ", "none", " joints",
    "Frame ", " of ", " objects moving.", ": pos=(", "), vel=(", ", ",
)  # fmt: skip


class CardCodec(TextCodec):
    """Header, the last given frames and `Frame t+1:`; the answer is the rest of that frame."""

    text_name = "card"
    line = _LINE
    reads_prompts = True  # what of a scene the text tells, which is all that it is continued from

    def __init__(
        self,
        *,
        context_frames: int = 3,
        tokenizer: PreTrainedTokenizerBase | None = None,
        history_frames: int | None = None,
        by_value: bool = False,
    ) -> None:
        layout = Layout(
            name="card",
            header=write_header,
            begin="",
            decimals=2,
            turned=math.inf,
            at_rest="",
            in_motion="",
            moving=" objects moving.",
            title="Frame {}: ",
            after="\n\n",
            cue="Frame {}:",
            answer=" ",
            described=True,
        )
        super().__init__(
            layout, WORDS, context_frames=context_frames, tokenizer=tokenizer, history_frames=history_frames,
            by_value=by_value,
        )  # fmt: skip

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Position and velocity from the text; angle and spin, which it lacks, are carried on from `given`."""
        numbers = read_bodies(text, _LINE, len(given.scene.bodies))
        if numbers is None:
            return None
        spin = given.spin[-1].copy()
        angle = given.angle[-1] + spin * given.scene.dt
        return State(position=numbers[:, :2], velocity=numbers[:, 2:], angle=angle, spin=spin)

    def read_prompt(self, text: str) -> Trajectory | None:
        """As much of the scene and its frames as the text tells (see `_card_reader`), or None."""
        try:
            return read_card(text)
        except NoCard:
            return None

    def why_no_prompt(self, text: str) -> str:
        try:
            read_card(text)
        except NoCard as problem:
            return str(problem)
        return ""

    def frame_grammar(self, bodies: int, number: int) -> tuple[Piece, ...]:
        value = Number(2)
        pieces: list[Piece] = [" ", Count(len(str(bodies))), f" of {bodies} objects moving."]
        for index in range(bodies):
            pieces += [f"\n  obj_{index}: pos=(", value, ", ", value, "), vel=(", value, ", ", value, ")"]
        return tuple(pieces)

    def round_state(self, state: State, scene: Scene) -> State:
        """Two decimals; angle and spin unchanged, as the reader carries its own along."""
        position, velocity = self.printed(state.position), self.printed(state.velocity)
        return State(position=position, velocity=velocity, angle=state.angle, spin=state.spin)


def write_header(scene: Scene) -> str:
    """Everything before the first frame."""
    circles = sum(body.shape == "circle" for body in scene.bodies)
    rects = len(scene.bodies) - circles
    walls = sum(isinstance(part, Segment) for part in scene.static)
    return (
        f"Scene: {len(scene.bodies)} objects ({counted(circles, 'circle')}, {counted(rects, 'rectangle')})."
        f" Gravity: ({scene.gravity[0]:.2f}, {scene.gravity[1]:.2f}). Timestep: {scene.dt:.4f}.\n"
        f"Scenario: {one_line(scene.name)} ({one_line(scene.category)}), difficulty: {scene.difficulty}\n\n"
        f"Objects:\n{''.join(_object(index, body) for index, body in enumerate(scene.bodies))}\n"
        f"Static geometry: {walls} segments (walls)\n"
        f"Constraints: {f'{len(scene.joints)} joints' if scene.joints else 'none'}\n\n"
    )


def _object(index: int, body: Body) -> str:
    if body.shape == "circle":
        area, shape = math.pi * body.size[0] ** 2, f"circle r={body.size[0]:.1f}"
    else:
        area, shape = body.size[0] * body.size[1], f"rect {body.size[0]:.6g}x{body.size[1]:.6g}"
    density = body.mass / area * PIXELS_PER_METRE**2
    x, y = body.position
    return f"  obj_{index}: {shape} at ({x:.2f}, {y:.2f}), density={density:.1f}, friction={body.friction:.1f}\n"
