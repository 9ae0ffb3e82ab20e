"""`plain` text: a scene and the state of its bodies, and nothing that anybody worked out from them.

A document is lines of words and numbers separated by single blanks; every word and every number is one token.

    world GX GY DT                                px/s², px/s², ms
    wall X1 Y1 X2 Y2 RADIUS FRICTION RESTITUTION SPEED       px; px/s at which its surface runs towards its end
    peg X Y RADIUS FRICTION RESTITUTION           px
    field X Y STRENGTH SOFTENING                  px, px, pull on a body 100 px away in px/s² (no softening), px
    mutual STRENGTH SOFTENING                     the same, of a body of 1 kg on every other body
    wind VX VY DRAG                               px/s, px/s, kg/(s·m)
    pin oA oB AX AY BX BY LENGTH                  px; oA is `fixed` when nailed to the world
    hinge oA oB AX AY BX BY | rope oA oB AX AY BX BY LENGTH
    spring oA oB AX AY BX BY LENGTH STIFFNESS DAMPING        kg/s², kg/s
    motor oA oB SPIN TORQUE                       rad/s of oB against oA, kg·m²/s²
    ball oK X Y ANGLE VX VY SPIN RADIUS MASS FRICTION RESTITUTION        px, rad, px/s, rad/s, kg: the state now,
    box oK X Y ANGLE VX VY SPIN WIDTH HEIGHT MASS FRICTION RESTITUTION   one line a body
    next
    oK coast | oK rest | oK DVX DVY DSPIN PX PY   the answer, one line a body, in the order of their lines
    end

DVX, DVY: change of velocity beyond gravity, px/s along the world's axes. DSPIN: change of spin, rad/s. PX, PY: the
position correction that the solver gave, as a speed, px/s. `coast`: all of them are zero; `rest`: the body comes to a
stop.

All that the codec works out is the step itself, in Chipmunk's order: p += v·dt + P·dt, angle += spin·dt, then
v += g·dt + DV and spin += DSPIN, with g and dt as the line `world` says them. What touches what, where, from which
side, and what joints and fields do is for the model to find: there is no line for it, nobody has looked for neighbours,
and no body is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from physworld.text.codecs import _impulse_words as impulse_words
from physworld.text.codecs._impulse_guide import ImpulseGuide
from physworld.text.codecs._impulse_words import COAST, END, NEXT, REST
from physworld.text.codecs._lines_codec import LinesCodec
from physworld.text.codecs.numbers import number_indices, number_values, output_grid
from physworld.types import Encoded, Sample, Scene, State, Trajectory

MAX_BODIES = 512
BODY_WORDS = [f"o{i}" for i in range(MAX_BODIES)]
COLUMNS = {  # what the numbers of a line are called
    "world": "gx gy dt",
    "wall": "x1 y1 x2 y2 radius friction restitution speed",
    "peg": "x y radius friction restitution",
    "field": "x y strength softening",
    "mutual": "strength softening",
    "wind": "vx vy drag",
    "pin": "ax ay bx by length",
    "hinge": "ax ay bx by",
    "rope": "ax ay bx by length",
    "spring": "ax ay bx by length stiffness damping",
    "motor": "turn torque",
    "ball": "x y angle vx vy spin radius mass friction restitution",
    "box": "x y angle vx vy spin width height mass friction restitution",
}
RECORDS = {word: impulse_words.RECORDS[word] for word in COLUMNS}
# as impulse text begins, so that both have one `pad`, `end`, `coast` and `rest`
WORDS = ["pad", "end", "next", "coast", "rest", "fixed", *RECORDS, *BODY_WORDS]
WORD = {w: i for i, w in enumerate(WORDS)}
NUMBER_BASE, FIRST_BODY = len(WORDS), WORD["o0"]
SAID = 5  # numbers of an answer's line
FINEST = 0.001  # of the numbers that a model may say: rad/s of spin are small
QUIET = 0.05  # px/s; a smaller change is `coast`: 0.025 px over half a second
STILL = 0.25  # px/s; slower than this after the step, with no push, is `rest`
EVENT_SPEED = 10.0  # px/s; a larger change of velocity beyond gravity makes a body's frame an event


class PlainCodec(LinesCodec):
    """Next frame as changes of velocity in world axes; see the module docstring for the text."""

    text_name = "plain"
    word = WORD
    first_body, most_bodies, said = FIRST_BODY, MAX_BODIES, SAID
    records = RECORDS
    body_names: Collection[str] = BODY_WORDS

    def __init__(self, *, shuffle_names: bool = True) -> None:
        """shuffle_names: while encoding training samples, names start at a random `oK` so that all are learned."""
        grid = output_grid(FINEST)
        columns = {word: tuple(names.split()) for word, names in COLUMNS.items()}
        super().__init__(grid, shuffle_names=shuffle_names, columns=columns, words=tuple(WORDS))
        self._said, self._said_ids = number_values()[grid], NUMBER_BASE + grid  # ascending
        self._headers: dict[int, tuple[Scene, np.ndarray, np.ndarray]] = {}

    # --- writing

    def _header(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """(ids up to the bodies' lines, where each body's state belongs (N,)), kept for the scenes seen last."""
        known = self._headers.get(id(scene))
        if known is None:
            self._refuse(scene)
            if len(self._headers) > 256:
                self._headers.clear()
            # with the scene itself, so that its id stays its own
            known = self._headers[id(scene)] = (scene, *self._scene_lines(scene))
        return known[1], known[2]

    def prompt(self, given: Trajectory) -> np.ndarray:
        header, slots = self._header(given.scene)
        now = given.frame(-1)
        state = np.column_stack([now.position, now.angle, now.velocity, now.spin])
        ids = np.append(header, NEXT)
        ids[slots[:, None] + np.arange(6)] = NUMBER_BASE + number_indices(state.ravel()).reshape(-1, 6)
        return ids

    def encode(self, sample: Sample) -> Encoded:
        given: Trajectory = sample.given
        answer, event = self.answer(given.scene, given.frame(-1), sample.target.frame(0))
        return self._encoded(sample.seed, given.scene, self.prompt(given), answer, event)

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """All frames but the last; item t equals `encode` of (frame t -> t + 1), seed + t."""
        return [
            self.encode(Sample(seed=seed + t, given=run.window(t, t + 1), target=run.window(t + 1, t + 2)))
            for t in range(len(run) - 1)
        ]

    def answer(self, scene: Scene, now: State, then: State) -> tuple[np.ndarray, np.ndarray]:
        """Answer ids and their event mask for the true (or any other) next state."""
        dt, gyration = scene.dt, np.array([body.gyration for body in scene.bodies])
        change = then.velocity - now.velocity - np.array(scene.gravity) * dt
        turn = then.spin - now.spin
        push = (then.position - now.position) / dt - now.velocity
        acted, pushed = np.abs(change).max(axis=1), np.abs(push).max(axis=1) >= QUIET
        coast = (np.maximum(acted, np.abs(turn) * gyration) < QUIET) & ~pushed
        speed = np.maximum(np.abs(then.velocity).max(axis=1), np.abs(then.spin) * gyration)
        rest = (speed < STILL) & ~pushed
        said = self._nearest(np.column_stack([change, turn, push]))
        ids: list[int] = []
        event: list[bool] = []
        for body in range(len(turn)):
            word = [COAST] if coast[body] else [REST] if rest[body] else said[body].tolist()
            ids += [FIRST_BODY + body, *word]
            event += [False, *[bool(acted[body] > EVENT_SPEED)] * len(word)]
        return np.array([*ids, END], np.int64), np.array([*event, False])

    def _nearest(self, exact: np.ndarray) -> np.ndarray:
        """Ids of the numbers that may be said and come nearest."""
        right = np.searchsorted(self._said, exact).clip(1, len(self._said) - 1)
        nearer = exact - self._said[right - 1] <= self._said[right] - exact
        return self._said_ids[np.where(nearer, right - 1, right)]

    # --- reading

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        scene, now = given.scene, given.frame(-1)
        read = self._read_answer(np.asarray(output), np.arange(len(scene.bodies)), FIRST_BODY)
        if read is None:
            return None
        said, rest = read
        velocity = now.velocity + np.array(scene.gravity) * scene.dt + said[:, :2]
        spin = now.spin + said[:, 2]
        velocity[rest], spin[rest] = 0.0, 0.0
        position = now.position + (now.velocity + said[:, 3:]) * scene.dt
        return State(position=position, velocity=velocity, angle=now.angle + now.spin * scene.dt, spin=spin)

    def guide(self, given: Sequence[Trajectory]) -> ImpulseGuide:
        return ImpulseGuide([np.arange(len(g.scene.bodies)) for g in given], self._masks, SAID)
