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
from functools import cached_property
from typing import Any

import numpy as np

from physworld.lm.tokenizers import word_level_tokenizer
from physworld.text.codecs import _impulse_words as impulse_words
from physworld.text.codecs._impulse_guide import ImpulseGuide, answer_masks
from physworld.text.codecs._impulse_reader import PromptReader
from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._scene_lines import as_lines, scene_lines
from physworld.text.codecs.frame_codec import DocumentsCodec
from physworld.text.codecs.numbers import number_indices, number_texts, number_values, output_grid
from physworld.types import Encoded, Sample, Scene, State, Trajectory, Vocabulary

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
PAD, END, NEXT, COAST, REST = (WORD[w] for w in ("pad", "end", "next", "coast", "rest"))
NUMBER_BASE, FIRST_BODY = len(WORDS), WORD["o0"]
SAID = 5  # numbers of an answer's line
FINEST = 0.001  # of the numbers that a model may say: rad/s of spin are small
QUIET = 0.05  # px/s; a smaller change is `coast`: 0.025 px over half a second
STILL = 0.25  # px/s; slower than this after the step, with no push, is `rest`
EVENT_SPEED = 10.0  # px/s; a larger change of velocity beyond gravity makes a body's frame an event


class PlainCodec(PromptReader):
    """Next frame as changes of velocity in world axes; see the module docstring for the text."""

    context_frames = 1
    target_frames = 1
    history_frames = 1
    reads_prompts = True
    end_id = END
    text_name = "plain"
    records = RECORDS
    body_names: Collection[str] = BODY_WORDS

    def __init__(self, *, shuffle_names: bool = True) -> None:
        """shuffle_names: while encoding training samples, names start at a random `oK` so that all are learned."""
        self.shuffle_names = shuffle_names
        self.tokenizer = word_level_tokenizer(WORDS + number_texts(), pad="pad", end="end", unknown="pad")
        grid = output_grid(FINEST)
        order = np.argsort(number_values()[grid])
        names = np.arange(FIRST_BODY, FIRST_BODY + MAX_BODIES)
        self.vocabulary = Vocabulary(
            num_words=NUMBER_BASE,
            values=number_values(),
            records={WORD[w]: n for w, n in RECORDS.items()},
            outputs=np.concatenate([[END, COAST, REST], names, NUMBER_BASE + grid[order]]),
            ordered_from=3 + MAX_BODIES,
            pad=PAD,
            end=END,
            prompt_end=NEXT,
            names=(FIRST_BODY, MAX_BODIES),
            columns={word: tuple(columns.split()) for word, columns in COLUMNS.items()},
            words=tuple(WORDS),
        )
        self._said = number_values()[grid[order]]  # ascending
        self._said_ids = NUMBER_BASE + grid[order]
        self._headers: dict[int, tuple[Scene, np.ndarray, np.ndarray]] = {}

    # --- writing

    def unwritable(self, scene: Scene) -> str:
        """Why this text cannot hold the scene, as a sentence; else ''."""
        missing = self._lacks(scene)
        if missing:
            return missing
        try:
            scene_lines(scene, WORD, NUMBER_BASE, FIRST_BODY)
        except ValueError as error:  # a number that it cannot print
            return str(error)
        return ""

    def _lacks(self, scene: Scene) -> str:
        if len(scene.bodies) > MAX_BODIES:
            return f"plain text names at most {MAX_BODIES} bodies"
        return refusal(scene, self.text_name)

    def _header(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """(ids up to the bodies' lines, where each body's state belongs (N,)), kept for the scenes seen last."""
        known = self._headers.get(id(scene))
        if known is None:
            missing = self._lacks(scene)
            if missing:
                many = len(scene.bodies) > MAX_BODIES
                raise ValueError(f"{missing}, and scene {scene.name!r} has {len(scene.bodies)}" if many else missing)
            if len(self._headers) > 256:
                self._headers.clear()
            # with the scene itself, so that its id stays its own
            known = self._headers[id(scene)] = (scene, *scene_lines(scene, WORD, NUMBER_BASE, FIRST_BODY))
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
        scene, ids = given.scene, self.prompt(given)
        answer, event = self.answer(scene, given.frame(-1), sample.target.frame(0))
        full = np.concatenate([ids, answer])
        if self.shuffle_names:
            names = (full >= FIRST_BODY) & (full < FIRST_BODY + MAX_BODIES)
            full[names] += sample.seed * 7919 % (MAX_BODIES - len(scene.bodies) + 1)
        labels = np.full(len(full), -100, np.int64)
        labels[len(ids) :] = full[len(ids) :]
        events = np.zeros(len(full), bool)
        events[len(ids) :] = event
        return Encoded(seed=sample.seed, input_ids=full, labels=labels, event=events)

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
        read = self._read_answer(np.asarray(output), len(scene.bodies))
        if read is None:
            return None
        said, rest = read
        velocity = now.velocity + np.array(scene.gravity) * scene.dt + said[:, :2]
        spin = now.spin + said[:, 2]
        velocity[rest], spin[rest] = 0.0, 0.0
        position = now.position + (now.velocity + said[:, 3:]) * scene.dt
        return State(position=position, velocity=velocity, angle=now.angle + now.spin * scene.dt, spin=spin)

    def _read_answer(self, ids: np.ndarray, bodies: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(numbers (N, 5), rest (N,) bool), or None unless `ids` is exactly one line a body."""
        said, rest = np.zeros((bodies, SAID)), np.zeros(bodies, bool)
        values = self.vocabulary.values
        at = 0
        for body in range(bodies):
            if at + 1 >= len(ids) or ids[at] != FIRST_BODY + body:
                return None
            if ids[at + 1] in (COAST, REST):
                rest[body] = ids[at + 1] == REST
                at += 2
                continue
            tokens = ids[at + 1 : at + 1 + SAID]
            if len(tokens) < SAID or tokens.min() < NUMBER_BASE or tokens.max() >= NUMBER_BASE + len(values):
                return None
            said[body] = values[tokens - NUMBER_BASE]
            at += 1 + SAID
        tail = ids[at:]
        if len(tail) and not (tail[0] == END and np.all((tail[1:] == END) | (tail[1:] == PAD))):
            return None
        return said, rest

    def inspect(self, output: np.ndarray, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """Not counted: (0, False)."""
        return 0, False

    def inspect_text(self, text: str, given: Trajectory, state: State | None) -> tuple[int, bool]:
        return 0, False

    def documents(self) -> DocumentsCodec | None:
        """None: a frame is one document."""
        return None

    def max_new_tokens(self, scene: Scene) -> int:
        return (1 + SAID) * len(scene.bodies) + 1

    def guide(self, given: Sequence[Trajectory]) -> ImpulseGuide:
        return ImpulseGuide([np.arange(len(g.scene.bodies)) for g in given], self._masks, SAID)

    @cached_property
    def _masks(self) -> np.ndarray:
        return answer_masks(self.vocabulary.size, NUMBER_BASE, FIRST_BODY, MAX_BODIES)

    def round_state(self, state: State, scene: Scene) -> State:
        """The state as `ball` and `box` lines print it."""

        def nearest(exact: np.ndarray) -> np.ndarray:
            return self.vocabulary.values[number_indices(exact.ravel())].reshape(exact.shape)

        return State(
            position=nearest(state.position),
            velocity=nearest(state.velocity),
            angle=nearest(state.angle),
            spin=nearest(state.spin),
        )

    def write_prompt(self, given: Trajectory) -> str:
        return self.text(self.prompt(given))

    def text(self, ids: np.ndarray) -> str:
        """Ids as the lines of the module docstring."""
        tokens = [int(i) for i in ids]
        words: Any = self.tokenizer.convert_ids_to_tokens(tokens)
        starts = {NEXT, END, *(WORD[w] for w in RECORDS)}
        return as_lines(tokens, words, starts, range(FIRST_BODY, FIRST_BODY + MAX_BODIES), NEXT)

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from answer text."""
        return self.decode(np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64), given)
