"""L2: `impulse` text, made to be learned: all geometry in the header, contacts spelled out, the answer is an impulse.

A document is lines of words and numbers separated by single blanks; every word and every number is one token.

    world GX GY DT                                px/s², px/s², ms
    wall X1 Y1 X2 Y2 RADIUS FRICTION RESTITUTION  px
    peg X Y RADIUS FRICTION RESTITUTION           px
    field X Y STRENGTH SOFTENING                  px, px, pull on a body 100 px away in px/s² (no softening), px
    pin oA oB AX AY BX BY LENGTH                  px; oA is `fixed` when nailed to the world
    ball oK X Y ANGLE VX VY SPIN RADIUS MASS FRICTION RESTITUTION        px, rad, px/s, rad/s, kg: the state now,
    box oK X Y ANGLE VX VY SPIN WIDTH HEIGHT MASS FRICTION RESTITUTION   one line a body
    self oK NX NY HAND VN VT VS GN GT             a body that something may act on, in its own frame (below)
    touch oK PARTNER E MU SHARE CN CT, then once or twice (`touch2`): GAP NEXT VN VT AN AT BN BT
    link oK PARTNER SHARE CN CT STRETCH VN VT AN BN
    pull oK CN CT DISTANCE STRENGTH
    next
    oK coast | oK rest | oK DN DT DS PUSH         the answer, one line per `self`
    end

Own frame: normal n = (NX, NY) points from the first partner towards the body (rods first, then the deepest contact,
then the field), tangent t = HAND·(-NY, NX) where HAND = ±1 makes the first slip speed positive: turned and mirrored
scenes read the same. Speeds are px/s; spin is spoken of as gyration speed VS = HAND·spin·sqrt(moment/mass), so an
impulse j/m at a point changes (VN, VT, VS) by (1, 0, AN)·j/m along n and (0, 1, AT)·j/m along t. GN, GT: gravity's
share of one frame. CN, CT: this partner's normal in the own frame. GAP, NEXT: px now and after p + v·dt, negative =
overlap. VN, VT: speed of the body's contact point relative to the partner's. AN, AT (BN, BT): lever arms of body
(partner) over radius of gyration. SHARE = partner's part of the two masses, 1 if static. E, MU: products as Chipmunk
forms them. Answer: change of velocity beyond gravity and of gyration speed, and PUSH, Chipmunk's position correction
along n as a speed; `coast` = all zero, `rest` = comes to a stop. The codec moves positions exactly as Chipmunk does:
p += v·dt + PUSH·n·dt, then v += g·dt + impulse. A body with no `self` line has nothing within MARGIN: it flies freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from physworld import geometry
from physworld.codecs import _impulse_answer as answers
from physworld.codecs import _impulse_kernel as kernel
from physworld.codecs._impulse_reader import read_prompt
from physworld.codecs.numbers import number_index, number_texts, number_values, output_grid
from physworld.codecs.vocabulary import Vocabulary, word_level_tokenizer
from physworld.types import FIXED, Attractor, Encoded, Peg, PinJoint, Sample, Scene, Segment, State, Trajectory

MAX_BODIES = 128
BODY_WORDS = [f"o{i}" for i in range(MAX_BODIES)]
# word -> how many words, then numbers, follow it on its line
RECORDS = {
    "world": (0, 3), "wall": (0, 7), "peg": (0, 5), "field": (0, 4), "pin": (2, 5),
    "ball": (1, 10), "box": (1, 11),
    "self": (1, 8), "touch": (2, 13), "touch2": (2, 21), "link": (2, 8), "pull": (1, 4),
}  # fmt: skip
WORDS = ["pad", "end", "next", "coast", "rest", "fixed", *RECORDS, *BODY_WORDS]
NUMBER_BASE = len(WORDS)
WORD = {w: i for i, w in enumerate(WORDS)}
PAD, END, NEXT, COAST, REST = (WORD[w] for w in ("pad", "end", "next", "coast", "rest"))
FIRST_BODY = WORD["o0"]
kernel.WORDS = np.array(
    [NUMBER_BASE, FIRST_BODY, MAX_BODIES]
    + [WORD[w] for w in ("fixed", "ball", "box", "self", "touch", "touch2", "link", "pull", "next")]
)
MARGIN = 1.5  # px; a body whose coming gap is larger touches nothing (Chipmunk's own push stays below this)
QUIET = 0.05  # px/s; a smaller change is `coast`: 0.025 px over half a second
STILL = 0.25  # px/s; slower than this after the step, with no push, is `rest`
EVENT_SPEED = 10.0  # px/s; a larger change of velocity beyond gravity makes a body's frame an event


class ImpulseCodec:
    """Next frame as impulses in contact frames; see the module docstring for the text."""

    context_frames = 1
    target_frames = 1
    end_id = END

    def __init__(self, *, shuffle_names: bool = True) -> None:
        """shuffle_names: while encoding training samples, names start at a random `oK` so that all are learned."""
        self.shuffle_names = shuffle_names
        self.tokenizer = word_level_tokenizer(WORDS + number_texts(), pad="pad", end="end", unknown="pad")
        grid = output_grid()
        order = np.argsort(number_values()[grid])
        self.vocabulary = Vocabulary(
            num_words=NUMBER_BASE,
            values=number_values(),
            records={WORD[w]: n for w, n in RECORDS.items()},
            outputs=np.concatenate(
                [[END, COAST, REST], np.arange(FIRST_BODY, FIRST_BODY + MAX_BODIES), NUMBER_BASE + grid[order]]
            ),
            ordered_from=3 + MAX_BODIES,
            pad=PAD,
        )
        values, ids = number_values()[grid[order]], NUMBER_BASE + grid[order]
        hints = np.searchsorted(values, number_values())
        self._grid = (values, ids, hints, np.array([FIRST_BODY, COAST, REST, END]), QUIET, STILL, EVENT_SPEED)
        self._headers: dict[int, tuple[Scene, np.ndarray, geometry.Solids, np.ndarray, np.ndarray]] = {}

    # --- writing

    def _packed(self, scene: Scene) -> tuple[Scene, np.ndarray, geometry.Solids, np.ndarray, np.ndarray]:
        """(scene, header ids, solids, joints, fields), kept for the scenes seen last."""
        known = self._headers.get(id(scene))
        if known is None:
            missing = self.unwritable(scene)
            if missing:
                raise ValueError(f"{missing}, which scene {scene.name!r} has; choose codec=engine")
            if len(self._headers) > 256:
                self._headers.clear()
            rods, pulls = _rods(scene), _pulls(scene)
            joints = np.array(
                [(j.body_a, j.body_b, *j.anchor_a, *j.anchor_b, j.length) for j in rods], np.float64
            ).reshape(-1, 7)
            fields = np.array([(*f.center, f.strength, f.softening) for f in pulls], np.float64).reshape(-1, 4)
            known = (scene, np.array(_header(scene), np.int64), geometry.solids(scene), joints, fields)
            self._headers[id(scene)] = known
        return known

    def unwritable(self, scene: Scene) -> str:
        """What moves a body of this scene but has no word in this text yet, as a sentence; else ''."""
        kinds = {type(part).__name__ for part in (*scene.joints, *scene.fields)} - {"PinJoint", "Attractor"}
        if any(isinstance(part, Segment) and part.surface_speed for part in scene.static):
            kinds.add("Segment.surface_speed")
        if len(scene.bodies) > MAX_BODIES:
            return f"impulse text cannot write more than {MAX_BODIES} bodies"
        return f"impulse text cannot write {', '.join(sorted(kinds))} yet" if kinds else ""

    def _views(self, given: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(prompt ids, listed bodies (M,), own frames (M, 3) nx, ny, hand) for the last given frame."""
        scene, header, packed, joints, fields = self._packed(given.scene)
        now = given.frame(-1)
        return kernel.write_prompt(
            header, packed, joints, fields, now.position, now.velocity, now.angle, now.spin,
            np.array(scene.gravity), scene.dt, MARGIN,
        )  # fmt: skip

    def prompt(self, given: Trajectory) -> np.ndarray:
        return self._views(given)[0]

    def encode(self, sample: Sample) -> Encoded:
        given: Trajectory = sample.given
        ids, listed, frames = self._views(given)
        scene, now, then = given.scene, given.frame(-1), sample.target.frame(0)
        answer, event = self.answer(scene, listed, frames, now, then)
        full = np.concatenate([ids, answer])
        if self.shuffle_names:
            names = (full >= FIRST_BODY) & (full < FIRST_BODY + MAX_BODIES)
            full[names] += self._shift(sample.seed, scene)
        labels = np.full(len(full), -100, np.int64)
        labels[len(ids) :] = full[len(ids) :]
        events = np.zeros(len(full), bool)
        events[len(ids) :] = event
        return Encoded(seed=sample.seed, input_ids=full, labels=labels, event=events)

    def _shift(self, seed: Any, scene: Scene) -> Any:
        """How far the names of training samples are moved on, for one seed or an array of them."""
        return seed * 7919 % (MAX_BODIES - len(scene.bodies) + 1) if self.shuffle_names else seed * 0

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """All frames but the last, in one compiled call; item t equals `encode` of (frame t -> t + 1), seed + t."""
        scene, header, packed, joints, fields = self._packed(run.scene)
        world = kernel.world_of(header, packed, joints, fields, np.array(scene.gravity), scene.dt, MARGIN)
        shifts = self._shift(np.arange(seed, seed + len(run) - 1), scene)
        return answers.Frames(world, run, self._grid, shifts, seed)

    def answer(
        self, scene: Scene, listed: np.ndarray, frames: np.ndarray, now: State, then: State
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answer ids and their event mask for the true (or any other) next state."""
        change, push, after = self._impulses(scene, listed, frames, now, then)
        return answers.write_answer(listed, change, push, after, self._grid)

    def _impulses(
        self, scene: Scene, listed: np.ndarray, frames: np.ndarray, now: State, then: State
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per listed body: change (M, 3) px/s of (n, t, gyration), push (M,) px/s, largest speed after (M,) px/s."""
        return answers.impulses(self._packed(scene)[2], np.array(scene.gravity), scene.dt, listed, frames, now, then)

    # --- reading

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        _, listed, frames = self._views(given)
        scene, now = given.scene, given.frame(-1)
        said = self._read_answer(np.asarray(output), listed)
        if said is None:
            return None
        change, rest = said
        nx, ny, hand = frames.T
        velocity = now.velocity + np.array(scene.gravity) * scene.dt
        spin = now.spin.copy()
        position = now.position + now.velocity * scene.dt
        dn, dt, ds, push = change.T
        velocity[listed] += np.stack([dn * nx - hand * dt * ny, dn * ny + hand * dt * nx], axis=1)
        spin[listed] += hand * ds / self._packed(scene)[2].gyration[listed]
        position[listed] += push[:, None] * frames[:, :2] * scene.dt
        velocity[listed[rest]] = 0.0
        spin[listed[rest]] = 0.0
        return State(position=position, velocity=velocity, angle=now.angle + now.spin * scene.dt, spin=spin)

    def _read_answer(self, ids: np.ndarray, listed: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(change (M, 4), rest (M,) bool), or None unless `ids` is exactly one line per listed body."""
        change, rest = np.zeros((len(listed), 4)), np.zeros(len(listed), bool)
        values = self.vocabulary.values
        at = 0
        for row, body in enumerate(listed):
            if at + 1 >= len(ids) or ids[at] != FIRST_BODY + body:
                return None
            if ids[at + 1] in (COAST, REST):
                rest[row] = ids[at + 1] == REST
                at += 2
                continue
            said = ids[at + 1 : at + 5]
            if len(said) < 4 or said.min() < NUMBER_BASE or said.max() >= NUMBER_BASE + len(values):
                return None
            change[row] = values[said - NUMBER_BASE]
            at += 5
        tail = ids[at:]
        if len(tail) and not (tail[0] == END and np.all((tail[1:] == END) | (tail[1:] == PAD))):
            return None
        return change, rest

    def max_new_tokens(self, scene: Scene) -> int:
        return 5 * len(scene.bodies) + 1

    def guide(self, given: Sequence[Trajectory]) -> ImpulseGuide:
        return ImpulseGuide([self._views(g)[1] for g in given], self.vocabulary.size)

    def round_state(self, state: State, scene: Scene) -> State:
        """The state as `ball` and `box` lines print it."""
        values = self.vocabulary.values
        nearest = np.vectorize(lambda v: values[number_index(v)], otypes=[np.float64])
        return State(
            position=nearest(state.position),
            velocity=nearest(state.velocity),
            angle=nearest(state.angle),
            spin=nearest(state.spin),
        )

    def text(self, ids: np.ndarray) -> str:
        """Ids as the lines of the module docstring."""
        starts = {WORD["next"], END, *(WORD[w] for w in RECORDS)}
        words = self.tokenizer.convert_ids_to_tokens([int(i) for i in ids])
        lines: list[str] = []
        answering = False
        for token, word in zip(ids, words, strict=True):
            new = token in starts or (answering and FIRST_BODY <= token < FIRST_BODY + MAX_BODIES)
            answering |= token == NEXT
            if new or not lines:
                lines.append(word)
            else:
                lines[-1] += " " + word
        return "\n".join(lines)

    def read_prompt(self, text: str) -> Trajectory | None:
        """The scene and the one frame that a prompt's text describes, or None: it is no prompt; never an exception."""
        return read_prompt(text, RECORDS, BODY_WORDS)

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from answer text."""
        return self.decode(np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64), given)


class ImpulseGuide:
    """Answers name the listed bodies in order, each followed by one word or four numbers, then `end`."""

    def __init__(self, listed: Sequence[np.ndarray], size: int) -> None:
        """listed: the bodies that each prompt lists; size: of the vocabulary."""
        self.kinds = np.zeros((2, size), bool)
        self.kinds[:, NUMBER_BASE:] = True
        self.kinds[0, [COAST, REST]] = True
        self._names = np.full((len(listed), max((len(bodies) for bodies in listed), default=0) + 1), END)
        for row, bodies in enumerate(listed):
            self._names[row, : len(bodies)] = FIRST_BODY + bodies
        self._line = np.zeros(len(listed), np.int64)
        self._said = np.full(len(listed), -1)  # tokens of the line behind its name; -1 = the name comes next

    def kind(self) -> np.ndarray:
        return np.minimum(self._said, 1)

    def only(self) -> np.ndarray:
        return self._names[np.arange(len(self._line)), np.minimum(self._line, self._names.shape[1] - 1)]

    def advance(self, tokens: np.ndarray) -> None:
        self._said += 1
        over = (self._said == 4) | ((self._said == 1) & ((tokens == COAST) | (tokens == REST)))
        self._line += over
        self._said[over] = -1


def _rods(scene: Scene) -> list[PinJoint]:
    return [joint for joint in scene.joints if isinstance(joint, PinJoint)]


def _pulls(scene: Scene) -> list[Attractor]:
    return [pole for pole in scene.fields if isinstance(pole, Attractor)]


def _header(scene: Scene) -> list[int]:
    """Ids of everything that does not change."""
    ids: list[int] = []

    def line(word: str, *items: float | str) -> None:
        ids.append(WORD[word])
        ids.extend(WORD[i] if isinstance(i, str) else NUMBER_BASE + number_index(float(i)) for i in items)

    line("world", *scene.gravity, scene.dt * 1000)
    for shape in scene.static:
        if isinstance(shape, Peg):
            line("peg", *shape.center, shape.radius, shape.friction, shape.restitution)
        else:
            line("wall", *shape.start, *shape.end, shape.radius, shape.friction, shape.restitution)
    for pull in _pulls(scene):
        line("field", *pull.center, pull.strength / 1e4, pull.softening)
    for joint in _rods(scene):
        a = "fixed" if joint.body_a == FIXED else BODY_WORDS[joint.body_a]
        line("pin", a, BODY_WORDS[joint.body_b], *joint.anchor_a, *joint.anchor_b, joint.length)
    return ids
