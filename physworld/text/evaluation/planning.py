"""Planning with a model as the simulator: which action does its rollout choose, and does that solve the puzzle?

Of each puzzle a set of actions is drawn, the same for every model. The model rolls out each of them; the actions are
tried in the order of what it foresees, and the simulator says which attempt is the first that works. Rollouts of the
same puzzles are an ordinary table, so any model and any predictions file can have that one.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from physworld.errors import UserError
from physworld.metrics.bootstrap import bootstrap_mean, share
from physworld.metrics.scores import MODEL, RolloutMeta
from physworld.reporting.progress import bar
from physworld.seeding import generator
from physworld.settings import checks
from physworld.sim.pymunk_sim import simulate
from physworld.text.codecs.frame_codec import FrameCodec
from physworld.text.evaluation.baselines import BASELINES
from physworld.text.evaluation.evaluation import EvalCases, EvalResult, Evaluation
from physworld.text.evaluation.suites import Suite, Together
from physworld.text.rollout import Store, rollout
from physworld.text.sources.puzzles import STEP, Action, Outcome, Puzzle, iphyre
from physworld.text.sources.virtual_tools import levels
from physworld.types import FIXED, Scene, Trajectory

TRUTH, CHANCE = "truth", "chance"  # the simulator as planner; any order of the actions, in expectation
OFTEN = 4  # at most one in so many of a puzzle's actions works
ATTEMPTS = (1, 3, 10)  # within which a puzzle is solved

Continue = Callable[[Sequence[Trajectory], int], list[Trajectory]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A puzzle with the actions that there are to choose from."""

    puzzle: Puzzle
    actions: tuple[Action, ...]
    outcomes: tuple[Outcome, ...]  # of the actions, in the simulator
    frames: int  # of a rollout, the first one included

    @property
    def works(self) -> list[bool]:
        return [outcome.solved for outcome in self.outcomes]


def played(puzzle: Puzzle, action: Action, frames: int) -> Trajectory:
    """What the simulator makes of an action; the scene is that of the first frame."""
    stops = sorted({0, frames - 1, *(at for at, _ in action.removed if at < frames - 1)})
    path = simulate(puzzle.world(action, 0), 1)
    for first, last in pairwise(stops):
        part = simulate(puzzle.world(action, first), last - first + 1, start=path.frame(-1))
        path = path.then(part.window(1, len(part)))
    return path


def act(puzzle: Puzzle, action: Action, frames: int) -> np.ndarray:
    """(frames, N, 2) px: where the bodies are then."""
    return played(puzzle, action, frames).position


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """An action that is to be rolled out."""

    puzzle: Puzzle
    action: Action
    frames: int  # the first one included


def imagine(
    jobs: Sequence[Job], continue_: Continue, context: int, progress: Callable[[int], None] | None = None
) -> list[np.ndarray]:
    """For each job (frames, N, 2) px: what a model makes of it, on its own output, all of them side by side.

    Every STEP frames walls are taken away as the action says, and bodies that have left the picture are dropped.

    Args:
        continue_: trajectories -> the next frames of each.
        context: frames that the model is given; the first ones are the simulator's.
        progress: called with the number of frames that are done.
    """
    begun = [played(job.puzzle, job.action, context) for job in jobs]
    paths = [
        np.concatenate([begin.position, np.repeat(begin.position[-1:], job.frames - context, axis=0)])
        for job, begin in zip(jobs, begun, strict=True)
    ]
    now = [(begin, list(range(len(begin.scene.bodies)))) for begin in begun]  # the last frames; which bodies they hold
    going, frame = list(range(len(jobs))), context - 1
    while going:
        count = STEP - frame % STEP
        asked = [_within(jobs[k].puzzle.world(jobs[k].action, frame), *now[k]) for k in going]
        for k, given, after in zip(going, asked, continue_(asked, count), strict=True):
            bodies, path = now[k][1], paths[k]
            path[frame + 1 :, bodies] = after.position[-1]
            path[frame + 1 : frame + 1 + count, bodies] = after.position[: len(path) - frame - 1]
            known = given.then(after)
            now[k] = _inside(known.window(max(0, len(known) - context), len(known)), bodies)
        frame += count
        ended = {
            k
            for k in going
            if frame >= jobs[k].frames - 1 or not now[k][1] or jobs[k].puzzle.goal(paths[k][: frame + 1]).solved
        }
        if progress is not None:
            left = {k: jobs[k].frames - 1 - (frame - count) for k in going}
            progress(sum(left[k] if k in ended else count for k in going))
        going = [k for k in going if k not in ended]
    return paths


def _within(scene: Scene, last: Trajectory, bodies: list[int]) -> Trajectory:
    """The same frames in the scene as it is now, with the bodies that are left."""
    place = {body: k for k, body in enumerate(bodies)} | {FIXED: FIXED}
    joints = tuple(
        replace(joint, body_a=place[joint.body_a], body_b=place[joint.body_b])
        for joint in scene.joints
        if joint.body_a in place and joint.body_b in place
    )
    world = replace(scene, bodies=tuple(scene.bodies[body] for body in bodies), joints=joints)
    return replace(last, scene=world)


def _inside(last: Trajectory, bodies: list[int]) -> tuple[Trajectory, list[int]]:
    """Without the bodies that are far outside of the picture, from where nothing comes back."""
    wide, high = last.scene.canvas
    x, y = last.position[-1].T
    kept = np.flatnonzero((x > -wide) & (x < 2 * wide) & (y > -high / 6) & (y < 3 * high)).tolist()
    if len(kept) == len(bodies):
        return last, bodies
    left = [bodies[k] for k in kept]
    parts: Any = {name: getattr(last, name)[:, kept] for name in ("position", "velocity", "angle", "spin")}
    scene = replace(last.scene, bodies=tuple(last.scene.bodies[k] for k in kept), joints=())
    return Trajectory(scene=scene, **parts), left


def order(outcomes: Sequence[Outcome]) -> list[int]:
    """Actions from the most promising to the least; what looks alike keeps its place."""
    return sorted(
        range(len(outcomes)),
        key=lambda k: (not outcomes[k].solved, outcomes[k].frame if outcomes[k].solved else 0, -outcomes[k].nearness),
    )


def first_success(outcomes: Sequence[Outcome], works: Sequence[bool]) -> int:
    """The number of the attempt that solves it, from 1 on."""
    return 1 + [works[k] for k in order(outcomes)].index(True)


def auccess(first: float, attempts: int) -> float:
    """Share of attempts' weights from the first success on, ln(k+1) - ln(k) for attempt k (PHYRE, arXiv 1908.05656)."""
    return 1 - math.log(first) / math.log(attempts + 1)


def chance(works: Sequence[bool]) -> dict[str, float]:
    """Solved within k attempts, and AUCCESS, of actions in any order, in expectation."""
    count, good = len(works), sum(works)
    later = [math.comb(count - good, k) / math.comb(count, k) for k in range(count + 1)]  # none in the first k works
    found = {f"solved@{k}": 1 - later[k] for k in ATTEMPTS if k < count}
    found["auccess"] = sum((later[k - 1] - later[k]) * auccess(k, count) for k in range(1, count + 1))
    return found


@lru_cache(maxsize=4)
def _puzzles(place: str, boxes: bool) -> tuple[list[Puzzle], dict[str, str]]:
    if place == "iphyre" or (Path(place) / "games.py").is_file():
        return iphyre(place, boxes=boxes), {}
    if not Path(place).is_dir():
        raise UserError(f"suite.puzzles={place} is no folder; choose iphyre, or a folder of levels of Virtual Tools.")
    return levels(Path(place), boxes=boxes)


def problem(puzzle: Puzzle, *, count: int, draws: int, seconds: float, rng: np.random.Generator) -> Problem | str:
    """The puzzle with `count` of its actions, at most one in OFTEN of which works; or why there is none."""
    frames = puzzle.frames(seconds)
    good: list[tuple[Action, Outcome]] = []
    bad: list[tuple[Action, Outcome]] = []
    for _ in range(draws):
        action = puzzle.draw(rng)
        outcome = puzzle.goal(act(puzzle, action, frames))
        (good if outcome.solved else bad).append((action, outcome))
        if len(good) >= count // OFTEN and len(bad) >= count - count // OFTEN:
            break
    good = good[: max(1, count // OFTEN)]
    bad = bad[: count - len(good)]
    if not good:
        return f"none of {draws} actions solves it"
    if len(good) + len(bad) < count:
        return f"only {len(bad)} of {draws} actions do not solve it"
    every = [*good, *bad]
    mixed = [every[k] for k in rng.permutation(count)]
    return Problem(
        puzzle=puzzle, actions=tuple(a for a, _ in mixed), outcomes=tuple(o for _, o in mixed), frames=frames
    )


@dataclass(frozen=True, kw_only=True)
class PlanningSuite(Suite):
    """Puzzles instead of scenario types: rollouts of actions, and planning by them."""

    puzzles: str | None = None  # iphyre, or a folder with its games.py or with levels of Virtual Tools
    actions: int = 16  # of each puzzle
    draws: int = 200  # actions that are tried in the simulator until there are so many, some of which work
    seconds: float = 15.0  # of a rollout, in the puzzle's own time
    boxes: bool = True  # bars without round ends, and only tools that are boxes: texts know circles and boxes alone
    own_scenes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.puzzles, str):
            raise UserError("suite.puzzles is missing; choose iphyre, or a folder of levels of Virtual Tools.")
        checks.whole("suite.actions", self.actions, OFTEN)
        checks.whole("suite.draws", self.draws, self.actions)
        checks.number("suite.seconds", self.seconds, 0.5)
        checks.flag("suite.boxes", self.boxes)

    def problems(self, *, split: str, seed: int, limit: int | None) -> tuple[list[Problem], dict[str, str]]:
        """(problems, puzzles left out and why), the same for every model; at most `limit` of a split."""
        return _problems(
            str(self.puzzles), self.boxes, self.actions, self.draws, self.seconds, split=split, seed=seed, limit=limit
        )

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
        """Rollouts from the moment when the first thing is done: of each puzzle's first evaluation.rollouts actions.

        Raises:
            UserError: nothing is left that these codecs can write, or more rollouts are asked for than actions.
        """
        if evaluation.rollouts > self.actions:
            raise UserError(
                f"evaluation.rollouts={evaluation.rollouts} is more than a puzzle's {self.actions} actions; "
                "raise suite.actions, or lower evaluation.rollouts."
            )
        together, (problems, left_out) = Together(codecs), self.problems(split=split, seed=seed, limit=limit)
        cases = EvalCases(given=[], truth=[], meta=[], left_out=dict(left_out))
        given = together.context_frames
        for place, one in enumerate(problems):
            for number, action in enumerate(one.actions[: evaluation.rollouts]):
                first = replace(action, removed=action.removed[:1])
                done = max([0, *(at for at, _ in first.removed)])
                state = simulate(one.puzzle.world(first, 0), done + 1).frame(-1)
                path = simulate(one.puzzle.world(first, done), given + evaluation.frames, start=state)
                why = together.unwritable(path.scene) or together.refuses(path.window(0, given))
                if why:
                    cases.left_out[one.puzzle.name] = why
                    break
                about = RolloutMeta(index=place, action=number, start_frame=done, seed=seed, held_out=True)
                cases.add(path, 0, given, evaluation.frames, about)
        if not cases.given:
            raise UserError(f"None of these puzzles can be written: {'; '.join(sorted(cases.why_left_out()))}.")
        return cases

    def more(
        self,
        result: EvalResult,
        model: Any,
        codec: FrameCodec,
        evaluation: Evaluation,
        *,
        split: str,
        seed: int,
        limit: int | None,
        store: Callable[[int], Store] | None,
        console: Console,
    ) -> None:
        """How well actions are chosen by rollouts of the model, of baselines and of the simulator, as `planning`."""
        if model is None:  # what it said elsewhere is about the rollouts alone
            console.print("Planning is left out: it needs a model that answers here.", soft_wrap=True)
            return
        problems, left_out = self.problems(split=split, seed=seed, limit=limit)
        refused = [codec.unwritable(one.puzzle.world(one.actions[0], 0)) for one in problems]
        written = [one for one, why in zip(problems, refused, strict=True) if not why]
        left_out = left_out | {one.puzzle.name: why for one, why in zip(problems, refused, strict=True) if why}

        def answer(given: Sequence[Trajectory], frames: int) -> list[Trajectory]:
            kept = None if store is None else store(0)
            settings: Any = {"batch_size": evaluation.batch_size, "guided": evaluation.guided, "store": kept}
            return rollout(model, codec, given, frames, **settings).predicted

        planners: dict[str, tuple[Continue, int]] = {
            MODEL: (answer, codec.context_frames),
            **{name: (_baseline(name), 1) for name in BASELINES},
        }
        jobs = [Job(puzzle=one.puzzle, action=action, frames=one.frames) for one in written for action in one.actions]
        rows: dict[str, list[dict[str, float]]] = {MODEL: [], TRUTH: [_judged(one, one.outcomes) for one in written]}
        for name, (continue_, context) in planners.items():
            with bar(f"Planning, {name}", sum(job.frames - context for job in jobs), console) as done:
                paths = iter(imagine(jobs, continue_, context, done))
            rows[name] = [_judged(one, [one.puzzle.goal(next(paths)) for _ in one.actions]) for one in written]
        rows[CHANCE] = [chance(one.works) for one in written]
        result.summary["planning"] = {
            "name": Path(str(self.puzzles)).name,
            "levels": [one.puzzle.name for one in written],
            "left_out": left_out,
            "actions": self.actions,
            "rows": {name: _means(found, tried=name != CHANCE) for name, found in rows.items()},
            "first": {name: [one["first"] for one in found] for name, found in rows.items() if name != CHANCE},
        }


def _baseline(name: str) -> Continue:
    return lambda given, frames: [BASELINES[name](one, frames) for one in given]


def _judged(one: Problem, foreseen: Sequence[Outcome]) -> dict[str, float]:
    first = first_success(foreseen, one.works)
    right = np.mean([outcome.solved == works for outcome, works in zip(foreseen, one.works, strict=True)])
    return {
        **{f"solved@{k}": float(first <= k) for k in ATTEMPTS if k < len(one.actions)},
        "auccess": auccess(first, len(one.actions)), "foreseen": float(right), "first": first,
    }  # fmt: skip


def _means(rows: Sequence[Mapping[str, float]], *, tried: bool) -> dict[str, Any]:
    """Means over puzzles with their 95 % intervals.

    Args:
        tried: a puzzle is solved or not, so these means are shares; else it is solved with some probability.
    """
    found = {}
    for name in rows[0]:
        if name == "first":
            continue
        values = [row[name] for row in rows]
        interval = share(values) if tried and name.startswith("solved@") else bootstrap_mean(values)
        found[name] = interval.to_dict()
    return found


@lru_cache(maxsize=4)
def _problems(
    place: str, boxes: bool, count: int, draws: int, seconds: float, *, split: str, seed: int, limit: int | None
) -> tuple[list[Problem], dict[str, str]]:
    puzzles, left_out = _puzzles(place, boxes)
    found: list[Problem] = []
    left_out = dict(left_out)
    for puzzle in puzzles:
        if limit is not None and sum(one.puzzle.scene.name == puzzle.scene.name for one in found) >= limit:
            continue
        rng = generator(seed, split, zlib.crc32(f"puzzle {puzzle.name}".encode()))
        one = problem(puzzle, count=count, draws=draws, seconds=seconds, rng=rng)
        if isinstance(one, str):
            left_out[puzzle.name] = one
        else:
            found.append(one)
    if not found:
        raise UserError(f"No puzzle of suite.puzzles={place} can be used: {'; '.join(sorted(set(left_out.values())))}.")
    return found, left_out
