"""`impulse` text, made to be learned: all geometry in the header, contacts spelled out, the answer is an impulse.

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
    self oK NX NY HAND VN VT VS GN GT             a body that something may act on, in its own frame (below)
    link oK PARTNER SHARE CN CT STRETCH VN VT AN BN          pin; `tie` with the same numbers: rope
    hold oK PARTNER SHARE EN ET VN VT AN AT BN BT            hinge
    coil oK PARTNER SHARE CN CT KICK DAMP VN VT AN BN        spring
    drive oK PARTNER SHARE LACK MOST              motor
    touch oK PARTNER E MU SHARE CN CT, then once or twice (`touch2`): GAP NEXT VN VT AN AT BN BT
    pull oK CN CT DISTANCE SOFTENING STRENGTH     field, or one of the bodies that pull most
    air oK WN WT RATE                             wind
    next
    oK coast | oK rest | oK DN DT DS PUSH         the answer, one line per `self`
    end

Own frame: normal n = (NX, NY) points from the first partner towards the body: joints first (from a hinge to the
body's centre; the body's own axis where it is hinged there), then the deepest contact, then fields (in wind, along
the air that the body feels). Tangent t = HAND·(-NY, NX) where HAND = ±1 makes the first slip speed positive (a hinge:
the spin): turned and mirrored scenes read the same. Speeds are px/s; spin is spoken of as gyration speed VS =
HAND·spin·sqrt(moment/mass), so an impulse j/m at a point changes (VN, VT, VS) by (1, 0, AN)·j/m along n and (0, 1,
AT)·j/m along t. GN, GT: gravity's share of one frame. CN, CT: this partner's normal in the own frame. GAP, NEXT: px
now and after p + v·dt, negative = overlap. VN, VT: speed of the body's contact point relative to the partner's (its
surface's, where that runs). AN, AT (BN, BT): lever arms of body (partner) over radius of gyration. SHARE = partner's
part of the two masses (`drive`: moments), 1 if static. E, MU: products as Chipmunk forms them. STRETCH: px beyond the
length; EN, ET: px between a hinge's two anchors, in the own frame, as are its VN, VT and arms. KICK: px/s that a
spring adds to the body in a frame, DAMP: percent of VN that its damper takes. LACK: gyration speed that the motor
still wants, MOST: what it can give in a frame. WN, WT: the air's velocity relative to the body's, RATE: percent of it
that the body takes on in a frame. Answer: change of velocity beyond gravity and of gyration speed, and PUSH,
Chipmunk's position correction along n as a speed; `coast` = all zero, `rest` = comes to a stop. The codec moves
positions exactly as Chipmunk does: p += v·dt + PUSH·n·dt, then v += g·dt + impulse. A body with no `self` line has
nothing within MARGIN: it flies freely.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from physworld.lm.tokenizers import word_level_tokenizer
from physworld.sim import contacts as geometry
from physworld.text.codecs import _impulse_answer as answers
from physworld.text.codecs import _impulse_kernel as kernel
from physworld.text.codecs._impulse_guide import ImpulseGuide, answer_masks
from physworld.text.codecs._impulse_reader import PromptReader
from physworld.text.codecs._impulse_words import (
    BODY_WORDS,
    COAST,
    END,
    FIRST_BODY,
    MAX_BODIES,
    NEXT,
    NUMBER_BASE,
    PAD,
    RECORDS,
    REST,
    WORD,
    WORDS,
)
from physworld.text.codecs._refusal import refusal
from physworld.text.codecs._scene_lines import as_lines, scene_lines
from physworld.text.codecs.frame_codec import DocumentsCodec
from physworld.text.codecs.numbers import number_indices, number_texts, number_values, output_grid
from physworld.types import Encoded, Sample, Scene, State, Trajectory, Vocabulary

_WRITTEN = "fixed self touch touch2 link hold tie coil drive pull air next"  # in the compiled writer's order
kernel.WORDS = np.array([NUMBER_BASE, FIRST_BODY, MAX_BODIES, *(WORD[w] for w in _WRITTEN.split())])
MARGIN = 1.5  # px; a body whose coming gap is larger touches nothing (Chipmunk's own push stays below this)
QUIET = 0.05  # px/s; a smaller change is `coast`: 0.025 px over half a second
STILL = 0.25  # px/s; slower than this after the step, with no push, is `rest`
EVENT_SPEED = 10.0  # px/s; a larger change of velocity beyond gravity makes a body's frame an event


class ImpulseCodec(PromptReader):
    """Next frame as impulses in contact frames; see the module docstring for the text."""

    context_frames = 1
    target_frames = 1
    history_frames = 1
    reads_prompts = True
    end_id = END
    text_name = "impulse"
    records = RECORDS
    body_names: Collection[str] = BODY_WORDS

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
            end=END,
            prompt_end=NEXT,
            names=(FIRST_BODY, MAX_BODIES),
        )
        values, ids = number_values()[grid[order]], NUMBER_BASE + grid[order]
        hints = np.searchsorted(values, number_values()).astype(np.int16)  # small, to stay in the processor's cache
        self._grid = (values, ids, hints, QUIET, STILL, EVENT_SPEED)
        self._worlds: dict[int, tuple[Scene, tuple[Any, ...], geometry.Solids]] = {}

    # --- writing

    def _packed(self, scene: Scene) -> tuple[Scene, tuple[Any, ...], geometry.Solids]:
        """(scene, what compiled code reads of it, its solids), kept for the scenes seen last."""
        known = self._worlds.get(id(scene))
        if known is None:
            missing = self._lacks(scene)
            if missing:
                many = len(scene.bodies) > MAX_BODIES
                raise ValueError(f"{missing}, and scene {scene.name!r} has {len(scene.bodies)}" if many else missing)
            if len(self._worlds) > 256:
                self._worlds.clear()
            packed = geometry.solids(scene)
            lines = scene_lines(scene, WORD, NUMBER_BASE, self._first_name(scene))
            known = (scene, self._named(kernel.world_of(scene, *lines, packed, MARGIN), scene), packed)
            self._worlds[id(scene)] = known
        return known

    def _first_name(self, scene: Scene) -> int:
        """Id of the first body's name where a whole frame is written."""
        return FIRST_BODY

    def _named(self, world: tuple[Any, ...], scene: Scene) -> tuple[Any, ...]:
        """What compiled code reads of a scene, with the ids of its bodies' names."""
        return world

    def _grid_of(self, scene: Scene) -> tuple[Any, ...]:
        """What compiled code reads to write an answer."""
        return (*self._grid[:3], np.array([self._first_name(scene), COAST, REST, END]), *self._grid[3:])

    def unwritable(self, scene: Scene) -> str:
        """Why this text cannot hold the scene, as a sentence; else ''."""
        missing = self._lacks(scene)
        if missing:
            return missing
        try:
            scene_lines(scene, WORD, NUMBER_BASE, self._first_name(scene))
        except ValueError as error:  # a number that it cannot print
            return str(error)
        return ""

    def _lacks(self, scene: Scene) -> str:
        if len(scene.bodies) > MAX_BODIES:
            return f"impulse text names at most {MAX_BODIES} bodies"
        return refusal(scene, self.text_name)

    def _views(self, given: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(prompt ids, listed bodies (M,), own frames (M, 3) nx, ny, hand) for the last given frame."""
        now = given.frame(-1)
        return kernel.write_prompt(self._packed(given.scene)[1], now.position, now.velocity, now.angle, now.spin)

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
        room = MAX_BODIES - len(scene.bodies)
        return seed * 7919 % (room + 1) if self.shuffle_names and room > 0 else seed * 0

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """All frames but the last, in one compiled call; item t equals `encode` of (frame t -> t + 1), seed + t."""
        scene, world, _ = self._packed(run.scene)
        shifts = self._shift(np.arange(seed, seed + len(run) - 1), scene)
        return answers.Frames(world, run, self._grid_of(scene), shifts, seed)

    def answer(
        self, scene: Scene, listed: np.ndarray, frames: np.ndarray, now: State, then: State
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answer ids and their event mask for the true (or any other) next state."""
        change, push, after = self._impulses(scene, listed, frames, now, then)
        return answers.write_answer(listed, change, push, after, self._grid_of(scene))

    def _impulses(
        self, scene: Scene, listed: np.ndarray, frames: np.ndarray, now: State, then: State
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Per listed body: change (M, 3) px/s of (n, t, gyration), push (M,) px/s, largest speed after (M,) px/s."""
        return answers.impulses(self._packed(scene)[2], np.array(scene.gravity), scene.dt, listed, frames, now, then)

    # --- reading

    def decode(self, output: np.ndarray, given: Trajectory) -> State | None:
        _, listed, frames = self._views(given)
        scene, now = given.scene, given.frame(-1)
        said = self._read_answer(np.asarray(output), listed, self._first_name(scene))
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

    def _read_answer(self, ids: np.ndarray, listed: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray] | None:
        """(change (M, 4), rest (M,) bool), or None unless `ids` is exactly one line per listed body."""
        change, rest = np.zeros((len(listed), 4)), np.zeros(len(listed), bool)
        values = self.vocabulary.values
        at = 0
        for row, body in enumerate(listed):
            if at + 1 >= len(ids) or ids[at] != first + body:
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

    def inspect(self, output: np.ndarray, given: Trajectory, state: State | None) -> tuple[int, bool]:
        """Not counted: (0, False)."""
        return 0, False

    def inspect_text(self, text: str, given: Trajectory, state: State | None) -> tuple[int, bool]:
        return 0, False

    def documents(self) -> DocumentsCodec | None:
        """None: a frame is one document."""
        return None

    def max_new_tokens(self, scene: Scene) -> int:
        return 5 * len(scene.bodies) + 1

    def guide(self, given: Sequence[Trajectory]) -> ImpulseGuide:
        return ImpulseGuide([self._views(g)[1] for g in given], self._masks)

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
        starts = {NEXT, END, *(WORD[w] for w in RECORDS)}
        names = range(FIRST_BODY, FIRST_BODY + MAX_BODIES)
        return as_lines(tokens, self.tokenizer.convert_ids_to_tokens(tokens), starts, names, NEXT)

    def parse(self, text: str, given: Trajectory) -> State | None:
        """Next state from answer text."""
        return self.decode(np.array(self.tokenizer(text, add_special_tokens=False)["input_ids"], np.int64), given)
