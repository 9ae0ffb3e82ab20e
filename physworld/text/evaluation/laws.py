"""Controlled experiments with one or two bodies: what a model takes the laws to be, read off its answers.

Each experiment is a stream of scenes that differ in the number that the law is about. The four transformed ones, and
the one at half the time step, are `law_impact` once more: what a model says of both should be the same, seen from one
place.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from physworld.errors import UserError
from physworld.metrics import laws
from physworld.metrics.scores import MODEL, RolloutMeta
from physworld.scenarios._parts import mirrored
from physworld.seeding import generator
from physworld.sim.pymunk_sim import simulate
from physworld.sim.turning import turned
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.evaluation import EARLIEST, EvalCases, EvalResult, Evaluation
from physworld.text.evaluation.suites import Suite, Together
from physworld.types import FIXED, Attractor, Body, Peg, PinJoint, Scene, Segment, Spring, Trajectory

TRUTH = "truth"  # the simulator from the unrounded state
MIDDLE = (400.0, 300.0)  # px
SLOP = 0.1  # px, the overlap that Chipmunk leaves alone: a box that lies so deep neither falls nor is pushed
HALVES = 2  # steps at half the time step that make one
MOST_GIVEN = 8  # frames; with more, the slowest box comes to rest too early, and the fastest spring swings back
NEEDED = 2 * laws.AFTER + 1  # frames of a rollout; a quarter of the slowest swing is over by then too


@dataclass(frozen=True)
class Experiment:
    build: Callable[[np.random.Generator], Scene]
    told: Mapping[str, Callable[[Scene], Scene]]  # what the law is about -> the same scene with another such number
    flies: bool = True  # freely until the last given frame, so that it may begin as early as a text needs


def _scene(name: str, text: str, bodies: Sequence[Body], **parts: Any) -> Scene:
    return Scene(name=f"law_{name}", category="laws", difficulty=1, text=text, bodies=tuple(bodies), **parts)


def _unit(angle: float) -> np.ndarray:
    return np.array([math.cos(angle), math.sin(angle)])


def _ball(position: np.ndarray, velocity: np.ndarray, radius: float, mass: float | None = None, **rest: Any) -> Body:
    (x, y), (vx, vy) = position.tolist(), velocity.tolist()
    mass = radius**2 / 200 if mass is None else mass
    return Body(shape="circle", size=(float(radius),), position=(x, y), velocity=(vx, vy), mass=float(mass), **rest)


def restitution(rng: np.random.Generator) -> Scene:
    """A ball runs straight at a wall, or at another ball, without gravity and friction."""
    radius, speed = rng.uniform(12, 22), rng.uniform(200, 400)
    bounce, way = float(rng.uniform(0.05, 1.0)), _unit(rng.uniform(0, 2 * math.pi))
    late = rng.uniform(3.2, 7.8) / 60  # s until they touch
    smooth: Any = {"friction": 0.0}
    weightless: Any = {"gravity": (0.0, 0.0)}
    if rng.random() < 0.5:
        across = np.array([-way[1], way[0]])
        place = np.array(MIDDLE) - way * (radius + 2 + speed * late)
        ends = [tuple((np.array(MIDDLE) + side * 200 * across).tolist()) for side in (-1, 1)]
        wall = Segment(start=ends[0], end=ends[1], radius=2.0, friction=0.0, restitution=bounce)
        ball = _ball(place, way * speed, radius, restitution=1.0, **smooth)
        return _scene("restitution", "A ball runs at a wall.", [ball], static=(wall,), **weightless)
    other, share = rng.uniform(12, 22), rng.uniform(0.2, 0.8)
    gap = radius + other + speed * late
    balls = [
        _ball(np.array(MIDDLE) - way * gap / 2, way * speed * share, radius, restitution=bounce, **smooth),
        _ball(np.array(MIDDLE) + way * gap / 2, -way * speed * (1 - share), other, restitution=1.0, **smooth),
    ]
    return _scene("restitution", "Two balls run at each other.", balls, **weightless)


def friction(rng: np.random.Generator) -> Scene:
    """A flat box slides on a level floor."""
    way, width, height = float(rng.choice([-1.0, 1.0])), float(rng.uniform(40, 70)), float(rng.uniform(16, 26))
    rough = float(rng.uniform(0.05, 0.7))
    floor = Segment(start=(50.0, 50.0), end=(750.0, 50.0), radius=2.0, friction=1.0, restitution=0.0)
    box = Body(
        shape="rect", size=(width, height), position=(400 - way * 250, 52 + height / 2 - SLOP),
        velocity=(way * float(rng.uniform(220, 400)), 0.0), mass=width * height / 400, friction=rough, restitution=0.0,
    )  # fmt: skip
    return _scene("friction", "A box slides on a floor.", [box], static=(floor,))


def orbit(rng: np.random.Generator) -> Scene:
    """A satellite goes round a star that pulls, in a circle or nearly so."""
    distance, way = rng.uniform(60, 250), _unit(rng.uniform(0, 2 * math.pi))
    strength = (2 * math.pi / rng.uniform(3.0, 6.0)) ** 2 * 150**3
    speed = math.sqrt(strength / distance) * rng.uniform(0.9, 1.1) * rng.choice([-1, 1])
    place = np.array(MIDDLE) + way * distance
    satellite = _ball(place, speed * np.array([-way[1], way[0]]), rng.uniform(5, 10), friction=0.1, restitution=0.8)
    star = Peg(center=MIDDLE, radius=20.0, friction=0.3, restitution=0.7)
    field = Attractor(center=MIDDLE, strength=float(strength))
    return _scene(
        "orbit", "A satellite goes round a star.", [satellite], static=(star,), fields=(field,), gravity=(0.0, 0.0)
    )


def spring(rng: np.random.Generator) -> Scene:
    """A ball on a spring is let go at rest, without gravity."""
    way, length, mass = _unit(rng.uniform(0, 2 * math.pi)), rng.uniform(80, 160), float(rng.uniform(0.8, 4.0))
    period = rng.uniform(0.5, 2.0)
    out = length + rng.choice([-1, 1]) * rng.uniform(20, 50)
    ball = _ball(np.array(MIDDLE) + way * out, np.zeros(2), 14.0, mass=mass)
    held = Spring(
        body_a=FIXED, body_b=0, anchor_a=MIDDLE, length=float(length), stiffness=mass * (2 * math.pi / period) ** 2
    )
    return _scene("spring", "A ball on a spring.", [ball], joints=(held,), gravity=(0.0, 0.0))


def pendulum(rng: np.random.Generator) -> Scene:
    """A bob on a rod is let go at rest."""
    length, side = rng.uniform(40, 150), rng.choice([-1, 1]) * rng.uniform(0.2, 1.0)
    top = (400.0, 400.0)
    bob = _ball(np.array(top) + length * np.array([math.sin(side), -math.cos(side)]), np.zeros(2), 12.0)
    rod = PinJoint(body_a=FIXED, body_b=0, anchor_a=top, length=float(length))
    return _scene("pendulum", "A bob on a rod.", [bob], joints=(rod,))


def impact(rng: np.random.Generator) -> Scene:
    """Two balls meet in free fall, seldom straight."""
    sizes, speed = rng.uniform(12, 24, 2), rng.uniform(150, 350)
    way, aside = _unit(rng.uniform(0, 2 * math.pi)), rng.uniform(-0.7, 0.7) * sizes.sum()
    gap = math.sqrt(sizes.sum() ** 2 - aside**2) + speed * rng.uniform(3.2, 9.8) / 60
    across, drift = np.array([-way[1], way[0]]), rng.uniform(-80, 80, 2)
    material: Any = {"friction": float(rng.uniform(0.1, 0.6)), "restitution": float(rng.uniform(0.6, 1.0))}
    place = np.array(MIDDLE) + rng.uniform(-60, 60, 2)
    balls = [
        _ball(place - way * gap / 2, drift + way * speed / 2, float(sizes[0]), **material),
        _ball(place + way * gap / 2 + across * aside, drift - way * speed / 2, float(sizes[1]), **material),
    ]
    return _scene("impact", "Two balls meet in free fall.", balls)


def _other(**numbers: Any) -> Callable[[Scene], Scene]:
    """The same scene with other numbers of its bodies."""
    return lambda scene: replace(scene, bodies=tuple(replace(b, **numbers) for b in scene.bodies))


def _parts(**numbers: Any) -> Callable[[Scene], Scene]:
    return lambda scene: replace(scene, static=tuple(replace(part, **numbers) for part in scene.static))


def _first(parts: str, **numbers: Any) -> Callable[[Scene], Scene]:
    """The same scene with other numbers of its joint or field."""

    def changed(scene: Scene) -> Scene:
        more: Any = {parts: tuple(replace(one, **numbers) for one in vars(scene)[parts])}
        return replace(scene, **more)

    return changed


_MATERIAL = {"restitution of bodies": _other(restitution=0.123), "friction of bodies": _other(friction=0.123)}
_MASS = {"masses": lambda scene: replace(scene, bodies=tuple(replace(b, mass=3 * b.mass) for b in scene.bodies))}
_STEP = {"the time step": lambda scene: replace(scene, dt=scene.dt / 3)}
_SIZES = {"sizes": lambda scene: replace(scene, bodies=tuple(replace(b, size=(b.size[0] / 2,)) for b in scene.bodies))}
_IMPACT: Any = {**_MATERIAL, **_MASS, **_SIZES}
EXPERIMENTS: dict[str, Experiment] = {
    "law_restitution": Experiment(
        restitution, {"restitution of bodies": _MATERIAL["restitution of bodies"],
                      "restitution of walls": _parts(restitution=0.123)},
    ),
    "law_friction": Experiment(
        friction, {"friction of bodies": _MATERIAL["friction of bodies"], "friction of walls": _parts(friction=0.123)},
        flies=False,
    ),
    "law_orbit": Experiment(
        orbit, {"strength of a field": _first("fields", strength=1.0), "place of a field": _first(
            "fields", center=(1.0, 2.0))}, flies=False,
    ),
    "law_spring": Experiment(
        spring, {"stiffness of a spring": _first("joints", stiffness=1.0), "length of a spring": _first(
            "joints", length=9.0), "anchors of a spring": _first("joints", anchor_a=(1.0, 2.0)), **_MASS},
        flies=False,
    ),
    "law_pendulum": Experiment(pendulum, {"anchors of a rod": _first("joints", anchor_a=(1.0, 2.0))}, flies=False),
    "law_impact": Experiment(impact, _IMPACT),
    "law_shifted": Experiment(impact, _IMPACT),
    "law_boosted": Experiment(impact, _IMPACT),
    "law_turned": Experiment(impact, _IMPACT),
    "law_mirrored": Experiment(impact, _IMPACT),
    "law_half_step": Experiment(impact, {**_IMPACT, **_STEP}),
}  # fmt: skip
# experiments that are law_impact seen otherwise -> the column of their readings
SAME = {
    name: name.removeprefix("law_") for name, one in EXPERIMENTS.items() if one.build is impact and name != "law_impact"
}


@dataclass(frozen=True)
class View:
    """How `law_impact` is seen in another experiment."""

    shift: np.ndarray  # (2,) px
    boost: np.ndarray  # (2,) px/s
    angle: float  # rad

    @classmethod
    def of(cls, name: str, rng: np.random.Generator) -> View:
        drawn = cls(rng.uniform(-150, 150, 2), 120 * _unit(rng.uniform(0, 2 * math.pi)), rng.uniform(0.3, 6.0))
        none = np.zeros(2)
        return cls(
            drawn.shift if name == "law_shifted" else none,
            drawn.boost if name == "law_boosted" else none,
            drawn.angle if name == "law_turned" else 0.0,
        )

    def scene(self, scene: Scene, name: str) -> Scene:
        def moved(body: Body) -> Body:
            place, speed = np.add(body.position, self.shift).tolist(), np.add(body.velocity, self.boost).tolist()
            return replace(body, position=tuple(place), velocity=tuple(speed))

        scene = replace(scene, bodies=tuple(map(moved, scene.bodies)))
        scene = mirrored(scene) if name == "law_mirrored" else turned(scene, self.angle)
        return replace(scene, name=name, dt=scene.dt / HALVES if name == "law_half_step" else scene.dt)

    def back(self, path: Trajectory) -> np.ndarray:
        """(N, 2) px, where the bodies are after laws.AFTER frames of law_impact, seen as there."""
        name = path.scene.name
        frame = laws.AFTER * (HALVES if name == "law_half_step" else 1)
        place = path.position[frame] - self.boost * path.scene.dt * frame - self.shift
        if name == "law_mirrored":
            return np.asarray(place * [-1, 1] + [path.scene.canvas[0], 0])
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return np.asarray((place - MIDDLE) @ np.array([[cos, -sin], [sin, cos]]) + MIDDLE)


def earlier(scene: Scene, frames: int) -> Scene:
    """The scene whose bodies, flying freely, are where these are after so many frames."""
    dt, gain = scene.dt, np.array(scene.gravity) * scene.dt

    def body(one: Body) -> Body:
        velocity = np.array(one.velocity) - frames * gain
        position = np.array(one.position) - dt * (frames * velocity + frames * (frames - 1) / 2 * gain)
        place, speed = position.tolist(), velocity.tolist()
        return replace(one, position=tuple(place), velocity=tuple(speed), angle=one.angle - dt * frames * one.spin)

    return replace(scene, bodies=tuple(map(body, scene.bodies)))


def _rng(seed: int, split: str, build: Callable[..., Scene], index: int) -> np.random.Generator:
    return generator(seed, split, zlib.crc32(f"laws {build.__name__}".encode()), index)


def _view(seed: int, split: str, name: str, index: int) -> View:
    return View.of(name, generator(seed, split, zlib.crc32(f"laws {name} seen".encode()), index))


@dataclass(frozen=True, kw_only=True)
class LawSuite(Suite):
    """Controlled experiments instead of scenario types."""

    own_scenes: ClassVar[bool] = True

    def sample_cases(
        self,
        evaluation: Evaluation,
        codecs: Sequence[Any],
        names: Sequence[str],
        difficulties: Sequence[int],
        *,
        split: str,
        seed: int,
        trained_on: Sequence[str],
        limit: int | None,
    ) -> EvalCases:
        """evaluation.rollouts scenes of each experiment; names and difficulties are of scenario types: not read.

        Raises:
            UserError: rollouts that are too short, or that start elsewhere; a text that is given too many frames.
        """
        if evaluation.frames < NEEDED or evaluation.start is not None or evaluation.starts != 1:
            raise UserError(
                f"suite=laws rolls out {NEEDED} frames or more from a moment of its own; leave evaluation.start and "
                f"evaluation.starts out, and evaluation.frames at 45 (it is {evaluation.frames} here)."
            )
        together = Together(codecs)
        if together.context_frames > MOST_GIVEN:
            raise UserError(
                f"suite=laws gives at most {MOST_GIVEN} frames, and this text wants {together.context_frames}: some "
                "experiments would be over before they begin; choose a run with fewer (codec.context_frames)."
            )
        cases = EvalCases(given=[], truth=[], meta=[], left_out={})
        count = evaluation.scenes(limit)
        last = max(EARLIEST, together.context_frames - 1)
        for name, experiment in EXPERIMENTS.items():
            scenes = [self._scene(name, experiment, split, seed, index, last) for index in range(count)]
            why = next((why for why in map(together.unwritable, scenes) if why), "")
            if why:
                cases.left_out[name] = why
                continue
            for index, scene in enumerate(scenes):
                path = simulate(scene, last + 1 + evaluation.frames)
                first = last + 1 - together.context_frames
                about = RolloutMeta(index=index, start_frame=first, seed=seed, held_out=True)
                cases.add(path, first, together.context_frames, evaluation.frames, about)
        if not cases.given:
            raise UserError(f"None of these experiments can be written: {'; '.join(sorted(cases.why_left_out()))}.")
        return cases

    def _scene(self, name: str, experiment: Experiment, split: str, seed: int, index: int, last: int) -> Scene:
        scene = experiment.build(_rng(seed, split, experiment.build, index))
        if name in SAME:
            scene = _view(seed, split, name, index).scene(scene, name)
        return earlier(scene, last) if experiment.flies else scene

    def read(self, folder: Path, *_: Any, **__: Any) -> EvalCases:
        """Raises: UserError: always."""
        raise UserError(f"suite=laws makes its own scenes; leave scenes={folder} out.")

    def finish(self, result: EvalResult, codec: FrameCodec, *, split: str) -> None:
        """Readings go into the rows (`law.NAME`), figures into the summary (`laws`)."""
        cases = result.cases
        paths = {MODEL: result.predicted, **result.references, TRUTH: cases.truth}
        readings = {method: read(cases, found, split) for method, found in paths.items()}
        for row, reading in zip(result.rows, _in_order(result.rows, readings), strict=True):
            row.update({f"law.{name}": value for name, value in reading.items()})
        result.summary["laws"] = {
            "figures": laws.law_figures(readings),
            "not_told": not_told(codec, cases),
            "not_asked": cases.left_out,
        }


def _in_order(rows: Sequence[Mapping[str, Any]], readings: Mapping[str, list[laws.Reading]]) -> list[laws.Reading]:
    """The reading of each row: rows come case by case, method by method."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    return [readings[row["method"]][place // len(methods)] for place, row in enumerate(rows)]


def read(cases: EvalCases, predicted: Sequence[Trajectory], split: str) -> list[laws.Reading]:
    """What each experiment's path shows."""
    whole = [
        given.window(len(given) - 1, len(given)).then(path) for given, path in zip(cases.given, predicted, strict=True)
    ]
    truth = [
        given.window(len(given) - 1, len(given)).then(path)
        for given, path in zip(cases.given, cases.truth, strict=True)
    ]
    names = [given.scene.name for given in cases.given]
    plain = {about["index"]: n for n, about in enumerate(cases.meta) if names[n] == "law_impact"}
    found: list[laws.Reading] = []
    for n, (path, about) in enumerate(zip(whole, cases.meta, strict=True)):
        elapsed = (about["start_frame"] + len(cases.given[n]) - 1) * path.scene.dt
        match names[n]:
            case "law_restitution":
                found.append(laws.restitution(path))
            case "law_friction":
                found.append(laws.friction(path))
            case "law_orbit":
                found.append(laws.pull(path))
            case "law_spring":
                found.append(laws.spring_period(path, elapsed))
            case "law_pendulum":
                found.append(laws.pendulum_period(path, elapsed))
            case "law_impact":
                found.append(laws.impact(path, truth[n]))
            case name:
                seen = _view(about["seed"], split, name, about["index"])
                found.append({SAME[name]: laws.parted(whole[plain[about["index"]]], seen.back(path))})
    return found


def not_told(codec: FrameCodec, cases: EvalCases) -> dict[str, list[str]]:
    """Experiment -> what its law is about, and the text does not say: with another such number every scene reads the
    same."""
    scenes: dict[str, list[Trajectory]] = {}
    for given in cases.given:
        scenes.setdefault(given.scene.name, []).append(given)
    found: dict[str, list[str]] = {}
    for name, some in scenes.items():
        for what, changed in EXPERIMENTS[name].told.items():
            pairs = ((given, replace(given, scene=changed(given.scene))) for given in some)
            others = [(given, other) for given, other in pairs if other.scene != given.scene]
            if others and all(codec.write_prompt(given) == codec.write_prompt(other) for given, other in others):
                found.setdefault(name, []).append(what)
    return found
