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

With `memory=true` two frames are given, and a line whose word ends in `+` says what it did in the frame before, behind
its own numbers, px/s over the body's mass: `touch+` JN JT along CN CT and across (`touch2+`: twice), `link+` and `tie+`
JN, `hold+` JN JT along the own frame, `drive+` JN of gyration speed. It is inferred from the change of velocity
(_impulse_memory.py). Zeros: it did nothing; no `+`: nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from physworld.sim import contacts as geometry
from physworld.sim.fields import Fields
from physworld.text.codecs import _impulse_answer as answers
from physworld.text.codecs import _impulse_memory as past
from physworld.text.codecs import _impulse_world as tables
from physworld.text.codecs._impulse_guide import ImpulseGuide
from physworld.text.codecs._impulse_words import (
    BODY_WORDS,
    COAST,
    END,
    FIRST_BODY,
    LENGTH,
    MAX_BODIES,
    MEMORY_BODIES,
    MEMORY_RECORDS,
    MEMORY_WORD,
    NUMBER_BASE,
    RECORDS,
    REST,
    WORD,
)
from physworld.text.codecs._lines_codec import LinesCodec
from physworld.text.codecs.numbers import number_values, output_grid
from physworld.types import Encoded, Sample, Scene, State, Trajectory

_WRITTEN = "fixed self touch touch2 link hold tie coil drive pull air next"  # in the compiled writer's order
tables.WORDS = np.array([NUMBER_BASE, FIRST_BODY, MAX_BODIES, *(WORD[w] for w in _WRITTEN.split())])
MARGIN = 1.5  # px; a body whose coming gap is larger touches nothing (Chipmunk's own push stays below this)
QUIET = 0.05  # px/s; a smaller change is `coast`: 0.025 px over half a second
STILL = 0.25  # px/s; slower than this after the step, with no push, is `rest`
EVENT_SPEED = 10.0  # px/s; a larger change of velocity beyond gravity makes a body's frame an event


class ImpulseCodec(LinesCodec):
    """Next frame as impulses in contact frames; see the module docstring for the text."""

    text_name = "impulse"
    word = WORD
    first_body, most_bodies, said = FIRST_BODY, MAX_BODIES, 4
    records = RECORDS
    body_names: Collection[str] = BODY_WORDS

    def __init__(self, *, shuffle_names: bool = True, memory: bool = False, memory_dropout: float = 0.0) -> None:
        """
        Args:
            shuffle_names: while encoding training samples, names start at a random `oK` so that all are learned.
            memory: lines say what they did in the frame before; two frames are given.
            memory_dropout: share of samples (validation's too) that do without.

        Raises:
            ValueError: an argument is of another kind.
        """
        if not isinstance(memory, bool):
            raise ValueError(f"memory={memory} must be true or false")
        if isinstance(memory_dropout, bool) or not 0 <= memory_dropout <= 1:
            raise ValueError(f"memory_dropout={memory_dropout} must be a number from 0 to 1")
        if memory_dropout and not memory:
            raise ValueError(f"codec.memory_dropout={memory_dropout} has no effect without codec.memory=true")
        self.memory, self.memory_dropout = memory, memory_dropout
        if memory:
            self.word, self.records, self.most_bodies = MEMORY_WORD, MEMORY_RECORDS, MEMORY_BODIES
            self.context_frames = self.history_frames = 2
            if self.body_names is BODY_WORDS:
                self.body_names = BODY_WORDS[:MEMORY_BODIES]
        grid = output_grid()
        super().__init__(grid, shuffle_names=shuffle_names, words=tuple(self.word))
        values, ids = number_values()[grid], NUMBER_BASE + grid
        hints = np.searchsorted(values, number_values()).astype(np.int16)  # small, to stay in the processor's cache
        self._grid = (values, ids, hints, QUIET, STILL, EVENT_SPEED)
        self._worlds: dict[int, tuple[Scene, tuple[Any, ...], geometry.Solids]] = {}

    # --- writing

    def _packed(self, scene: Scene) -> tuple[Scene, tuple[Any, ...], geometry.Solids]:
        """(scene, what compiled code reads of it, its solids), kept for the scenes seen last."""
        known = self._worlds.get(id(scene))
        if known is None:
            self._refuse(scene)
            if len(self._worlds) > 256:
                self._worlds.clear()
            packed = geometry.solids(scene)
            world = tables.world_of(scene, *self._scene_lines(scene), packed, MARGIN)
            known = self._worlds[id(scene)] = (scene, self._named(world, scene), packed)
        return known

    def _named(self, world: tuple[Any, ...], scene: Scene) -> tuple[Any, ...]:
        """What compiled code reads of a scene, with the ids of its bodies' names."""
        return world

    def _grid_of(self, scene: Scene) -> tuple[Any, ...]:
        """What compiled code reads to write an answer."""
        return (*self._grid[:3], np.array([self._first_name(scene), COAST, REST, END]), *self._grid[3:])

    def _views(self, given: Trajectory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(prompt ids, listed bodies (M,), own frames (M, 3) nx, ny, hand) for the last given frame."""
        now = given.frame(-1)
        return tables.write_prompt(self._packed(given.scene)[1], now.position, now.velocity, now.angle, now.spin)

    def prompt(self, given: Trajectory) -> np.ndarray:
        ids, listed, frames = self._views(given)
        return self._remember(given, ids, listed, frames)

    def _remember(self, given: Trajectory, ids: np.ndarray, listed: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """The prompt with what lines did in the frame before; as it is where that is not wanted, or not known."""
        if not self.memory or len(given) < 2 or not len(listed):
            return ids
        scene, before, now = given.scene, given.frame(-2), given.frame(-1)
        gain = np.empty((len(scene.bodies), 3))
        gain[:, :2] = now.velocity - before.velocity - np.array(scene.gravity) * scene.dt
        world, solids = self._packed(scene)[1:]
        if scene.fields:
            gain[:, :2] -= Fields(scene).acceleration(now.position, before.velocity) * scene.dt
        gain[:, 2] = (now.spin - before.spin) * solids.gyration
        memory = np.zeros((len(ids), 4))  # more lines than there are tokens there are not
        longer = np.empty(2 * len(ids), np.int64)
        state = (np.ascontiguousarray(part) for part in (now.position, now.velocity, now.angle, now.spin))
        past.remembered(world, gain, *state, listed, frames, memory)
        words = past.PLUS, past.GAINS, LENGTH, NUMBER_BASE, WORD["next"]
        used = past.with_memory(ids, len(world[0]), memory, *words, longer)
        return longer[:used].copy()

    def encode(self, sample: Sample) -> Encoded:
        given: Trajectory = sample.given
        ids, listed, frames = self._views(given)
        if (sample.seed * 2654435761 >> 9) % 1000 >= 1000 * self.memory_dropout:
            ids = self._remember(given, ids, listed, frames)
        answer, event = self.answer(given.scene, listed, frames, given.frame(-1), sample.target.frame(0))
        return self._encoded(sample.seed, given.scene, ids, answer, event)

    def encode_frames(self, run: Trajectory, *, seed: int = 0) -> Sequence[Encoded]:
        """All frames but the last, in one compiled call; item t equals `encode` of (frame t -> t + 1), seed + t."""
        if self.memory:
            return _OneByOne(self.encode, run, seed)
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

    def guide(self, given: Sequence[Trajectory]) -> ImpulseGuide:
        return ImpulseGuide([self._views(g)[1] for g in given], self._masks)


class _OneByOne(Sequence[Encoded]):
    """The frames of a trajectory that have one before them and one behind."""

    def __init__(self, encode: Callable[[Sample], Encoded], run: Trajectory, seed: int) -> None:
        self._encode, self._run, self._seed = encode, run, seed

    def __len__(self) -> int:
        return len(self._run) - 2

    def __getitem__(self, t: Any) -> Any:
        t = range(len(self))[t]
        given, target = self._run.window(t, t + 2), self._run.window(t + 2, t + 3)
        return self._encode(Sample(seed=self._seed + t, given=given, target=target))
